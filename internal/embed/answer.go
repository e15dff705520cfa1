//go:build linux

package embed

import (
	"encoding/binary"
	"errors"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// How a call was answered.
const (
	AnswerValue   = 0
	AnswerSkip    = 1
	AnswerFailed  = 2
	AnswerRefused = 3
)

// reply is the answer to an authenticate call, to a hook's, or to one for work.
type reply struct {
	kind int64
	who  *fraiseql.Identity // of AnswerValue
	err  error              // of work
}

// absent stands for the length of a text that is not there.
const absent = 0xffffffff

// resolve is called by the engine, for the resolver of that token.
func (e *Engine) resolve(token int64, r *fraiseql.ResolveRequest) {
	c := &call{engine: e, kind: CallResolve, token: token, request: r}
	if !e.queue.add(c, e.pushes) {
		r.Fail(errClosed)
	}
}

// BeginCall says that the function of a resolve call is called now: what it may take counts from here. 1, or 0 when its
// answer would not count any more, and nothing needs to be called.
func (e *Engine) BeginCall(handle int64) int64 {
	if c, ok := e.lib.calls.get(handle); ok && c.engine == e && c.kind == CallResolve && c.request.Begin() {
		return 1
	}
	return 0
}

// AppendCalls appends up to limit calls that wait, in the form that fq_calls_take describes, and returns how many. A
// negative limit leaves out work, which is not for the thread that publishes. The first of them has begun, see BeginCall.
func (e *Engine) AppendCalls(dst []byte, limit int64) (calls []byte, n int64) {
	works := limit > 0
	if !works {
		limit = -limit
	}
	for ; n < limit; n++ {
		c := e.queue.next(works)
		if c == nil {
			return dst, n
		}
		if n == 0 && c.kind == CallResolve {
			c.request.Begin()
		}
		dst = c.append(dst)
	}
	e.queue.stir()
	return dst, n
}

func (c *call) append(dst []byte) []byte {
	dst = binary.NativeEndian.AppendUint64(dst, uint64(c.handle))
	dst = binary.NativeEndian.AppendUint64(dst, uint64(c.kind))
	dst = binary.NativeEndian.AppendUint64(dst, uint64(c.token))
	if c.kind == CallAuthenticate || c.kind == CallHook {
		return appendText(appendText(dst, c.payload), c.session)
	}
	ev := c.event
	if c.kind == CallResolve {
		ev = c.request.Event()
	}
	var at int
	dst, at = beginText(dst)
	dst = endText(appendEnvelope(dst, ev), at)
	dst = appendText(dst, ev.Data)
	if c.kind == CallWork {
		return dst
	}
	dst = appendText(dst, c.request.Variables())
	who := c.request.Context()
	if who == nil {
		return appendText(dst, nil)
	}
	dst, at = beginText(dst)
	return endText(appendContext(dst, who), at)
}

// appendText appends uint32 length + bytes; nil is absent.
func appendText(dst, text []byte) []byte {
	if text == nil {
		return binary.NativeEndian.AppendUint32(dst, absent)
	}
	dst = binary.NativeEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}

// beginText and endText surround a text that is appended in place.
func beginText(dst []byte) ([]byte, int) { return append(dst, 0, 0, 0, 0), len(dst) }

func endText(dst []byte, at int) []byte {
	binary.NativeEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendEnvelope appends the JSON object of an event without its data.
func appendEnvelope(dst []byte, ev *fraiseql.Event) []byte {
	dst = jsontape.AppendQuoted(append(dst, `{"channel":`...), ev.Channel)
	dst = jsontape.AppendQuoted(append(dst, `,"type":`...), ev.Type)
	dst = append(dst, `,"id":"`...)
	if ev.ID == "" {
		dst = append(ev.AppendID(dst), '"') // of our own making: nothing to escape
	} else {
		dst = jsontape.AppendQuoted(dst[:len(dst)-1], ev.ID)
	}
	for _, m := range [...]struct{ name, value string }{
		{`,"tenant_id":`, ev.TenantID}, {`,"user_id":`, ev.UserID}, {`,"federation_id":`, ev.FederationID}, {`,"service_name":`, ev.ServiceName},
	} {
		if m.value != "" {
			dst = jsontape.AppendQuoted(append(dst, m.name...), m.value)
		}
	}
	if ev.Broadcast {
		dst = append(dst, `,"broadcast":true`...)
	}
	dst = ev.Timestamp.UTC().AppendFormat(append(dst, `,"timestamp":"`...), time.RFC3339Nano)
	return append(dst, `"}`...)
}

// appendContext appends the JSON object of what a resolver may see of an identity.
func appendContext(dst []byte, who *fraiseql.ResolverContext) []byte {
	dst = append(dst, '{')
	if who.UserID != "" {
		dst = append(jsontape.AppendQuoted(append(dst, `"user_id":`...), who.UserID), ',')
	}
	if who.TenantID != "" {
		dst = append(jsontape.AppendQuoted(append(dst, `"tenant_id":`...), who.TenantID), ',')
	}
	dst = appendList(append(dst, `"roles":`...), who.Roles)
	dst = appendList(append(dst, `,"scopes":`...), who.Scopes)
	return append(dst, '}')
}

func appendList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, text := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontape.AppendQuoted(dst, text)
	}
	return append(dst, ']')
}

// Answer answers a call: 1, or 0 when it had timed out, was answered before or is not known. An error is a mistake of
// the host, and leaves the call as it is.
func (e *Engine) Answer(handle, kind int64, text []byte) (int64, error) {
	c, ok := e.lib.calls.get(handle)
	if !ok || c.engine != e {
		return 0, nil
	}
	judges := c.kind == CallAuthenticate || c.kind == CallHook
	if kind < AnswerValue || kind > AnswerRefused || kind == AnswerSkip && judges || kind == AnswerRefused && !judges {
		return 0, bad("answer", "does not fit the call")
	}
	r := reply{kind: kind}
	if c.kind == CallAuthenticate && kind == AnswerValue {
		if len(text) == 0 {
			return 0, bad("identity", "must be a JSON object")
		}
		who, err := parseIdentity(text)
		if err != nil {
			return 0, err
		}
		r.who = &who
	}
	if c.kind == CallWork && kind == AnswerFailed {
		if r.err = errLogged; text != nil {
			r.err = errors.New(string(text))
		}
	}
	switch {
	case !e.queue.forget(c):
		return 0, nil
	case c.kind != CallResolve:
		c.reply <- r
		return 1, nil
	case c.resolved(kind, text):
		return 1, nil
	}
	return 0, nil
}

// resolved hands the answer of a resolver to the engine.
func (c *call) resolved(kind int64, text []byte) bool {
	switch kind {
	case AnswerValue:
		return c.request.Resolve(text)
	case AnswerSkip:
		return c.request.Skip()
	}
	if text == nil {
		return c.request.Fail(errLogged)
	}
	return c.request.Fail(errors.New(string(text)))
}
