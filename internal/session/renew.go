package session

import (
	"errors"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Renewable is a connection or stream that can be given fresh credentials from outside, while it lives. Its methods are
// safe for concurrent use.
type Renewable interface {
	// Identity is whose it is; nil once it has ended.
	Identity() *identity.Identity
	// Renew puts fresh credentials of the same caller (identity.SameAs) in the place of those it has: no subscription
	// ends, but those that the new ones do not allow. It may wait. The errors are ErrRenewing and ErrGone.
	Renew(who *identity.Identity) error
	// Shut ends it with a close code and a reason.
	Shut(code uint16, reason string)
}

// Namer gives names to what is Renewable. They are signed and cannot be guessed.
type Namer interface {
	Name(r Renewable) string
	// Forget takes the name back, if there is one.
	Forget(r Renewable)
}

var (
	// ErrRenewing says that other credentials are just being put in force.
	ErrRenewing = errors.New("other credentials are being judged")
	// ErrGone says that there is nothing left to renew.
	ErrGone = errors.New("the stream has ended")
)

var streamName = jsontape.MakeName("stream")

// WantsName reports whether extensions ask for the name of the stream: {"stream": true}.
func WantsName(t *jsontape.Tape, extensions jsontape.Ref) bool {
	return t.Kind(t.MemberNamed(extensions, streamName)) == jsontape.True
}

// AppendName appends the object that tells a client a name; nothing where there is none.
func AppendName(dst []byte, name string) []byte {
	if name == "" {
		return dst
	}
	return append(jsontape.AppendQuoted(append(dst, `{"stream":`...), name), '}')
}

// AppendRefreshed appends what a client is told whose fresh credentials were accepted.
func AppendRefreshed(dst []byte, who *identity.Identity) []byte {
	return appendRefreshed(dst, timeLeft(who))
}

// timeLeft is the time until credentials end, 0: never.
func timeLeft(who *identity.Identity) time.Duration {
	if who.ExpiresAt.IsZero() {
		return 0
	}
	return max(time.Until(who.ExpiresAt), 1)
}

// Renew implements Renewable: fresh credentials that were judged elsewhere.
func (d *Driver) Renew(who *identity.Identity) error {
	err, begun := ErrGone, false
	defer func() {
		if begun {
			d.renewed()
		}
	}()
	d.apply(func(dst []Action) []Action {
		dst, err = d.machine.Renew(dst, who)
		begun = err == nil
		return dst
	})
	if err == nil {
		d.peer.Acknowledged(who)
	}
	return err
}

// renewed lets other credentials in.
func (d *Driver) renewed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.machine.refreshing = false
}

// Renew puts who in the place of the identity, as an accepted refresh does. Until the caller clears refreshing no other
// credentials are taken.
func (m *Machine) Renew(dst []Action, who *identity.Identity) ([]Action, error) {
	switch {
	case m.state != acknowledged || !who.SameAs(m.who):
		return dst, ErrGone
	case m.refreshing:
		return dst, ErrRenewing
	}
	m.refreshing = true
	return m.adopt(dst, who), nil
}
