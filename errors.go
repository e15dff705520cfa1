package fraiseql

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Location is a place in a document; line and column count from 1.
type Location = gql.Location

// Error is one reason why a request was refused. Its text is safe to show to clients.
type Error struct {
	// Code is one of the table in docs/reference/errors.md.
	Code    string
	Message string
	// Locations are places in the document, where the error has any.
	Locations []Location
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errors are all the reasons why an operation was refused; never empty.
type Errors []*Error

func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives errors.As and errors.Is access to each.
func (es Errors) Unwrap() []error {
	list := make([]error, len(es))
	for i, e := range es {
		list[i] = e
	}
	return list
}

// PublishError is one reason why a batch of events was refused. Its text is safe to show to the publisher.
type PublishError struct {
	// Index of the event in the batch.
	Index int
	// Member of the envelope, or a path into data; empty when the whole event is meant.
	Member  string
	Code    string
	Message string
	// RetryAfter is when the batch may be sent again, with code RATE_LIMITED; 0: not known, or never.
	RetryAfter time.Duration

	limit string // the key of `limits` that was exceeded
}

func (e *PublishError) Error() string {
	where := "event " + strconv.Itoa(e.Index)
	if e.Member != "" {
		where += ": " + e.Member
	}
	return where + ": " + e.Message
}

// PublishErrors are the reasons why a batch was refused as a whole; never empty.
type PublishErrors []*PublishError

func (es PublishErrors) Error() string {
	if len(es) == 1 {
		return es[0].Error()
	}
	return fmt.Sprintf("%s (and %d more)", es[0].Error(), len(es)-1)
}

// Unwrap gives errors.As access to each.
func (es PublishErrors) Unwrap() []error {
	list := make([]error, len(es))
	for i, e := range es {
		list[i] = e
	}
	return list
}

// refused is one request error of ours.
func refused(code, message string) []*gql.Error {
	return []*gql.Error{{Code: code, Message: message}}
}

func refusal(r *policy.Refusal) []*gql.Error { return refused(r.Code, r.Message) }

// public converts errors for callers of the library.
func public(errs []*gql.Error) Errors {
	out := make(Errors, len(errs))
	for i, e := range errs {
		out[i] = &Error{Code: e.Code, Message: e.Message, Locations: e.Locations}
	}
	return out
}

// appendErrors appends the JSON array of errors as clients get it.
func appendErrors(dst []byte, errs []*gql.Error) []byte {
	dst = append(dst, '[')
	for i, e := range errs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendError(dst, e)
	}
	return append(dst, ']')
}

func appendError(dst []byte, e *gql.Error) []byte {
	dst = jsontape.AppendQuoted(append(dst, `{"message":`...), e.Message)
	if len(e.Locations) > 0 {
		dst = append(dst, `,"locations":[`...)
		for i, l := range e.Locations {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(append(dst, `{"line":`...), int64(l.Line), 10)
			dst = strconv.AppendInt(append(dst, `,"column":`...), int64(l.Column), 10)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = appendPath(dst, e.Path)
	c := e.Code
	if c == "" {
		c = code.InternalServerError
	}
	dst = jsontape.AppendQuoted(append(dst, `,"extensions":{"code":`...), c)
	return append(dst, "}}"...)
}

func appendPath(dst []byte, path []any) []byte {
	if len(path) == 0 {
		return dst
	}
	dst = append(dst, `,"path":[`...)
	for i, p := range path {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch p := p.(type) {
		case string:
			dst = jsontape.AppendQuoted(dst, p)
		case int:
			dst = strconv.AppendInt(dst, int64(p), 10)
		}
	}
	return append(dst, ']')
}
