//go:build linux

package embed

import (
	"errors"
	"strconv"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Fault is an error of this package: a mistake of the host. Its text is safe to show.
type Fault struct {
	Code string
	// Member names what is wrong, as a path from the outermost object; empty when that is the whole.
	Member  string
	Message string
	// Kind tells what hosts treat apart from other faults of the code; empty for most.
	Kind string
}

// kindDuplicate is the kind of a subscription whose id is in use on its connection.
const kindDuplicate = "duplicate"

func (f *Fault) Error() string {
	if f.Member == "" {
		return f.Message
	}
	return f.Member + ": " + f.Message
}

func bad(member, message string) *Fault {
	return &Fault{Code: code.BadUserInput, Member: member, Message: message}
}

// InternalFault is what a panic becomes.
const InternalFault = `{"code":"` + code.InternalServerError + `","message":"A fault of the library.","errors":[]}`

// AppendError appends the JSON object that tells a host why something failed: {"code","message","errors":[…]}, each
// of errors with code and message, and where they are known locations (of a document), index and member (of an
// event or a configuration), retry_after (seconds, of an event that came too soon), kind ("duplicate": the id of a
// subscription that is in use). Errors of unknown kind are INTERNAL_SERVER_ERROR, without their text.
func AppendError(dst []byte, err error) []byte {
	parts := appendParts(nil, err)
	if len(parts) == 0 {
		return append(dst, InternalFault...)
	}
	dst = jsontape.AppendQuoted(append(dst, `{"code":`...), parts[0].code)
	dst = jsontape.AppendQuoted(append(dst, `,"message":`...), summary(parts))
	dst = append(dst, `,"errors":[`...)
	for i := range parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = parts[i].append(dst)
	}
	return append(dst, "]}"...)
}

// part is one reason.
type part struct {
	code, message, member string
	kind                  string        // "": none
	index                 int           // -1: none
	retryAfter            time.Duration // 0: none
	locations             []fraiseql.Location
}

func summary(parts []part) string {
	p := &parts[0]
	text := p.message
	if p.member != "" {
		text = p.member + ": " + text
	}
	if p.index > 0 || p.index == 0 && len(parts) > 1 {
		text = "event " + strconv.Itoa(p.index) + ": " + text
	}
	if n := len(parts) - 1; n > 0 {
		text += " (and " + strconv.Itoa(n) + " more)"
	}
	return text
}

func (p *part) append(dst []byte) []byte {
	dst = jsontape.AppendQuoted(append(dst, `{"code":`...), p.code)
	dst = jsontape.AppendQuoted(append(dst, `,"message":`...), p.message)
	if p.member != "" {
		dst = jsontape.AppendQuoted(append(dst, `,"member":`...), p.member)
	}
	if p.kind != "" {
		dst = jsontape.AppendQuoted(append(dst, `,"kind":`...), p.kind)
	}
	if p.index >= 0 {
		dst = strconv.AppendInt(append(dst, `,"index":`...), int64(p.index), 10)
	}
	if p.retryAfter > 0 {
		dst = strconv.AppendFloat(append(dst, `,"retry_after":`...), p.retryAfter.Seconds(), 'f', 3, 64)
	}
	for i, l := range p.locations {
		if i == 0 {
			dst = append(dst, `,"locations":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"line":`...), int64(l.Line), 10)
		dst = strconv.AppendInt(append(dst, `,"column":`...), int64(l.Column), 10)
		dst = append(dst, '}')
	}
	if len(p.locations) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendParts takes an error apart. What it does not know has no part.
func appendParts(parts []part, err error) []part {
	switch e := err.(type) {
	case nil:
		return parts
	case *Fault:
		return append(parts, part{code: e.Code, message: e.Message, member: e.Member, kind: e.Kind, index: -1})
	case *fraiseql.Error:
		return append(parts, part{code: e.Code, message: e.Message, index: -1, locations: e.Locations})
	case *fraiseql.PublishError:
		return append(parts, part{code: e.Code, message: e.Message, member: e.Member, index: e.Index, retryAfter: e.RetryAfter})
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			parts = appendParts(parts, inner)
		}
		return parts
	}
	switch {
	case errors.Is(err, bus.ErrClosed):
		return append(parts, part{code: code.BusUnavailable, message: "The engine is closed.", index: -1})
	case errors.Is(err, bus.ErrUnavailable):
		return append(parts, part{code: code.BusUnavailable, message: unacknowledged(err), index: -1})
	}
	if inner := errors.Unwrap(err); inner != nil {
		return appendParts(parts, inner)
	}
	return parts
}

// unacknowledged says that the bus did not acknowledge, and why, as far as that names nothing.
func unacknowledged(err error) string {
	if cause := bus.CauseOf(err); cause != "" {
		return "The event bus did not acknowledge: " + string(cause) + ". The log says more."
	}
	return "The event bus did not acknowledge; the log says why it cannot."
}
