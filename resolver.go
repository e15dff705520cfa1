package fraiseql

import (
	"context"
	"encoding/json"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
)

// Skip from a resolver means: no message for this event.
var Skip = hub.ErrSkip

// Resolver computes the value of a root field, once per group of equal subscriptions and event (CONTRACT 5).
type Resolver struct {
	// Resolve returns the field's value, which is projected like data: anything that encoding/json encodes, or
	// the text itself as json.RawMessage or []byte; nil is null, Skip as the error means no message. ctx ends
	// after Limits.ResolverTimeout. variables is the JSON object of the coerced variables. who is nil unless
	// Context is set. Any other error, and a panic, becomes a masked GraphQL error at the field; the event is
	// never sent in its place. It is called from a bounded set of goroutines and may publish.
	Resolve func(ctx context.Context, ev *Event, variables json.RawMessage, who *ResolverContext) (any, error)
	// Context asks for the caller's identity; results are then shared by callers that are equal in it only.
	Context bool
}

// ResolverContext is the part of an identity that a resolver may see.
type ResolverContext struct {
	UserID, TenantID string
	Roles, Scopes    []string
}

func (r Resolver) internal() *hub.Resolver {
	return &hub.Resolver{Context: r.Context, Resolve: func(ctx context.Context, ev *event.Event, variables []byte, id *identity.Identity) ([]byte, error) {
		var who *ResolverContext
		if id != nil {
			who = &ResolverContext{UserID: id.UserID, TenantID: id.TenantID, Roles: id.Roles, Scopes: id.Scopes}
		}
		value, err := r.Resolve(ctx, ev, variables, who)
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
	}}
}

// orNull lets a nil slice stand for null, as nil of any other type does.
func orNull(text []byte) []byte {
	if text == nil {
		return []byte("null")
	}
	return text
}
