package fraiseql

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/observe"
)

// The leaf types and the observer, under the names that users of the engine see.
type (
	// Event is what is published; see package event.
	Event = event.Event
	// Position orders the events of a channel; see package event.
	Position = event.Position
	// Identity is who is asking; see package identity.
	Identity = identity.Identity
	// Observer receives counts; see package observe.
	Observer = observe.Observer
	// Stats are sizes as they are now.
	Stats = observe.Stats
)

// Config says what engine to build. The zero value is a schema-less engine on a memory bus.
type Config struct {
	// Schema is the SDL, in one or several texts; none means schema-less.
	Schema []SchemaSource
	// SnakeCase reads member order_id for field orderId (schema.naming: snake_case).
	SnakeCase bool
	// SchemalessChannels lists the channels that a schema-less engine serves (a name, or a prefix followed by
	// *); nil: every one.
	SchemalessChannels []string
	// Bus carries events; nil is a new memory bus that the engine owns.
	Bus      bus.Bus
	Security Security
	Limits   Limits
	// Introspection answers __schema and __type.
	Introspection bool
	// MaxTokenLife is the longest time for which credentials are accepted: as long are revocations kept, 50 years at most.
	// 24 h. An Authenticator should refuse others (jwtauth.Config.MaxLife).
	MaxTokenLife time.Duration
	// Resolvers by the name of their root field, or of an event type that a root field lists. Engine.SetResolver
	// adds others later.
	Resolvers map[string]Resolver
	// LateResolvers accepts a schema with scalar root fields that have no resolver yet. Subscribing to such a field
	// is refused until it has one.
	LateResolvers bool
	// Observer receives counts; nil discards them.
	Observer Observer
	// Logger receives what operators should know; nil discards it.
	Logger *slog.Logger
}

// SchemaSource is one SDL text; Name (a file name) appears in errors.
type SchemaSource struct{ Name, Text string }

// Isolation is security.isolation of docs/security.md.
type Isolation uint8

const (
	// IsolationAddressed lets an event without a tenant reach everybody whom it matches.
	IsolationAddressed Isolation = iota
	// IsolationStrict refuses an event without a tenant unless it is a broadcast.
	IsolationStrict
)

// RowFilter is security.row_filter: which members of data address an event whose envelope has none.
type RowFilter uint8

const (
	// RowFilterDefault is tenant with a schema, both without.
	RowFilterDefault RowFilter = iota
	RowFilterNone
	RowFilterTenant
	RowFilterUser
	RowFilterBoth
)

// Security holds the settings of docs/security.md.
type Security struct {
	Isolation Isolation
	RowFilter RowFilter
	// ScopeUser and ScopeTenant replace the names of arguments that check 1 looks at (compared without _ and
	// in lower case); nil: userid and tenantid.
	ScopeUser, ScopeTenant []string
}

// Limits bounds the engine. Zero means the default in the comment.
type Limits struct {
	DocumentBytes              int           // 64 KiB
	DocumentTokens             int           // 10,000
	DocumentDepth              int           // 20
	DocumentAliases            int           // 200
	DocumentFields             int           // with fragments expanded; 2,000
	EventBytes                 int           // of data, 1 MiB
	EventDepth                 int           // 64
	QueueMessages              int           // 1,000 per subscription
	QueueBytes                 int           // 4 MiB per subscription; at most 1 GiB
	ConnectionQueueBytes       int           // 16 MiB per connection
	SubscriptionsPerConnection int           // 0: no bound
	SubscriptionsPerUser       int           // of a user of a tenant; without a user, of a connection. 0: no bound
	SubscriptionsPerTenant     int           // 0: no bound
	FieldsPerUser              int           // that the subscriptions of a user select together; without a user, of a connection. 0: no bound
	ConnectionsPerIP           int           // of an IPv4 address or an IPv6 /64, loopback ones apart; 0: no bound
	ConnectionsPerUser         int           // of a user of a tenant; 0: no bound
	ConnectionsPerTenant       int           // 0: no bound
	ConnectRate                int           // new connections per second of the process, ten times as many at once; 0: no bound
	MemoryBytes                int           // of the process: beyond it nothing new is taken. 0: no bound
	SubscribeRate              int           // subscribes per second of a user of a tenant; without a user, of a connection. 0: no bound
	SubscribeBurst             int           // subscribes at once; 10 times the rate
	PublishRate                int           // events per second of a tenant; those without are one tenant's. 0: no bound
	PublishBurst               int           // events at once; 10 times the rate
	GroupsPerChannel           int           // 2,000,000
	GroupsPerTenant            int           // 1,000,000 per channel
	PlanCacheBytes             int           // 64 MiB
	ResolverTimeout            time.Duration // 5 s
	ResolverWorkers            int           // 64 at once
	ResolverLane               int           // 64 events that wait per group
	ResumeEvents               int           // 10,000 events that a subscriber who resumes may have missed
}

