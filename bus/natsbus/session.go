package natsbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	dialTimeout  = 2 * time.Second
	writeTimeout = 2 * time.Second
	pingInterval = 3 * time.Second // a connection that answers none of two is given up
	apiTimeout   = 5 * time.Second
	firstAnswer  = 2 * time.Second
	firstPause   = 50 * time.Millisecond // between tries to connect: doubled up to lastPause, halved at random
	lastPause    = 3 * time.Second
)

// session is one connection to NATS. It is never connected again: what ended with it is known to have ended with it.
// That is what keeps the order of a channel over failures: nothing is sent on another connection unless somebody has
// looked at what became of the one before.
type session struct {
	bus     *Bus
	nc      *nats.Conn
	js      jetstream.JetStream
	gone    chan struct{} // closed when the connection has ended
	streams [kinds]spec
	// replicated: the stream of events is, and takes wholes.
	replicated atomic.Bool

	mu    sync.Mutex // guards what follows
	calls map[uint64]*call
	next  uint64
	acks  string // subject that begins all acknowledgements, with its dot
}

// connecting keeps one session until the bus is closed.
func (b *Bus) connecting() {
	pause := firstPause
	for before := 0; ; {
		s, err := b.dial()
		switch {
		case b.ctx.Err() != nil:
			if s != nil {
				s.nc.Close()
			}
			b.report(nil, "closed", "")
			return
		case err != nil:
			b.report(nil, describe(err), causeOf(err))
			if !b.rest(b.ctx, &pause) {
				b.report(nil, "closed", "")
				return
			}
			continue
		}
		pause = firstPause
		if before++; before > 1 {
			b.reconnects.Add(1)
		}
		b.report(s, "", "")
		b.watch(s)
		reason, of := "the connection was lost", bus.Lost
		if err := s.nc.LastError(); err != nil {
			reason, of = reason+": "+describe(err), cmp.Or(causeOf(err), of)
		}
		b.report(nil, reason, of)
		if b.core != nil {
			b.core.lost()
		}
	}
}

// watch returns when the session has ended. Meanwhile it asks the stream's leader for a sign of life: a server that
// answers may still be one of a minority, or have lost its store.
func (b *Bus) watch(s *session) {
	ask := time.NewTicker(pingInterval)
	defer ask.Stop()
	for {
		select {
		case <-s.gone:
			return
		case <-b.ctx.Done():
			s.nc.Close()
			<-s.gone
			return
		case <-ask.C:
		}
		if b.core != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(b.ctx, writeTimeout)
		_, err := s.revive(ctx, events)
		cancel()
		problem := ""
		if err != nil {
			problem = "JetStream does not answer: " + describe(err)
		}
		if b.ctx.Err() == nil && s.cause(err) == err {
			b.report(s, problem, causeOf(err))
		}
	}
}

// rest waits before the next try; false: the bus is closed, or ctx has ended.
func (b *Bus) rest(ctx context.Context, pause *time.Duration) bool {
	t := time.NewTimer(*pause/2 + rand.N(*pause/2+1))
	defer t.Stop()
	*pause = min(2**pause, lastPause)
	select {
	case <-t.C:
		return true
	case <-b.ctx.Done():
		return false
	case <-ctx.Done():
		return false
	}
}

// causeOf is the cause of an error for publishers.
func causeOf(err error) bus.Cause {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, nats.ErrNoServers): // what the driver makes of it
		return bus.Refused
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired),
		errors.Is(err, nats.ErrNkeysNotSupported), strings.Contains(strings.ToLower(err.Error()), "authorization violation"):
		return bus.BadLogin
	case errors.Is(err, nats.ErrPermissionViolation), strings.Contains(strings.ToLower(err.Error()), "permissions violation"):
		return bus.Denied
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return bus.NotReady
	case errors.Is(err, nats.ErrTimeout):
		return bus.Silent
	case isFull(err):
		return bus.Full
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted), strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		return bus.BadTLS
	}
	return bus.CauseOf(err)
}

// isFull reports whether a stream was not created because the server has no room for it.
func isFull(err error) bool {
	const noRoom = 10047
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refused.ErrorCode == noRoom
}

// describe says what is wrong without a credential: errors of the client hold none, but for URLs.
func describe(err error) string {
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return "no server answers: connection refused"
	case bus.CauseOf(err) == bus.NoHost:
		return "the name of the NATS host is not known"
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return "JetStream is not enabled, or not ready yet"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "no answer in time"
	}
	if isFull(err) {
		return "JetStream has no room for the stream, which reserves what it may hold: free space on the disk of the server, raise its max_file_store, or say less by the parameter maxbytes"
	}
	return strings.TrimPrefix(err.Error(), "nats: ")
}

