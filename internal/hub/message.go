package hub

import (
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

var anyLeaf = scalar.Leaf{Kind: scalar.Untyped}

// extended is a message that has an Extra, in one allocation.
type extended struct {
	queue.Message
	extra queue.Extra
}

// extend returns a message with a payload and what the group's messages carry beside it.
func (d *dispatch) extend(g *Group, payload []byte) *queue.Message {
	m := &extended{}
	m.Payload = payload
	if d.describe(g, &m.extra) {
		m.Extra = &m.extra
	}
	return &m.Message
}

// describe sets what a group's message carries beside its payload: what LATEST compares, and the cursor. It returns false when
// that is nothing.
func (d *dispatch) describe(g *Group, x *queue.Extra) bool {
	if g.cursors {
		x.Cursor = d.cursorText()
	}
	if !g.keyed {
		return g.cursors
	}
	path := g.projection.Plan.Delivery.Key
	var buf [64]byte
	key, ok := anyLeaf.AppendKey(buf[:0], d.tape, d.tape.Lookup(jsontape.Root, path))
	if ok {
		x.Key, x.Keyed = string(key), true
	}
	return ok || g.cursors
}
