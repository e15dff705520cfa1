package hub

import (
	"context"
	"encoding/binary"
	"reflect"
	"slices"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// Resolver computes the value of a root field for a group of subscriptions. It has exactly one of Resolve and
// Deferred. It must not change once it was used.
type Resolver struct {
	// Context: the function is given who asks; groups are split by it.
	Context bool
	// Resolve returns the JSON text of the field's value. who is nil without Context. Workers call it.
	Resolve func(ctx context.Context, ev *event.Event, variables []byte, who *identity.Identity) ([]byte, error)
	// Deferred takes a request to be answered later. It is called without a lock once the turn is over, must not
	// block and may answer at once.
	Deferred func(r *Request)
	// Queued: requests for Deferred wait for their turn, Turns times as long as a call may take, until Begin says that it is there.
	Queued bool
	// Same is a pointer: resolvers with the same one are one resolver, and share groups. nil: this one alone.
	Same any
}

// address is the resolver's part of a group's key. Whoever has it in a key keeps what it points to alive.
func (r *Resolver) address() uint64 {
	if r.Same != nil {
		return uint64(reflect.ValueOf(r.Same).Pointer())
	}
	return uint64(uintptr(unsafe.Pointer(r)))
}

// contextOf is the part of an identity that a resolver may depend on: exactly what the group's key holds.
func contextOf(id *identity.Identity) *identity.Identity {
	return &identity.Identity{UserID: id.UserID, TenantID: id.TenantID, Roles: slices.Clone(id.Roles), Scopes: slices.Clone(id.Scopes)}
}

// Types are resolvers by event type. Events of other types pass unresolved. It is immutable.
type Types struct {
	byName  map[string]*Resolver
	context bool
}

// NewTypes returns the resolvers of a map, which must not change any more; nil if there are none.
func NewTypes(byName map[string]*Resolver) *Types {
	if len(byName) == 0 {
		return nil
	}
	t := &Types{byName: byName}
	for _, r := range byName {
		t.context = t.context || r.Context
	}
	return t
}

// Of returns the resolver of an event type, nil if there is none.
func (t *Types) Of(eventType string) *Resolver {
	if t == nil {
		return nil
	}
	return t.byName[eventType]
}

// appendResolver appends to a group's key what the result of a resolver is shared by: the resolver itself, and as
// much of the identity as the result may depend on (docs/security.md). The zero in front keeps such keys apart from
// those without a resolver, where the JSON text of the variables stands.
func (j *Join) appendResolver(dst []byte) []byte {
	aware := false
	if j.Resolver != nil {
		dst = append(dst, 0, 'r')
		dst = binary.LittleEndian.AppendUint64(dst, j.Resolver.address())
		aware = j.Resolver.Context
	} else {
		dst = append(dst, 0, 't')
		dst = binary.LittleEndian.AppendUint64(dst, uint64(uintptr(unsafe.Pointer(j.Types))))
		aware = j.Types.context
	}
	if j.salt != 0 {
		dst = binary.LittleEndian.AppendUint64(append(dst, 0, 's'), j.salt)
	}
	id := j.Identity
	dst = appendText(dst, id.TenantID, id.FederationID, id.ServiceName)
	if aware || j.Plan.Owner != nil {
		dst = appendText(dst, id.UserID)
	}
	if aware {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(id.Roles)))
		dst = appendText(dst, id.Roles...)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(id.Scopes)))
		dst = appendText(dst, id.Scopes...)
	}
	return dst
}

// newLane makes the lane of a group whose members have a resolver.
func (j *Join) newLane() *lane {
	l := &lane{resolver: j.Resolver, types: j.Types, salt: j.salt, variables: append([]byte(nil), j.Variables...)}
	if j.Resolver != nil {
		l.types = nil
	}
	if l.resolver != nil && l.resolver.Context || l.types != nil && l.types.context {
		l.context = contextOf(j.Identity)
	}
	return l
}
