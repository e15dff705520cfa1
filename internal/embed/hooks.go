//go:build linux && !fqmemory

package embed

import (
	"context"
	"errors"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// hooking says which hooks the host wants to be asked about, or told of.
type hooking struct {
	connect, subscribe, disconnect, recheck bool
	every, timeout                          time.Duration
	token                                   int
}

// hookTimeout bounds the host's answer to a hook unless it says otherwise.
const hookTimeout = 5 * time.Second

func (h *hooking) member(name string, m member) bool {
	switch name {
	case "on_connect":
		m.flag(&h.connect)
	case "on_subscribe":
		m.flag(&h.subscribe)
	case "on_disconnect":
		m.flag(&h.disconnect)
	case "recheck":
		m.flag(&h.recheck)
	case "recheck_every":
		m.seconds(&h.every)
	case "timeout":
		m.seconds(&h.timeout)
	case "token":
		m.count(&h.token)
	default:
		return false
	}
	return true
}

func (h *hooking) asks() bool { return h.connect || h.subscribe || h.disconnect || h.recheck }

// make returns the hooks that ask the host.
func (h *hooking) make(e *Engine) (made fraiseql.Hooks) {
	ask := &hooks{engine: e, token: int64(h.token), timeout: h.timeout}
	if ask.timeout <= 0 {
		ask.timeout = hookTimeout
	}
	if h.connect {
		made.OnConnect = func(ctx context.Context, who *fraiseql.Identity) error {
			return ask.about(ctx, appendQuestion(nil, "connect", who))
		}
	}
	if h.subscribe {
		made.OnSubscribe = func(ctx context.Context, s fraiseql.Subscribing) error {
			return ask.about(ctx, appendSubscribing(appendQuestion(nil, "subscribe", s.Identity), &s))
		}
	}
	if h.disconnect {
		made.OnDisconnect = func(ctx context.Context, who *fraiseql.Identity) error {
			return ask.about(ctx, appendQuestion(nil, "disconnect", who))
		}
	}
	if h.recheck {
		made.RecheckEvery = h.every
		made.OnRecheck = func(ctx context.Context, who *fraiseql.Identity) error {
			return ask.about(ctx, appendQuestion(nil, "recheck", who))
		}
	}
	return made
}

// hooks asks the host.
type hooks struct {
	engine  *Engine
	token   int64
	timeout time.Duration
}

var (
	errHookFailed = errors.New("the host could not judge")
	errHookSilent = errors.New("no answer of the host")
)

// about waits for the host's answer to a question, for a bounded time. No answer is no judgement.
func (h *hooks) about(ctx context.Context, question []byte) error {
	c := &call{engine: h.engine, kind: CallHook, token: h.token, payload: append(question, '}'), reply: make(chan reply, 1)}
	if !h.engine.queue.add(c, true) {
		return errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	select {
	case r := <-c.reply:
		switch r.kind {
		case AnswerValue:
			return nil
		case AnswerRefused:
			return fraiseql.ErrRefused
		}
		return errHookFailed
	case <-ctx.Done():
	case <-h.engine.stopped:
	}
	h.engine.queue.forget(c)
	return errHookSilent
}

// appendQuestion begins the JSON object of a question, which the caller closes.
func appendQuestion(dst []byte, hook string, who *fraiseql.Identity) []byte {
	dst = append(append(append(dst, `{"hook":"`...), hook...), `","identity":{`...)
	from := len(dst)
	for _, m := range [...]struct{ name, value string }{
		{`"user_id":`, who.UserID}, {`"tenant_id":`, who.TenantID}, {`"federation_id":`, who.FederationID},
		{`"service_name":`, who.ServiceName}, {`"token_id":`, who.TokenID},
	} {
		if m.value != "" {
			dst = jsontape.AppendQuoted(append(separated(dst, from), m.name...), m.value)
		}
	}
	for _, m := range [...]struct {
		name string
		at   time.Time
	}{{`"expires_at":"`, who.ExpiresAt}, {`"issued_at":"`, who.IssuedAt}} {
		if !m.at.IsZero() {
			dst = append(m.at.UTC().AppendFormat(append(separated(dst, from), m.name...), time.RFC3339Nano), '"')
		}
	}
	dst = appendList(append(separated(dst, from), `"roles":`...), who.Roles)
	return append(appendList(append(dst, `,"scopes":`...), who.Scopes), '}')
}

// separated appends a comma unless nothing was appended since from.
func separated(dst []byte, from int) []byte {
	if len(dst) > from {
		dst = append(dst, ',')
	}
	return dst
}

// appendSubscribing appends what is asked for.
func appendSubscribing(dst []byte, s *fraiseql.Subscribing) []byte {
	dst = jsontape.AppendQuoted(append(dst, `,"channel":`...), s.Channel)
	dst = jsontape.AppendQuoted(append(dst, `,"field":`...), s.Field)
	dst = jsontape.AppendQuoted(append(dst, `,"query":`...), s.Query)
	if s.OperationName != "" {
		dst = jsontape.AppendQuoted(append(dst, `,"operation_name":`...), s.OperationName)
	}
	if len(s.Variables) > 0 {
		dst = append(append(dst, `,"variables":`...), s.Variables...)
	}
	return dst
}
