//go:build !fqmemory

package fraiseql

import (
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// deadlines are the times at which something is due for a session: one timer for all. Guarded by the session's mu.
type deadlines struct {
	timer   *time.Timer
	expires time.Time     // of the credentials; zero: never
	pinged  time.Duration // when a ping was sent that nothing has answered yet, since opened; 0: none. Legacy: the last ka
	legacy  bool          // the client gets ka, and answers nothing
	admit   bool          // connection_init was accepted, or the time for it is over
}

func (d *deadlines) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// due is what a deadline asks for.
type due uint8

const (
	dueNothing due = iota
	dueInit
	dueExpiry
	duePing
	dueSilence
)

// start begins to count the time for connection_init.
func (s *Session) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended { // by Close of the engine
		return
	}
	s.watch.legacy = s.driver.Legacy()
	s.watch.timer = time.AfterFunc(s.owner.cfg.InitTimeout, s.tick)
}

// admitted says that connection_init was accepted: what the client does not say counts from now on. The session is closed
// with 4403 when its credentials end; zero is never.
func (s *Session) admitted(expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch.admit && s.watch.expires == expires {
		return
	}
	if s.watch.admit, s.watch.expires = true, expires; !s.ended {
		s.watch.timer.Reset(0) // tick finds out what comes first
	}
}

// keepAlive sends the first ka, and lets tick send the next ones.
func (s *Session) keepAlive() {
	if s.owner.cfg.PingInterval < 0 {
		return
	}
	s.ping()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch.pinged = max(time.Since(s.opened), 1); !s.ended {
		s.watch.timer.Reset(0)
	}
}

// ping says that this side is there.
func (s *Session) ping() {
	text := pingText
	if s.driver.Legacy() {
		text = session.KeepAliveText
	}
	s.out.Control(queue.Control{Kind: queue.Text, Data: text})
}

// tick is called by the timer; it may be early.
func (s *Session) tick() {
	defer s.owner.host.Guard(s.abort)
	switch s.due() {
	case dueInit:
		s.driver.InitTimeout()
	case dueExpiry:
		s.driver.Shut(session.CodeForbidden, "Forbidden: credentials have expired")
	case duePing:
		s.ping()
	case dueSilence:
		s.driver.Shut(CloseGoingAway, "no answer to ping")
	}
}

// due sets the timer to the next deadline and returns what is due now.
func (s *Session) due() due {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return dueNothing
	}
	what, next := s.watch.next(time.Now(), time.Since(s.opened), time.Duration(s.heard.Load()), &s.owner.cfg)
	if next > 0 {
		s.watch.timer.Reset(next)
	}
	return what
}

// abort ends the session after a panic.
func (s *Session) abort() {
	s.out.Control(queue.Control{Kind: queue.Close, Code: closeInternal, Data: []byte("Internal error")})
}

// closeInternal is the close code of a fault of this side.
const closeInternal = 1011

var pingText = []byte(`{"type":"ping"}`)

// next returns what is due, and the time until it is to be asked again; 0: never. age is that of the session, heard
// when the client last sent something.
func (d *deadlines) next(now time.Time, age, heard time.Duration, cfg *HandlerConfig) (due, time.Duration) {
	left := time.Duration(0)
	if !d.expires.IsZero() {
		if left = d.expires.Sub(now); left <= 0 {
			return dueExpiry, 0
		}
	}
	if !d.admit {
		if age < cfg.InitTimeout {
			return dueNothing, sooner(left, cfg.InitTimeout-age)
		}
		d.admit = true
		what, next := d.silence(age, heard, cfg)
		if what != dueNothing { // at the next look
			next, d.pinged = 1, 0
		}
		return dueInit, sooner(left, next)
	}
	what, next := d.silence(age, heard, cfg)
	return what, sooner(left, next)
}

// silence is next for what the client does not say.
func (d *deadlines) silence(age, heard time.Duration, cfg *HandlerConfig) (due, time.Duration) {
	if cfg.PingInterval < 0 {
		return dueNothing, 0
	}
	if d.legacy {
		return d.alive(age, min(cfg.PingInterval, legacyAlive))
	}
	silent := age - heard
	switch {
	case d.pinged != 0 && heard < d.pinged && age-d.pinged >= cfg.PongTimeout:
		return dueSilence, 0
	case d.pinged != 0 && heard < d.pinged:
		return dueNothing, cfg.PongTimeout - (age - d.pinged)
	case silent >= cfg.PingInterval:
		d.pinged = age
		return duePing, cfg.PongTimeout
	}
	d.pinged = 0
	return dueNothing, cfg.PingInterval - silent
}

// legacyAlive is the longest time between two ka: the client gives up after 30 s.
const legacyAlive = 15 * time.Second

// alive is silence for the legacy protocol: a ka in every interval, from the acknowledgement on.
func (d *deadlines) alive(age, every time.Duration) (due, time.Duration) {
	switch {
	case d.pinged == 0:
		return dueNothing, 0
	case age-d.pinged >= every:
		d.pinged = age
		return duePing, every
	}
	return dueNothing, every - (age - d.pinged)
}

// sooner returns the shorter of two times, of which 0 stands for never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
