package fraiseql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/plan"
)

// Skip from a resolver means: no message for this event.
var Skip = hub.ErrSkip

// Resolver computes the value of a root field, once per group of equal subscriptions and event (docs/security.md). It has
// exactly one of Resolve and Deferred.
//
// A subscription uses its own resolver, else that of its root field, else that of the type of each event; events
// of types without one are then projected as they are, in their order among the others. Results of a group, in
// whatever order they come, reach its subscribers in the order of the events. What goes wrong becomes a masked
// GraphQL error at the field; the event is never sent in the place of a result.
type Resolver struct {
	// Resolve returns the field's value, which is projected like data: anything that encoding/json encodes, or
	// the text itself as json.RawMessage or []byte; nil is null, Skip as the error means no message. ctx ends
	// after Limits.ResolverTimeout. variables is the JSON object of the coerced variables. who is nil unless
	// Context is set. Any other error, and a panic, fails. It may publish. At most Limits.ResolverWorkers calls are
	// waited for at a time. One that does not heed ctx goes on beside them when its time is over: while twice as many
	// calls of one resolver, or 16 times as many of all, have not returned, it is not called, and its events fail at once
	// as those that took too long. A resolver that hangs so keeps the workers from others for twice the timeout at most.
	Resolve func(ctx context.Context, ev *Event, variables json.RawMessage, who *ResolverContext) (any, error)
	// Deferred takes a request that is answered later, or at once, from any goroutine; Limits.ResolverTimeout after
	// the call the engine answers for it that it took too long. On the memory bus it is called by the goroutine that
	// publishes, after the batch was matched and before Publish returns: it may publish. On other buses the goroutine
	// that delivers calls it, and publishing there, which waits for the bus, is for another goroutine. No lock is
	// held; it must not block. A panic fails.
	Deferred func(r *ResolveRequest)
	// Queued is for hosts that take the requests for Deferred one after the other: what one may take counts from its
	// ResolveRequest.Begin. Until then it waits for its turn, twelve times Limits.ResolverTimeout at most.
	Queued bool
	// Context asks for the caller's identity; results are then shared by callers that are equal in it only.
	Context bool
}

// ResolverContext is the part of an identity that a resolver may see.
type ResolverContext struct {
	UserID, TenantID string
	Roles, Scopes    []string
}

// ResolveRequest asks a deferred resolver for the value of a root field for one event and one group of
// subscriptions. The first of Resolve, Skip and Fail answers it; they report false when it was answered before,
// has timed out, or nobody waits for it any more. All methods are safe for concurrent use. What they return must
// not be changed.
type ResolveRequest hub.Request

func (r *ResolveRequest) request() *hub.Request { return (*hub.Request)(r) }

// Event returns the event, as it was published.
func (r *ResolveRequest) Event() *Event { return r.request().Event() }

// Variables returns the JSON object of the coerced variables.
func (r *ResolveRequest) Variables() json.RawMessage { return r.request().Variables() }

// Context returns who asks, nil unless the resolver has Context set.
func (r *ResolveRequest) Context() *ResolverContext { return contextOf(r.request().Who()) }

// Field returns the name of the root field.
func (r *ResolveRequest) Field() string { return r.request().Field() }

// Begin says that it is the turn of a request of a resolver that has Queued set. False when an answer would not count
// any more: nothing needs to be called then.
func (r *ResolveRequest) Begin() bool { return r.request().Begin() }

// Waits reports whether an answer would count now: a host that keeps requests can leave out those that do not wait.
func (r *ResolveRequest) Waits() bool { return r.request().Waits() }

// Resolve answers with the JSON text of the field's value, nil for null. The text is not kept.
func (r *ResolveRequest) Resolve(value json.RawMessage) bool {
	return r.request().Resolve(orNull(value))
}

// Skip answers that there is no message for this event.
func (r *ResolveRequest) Skip() bool { return r.request().Skip() }

// Fail answers that the value could not be computed. err is for the log; subscribers get a masked error.
func (r *ResolveRequest) Fail(err error) bool { return r.request().Fail(err) }

// SetResolver sets the resolver of a root field or of an event type for subscriptions made from now on; those that
// exist keep what they have. A name that the schema has as a root field means that field. Without a schema a name
// means both, the field (the channel) and the event type.
func (e *Engine) SetResolver(name string, r Resolver) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("set resolver %q: %w", name, err)
	}
	if err := e.checkResolverName(name); err != nil {
		return fmt.Errorf("set resolver %q: %w", name, err)
	}
	made := r.internal()
	for {
		old := e.resolvers.Load()
		if e.resolvers.CompareAndSwap(old, old.with(e.schema.Load().Schema, name, made)) {
			return nil
		}
	}
}

func (e *Engine) checkResolverName(name string) error {
	s := e.schema.Load().Schema
	if !s.Schemaless && isRootField(s, name) {
		return nil
	}
	if field, ok := strings.CutPrefix(name, "Subscription."); ok {
		return fmt.Errorf("name the root field alone, %q", field)
	}
	if err := event.ValidateType(name); err != nil {
		return errors.New("the name " + err.Message)
	}
	if !s.Schemaless && !takesType(s, name) {
		return errors.New("the schema has no such root field, and no root field takes events of such a type")
	}
	return nil
}