// dialer connects until the bus is closed.
type dialer struct{ ctx context.Context }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(d.ctx, network, address)
}

// dial makes a session: connected, streams there, acknowledgements and advisories subscribed to; in core mode, what
// this node wants subscribed to.
func (b *Bus) dial() (*session, error) {
	s := &session{bus: b, gone: make(chan struct{}), calls: map[uint64]*call{}}
	nc, err := b.connect(s)
	if err != nil {
		return nil, err
	}
	s.nc = nc
	if err := s.prepare(); err != nil {
		nc.Close()
		<-s.gone
		return nil, err
	}
	b.mu.Lock()
	b.extra = nc.DiscoveredServers()
	b.mu.Unlock()
	return s, nil
}

func (b *Bus) connect(s *session) (*nats.Conn, error) {
	o := nats.GetDefaultOptions()
	b.mu.Lock()
	o.Servers = slices.Concat(b.config.servers, b.extra)
	b.mu.Unlock()
	o.Name, o.Timeout, o.AllowReconnect = "fraiseql", dialTimeout, false
	o.PingInterval, o.MaxPingsOut, o.FlusherTimeout = pingInterval, 2, writeTimeout
	o.User, o.Password, o.Token = b.config.user, b.config.password, b.config.token
	o.CustomDialer = dialer{b.ctx}
	o.ClosedCB = func(*nats.Conn) { close(s.gone) }
	o.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) { s.trouble(sub, err) }
	o.InProcessServer = b.server
	var options []nats.Option
	c := &b.config
	if c.creds != "" {
		options = append(options, nats.UserCredentials(c.creds))
	}
	if c.nkey != "" {
		option, err := nats.NkeyOptionFromSeed(c.nkey)
		if err != nil {
			return nil, fmt.Errorf("nkey: %w", err)
		}
		options = append(options, option)
	}
	if c.caFile != "" {
		options = append(options, nats.RootCAs(c.caFile))
	}
	if c.certFile != "" {
		options = append(options, nats.ClientCert(c.certFile, c.keyFile))
	}
	for _, set := range options {
		if err := set(&o); err != nil {
			return nil, err
		}
	}
	return o.Connect()
}

// oldestServer is the first version of the NATS server that answers a batch of direct gets.
const oldestServer = "2.11"

func (s *session) prepare() error {
	for k := range kinds {
		s.streams[k] = s.bus.config.spec(k)
	}
	if s.bus.core != nil {
		return s.bus.core.connected(s)
	}
	if v := s.nc.ConnectedServerVersion(); older(v, 2, 11) {
		return fmt.Errorf("the NATS server is version %s; JetStream is used from %s on", v, oldestServer)
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		return err
	}
	s.js = js
	// A member that starts before the others gets no answer: asking again soon finds the leader soon.
	ctx, cancel := context.WithTimeout(s.bus.ctx, firstAnswer)
	defer cancel()
	for k := range kinds {
		if err := s.ensure(ctx, s.streams[k]); err != nil {
			return err
		}
		name := s.streams[k].name
		if _, err := s.nc.Subscribe("$JS.EVENT.ADVISORY.STREAM.*."+name, func(*nats.Msg) { s.bus.lookAgain(k) }); err != nil {
			return err
		}
	}
	inbox := s.nc.NewInbox()
	s.acks = inbox + "."
	if _, err := s.nc.Subscribe(inbox+".*", s.acknowledged); err != nil {
		return err
	}
	return s.nc.FlushWithContext(ctx)
}

// older reports whether a version is before major.minor; what cannot be read is not.
func older(version string, major, minor int) bool {
	var have [2]int
	if n, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &have[0], &have[1]); err != nil || n != 2 {
		return false
	}
	return have[0] < major || have[0] == major && have[1] < minor
}

// trouble is told of errors that belong to no call.
func (s *session) trouble(sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil && s.bus.core != nil {
		s.bus.core.overrun(lastToken(sub.Subject))
		return
	}
	s.bus.log.Warn("trouble", "bus", "nats", "problem", describe(err))
}

// newOrigin is an epoch of this process.
func newOrigin() uint64 {
	id := event.NewID()
	var n uint64
	for _, b := range id[8:] {
		n = n<<8 | uint64(b)
	}
	return n ^ rand.Uint64() | 1
}
