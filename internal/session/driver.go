package session

import (
	"context"
	"errors"
	"sync"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Peer is the connection that a Driver serves.
type Peer interface {
	// Outbound is where messages for the client are queued.
	Outbound() *queue.Conn
	// Acknowledged is called after connection_ack was queued, and again after each refresh of the credentials, without
	// any lock: the host arms a close at who.ExpiresAt (Driver.Shut with CodeForbidden), which replaces the one before;
	// zero is never. It must not block.
	Acknowledged(who *identity.Identity)
	// Name gives the connection a name by which Renew is reached, for a client that asks; Unname takes it back. "": there
	// are none.
	Name() string
	Unname()
}

// Driver runs the protocol of one connection: a Machine, what it asks of the Engine, and what it sends. It is
// embedded in the host's connection.
type Driver struct {
	mu        sync.Mutex
	machine   Machine // guarded by mu
	host      *Host
	peer      Peer
	handshake *Handshake // until connection_init; after it, only one with a Value
}

// Init prepares an embedded Driver.
func (d *Driver) Init(host *Host, peer Peer, handshake *Handshake) {
	d.host, d.peer, d.handshake = host, peer, handshake
	d.machine.Init(host.options)
}

// SpeakLegacy chooses the protocol of subscriptions-transport-ws. It is called after Init, before anything else.
func (d *Driver) SpeakLegacy() { d.machine.Init(d.host.legacy) }

// Legacy reports whether SpeakLegacy was called. The host then frames items with AppendLegacyPrefix and Suffix, and
// sends KeepAliveText from the acknowledgement on.
func (d *Driver) Legacy() bool { return d.machine.options.legacy }

// scratch is what a call needs besides the Driver.
type scratch struct {
	tape    jsontape.Tape
	actions []Action
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Receive takes a whole text message. The bytes are the caller's again when it returns.
func (d *Driver) Receive(message []byte) {
	s := scratches.Get().(*scratch)
	d.input(s, message)
	d.finish(s, len(message))
}

// input feeds a message to the machine. The lock is free again even if that panics.
func (d *Driver) input(s *scratch, message []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.actions = d.machine.Receive(s.actions[:0], message, &s.tape)
	d.queueLocked(s.actions)
}

// InitTimeout says that the time for connection_init is over; it does nothing if one has come.
func (d *Driver) InitTimeout() {
	d.apply(func(dst []Action) []Action { return d.machine.Timeout(dst) })
}

// Shut closes the connection from this side with a code and a reason that clients may see.
func (d *Driver) Shut(closeCode uint16, reason string) {
	d.apply(func(dst []Action) []Action { return d.machine.Shut(dst, closeCode, reason) })
}

// Closed says that the connection is gone: every subscription is completed. Idempotent.
func (d *Driver) Closed() {
	d.apply(func(dst []Action) []Action { return d.machine.Closed(dst) })
}

// Ended says that a message marked End was taken from the connection and is about to be written (see
// Machine.Ended).
func (d *Driver) Ended(q *queue.Queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.machine.Ended(q)
}

// Written says that such a message is out (see Machine.Written). Between the two nothing of it may be written anew.
func (d *Driver) Written(q *queue.Queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.machine.Written(q)
}

// Identity is who the connection was authenticated as; nil before that and after the close.
func (d *Driver) Identity() *identity.Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.Identity()
}

// Operations is the number of active operations.
func (d *Driver) Operations() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.Operations()
}

// apply feeds one input to the machine and executes what follows.
func (d *Driver) apply(input func([]Action) []Action) {
	s := scratches.Get().(*scratch)
	d.decide(s, input)
	d.finish(s, 0)
}

// decide is input for what is no message.
func (d *Driver) decide(s *scratch, input func([]Action) []Action) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.actions = input(s.actions[:0])
	d.queueLocked(s.actions)
}

// queueLocked executes the actions that write, in the order that the machine decided on.
func (d *Driver) queueLocked(actions []Action) {
	for i := range actions {
		switch a := &actions[i]; a.Kind {
		case Send:
			d.sendLocked(a.Data)
		case Pong:
			d.pongLocked(a.Data)
		case Retract:
			d.peer.Outbound().Retract(appendHead(make([]byte, 0, 64), a.Data))
		case Close:
			d.peer.Outbound().Control(queue.Control{Kind: queue.Close, Code: a.Code, Data: a.Data})
		}
	}
	if f := d.machine.ops.fence(); f != nil && !d.machine.Preparing() {
		d.unfenceLocked(f)
	}
}