func (r *Resolver) validate() error {
	if (r.Resolve == nil) == (r.Deferred == nil) {
		return errors.New("a resolver has exactly one of Resolve and Deferred")
	}
	return nil
}

// resolvers are those of an engine at one time. They do not change.
type resolvers struct {
	all            map[string]*hub.Resolver // by the names that they were set with
	fields, byType map[string]*hub.Resolver
	types          *hub.Types // of byType
}

func (e *Engine) setResolvers(list map[string]Resolver) {
	all := new(resolvers)
	for name, r := range list {
		all = all.with(e.schema.Load().Schema, name, r.internal())
	}
	e.resolvers.Store(all)
}

// with returns a copy in which a name has another resolver.
func (s *resolvers) with(schema *gql.Schema, name string, r *hub.Resolver) *resolvers {
	c := *s
	if c.all = maps.Clone(s.all); c.all == nil {
		c.all = make(map[string]*hub.Resolver)
	}
	c.all[name] = r
	root := isRootField(schema, name)
	if root || schema.Schemaless {
		if c.fields = maps.Clone(s.fields); c.fields == nil {
			c.fields = make(map[string]*hub.Resolver)
		}
		c.fields[name] = r
	}
	if !root {
		if c.byType = maps.Clone(s.byType); c.byType == nil {
			c.byType = make(map[string]*hub.Resolver)
		}
		c.byType[name] = r
		c.types = hub.NewTypes(c.byType)
	}
	return &c
}

// under returns the resolvers as another schema divides them into those of fields and those of event types.
func (s *resolvers) under(schema *gql.Schema) *resolvers {
	c := &resolvers{}
	for name, r := range s.all {
		c = c.with(schema, name, r)
	}
	if maps.Equal(c.byType, s.byType) { // groups know them by their address
		c.types = s.types
	}
	return c
}

// of returns the resolver of the root field, else those by event type if one of them can apply.
func (s *resolvers) of(p *plan.Plan) (*hub.Resolver, *hub.Types) {
	if r := s.fields[p.RootName]; r != nil || s.types == nil {
		return r, nil
	}
	if len(p.Types) > 0 && !slices.ContainsFunc(p.Types, func(t string) bool { return s.types.Of(t) != nil }) {
		return nil, nil
	}
	return nil, s.types
}

// resolves reports whether what a subscription may need a resolver for has one: a field without parts, for every
// type of event.
func resolves(j *hub.Join) bool {
	p := j.Plan
	if j.Resolver != nil || p.Root == nil || !p.Root.Type.Name().IsLeaf() {
		return true
	}
	return len(p.Types) > 0 && !slices.ContainsFunc(p.Types, func(t string) bool { return j.Types.Of(t) == nil })
}

func isRootField(schema *gql.Schema, name string) bool {
	return schema.Subscription != nil && schema.Subscription.Field(name) != nil
}

// listsType reports whether a root field names that event type.
func listsType(schema *gql.Schema, name string) bool {
	return schema.Subscription != nil && slices.ContainsFunc(schema.Subscription.Fields, func(f *gql.Field) bool {
		return slices.Contains(f.Source.Types, name)
	})
}

// takesType reports whether a root field takes events of that type.
func takesType(schema *gql.Schema, name string) bool {
	return listsType(schema, name) || schema.Subscription != nil && slices.ContainsFunc(schema.Subscription.Fields, func(f *gql.Field) bool {
		return len(f.Source.Types) == 0
	})
}

// own returns the resolver of one registration, nil for none.
func (r *Resolver) own() (*hub.Resolver, error) {
	if r == nil {
		return nil, nil
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	made := r.internal()
	made.Same = r
	return made, nil
}

func (r *Resolver) internal() *hub.Resolver {
	made := &hub.Resolver{Context: r.Context, Queued: r.Queued}
	if f := r.Deferred; f != nil {
		made.Deferred = func(r *hub.Request) { f((*ResolveRequest)(r)) }
		return made
	}
	f := r.Resolve
	made.Resolve = func(ctx context.Context, ev *event.Event, variables []byte, id *identity.Identity) ([]byte, error) {
		value, err := f(ctx, ev, variables, contextOf(id))
		if err != nil {
			return nil, err
		}
		switch v := value.(type) {
		case json.RawMessage:
			return orNull(v), nil
		case []byte:
			return orNull(v), nil
		}
		return json.Marshal(value)
	}
	return made
}

func contextOf(id *identity.Identity) *ResolverContext {
	if id == nil {
		return nil
	}
	return &ResolverContext{UserID: id.UserID, TenantID: id.TenantID, Roles: id.Roles, Scopes: id.Scopes}
}

// orNull lets a nil slice stand for null, as nil of any other type does.
func orNull(text []byte) []byte {
	if text == nil {
		return []byte("null")
	}
	return text
}
