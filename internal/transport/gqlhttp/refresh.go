package gqlhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// refreshBytes bounds the body of a refresh, which is read before anybody is known.
const refreshBytes = 64 << 10

// refresh answers a POST that brings fresh credentials for a stream or connection that is open, named by a header: no
// page of another site can send it without asking first. The name of a single connection is its token.
func (x *exchange) refresh(name string) {
	x.accept = accepted{once: formatJSON}
	if x.r.Method != http.MethodPost {
		x.w.Header().Set("Allow", http.MethodPost)
		x.refuse(bad(http.StatusMethodNotAllowed, "fresh credentials are sent with POST"))
		return
	}
	t, ok := x.h.node.parse(name)
	if ok && t.node != x.h.node.name {
		x.elsewhere(&t)
		return
	}
	var stream session.Renewable
	if ok && t.genuine {
		stream = x.h.find(t.id)
	}
	if stream == nil || stream.Identity() == nil {
		x.refuse(noStream())
		return
	}
	if !x.h.names.begin(t.id) {
		x.refuse(renewing())
		return
	}
	defer x.h.names.end(t.id)
	if no := x.freshen(stream); no != nil {
		x.refuse(no)
		return
	}
	x.write(http.StatusOK, mediaTypes[formatJSON]+"; charset=utf-8", session.AppendRefreshed(nil, x.who))
}

func noStream() *refusal { return bad(http.StatusNotFound, "there is no stream of that name") }

func renewing() *refusal {
	return &refusal{status: http.StatusTooManyRequests, code: code.RateLimited, message: "other credentials of this stream are just being judged", retry: true}
}

// freshen judges the credentials of a refresh and gives them to the stream.
func (x *exchange) freshen(stream session.Renewable) *refusal {
	payload, no := x.freshPayload()
	if no != nil {
		return no
	}
	if no := x.judgeFresh(payload); no != nil {
		return no
	}
	old := stream.Identity()
	switch {
	case old == nil:
		return noStream()
	case !x.who.SameAs(old):
		return &refusal{status: http.StatusForbidden, code: code.Forbidden, message: "the stream belongs to another user or tenant"}
	}
	err := errNoAnswer
	if !x.h.cfg.Host.Call(0, func(context.Context) { err = stream.Renew(x.who) }) {
		return busy()
	}
	if x.revoked() {
		stream.Shut(codeExpired, "Forbidden: the credentials were revoked")
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, session.ErrRenewing):
		return renewing()
	case errors.Is(err, session.ErrGone):
		return noStream()
	}
	return internal()
}

// freshPayload reads the body, which may hold credentials as the payload of connection_init does; there need be none.
func (x *exchange) freshPayload() ([]byte, *refusal) {
	if x.r.ContentLength == 0 && len(x.r.TransferEncoding) == 0 {
		return nil, nil
	}
	if no := checkContentType(x.r); no != nil {
		return nil, no
	}
	body, no := x.readBody(refreshBytes, "")
	if no != nil || len(body) == 0 {
		return nil, no
	}
	t := tapes.Get().(*jsontape.Tape)
	defer func() { t.Forget(); tapes.Put(t) }()
	if err := t.Parse(body, jsontape.Limits{Depth: maxDepth, Bytes: refreshBytes}); err != nil {
		return nil, bad(http.StatusBadRequest, "the body is not valid JSON: "+err.Error())
	}
	if t.Kind(jsontape.Root) != jsontape.Object {
		return nil, bad(http.StatusBadRequest, "the body must be a JSON object, or absent")
	}
	return body, nil
}

// judgeFresh is authenticate for fresh credentials.
func (x *exchange) judgeFresh(payload []byte) *refusal {
	return x.identify(func(ctx context.Context, h *session.Handshake) (*identity.Identity, error) {
		return x.h.cfg.Host.Engine().Refresh(ctx, h, payload)
	})
}

// distinct is the stream of one subscription as what can be given fresh credentials.
type distinct conn

// Identity implements session.Renewable.
func (d *distinct) Identity() *identity.Identity {
	if d.out.Closing() {
		return nil
	}
	return d.sub.Identity()
}

// Renew implements session.Renewable.
func (d *distinct) Renew(who *identity.Identity) error {
	d.handler.cfg.Host.Engine().Readmit(d.sub, who)
	if !d.handler.names.whileThere(d, func() { (*conn)(d).expireAnew(who.ExpiresAt) }) {
		return session.ErrGone
	}
	return nil
}

// Shut implements session.Renewable.
func (d *distinct) Shut(code uint16, _ string) { (*conn)(d).end(code) }

// Identity implements session.Renewable.
func (s *single) Identity() *identity.Identity {
	if s.conn.out.Closing() {
		return nil
	}
	return s.who.Load()
}

// Renew implements session.Renewable. An operation that begins meanwhile has the credentials of its own request.
func (s *single) Renew(who *identity.Identity) error {
	s.who.Store(who)
	for _, sub := range s.subscriptions() {
		s.handler.cfg.Host.Engine().Readmit(sub, who)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.conn.out.Closing() {
		return session.ErrGone
	}
	s.conn.expireAnew(who.ExpiresAt)
	for _, o := range s.ops {
		if o.sub == nil {
			continue
		}
		if own := o.sub.Identity(); own != nil {
			s.conn.expireAt(own.ExpiresAt)
		}
	}
	return nil
}

// Shut implements session.Renewable.
func (s *single) Shut(code uint16, _ string) {
	if !s.lapse() {
		s.conn.end(code)
	}
}
