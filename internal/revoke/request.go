package revoke

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Error is what is wrong with a request.
type Error struct {
	Code    string // BAD_USER_INPUT, or INVALID_VALUE of a member
	Member  string // empty: the request as a whole
	Message string // does not repeat the member
}

// Error returns the text with the member in front of it.
func (e *Error) Error() string {
	if e.Member == "" {
		return e.Message
	}
	return e.Member + ": " + e.Message
}

// requestDepth is more than a request is nested.
const requestDepth = 8

// ParseRequest reads a rule that somebody asks for. What would make it wider than it says is refused: a member that is empty,
// null, there twice or not known, by its exact name. The error is an *Error.
func ParseRequest(text []byte) (Rule, error) {
	var t jsontape.Tape
	if t.Parse(text, jsontape.Limits{Depth: requestDepth, Bytes: len(text)}) != nil || t.Kind(jsontape.Root) != jsontape.Object {
		return Rule{}, &Error{Code: code.BadUserInput, Message: "a rule is one JSON object of token_id, user_id, tenant_id (texts) and issued_before (RFC 3339)"}
	}
	var r Rule
	if twice := t.Duplicate(jsontape.Root); twice != jsontape.None {
		return r, &Error{Code: code.InvalidValue, Member: known(&r, string(t.AppendName(nil, twice))), Message: "a member occurs more than once"}
	}
	for v := t.First(jsontape.Root); v != jsontape.None; v = t.After(jsontape.Root, v) {
		name := string(t.AppendName(nil, v))
		if known(&r, name) == "" {
			return Rule{}, &Error{Code: code.BadUserInput, Message: "there is an unknown member: those of a rule are token_id, user_id, tenant_id and issued_before"}
		}
		var message string
		if dst := r.text(name); dst != nil {
			message = readText(&t, v, dst)
		} else {
			message = readTime(&t, v, &r.IssuedBefore)
		}
		if message != "" {
			return Rule{}, &Error{Code: code.InvalidValue, Member: name, Message: message}
		}
	}
	return r, nil
}

// text returns the text of a rule that has a name, nil for none.
func (r *Rule) text(name string) *string {
	switch name {
	case "token_id":
		return &r.TokenID
	case "user_id":
		return &r.UserID
	case "tenant_id":
		return &r.TenantID
	}
	return nil
}

// known returns the name of a member, empty for one that a rule does not have.
func known(r *Rule, name string) string {
	if name == "issued_before" || r.text(name) != nil {
		return name
	}
	return ""
}

// readText reads a text that says something; message is what is wrong with it.
func readText(t *jsontape.Tape, v jsontape.Ref, dst *string) (message string) {
	if t.Kind(v) == jsontape.String {
		*dst = string(t.AppendString(nil, v))
	}
	if *dst == "" || !utf8.ValidString(*dst) { // half a surrogate pair
		return "must be text that is not empty; leave it out if it does not matter"
	}
	return ""
}

// readTime reads a time, in UTC; message is what is wrong with it.
func readTime(t *jsontape.Tape, v jsontape.Ref, dst *time.Time) (message string) {
	const want = `must be a date and time as in RFC 3339, like "2026-11-23T13:45:00Z"; leave it out for now`
	if t.Kind(v) != jsontape.String {
		return want
	}
	text := t.AppendString(nil, v)
	if bytes.IndexByte(text, ',') >= 0 || dst.UnmarshalText(text) != nil || dst.IsZero() { // the zero time would read as absent
		return want
	}
	*dst = dst.UTC()
	return ""
}
