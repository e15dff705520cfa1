// Package observe is what the engine tells an observer: counts and sizes, never a user, a tenant, a token, a
// document or any other text that a client chose. It depends on policy and bus only.
package observe

import (
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Observer receives the engine's counts. Its methods are called from hot paths, outside every lock, by any
// goroutine: they must be quick, must not block and must not call the engine.
type Observer interface {
	// Published counts events that the bus has acknowledged in one Publish.
	Published(events int)
	// Dispatched is called once per event that came from the bus, after its turn. d is valid during the call.
	Dispatched(d *Dispatch)
	// Checked counts the verdicts of one security check at subscribe (Scope and Role). Those per event travel
	// in Dispatch.
	Checked(check policy.Check, allowed, denied int)
	// Counted adds n to a counter. label is one of the few values that the counter's comment lists.
	Counted(c Counter, label string, n int)
}

// Dispatch is what became of one event.
type Dispatch struct {
	// Latency is the time from when the bus hands the event over, its wait for the channel's turn included, to
	// the last enqueue; negative: not measured (one event in sixteen is).
	Latency time.Duration
	// Groups that the event was projected for, Enqueued messages over all subscriptions.
	Groups, Enqueued int
	// Allowed and Denied count subscriptions per check; Scope and Role are zero.
	Allowed, Denied [policy.Checks]int
}

// Counter names what Counted counts.
type Counter uint8

const (
	// PublishRefused counts events refused before the bus; label is the error code.
	PublishRefused Counter = iota
	// EventsDiscarded counts events from the bus that reach nobody; label is `duplicate`, `isolation` or `invalid`.
	EventsDiscarded
	// Dropped counts messages dropped because a queue, or a resolver's lane, was full; label is its policy: `close`,
	// `drop_oldest`, `drop_newest` or `latest`; or `identity`: the result was asked for with credentials that were
	// replaced meanwhile.
	Dropped
	// ConnectionsOpened counts accepted connections; label is the transport (`websocket`, `sse`, `multipart`, `callback`, `pull`).
	ConnectionsOpened
	// ConnectionsClosed counts ended connections; label is the close code in decimal, `abrupt` when the peer vanished.
	ConnectionsClosed
	// ConnectionsRefused counts connections refused before the protocol began; label is `origin`, `limit`, `rate`, `memory`,
	// `draining` or `handshake`.
	ConnectionsRefused
	// AuthFailures counts refused credentials; label is one of AuthReasons.
	AuthFailures
	// SubscribesRefused counts operations refused; label is the error code.
	SubscribesRefused
	// Subscribed counts subscriptions started; label is `cached` or `compiled` (the plan).
	Subscribed
	// Resolved counts resolver calls; label is `ok`, `error`, `timeout`, `panic` or `overflow`.
	Resolved
	// Refreshes counts fresh credentials of open connections; label is `accepted` or `refused`.
	Refreshes
	// Revocations counts revocations from the bus; label is `enforced` or `refused` (there are too many).
	Revocations
	// Resumed counts subscribes that asked for cursors; label is `started`, `recovered` or `lost`.
	Resumed
	// Gaps counts live subscriptions that a gap proven by the bus concerns; label is `told` or `untold`.
	Gaps
	// Limited counts what limits refused; label is one of LimitNames.
	Limited
	// Hooks counts calls of hooks; label is `allowed`, `refused`, `failed` or `dropped` (nobody had time to tell).
	Hooks
	// SchemaChanges counts schemas that were to take the place of the one in force; label is `accepted` or `refused`.
	SchemaChanges
	// Renewed counts live subscriptions when another schema came into force; label is `moved` or `ended`.
	Renewed
	// Reloads counts configurations of a server that were read again; label is `accepted` or `refused`.
	Reloads
	// Counters is the number of counters.
	Counters int = iota
)

// AuthReasons are the labels of AuthFailures.
var AuthReasons = []string{"missing", "malformed", "signature", "algorithm", "expired", "not_yet_valid", "issuer", "audience", "claims", "lifetime", "keys_unavailable", "revoked", "other"}

// LimitNames are the labels of Limited: the keys of `limits` in the server's configuration, and of bounds that are
// elsewhere there.
var LimitNames = []string{
	"connections", "connections_per_ip", "connections_per_user", "connections_per_tenant", "connect_rate",
	"subscriptions_per_connection", "subscriptions_per_user", "subscriptions_per_tenant", "fields_per_user", "subscribe_rate",
	"publish_rate", "memory", "memory_slowest", "groups_per_channel", "groups_per_tenant",
	"document_bytes", "document_tokens", "document_depth", "document_aliases", "document_fields", "message_bytes",
	"event_bytes", "event_depth", "publish_bytes", "publish_events", "publish_memory", "http_connections",
	"publish_token_rate", "callback_subscriptions", "preparing",
}

// Discard is an Observer that does nothing.
type Discard struct{}

func (Discard) Published(int)                  {}
func (Discard) Dispatched(*Dispatch)           {}
func (Discard) Checked(policy.Check, int, int) {}
func (Discard) Counted(Counter, string, int)   {}

// Stats are sizes as they are now, asked for at each scrape.
type Stats struct {
	Connections   int
	Subscriptions int
	Groups        int
	Channels      int
	// QueueBytes wait to be written, or are being written, over all connections.
	QueueBytes     int64
	PlanCacheBytes int64
	// IOUring is how many writers of sockets submit by io_uring, NoIOUring why one does not.
	IOUring   int
	NoIOUring string
	// Bus is how the bus is with its carrier.
	Bus bus.Status
}
