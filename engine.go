package fraiseql

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// Event, Identity and Position are the leaf types, under the names that users of the engine see.
type (
	Event    = event.Event
	Position = event.Position
	Identity = identity.Identity
)

// Config says what engine to build. The zero value is a schema-less engine on a memory bus.
type Config struct {
	// Schema is the SDL; none means schema-less.
	Schema []SchemaSource
	// SnakeCase reads member order_id for field orderId.
	SnakeCase bool
	// SchemalessChannels lists the channels that a schema-less engine serves (a name, or a prefix and *); nil: every one.
	SchemalessChannels []string
	// Bus carries events; nil is a new memory bus owned by the engine.
	Bus      bus.Bus
	Security Security
	Limits   Limits
	// Introspection answers __schema and __type.
	Introspection bool
	Resolvers     map[string]Resolver
	// Observer receives counts; nil discards them.
	Observer Observer
	// Logger receives what operators should know; nil discards it.
	Logger *slog.Logger
}

// SchemaSource is one SDL text; Name (a file name) appears in errors.
type SchemaSource struct{ Name, Text string }

// Isolation is security.isolation.
type Isolation uint8

const (
	IsolationAddressed Isolation = iota // an event without a tenant reaches everybody it matches
	IsolationStrict                     // an event without a tenant reaches nobody unless it is a broadcast
)

// RowFilter is security.row_filter: which members of data address an event whose envelope has none.
type RowFilter uint8

const (
	RowFilterDefault RowFilter = iota // tenant with a schema, both without
	RowFilterNone
	RowFilterTenant
	RowFilterUser
	RowFilterBoth
)

// Security is CONTRACT 3's settings.
type Security struct {
	Isolation Isolation
	RowFilter RowFilter
	// ScopeUser and ScopeTenant replace the argument names of check 1 (compared without _ and in lower case).
	ScopeUser, ScopeTenant []string
}

// Limits bounds the engine. Zero means the default in the comment.
type Limits struct {
	DocumentBytes              int           // 64 KiB
	DocumentTokens             int           // 10,000
	DocumentDepth              int           // 20
	DocumentAliases            int           // 200
	EventBytes                 int           // 1 MiB
	EventDepth                 int           // 64
	QueueMessages              int           // 1,000 per subscription
	QueueBytes                 int           // 4 MiB per subscription
	ConnectionQueueBytes       int           // 16 MiB per connection
	SubscriptionsPerConnection int           // 0: no bound
	GroupsPerChannel           int           // 100,000
	GroupsPerTenant            int           // 100,000 per channel
	PlanCacheBytes             int           // 64 MiB
	ResolverTimeout            time.Duration // 5 s
	ResolverWorkers            int           // 64
	ResolverLane               int           // 64 events per group
}

// Resolver computes the value of a root field, once per group and event.
type Resolver struct {
	// Resolve returns the value as JSON-marshalable data or json.RawMessage. who is nil unless Context is set.
	Resolve func(ctx context.Context, ev *Event, variables []byte, who *ResolverContext) (any, error)
	// Context asks for the caller's identity; groups are then split by it.
	Context bool
}

// ResolverContext is the part of an identity that a resolver may see.
type ResolverContext struct {
	UserID, TenantID string
	Roles, Scopes    []string
}

// Observer receives the engine's counts. Methods are called from hot paths outside every lock and must be
// quick and safe for concurrent use.
type Observer interface{}

// Authenticator turns credentials into an identity. The error's text is never sent to a client.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (*Identity, error)
}

// Credentials are what a client presented. At most one is judged: Payload's authorization member, else the
// Authorization header, else the cookie.
type Credentials struct {
	Authorization string // `Bearer …` from the payload or the header
	Cookie        string
	Payload       []byte // connection_init payload, JSON object or nil
	RemoteAddr    string
}

// HandlerConfig says how Engine.Handler serves clients.
type HandlerConfig struct {
	// Authenticator is asked once per connection; nil needs Anonymous.
	Authenticator Authenticator
	// Anonymous admits clients without credentials, with an empty identity.
	Anonymous bool
	// CookieName is the cookie that may carry a token.
	CookieName string
	// Origins are allowed besides the request's own host; "*" allows every one.
	Origins []string
	// MessageBytes bounds one message of a client, default 1 MiB.
	MessageBytes   int
	InitTimeout    time.Duration // 3 s
	PingInterval   time.Duration // 30 s of silence; negative: never
	PongTimeout    time.Duration // 10 s
	MaxConnections int           // 0: no bound
}

// Engine is one subscriptions engine. All methods are safe for concurrent use.
type Engine struct{}

// New builds an engine and reports every problem of its configuration at once.
func New(cfg Config) (*Engine, error) { panic("fraiseql: New") }

// Publish validates and publishes events in order, all or nothing as far as validation goes.
func (e *Engine) Publish(ctx context.Context, events ...Event) (bus.Receipt, error) { panic("") }

// Handler serves GraphQL clients at one endpoint.
func (e *Engine) Handler(cfg HandlerConfig) (http.Handler, error) { panic("") }

// Drain closes every connection of the engine's handlers, spread over window, with code 1012, and returns when
// all are closed or ctx ends.
func (e *Engine) Drain(ctx context.Context, window time.Duration) error { panic("") }

// Close ends every subscription and connection, the bus if the engine made it, and waits.
func (e *Engine) Close(ctx context.Context) error { panic("") }
