package session

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
)

// A client whose credentials are about to end sends fresh ones in a ping:
//
//	{"type":"ping","payload":{"authorization":"Bearer …"}}
//
// The pong says what became of them, and not why. Its payload is {"refreshed":true,"expiresIn":<seconds>}, without
// expiresIn for credentials that do not end, or {"refreshed":false,"code":<code>}: the connection then stays as it
// was, until its own credentials end. Credentials of somebody else close it.

// refresh answers a ping with credentials: they are judged unless others are just being.
func (m *Machine) refresh(dst []Action, payload []byte) []Action {
	switch {
	case m.state != acknowledged:
		return notRefreshed(dst, code.Unauthenticated)
	case m.refreshing:
		return notRefreshed(dst, code.RateLimited)
	}
	m.refreshing = true
	return append(dst, Action{Kind: Refresh, Data: cloneBytes(payload)})
}

// notRefreshed is the pong to credentials that were not accepted.
func notRefreshed(dst []Action, why string) []Action {
	return append(dst, Action{Kind: Send, Data: withPayload(pongText, []byte(`{"refreshed":false,"code":"`+why+`"}`))})
}

// Refreshed is the answer to a Refresh action. Accepted credentials are those of later subscribes at once; the actions
// give them to the subscriptions there are, and Confirm is to be called after those.
func (m *Machine) Refreshed(dst []Action, who *identity.Identity, err error) []Action {
	if m.state != acknowledged || !m.refreshing {
		return dst
	}
	switch {
	case errors.Is(err, ErrForbidden):
		m.refreshing = false
		return notRefreshed(dst, code.Unauthenticated)
	case err != nil || who == nil:
		m.refreshing = false
		return notRefreshed(dst, code.RateLimited)
	case !who.SameAs(m.who):
		return m.Shut(dst, CodeForbidden, "Forbidden: the credentials are of another user or tenant")
	}
	return m.adopt(dst, who)
}

// adopt makes an identity that of the connection and its subscriptions.
func (m *Machine) adopt(dst []Action, who *identity.Identity) []Action {
	m.who = who
	for o := range m.ops.all {
		if o.sub != nil && !o.ended {
			dst = append(dst, Action{Kind: Readmit, Subscription: o.sub})
		}
	}
	return dst
}

// Confirm ends a refresh that was accepted. left is the time until the credentials end, 0 or less: never.
func (m *Machine) Confirm(dst []Action, left time.Duration) []Action {
	if m.state != acknowledged || !m.refreshing {
		return dst
	}
	m.refreshing = false
	return append(dst, Action{Kind: Send, Data: withPayload(pongText, appendRefreshed(make([]byte, 0, 48), left))})
}

func appendRefreshed(dst []byte, left time.Duration) []byte {
	dst = append(dst, `{"refreshed":true`...)
	if left > 0 {
		dst = strconv.AppendInt(append(dst, `,"expiresIn":`...), int64(left/time.Second), 10)
	}
	return append(dst, '}')
}

var errBusy = errors.New("too many calls wait for a worker")

// refresh judges fresh credentials on the pool.
func (d *Driver) refresh(payload []byte, size int) {
	handshake := &Handshake{}
	if d.handshake != nil {
		handshake.Value = d.handshake.Value
	}
	queued := d.host.do(d, size, func() { d.refreshed(nil, errPanic) }, func(ctx context.Context) {
		who, err := d.host.engine.Refresh(ctx, handshake, payload)
		d.refreshed(who, err)
		d.recheck(who)
	})
	if !queued {
		d.refreshed(nil, errBusy)
	}
}

func (d *Driver) refreshed(who *identity.Identity, err error) {
	accepted := false
	d.apply(func(dst []Action) []Action {
		dst = d.machine.Refreshed(dst, who, err)
		accepted = who != nil && d.machine.who == who
		return dst
	})
	if !accepted {
		return
	}
	d.peer.Acknowledged(who)
	left := timeLeft(who)
	d.apply(func(dst []Action) []Action { return d.machine.Confirm(dst, left) })
}

// readmit gives a subscription the identity of its connection, until it has the newest: a refresh and the begin of a
// subscription may do so at the same time.
func (d *Driver) readmit(sub *hub.Subscription) {
	for {
		who := d.Identity()
		if who == nil || sub.Identity() == who {
			return
		}
		d.host.engine.Readmit(sub, who)
		if sub.Identity() != who && d.Identity() == who { // it has ended
			return
		}
	}
}