// WithDefaults returns the limits with every zero replaced.
func (l Limits) WithDefaults() Limits {
	for _, d := range []struct {
		p *int
		n int
	}{
		{&l.DocumentBytes, 64 << 10}, {&l.DocumentTokens, 10_000}, {&l.DocumentDepth, 20}, {&l.DocumentAliases, 200}, {&l.DocumentFields, 2000},
		{&l.EventBytes, 1 << 20}, {&l.EventDepth, 64},
		{&l.QueueMessages, 1000}, {&l.QueueBytes, 4 << 20}, {&l.ConnectionQueueBytes, 16 << 20},
		{&l.GroupsPerChannel, 2_000_000}, {&l.GroupsPerTenant, 1_000_000},
		{&l.PlanCacheBytes, 64 << 20}, {&l.ResolverWorkers, 64}, {&l.ResolverLane, 64},
		{&l.ResumeEvents, 10_000},
	} {
		if *d.p == 0 {
			*d.p = d.n
		}
	}
	if l.ResolverTimeout == 0 {
		l.ResolverTimeout = 5 * time.Second
	}
	return l
}

func (l Limits) validate() error {
	var errs []error
	for _, d := range []struct {
		name string
		n    int
	}{
		{"DocumentBytes", l.DocumentBytes}, {"DocumentTokens", l.DocumentTokens}, {"DocumentDepth", l.DocumentDepth},
		{"DocumentAliases", l.DocumentAliases}, {"EventBytes", l.EventBytes}, {"EventDepth", l.EventDepth},
		{"QueueMessages", l.QueueMessages}, {"QueueBytes", l.QueueBytes}, {"ConnectionQueueBytes", l.ConnectionQueueBytes},
		{"SubscriptionsPerConnection", l.SubscriptionsPerConnection}, {"SubscriptionsPerUser", l.SubscriptionsPerUser},
		{"SubscriptionsPerTenant", l.SubscriptionsPerTenant}, {"FieldsPerUser", l.FieldsPerUser}, {"DocumentFields", l.DocumentFields},
		{"ConnectionsPerIP", l.ConnectionsPerIP}, {"ConnectionsPerUser", l.ConnectionsPerUser}, {"ConnectionsPerTenant", l.ConnectionsPerTenant},
		{"ConnectRate", l.ConnectRate}, {"MemoryBytes", l.MemoryBytes},
		{"SubscribeRate", l.SubscribeRate}, {"SubscribeBurst", l.SubscribeBurst},
		{"PublishRate", l.PublishRate}, {"PublishBurst", l.PublishBurst}, {"GroupsPerChannel", l.GroupsPerChannel},
		{"GroupsPerTenant", l.GroupsPerTenant}, {"PlanCacheBytes", l.PlanCacheBytes},
		{"ResolverWorkers", l.ResolverWorkers}, {"ResolverLane", l.ResolverLane}, {"ResumeEvents", l.ResumeEvents}, {"ResolverTimeout", int(l.ResolverTimeout)},
	} {
		if d.n < 0 {
			errs = append(errs, fmt.Errorf("config: Limits.%s is %d: it must not be negative", d.name, d.n))
		}
	}
	if l.QueueBytes > maxQueueBytes {
		errs = append(errs, fmt.Errorf("Limits.QueueBytes is %d: it must not be more than %d", l.QueueBytes, maxQueueBytes))
	}
	return errors.Join(errs...)
}

// maxQueueBytes is the most that one subscription may have waiting: queues count in 32 bits.
const maxQueueBytes = 1 << 30

func (l *Limits) documents() gql.Limits {
	return gql.Limits{Bytes: l.DocumentBytes, Tokens: l.DocumentTokens, Depth: l.DocumentDepth, Aliases: l.DocumentAliases, Fields: l.DocumentFields}
}

