package gqlhttp

import (
	"sync"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// names finds streams and connections by the names that their clients asked for. It has as many as there are of these.
type names struct {
	n    atomic.Int64 // len(byID): most streams have no name, and need no lock to know that
	mu   sync.Mutex
	byID map[streamID]session.Renewable // guarded by mu, like of and busy
	of   map[session.Renewable]streamID
	busy map[streamID]struct{} // fresh credentials are being judged
}

func (n *names) init() {
	n.byID, n.of, n.busy = make(map[streamID]session.Renewable), make(map[session.Renewable]streamID), make(map[streamID]struct{})
}

func (n *names) add(r session.Renewable) streamID {
	id := newStreamID()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.byID[id], n.of[r] = r, id
	n.n.Add(1)
	return id
}

func (n *names) get(id streamID) session.Renewable {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byID[id]
}

func (n *names) forget(r session.Renewable) {
	if n.n.Load() == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.of[r]; ok {
		delete(n.of, r)
		delete(n.byID, id)
		n.n.Add(-1)
	}
}

// begin says that fresh credentials of a stream are judged from now on, unless others are.
func (n *names) begin(id streamID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, busy := n.busy[id]; busy {
		return false
	}
	n.busy[id] = struct{}{}
	return true
}

func (n *names) end(id streamID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.busy, id)
}

// whileThere calls f, which must be quick, unless r has no name any more: what ends it waits. It reports whether it did.
func (n *names) whileThere(r session.Renewable, f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.of[r]; !ok {
		return false
	}
	f()
	return true
}

// Name implements session.Namer.
func (h *Handler) Name(r session.Renewable) string { return h.node.issue(h.names.add(r)) }

// Forget implements session.Namer.
func (h *Handler) Forget(r session.Renewable) { h.names.forget(r) }

// find returns the stream of a name of this node; nil: there is none.
func (h *Handler) find(id streamID) session.Renewable {
	if s := h.singles.get(id); s != nil {
		return s
	}
	return h.names.get(id)
}

// tell gives a stream a name, if its client has asked for that by the extensions of its request.
func (x *exchange) tell(extensions []byte, r session.Renewable) {
	if len(extensions) == 0 {
		return
	}
	t := tapes.Get().(*jsontape.Tape)
	defer func() { t.Forget(); tapes.Put(t) }()
	if t.Parse(extensions, jsontape.Limits{Depth: maxDepth}) != nil || !session.WantsName(t, jsontape.Root) {
		return
	}
	x.name = x.h.Name(r)
	x.w.Header().Set(streamHeader, x.name)
}
