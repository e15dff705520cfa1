package hub

import (
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

var anyLeaf = scalar.Leaf{Kind: scalar.Untyped}

// finish sets what a message carries beside its payload: what LATEST compares.
func (d *dispatch) finish(g *Group, m *queue.Message) {
	if g.cursors {
		m.Extra = &queue.Extra{Cursor: d.cursorText()}
	}
	if !g.keyed {
		return
	}
	path := g.projection.Plan.Delivery.Key
	var buf [64]byte
	if key, ok := anyLeaf.AppendKey(buf[:0], d.tape, d.tape.Lookup(jsontape.Root, path)); ok {
		if m.Extra == nil {
			m.Extra = &queue.Extra{}
		}
		m.Extra.Key, m.Extra.Keyed = string(key), true
	}
}