// finish executes the actions that call the engine and gives the scratch back. size is that of the message.
func (d *Driver) finish(s *scratch, size int) {
	for i := range s.actions {
		a := s.actions[i]
		s.actions[i] = Action{}
		switch a.Kind {
		case Authenticate:
			d.authenticate(&a, size)
		case Subscribe:
			d.subscribe(a.Request, a.Identity, size)
		case Send:
			if a.Limit != "" {
				d.host.limited(a.Limit)
			}
		case Complete:
			a.Subscription.Complete()
			if a.Data != nil {
				d.peer.Outbound().Control(queue.Control{Kind: queue.Text, Data: a.Data})
			}
		case Leave:
			d.host.engine.Left(a.Identity)
		case Refresh:
			d.refresh(a.Data, size)
		case Readmit:
			d.readmit(a.Subscription)
		}
	}
	scratches.Put(s)
}

var errPanic = errors.New("the authenticator panicked")

// authenticate judges connection_init on the pool.
func (d *Driver) authenticate(a *Action, size int) {
	payload, named := a.Data, a.Named
	handshake := d.handshake
	d.handshake = nil
	if handshake == nil {
		handshake = &Handshake{}
	}
	if handshake.Value != nil {
		d.handshake = &Handshake{Value: handshake.Value}
	}
	queued := d.host.do(d, size, d.unjudged, func(ctx context.Context) {
		who, err := d.host.engine.Authenticate(ctx, handshake, payload)
		if err == nil && who != nil {
			err = d.host.engine.Enter(ctx, who)
		}
		d.authenticated(who, named, err)
		d.recheck(who)
	})
	if !queued {
		d.host.limited("preparing")
		d.Shut(CodeTryAgainLater, "The server is busy, try again later")
	}
}

// codeInternal closes a connection after a fault of this side.
const codeInternal = 1011

// unjudged answers connection_init after a panic. Where it came after the acknowledgement, the host may not watch the
// connection, which ends.
func (d *Driver) unjudged() {
	if d.Identity() != nil {
		d.Shut(codeInternal, "Internal error")
		return
	}
	d.authenticated(nil, false, errPanic)
}

// recheck closes a connection whose credentials were revoked while they were judged.
func (d *Driver) recheck(who *identity.Identity) {
	if who != nil && d.host.engine.Revoked(who) {
		d.Shut(CodeForbidden, "Forbidden: the credentials were revoked")
	}
}

func (d *Driver) authenticated(who *identity.Identity, named bool, err error) {
	acknowledged, ack := false, []byte(nil)
	if named = named && who != nil && err == nil; named {
		ack = AppendName(nil, d.peer.Name())
	}
	d.apply(func(dst []Action) []Action {
		dst = d.machine.Authenticated(dst, who, ack, err)
		acknowledged = d.machine.Acknowledged()
		return dst
	})
	if acknowledged {
		d.peer.Acknowledged(who)
		return
	}
	if named {
		d.peer.Unname()
	}
	if who != nil && err == nil { // closed meanwhile
		d.host.engine.Left(who)
	}
}

// inlineBytes is the longest message whose subscribe runs on the reader, if its document is known: longer ones
// have variables that take a while to coerce. Those that resume wait for the bus.
const inlineBytes = 8 << 10

func (d *Driver) subscribe(req *Request, who *identity.Identity, size int) {
	req.gate = (*admission)(d)
	if size <= inlineBytes && req.Resume == nil && d.host.engine.Prepared(req.Query, req.OperationName) {
		d.inline(req, who)
		return
	}
	queued := d.host.do(d, size, func() { d.subscribed(req, Outcome{}) }, func(ctx context.Context) {
		if !d.wanted(req) {
			d.subscribed(req, Outcome{})
			return
		}
		d.run(ctx, req, who)
	})
	if !queued {
		d.host.limited("preparing")
		d.subscribed(req, Outcome{Errors: AppendErrors(nil, code.RateLimited, "the server is busy, subscribe again later")})
	}
}

// inline runs a subscribe on the reader; what serves one client must not end it for the others.
func (d *Driver) inline(req *Request, who *identity.Identity) {
	defer d.host.Guard(func() { d.subscribed(req, Outcome{}) })
	d.run(d.host.pool.ctx, req, who)
}

// wanted spares the work for an operation that was completed while it waited for a worker.
func (d *Driver) wanted(req *Request) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.Wanted(req)
}

func (d *Driver) run(ctx context.Context, req *Request, who *identity.Identity) {
	d.subscribed(req, d.host.engine.Subscribe(ctx, d.peer.Outbound(), who, req))
}

func (d *Driver) subscribed(req *Request, out Outcome) {
	d.apply(func(dst []Action) []Action { return d.machine.Subscribed(dst, req, out) })
}

// admission is the gate of a Driver's own requests.
type admission Driver

// Begin implements Gate. Credentials that were refreshed since the subscribe came are those that count, before there is any
// event; a refresh from now on finds the subscription.
func (d *admission) Begin(req *Request, sub *hub.Subscription) bool {
	begun, who := d.begin(req, sub)
	if begun && who != sub.Identity() {
		(*Driver)(d).readmit(sub)
	}
	return begun
}

func (d *admission) begin(req *Request, sub *hub.Subscription) (begun bool, who *identity.Identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.Begin(req, sub), d.machine.Identity()
}
