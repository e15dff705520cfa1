//go:build !fqmemory

package fraiseql

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// gate is what the sessions of one handler ask: it implements session.Engine.
type gate struct {
	engine *Engine
	cfg    *HandlerConfig
	host   *session.Host

	hooks    atomic.Pointer[Hooks] // those in force
	rechecks rechecks
	message  atomic.Int64 // HandlerConfig.MessageBytes in force
}

// Authenticate implements session.Engine.
func (g *gate) Authenticate(ctx context.Context, h *session.Handshake, payload []byte) (*identity.Identity, error) {
	c := Credentials{Authorization: h.Authorization, Cookie: h.Cookie, Payload: payload, RemoteAddr: h.RemoteAddr, Request: h.Value}
	if g.cfg.Authenticator == nil {
		return &identity.Identity{PresentedAt: time.Now()}, nil
	}
	if !g.engine.control.informed(ctx) {
		return nil, session.ErrUninformed
	}
	at := time.Now()
	id, err := g.cfg.Authenticator.Authenticate(ctx, c)
	if err != nil {
		var why *identity.Error
		if g.cfg.Anonymous && errors.As(err, &why) && why.Reason == identity.Missing {
			return &identity.Identity{PresentedAt: at}, nil
		}
		return nil, g.refuse(err)
	}
	if id == nil {
		return nil, g.refuse(errNobody)
	}
	return g.unlessRevoked(presented(id, at))
}

// Enter implements session.Engine: within the bounds of user and tenant.
func (g *gate) Enter(ctx context.Context, who *identity.Identity) error {
	over, ok := g.engine.accounts.connected(who)
	if !ok {
		g.engine.limited(over.name)
		g.engine.observer.Counted(observe.ConnectionsRefused, "limit", 1)
		return session.ErrTooMany
	}
	err := g.connectHook(ctx, who)
	if err != nil {
		g.engine.accounts.disconnected(who)
	}
	return err
}

// Left implements session.Engine.
func (g *gate) Left(who *identity.Identity) {
	g.engine.accounts.disconnected(who)
	g.disconnectHook(who)
}

// presented returns the identity of credentials that were presented at a time, as revocations look at it.
func presented(who *identity.Identity, at time.Time) *identity.Identity {
	if !who.IssuedAt.IsZero() {
		return who
	}
	own := *who // the Authenticator may give it to others, too
	own.PresentedAt = at
	return &own
}

// unlessRevoked refuses an identity that an Authenticator has given all the same.
func (g *gate) unlessRevoked(who *identity.Identity) (*identity.Identity, error) {
	if !who.Bounded() {
		return nil, g.refuse(&identity.Error{Reason: identity.Claims, Detail: "a text of the identity, or its roles and scopes together, are too long"})
	}
	if g.engine.revoked(who) {
		return nil, g.refuse(&identity.Error{Reason: identity.Revoked})
	}
	return who, nil
}

// Revoked implements session.Engine.
func (g *gate) Revoked(who *identity.Identity) bool { return g.engine.revoked(who) }

// Refresh implements session.Engine. Of a ping only what it carries is judged.
func (g *gate) Refresh(ctx context.Context, h *session.Handshake, payload []byte) (*identity.Identity, error) {
	who, err := g.judge(ctx, Credentials{
		Authorization: h.Authorization, Cookie: h.Cookie, Payload: payload, RemoteAddr: h.RemoteAddr, Request: h.Value, Refresh: true,
	})
	label := "accepted"
	if err != nil {
		label = "refused"
	}
	g.engine.observer.Counted(observe.Refreshes, label, 1)
	return who, err
}

func (g *gate) judge(ctx context.Context, c Credentials) (*identity.Identity, error) {
	if g.cfg.Authenticator == nil {
		return nil, session.ErrForbidden
	}
	at := time.Now()
	who, err := g.cfg.Authenticator.Authenticate(ctx, c)
	if err != nil {
		return nil, g.refuse(err)
	}
	if who == nil {
		return nil, g.refuse(errNobody)
	}
	return g.unlessRevoked(presented(who, at))
}

// Readmit implements session.Engine.
func (g *gate) Readmit(sub *hub.Subscription, who *identity.Identity) { g.engine.readmit(sub, who) }

// refuse counts and logs why credentials gave no identity.
func (g *gate) refuse(err error) error {
	var why *identity.Error
	if !errors.As(err, &why) {
		g.engine.observer.Counted(observe.AuthFailures, "other", 1)
		g.engine.seldom.Write(slog.LevelWarn, "authenticator", "authenticator failed", "error", err)
		return session.ErrForbidden
	}
	g.engine.observer.Counted(observe.AuthFailures, string(why.Reason), 1)
	g.engine.seldom.Write(slog.LevelInfo, "credentials "+string(why.Reason), "credentials refused", "reason", string(why.Reason), "detail", why.Detail)
	if why.Unavailable() {
		return err
	}
	return session.ErrForbidden
}

// Prepared implements session.Engine.
func (g *gate) Prepared(query, operationName string) bool {
	if g.hooks.Load().OnSubscribe != nil { // it may block
		return false
	}
	s := g.engine.schema.Load()
	_, ok := s.plans.Get(s.Generation, query, operationName)
	return ok
}

// Subscribe implements session.Engine.
func (g *gate) Subscribe(ctx context.Context, conn *queue.Conn, who *identity.Identity, req *session.Request) session.Outcome {
	sub, result, errs := g.engine.subscribe(ctx, conn, who, req, nil, g.subscribeHook(ctx, who, req))
	if errs != nil {
		g.engine.subscribeRefused(errs)
		return session.Outcome{Errors: appendErrors(nil, errs), Code: errs[0].Code, Mutation: errs[0] == errMutation}
	}
	return session.Outcome{Subscription: sub, Result: result}
}

// errNobody says that an Authenticator has answered nothing.
var errNobody = errors.New("the Authenticator has given neither an identity nor an error")
