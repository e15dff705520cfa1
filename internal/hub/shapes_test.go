package hub

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/gql"
)

// TestNobodyIsLockedOutByShapes: without a schema a client can name any argument, but not use up the sets of
// arguments that others need.
func TestNobodyIsLockedOutByShapes(t *testing.T) {
	w := newWorld(t, Addressing{})
	w.schema = gql.Schemaless()
	var all []*Subscription
	for i := range 3 * maxShapes {
		all = append(all, w.join(newConn(), w.plan(fmt.Sprintf(`subscription { c(a%d: 1, b: 2) { id } }`, i)), `{}`, tenant("other")))
	}
	conn := newConn()
	hit := w.join(conn, w.plan(`subscription { c(room: "7", big: true) { id } }`), `{}`, tenant("mine"))
	miss := w.join(conn, w.plan(`subscription { c(room: "8", big: true) { id } }`), `{}`, tenant("mine"))
	every := w.join(conn, w.plan(`subscription { c { id } }`), `{}`, tenant("mine"))
	if hit == nil || miss == nil || every == nil {
		t.Fatal("locked out")
	}
	w.publish(event.Event{Channel: "c", TenantID: "mine", Data: []byte(`{"id":1,"room":7,"big":true}`)})
	if next(hit) == "" || next(every) == "" || next(miss) != "" {
		t.Error("the filter must hold without an index key, too")
	}
	if n := w.publish(event.Event{Channel: "c", TenantID: "other", Data: []byte(`{"id":1,"a0":"1","a191":1,"b":2,"room":7,"big":true}`)}); n != 2 || next(hit) != "" || next(every) != "" {
		t.Errorf("the other tenant's event reached %d, want its 2", n)
	}
	for _, s := range append(all, hit, miss, every) {
		s.Complete()
	}
	if ch, g, n := w.hub.Sizes(); ch+g+n != 0 {
		t.Errorf("left over: %d channels, %d groups, %d subscriptions", ch, g, n)
	}
}
