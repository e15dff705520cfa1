package gqlhttp

import (
	"net/http"
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/observe"
)

// retryAfter is the Retry-After of a server that is busy, in seconds.
const retryAfter = "5"

// refusal is why a request gets no result of GraphQL.
type refusal struct {
	status  int
	label   string // of observe.ConnectionsRefused; empty: not counted there
	code    string
	message string
	retry   bool
	limit   string // of observe.Limited, which acted
	shape   bool   // valid JSON that is no request of GraphQL
}

// bad refuses what the client should have said otherwise.
func bad(status int, message string) *refusal {
	return &refusal{status: status, code: code.BadUserInput, message: message}
}

// illFormed refuses JSON that is no request of GraphQL.
func illFormed(message string) *refusal {
	no := bad(http.StatusBadRequest, message)
	no.shape = true
	return no
}

// refuse answers by an error that clients read as one of GraphQL, and others by its code.
func (x *exchange) refuse(no *refusal) {
	if no.label != "" {
		x.h.cfg.Observer.Counted(observe.ConnectionsRefused, no.label, 1)
	}
	if no.limit != "" {
		x.h.cfg.Observer.Counted(observe.Limited, no.limit, 1)
	}
	header, status := x.w.Header(), no.status
	if no.shape && x.h.cfg.Draft {
		status = http.StatusUnprocessableEntity
	}
	if no.retry {
		header.Set("Retry-After", retryAfter)
	}
	if no.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	body := jsontape.AppendQuoted([]byte(`{"errors":[{"message":`), no.message)
	body = jsontape.AppendQuoted(append(body, `,"code":`...), no.code)
	body = jsontape.AppendQuoted(append(body, `,"extensions":{"code":`...), no.code)
	f := x.accept.once
	if f == formatNone {
		f = formatJSON
	}
	x.write(status, mediaTypes[f]+"; charset=utf-8", append(body, "}}]}\n"...))
}

// write answers with a whole body.
func (x *exchange) write(status int, contentType string, body []byte) {
	header := x.w.Header()
	if x.r.ProtoMajor == 1 && !x.read && x.r.ContentLength != 0 {
		header.Set("Connection", "close") // else net/http waits for the rest of the body before it answers
		x.boundBody()
	}
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Add("Vary", "Accept")
	x.bound()
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		// A client that is gone does not read its answer.
		_, _ = x.w.Write(body)
	}
}

// boundBody bounds the time of the body, once. Of one that is not read to its end, net/http reads on after the answer: the
// bound stays for that.
func (x *exchange) boundBody() {
	if x.bodyBound {
		return
	}
	x.bodyBound = true
	// Whoever is no server (a recorder) has no deadlines.
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(x.h.cfg.BodyTimeout))
}

// result answers with an ExecutionResult that holds data.
func (x *exchange) result(result []byte) {
	status := http.StatusOK
	if x.h.cfg.Draft && hasErrors(result) {
		status = statusPartial
	}
	x.write(status, mediaTypes[x.accept.once]+"; charset=utf-8", result)
}

// hasErrors reports whether a result has errors beside its data.
func hasErrors(result []byte) bool {
	t := tapes.Get().(*jsontape.Tape)
	defer func() { t.Forget(); tapes.Put(t) }()
	return t.Parse(result, jsontape.Limits{}) == nil && t.Kind(t.Member(jsontape.Root, "errors")) == jsontape.Array
}

// statusPartial is the draft's status of a result with data and errors.
const statusPartial = 294

// errors answers with the errors of an operation that was refused.
func (x *exchange) errors(name string, errors []byte) {
	f, as := x.accept.once, x.accept.once
	if f == formatNone { // it takes a stream only: one that is refused must not look like one, as 200 would
		f, as = formatJSON, formatResponse
	}
	if name == code.RateLimited || name == code.TooManySubscriptions {
		x.w.Header().Set("Retry-After", retryAfter)
	}
	x.write(x.h.status(name, as), mediaTypes[f]+"; charset=utf-8", appendErrors(nil, errors))
}

// appendErrors appends an ExecutionResult without data.
func appendErrors(dst, errors []byte) []byte {
	return append(append(append(dst, `{"errors":`...), errors...), '}')
}

// status is that of an operation refused with a code. The audit suite wants 400 for what is wrong with a document or
// its variables, and 200 where the client takes application/json only; the draft of 2026 says 422 for all but syntax.
func (h *Handler) status(name string, f format) int {
	switch name {
	case code.ParseFailed:
		if f == formatJSON && !h.cfg.Draft {
			return http.StatusOK
		}
		return http.StatusBadRequest
	case code.ValidationFailed, code.OperationResolution, code.BadUserInput:
		switch {
		case h.cfg.Draft:
			return http.StatusUnprocessableEntity
		case f == formatJSON:
			return http.StatusOK
		}
		return http.StatusBadRequest
	default:
		return code.Status(name)
	}
}
