package session

import (
	"errors"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Close codes of graphql-transport-ws that this package uses. What graphql-ws clients do: 1013, 4403 and 4408
// are retried, the others are fatal.
const (
	CodeNormal            = 1000
	CodeTryAgainLater     = 1013
	CodeBadRequest        = 4400
	CodeUnauthorized      = 4401
	CodeForbidden         = 4403
	CodeInitTimeout       = 4408
	CodeSubscriberExists  = 4409
	CodeTooManyInitialise = 4429
)

// maxReason is what a close frame can hold beside its code, in bytes of UTF-8.
const maxReason = 123

// Options bounds what clients may do. Zero members mean the default in the comment. Shared by machines.
type Options struct {
	// Subscriptions bounds active operations of one connection; 0: no bound. More are answered by `error`.
	Subscriptions int
	// SubscriptionsNow, if set, is in the place of Subscriptions; it may change.
	SubscriptionsNow *atomic.Int64
	// MessageBytes bounds one message; 1 MiB. Hosts should refuse longer ones earlier.
	MessageBytes int
	// MessageBytesNow, if set, is in the place of MessageBytes; it may change.
	MessageBytesNow *atomic.Int64
	// MessageDepth bounds its nesting; 128.
	MessageDepth int
	// PreparingBytes bounds the messages of one connection whose subscribes wait for their outcome, each
	// counted as 1 KiB at least and one of them always allowed; 4 MiB, at most 63 MiB. More are answered by
	// `error`. Operations that the client has completed meanwhile count until their outcome is there.
	PreparingBytes int
	// HeldBytes bounds the messages of one connection's active operations, each counted in whole KiB (below that
	// Subscriptions is the bound): their variables are kept as long as they last, several times over. 16 MiB.
	// More are answered by `error`.
	HeldBytes int
	// EchoBytes bounds the payload of a ping that pong returns; 4 KiB. A longer one is answered without.
	EchoBytes int

	legacy bool          // the legacy protocol is spoken
	early  *atomic.Int64 // KiB of its starts that wait for an acknowledgement
}

const (
	defaultMessageBytes = 1 << 20
	defaultMessageDepth = 128
	defaultEchoBytes    = 4 << 10
	defaultPreparing    = 4 << 20
	maxPreparing        = 63 << 20 // fits Machine.waiting
	defaultHeld         = 16 << 20
	maxIDBytes          = 255
)

// withDefaults returns a copy with every bound set.
func (o Options) withDefaults() Options {
	if o.MessageBytes <= 0 {
		o.MessageBytes = defaultMessageBytes
	}
	if o.MessageDepth <= 0 {
		o.MessageDepth = defaultMessageDepth
	}
	if o.EchoBytes <= 0 {
		o.EchoBytes = defaultEchoBytes
	}
	if o.PreparingBytes <= 0 {
		o.PreparingBytes = defaultPreparing
	}
	o.PreparingBytes = min(o.PreparingBytes, maxPreparing)
	if o.HeldBytes <= 0 {
		o.HeldBytes = defaultHeld
	}
	return o
}

// ActionKind is what a host must do.
type ActionKind uint8

const (
	// Send: Data is a whole text message for the peer. It must not be modified.
	Send ActionKind = iota
	// Pong: Data is the answer to a ping, to be sent once Preparing is false or after a while: it tells a client that the
	// subscribes that it sent before are in force.
	Pong
	// Close: end the connection with Code and Data, the reason. It is followed by Leave and Complete actions only.
	Close
	// Authenticate: judge Data, the payload of connection_init or nil, and call Authenticated. Named: with the name of
	// the connection.
	Authenticate
	// Subscribe: start Request as Identity and call Subscribed.
	Subscribe
	// Complete: call Complete on Subscription, then send Data, unless it is nil.
	Complete
	// Refresh: judge Data, the payload of a ping with credentials, and call Refreshed.
	Refresh
	// Readmit: give Subscription the identity of the machine.
	Readmit
	// Leave: the connection of Identity, which was acknowledged, has ended.
	Leave
	// Retract: what was sent for the escaped id Data, and is not written yet, must not come.
	Retract
)

// Action is one consequence of an input.
type Action struct {
	Kind         ActionKind
	Code         uint16
	Data         []byte
	Request      *Request
	Identity     *identity.Identity
	Subscription *hub.Subscription
	Limit        string // of a Send that refuses: the label of observe.Limited
	Named        bool
}

type state uint8

const (
	fresh          state = iota // waits for connection_init
	authenticating              // connection_init has come
	acknowledged
	closed
)

func (o *Options) messageBytes() int {
	if o.MessageBytesNow != nil {
		return int(o.MessageBytesNow.Load())
	}
	return o.MessageBytes
}

func (o *Options) subscriptions() int {
	if o.SubscriptionsNow != nil {
		return int(o.SubscriptionsNow.Load())
	}
	return o.Subscriptions
}

// Machine is the server's side of one connection: which messages are legal now and what follows from them. It
// is not safe for concurrent use. Each method appends actions to dst and returns it; they must be executed in
// order. Once closed it ignores everything.
type Machine struct {
	options *Options
	who     *identity.Identity
	ops     table
	tokens  uint32
	waiting uint16 // KiB of subscribes without an outcome
	state   state
	// refreshing says that fresh credentials are being judged, or subscriptions are given the new identity.
	refreshing bool
}

// Init prepares an embedded machine. options is shared and was made by NewOptions.
func (m *Machine) Init(options *Options) { m.options = options }

// NewOptions fills in the defaults.
func NewOptions(o Options) *Options {
	o = o.withDefaults()
	o.early = &atomic.Int64{}
	return &o
}

// Identity is who the connection was authenticated as; nil before the acknowledgement.
func (m *Machine) Identity() *identity.Identity { return m.who }

// Acknowledged reports whether connection_ack was sent and the connection is not closed.
func (m *Machine) Acknowledged() bool { return m.state == acknowledged }

// Preparing reports whether a subscribe has no outcome yet. A closed machine prepares nothing.
func (m *Machine) Preparing() bool { return m.waiting > 0 && m.state != closed }

// Operations is the number of active operations, those that are still being prepared included.
func (m *Machine) Operations() int { return m.ops.live() }

// Receive takes a whole message of the client. tape is scratch: nothing of it, nor of message, is retained.
func (m *Machine) Receive(dst []Action, message []byte, tape *jsontape.Tape) []Action {
	if m.state == closed {
		return dst
	}
	var in inbound
	if reason := in.decode(tape, message, m.options); reason != "" {
		if m.options.legacy {
			return connectionError(dst, reason)
		}
		return m.Shut(dst, CodeBadRequest, reason)
	}
	switch in.kind {
	case kindPing:
		if in.refresh {
			return m.refresh(dst, in.payload)
		}
		return append(dst, Action{Kind: Pong, Data: pong(in.payload, m.options.EchoBytes)})
	case kindPong:
		return dst
	case kindInit:
		if m.state != fresh {
			return m.farewell(dst, CodeTooManyInitialise, "Too many initialisation requests")
		}
		m.state = authenticating
		return append(dst, Action{Kind: Authenticate, Data: cloneBytes(in.payload), Named: in.named})
	case kindSubscribe:
		return m.subscribe(dst, &in, tape, len(message))
	case kindTerminate:
		return m.Shut(dst, CodeNormal, "")
	default:
		return m.complete(dst, in.id)
	}
}

// subscribe answers a well-formed subscribe message.
func (m *Machine) subscribe(dst []Action, in *inbound, tape *jsontape.Tape, size int) []Action {
	early := m.options.legacy && m.state == authenticating
	if m.state != acknowledged && !early {
		return m.farewell(dst, CodeUnauthorized, "Unauthorized")
	}
	o := m.ops.find(in.id)
	if o != nil && !o.ended {
		reason := "Subscriber for " + in.unescapedID() + " already exists"
		if m.options.legacy {
			return connectionError(dst, reason)
		}
		return m.Shut(dst, CodeSubscriberExists, reason)
	}
	if o != nil { // the client has read its end, or completed it; what is not written of it must not come
		dst = append(dst, Action{Kind: Complete, Subscription: o.sub})
		m.ops.remove(o, in.id)
	}
	if limit := m.options.subscriptions(); limit > 0 && m.ops.len() >= limit && m.ops.live() >= limit {
		return m.refuse(dst, in.id, "subscriptions_per_connection", code.TooManySubscriptions, "this connection has as many subscriptions as it may have")
	}
	weight := uint16(min(size, maxPreparing)>>10 + 1)
	if m.waiting > 0 && int(m.waiting)+int(weight) > m.options.PreparingBytes>>10 || early && !m.mayWait(weight) {
		return m.refuse(dst, in.id, "preparing", code.RateLimited, "too many operations of this connection are being prepared, subscribe again later")
	}
	held := weight - 1
	if held > 0 && m.ops.held()+int(held) > m.options.HeldBytes>>10 {
		return m.refuse(dst, in.id, "subscriptions_per_connection", code.LimitExceeded, "the subscriptions of this connection hold too much, with variables that are too long")
	}
	m.tokens++
	m.waiting += weight
	req := in.request(tape)
	req.token, req.weight = m.tokens, weight
	m.ops.add(op{key: string(in.id), token: req.token, held: held})
	if early {
		m.ops.addEarly(req)
		return dst
	}
	return append(dst, Action{Kind: Subscribe, Request: req, Identity: m.who})
}

// refuse answers a subscribe by an error, because of a limit.
func (m *Machine) refuse(dst []Action, id []byte, limit, errorCode, message string) []Action {
	return append(dst, Action{Kind: Send, Limit: limit, Data: m.appendFailure(id, AppendErrors(nil, errorCode, message))})
}

// complete ends an operation at the client's wish: nothing is answered, except in the legacy protocol. One that is not there
// may have an answer that waits.
func (m *Machine) complete(dst []Action, id []byte) []Action {
	o := m.ops.find(id)
	switch {
	case m.options.legacy && (o == nil || o.ended): // its end is the answer
		return dst
	case o == nil:
		return append(dst, Action{Kind: Retract, Data: id})
	}
	sub := o.sub
	m.ops.remove(o, id)
	var answer []byte
	if m.options.legacy {
		answer = AppendComplete(nil, id)
	}
	switch {
	case sub != nil:
		return append(dst, Action{Kind: Complete, Subscription: sub, Data: answer})
	case answer != nil:
		return append(dst, Action{Kind: Send, Data: answer})
	default:
		return dst // still being prepared: its result finds no operation
	}
}

// Authenticated is the answer to an Authenticate action. ack is the payload of connection_ack, a JSON object,
// or nil. It is ignored when the connection was closed meanwhile.
func (m *Machine) Authenticated(dst []Action, who *identity.Identity, ack []byte, err error) []Action {
	switch {
	case m.state != authenticating:
		return dst
	case errors.Is(err, ErrForbidden):
		return m.farewell(dst, CodeForbidden, "Forbidden")
	case errors.Is(err, ErrTooMany):
		return m.farewell(dst, CodeTryAgainLater, "Too many connections of this user or tenant, try again later")
	case errors.Is(err, ErrUndecided):
		return m.farewell(dst, CodeTryAgainLater, "A hook of the server could not judge the connection, try again later")
	case errors.Is(err, ErrUninformed):
		return m.farewell(dst, CodeTryAgainLater, "The event bus cannot be read, try again later")
	case err != nil || who == nil:
		return m.farewell(dst, CodeTryAgainLater, "Authentication is not available, try again later")
	}
	m.who, m.state = who, acknowledged
	return m.resumeEarly(append(dst, Action{Kind: Send, Data: ackMessage(ack)}))
}

// Begin gives an operation its subscription. It reports whether the operation is still wanted: if not, the
// subscription must not receive anything.
func (m *Machine) Begin(req *Request, sub *hub.Subscription) bool {
	o := m.preparing(req)
	if o == nil {
		return false
	}
	o.sub = sub
	if sub.IDIs(req.EscapedID) && !m.ops.indexed() {
		o.key = "" // the subscription holds it
	}
	return true
}

// Subscribed is the answer to a Subscribe action. A late one, for an operation that the client has completed
// or whose id is in use by another operation now, only completes its subscription. Every Subscribe action must
// be answered, if only by the zero Outcome.
func (m *Machine) Subscribed(dst []Action, req *Request, out Outcome) []Action {
	m.waiting -= req.weight
	req.weight = 0
	if out.Subscription != nil {
		if m.holds(req, out.Subscription) || m.Begin(req, out.Subscription) {
			return dst
		}
		return append(dst, Action{Kind: Complete, Subscription: out.Subscription})
	}
	o := m.preparing(req)
	if o == nil {
		return dst
	}
	id := req.EscapedID
	m.ops.remove(o, id)
	switch {
	case out.Result != nil:
		return append(dst, Action{Kind: Send, Data: m.appendResult(id, out.Result)},
			Action{Kind: Send, Data: AppendComplete(nil, id)})
	case out.Errors == nil:
		out.Errors = AppendErrors(nil, code.InternalServerError, "internal server error")
	}
	return append(dst, Action{Kind: Send, Data: m.appendFailure(id, out.Errors)})
}

// Wanted reports whether a request still waits for its outcome: if not, it need not be prepared any more.
func (m *Machine) Wanted(req *Request) bool { return m.preparing(req) != nil }

// preparing returns the operation of a request, if it still waits for its result.
func (m *Machine) preparing(req *Request) *op {
	if m.state == closed {
		return nil
	}
	o := m.ops.find(req.EscapedID)
	if o == nil || o.token != req.token || o.sub != nil {
		return nil
	}
	return o
}

// holds reports whether the operation of a request has that subscription already.
func (m *Machine) holds(req *Request, sub *hub.Subscription) bool {
	o := m.ops.find(req.EscapedID)
	return o != nil && o.token == req.token && o.sub == sub
}

// Ended says that the last message of a subscription is about to be written: its id is free from now on. It
// must be called before the write, because the client may use the id again as soon as it has read it. (A client
// that completes the operation before it has read that message, and uses the id again at once, takes it for the
// end of the new one. The protocol has no remedy: the message may be on the network already.) Until Written the client may
// complete the operation, or use its id again, so that what is not on the network does not come.
func (m *Machine) Ended(q *queue.Queue) {
	var scratch [64]byte
	if o := m.ops.find(q.AppendID(scratch[:0])); o.has(q) {
		o.ended = true
	}
}

// Written says that the last message of a subscription, of which Ended told, is out.
func (m *Machine) Written(q *queue.Queue) {
	var scratch [64]byte
	id := q.AppendID(scratch[:0])
	if o := m.ops.find(id); o.has(q) && o.ended {
		m.ops.remove(o, id)
	}
}

// Timeout says that the time for connection_init is over. A connection_init that is still being judged is
// in time.
func (m *Machine) Timeout(dst []Action) []Action {
	if m.state != fresh {
		return dst
	}
	return m.Shut(dst, CodeInitTimeout, "Connection initialisation timeout")
}

// Shut closes the connection from this side: a Close action, with the reason cut to what a frame can hold,
// then Complete for every subscription.
func (m *Machine) Shut(dst []Action, closeCode uint16, reason string) []Action {
	if m.state == closed {
		return dst
	}
	dst = append(dst, Action{Kind: Close, Code: closeCode, Data: []byte(CutReason(reason))})
	return m.Closed(dst)
}

// Closed says that the connection is gone: every subscription is completed, late results are too.
func (m *Machine) Closed(dst []Action) []Action {
	if m.who != nil {
		dst = append(dst, Action{Kind: Leave, Identity: m.who})
	}
	m.state, m.who = closed, nil
	m.dropEarly()
	for o := range m.ops.all {
		if o.sub != nil {
			dst = append(dst, Action{Kind: Complete, Subscription: o.sub})
		}
	}
	m.ops = table{}
	return dst
}