// admitted are the limits for documents that were within others, which may have changed since: they refuse none of those.
var admitted = gql.Limits{Bytes: 1 << 27, Tokens: 1 << 27, Depth: 1 << 27, Aliases: 1 << 27, Fields: 1 << 27}

func (l *Limits) events() jsontape.Limits {
	return jsontape.Limits{Depth: l.EventDepth, Bytes: l.EventBytes}
}

// addressing resolves the row filter's default.
func (s Security) addressing(schemaless bool) hub.Addressing {
	f := s.RowFilter
	if f == RowFilterDefault {
		f = RowFilterTenant
		if schemaless {
			f = RowFilterBoth
		}
	}
	return hub.Addressing{
		Strict:    s.Isolation == IsolationStrict,
		RowTenant: f == RowFilterTenant || f == RowFilterBoth,
		RowUser:   f == RowFilterUser || f == RowFilterBoth,
	}
}

func (c *Config) hasResolver(field string) bool { _, ok := c.Resolvers[field]; return ok }

// loadSchema reads the SDL, or returns the schema-less one. resolved says which root fields have a resolver.
func (c *Config) loadSchema(texts []SchemaSource, o SchemaOptions, resolved func(field string) bool) (*gql.Schema, error) {
	if len(texts) == 0 {
		return gql.Schemaless(), nil
	}
	sources := make([]gql.SchemaSource, len(texts))
	for i, s := range texts {
		sources[i] = gql.SchemaSource{Name: s.Name, Text: s.Text}
	}
	options := gql.SchemaOptions{SnakeCase: o.SnakeCase, HideSuggestions: !o.Introspection}
	if !c.LateResolvers {
		options.Resolvers = resolved
	}
	schema, problems := gql.LoadSchema(sources, options)
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	if len(problems) == 0 && schema.Subscription == nil {
		errs = append(errs, errors.New("the schema has no type Subscription: nobody could subscribe to anything; add one, or name yours with schema { subscription: … }"))
	}
	return schema, errors.Join(errs...)
}

const (
	defaultTokenLife = 24 * time.Hour
	// mostTokenLife is for ever: buses count back from now, and some no further than to 1970.
	mostTokenLife = 50 * 365 * 24 * time.Hour
)

func (c *Config) maxTokenLife() time.Duration {
	if c.MaxTokenLife > 0 {
		return min(c.MaxTokenLife, mostTokenLife)
	}
	return defaultTokenLife
}

// keptFor is how long a revocation is kept.
func (c *Config) keptFor() time.Duration { return c.maxTokenLife() + clockSkew }

// validate reports every problem that needs no schema.
func (c *Config) validate() error {
	errs := []error{c.Limits.validate()}
	for name, r := range c.Resolvers {
		if err := r.validate(); err != nil {
			errs = append(errs, fmt.Errorf("config: Resolvers[%q]: %w", name, err))
		}
	}
	if len(c.Schema) > 0 && c.SchemalessChannels != nil {
		errs = append(errs, errors.New("SchemalessChannels is set together with Schema: the schema says which channels there are"))
	}
	for _, pattern := range c.SchemalessChannels {
		name := strings.TrimSuffix(pattern, "*")
		if pattern == "" || strings.Contains(name, "*") || strings.HasPrefix(name, "$") || strings.HasPrefix(name, "__") {
			errs = append(errs, fmt.Errorf("config: SchemalessChannels: %q is neither the name of a channel nor the beginning of one and *", pattern))
		}
	}
	if c.MaxTokenLife < 0 {
		errs = append(errs, fmt.Errorf("config: MaxTokenLife is %v: it must not be negative", c.MaxTokenLife))
	}
	if c.Security.Isolation > IsolationStrict || c.Security.RowFilter > RowFilterBoth {
		errs = append(errs, errors.New("Security holds a value that is none of the constants"))
	}
	return errors.Join(errs...)
}

// checkResolvers reports resolvers without a root field or event type.
func (c *Config) checkResolvers(schema *gql.Schema) error {
	if schema.Schemaless {
		return nil
	}
	var errs []error
	for name := range c.Resolvers {
		if !isRootField(schema, name) && !listsType(schema, name) {
			errs = append(errs, fmt.Errorf("config: Resolvers[%q]: the schema has no field Subscription.%s, and no field lists it as an event type", name, name))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return len(a.Error()) - len(b.Error()) })
	return errors.Join(errs...)
}
