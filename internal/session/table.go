package session

import (
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// op is one active operation. Its JSON-escaped id is key, or, when key is empty, the id of sub.
type op struct {
	key   string
	sub   *hub.Subscription // nil while the operation is being prepared
	token uint32            // of the request: an id that is used again has another one
	held  uint16            // KiB of its message
	ended bool              // its last message is about to be written, see Machine.Ended
}

// has reports whether the operation, nil for none, has the subscription of a queue.
func (o *op) has(q *queue.Queue) bool { return o != nil && o.sub != nil && &o.sub.Queue == q }

func (o *op) is(id []byte) bool {
	if o.key != "" {
		return o.key == string(id)
	}
	return o.sub != nil && o.sub.IDIs(id)
}

func (o *op) free() bool { return o.key == "" && o.sub == nil }

// indexAbove is the number of operations that are found by looking at each.
const indexAbove = 8

// table holds the active operations of a connection: the first one inline, because most connections have one,
// then a slice, then an index by id. Pointers to operations are valid until the next add or remove.
type table struct {
	first op
	more  *overflow
}

// overflow is what does not fit inline. Operations in index have their key set.
type overflow struct {
	ops   []op
	index map[string]int32
	early []*Request // of the legacy protocol: they wait for the acknowledgement
	fence *fence     // nil when no pong waits
}

func (t *table) len() int {
	n := 0
	if !t.first.free() {
		n = 1
	}
	if t.more != nil {
		n += len(t.more.ops)
	}
	return n
}

// live is len without those that have ended.
func (t *table) live() (n int) {
	for o := range t.all {
		if !o.ended {
			n++
		}
	}
	return n
}

// held is the KiB of the messages of all operations that have not ended.
func (t *table) held() (sum int) {
	for o := range t.all {
		if !o.ended {
			sum += int(o.held)
		}
	}
	return sum
}

// indexed reports whether operations must keep their keys.
func (t *table) indexed() bool { return t.more != nil && t.more.index != nil }

// find returns the operation of that JSON-escaped id, or nil. Ids are never empty.
func (t *table) find(id []byte) *op {
	if t.first.is(id) {
		return &t.first
	}
	if t.more == nil {
		return nil
	}
	if t.more.index != nil {
		if i, ok := t.more.index[string(id)]; ok {
			return &t.more.ops[i]
		}
		return nil
	}
	for i := range t.more.ops {
		if t.more.ops[i].is(id) {
			return &t.more.ops[i]
		}
	}
	return nil
}

// add puts in an operation that has a key and is not in the table.
func (t *table) add(o op) {
	if t.first.free() {
		t.first = o
		return
	}
	if t.more == nil {
		t.more = &overflow{}
	}
	v := t.more
	v.ops = append(v.ops, o)
	switch {
	case v.index != nil:
		v.index[o.key] = int32(len(v.ops) - 1)
	case len(v.ops) > indexAbove:
		v.index = make(map[string]int32, 2*len(v.ops))
		for i := range v.ops {
			if v.ops[i].key == "" {
				v.ops[i].key = string(v.ops[i].sub.AppendID(nil))
			}
			v.index[v.ops[i].key] = int32(i)
		}
	}
}

// remove takes out an operation that find returned for that id.
func (t *table) remove(o *op, id []byte) {
	if o == &t.first {
		t.first = op{}
		return
	}
	v, last := t.more, len(t.more.ops)-1
	if moved := &v.ops[last]; moved != o {
		if v.index != nil {
			v.index[moved.key] = v.index[string(id)]
		}
		*o = *moved
	}
	if v.index != nil {
		delete(v.index, string(id))
	}
	v.ops[last] = op{}
	if v.ops = v.ops[:last]; last == 0 {
		t.settle()
	}
}

// settle drops an overflow that holds nothing.
func (t *table) settle() {
	if v := t.more; len(v.ops) == 0 && v.early == nil && v.fence == nil {
		t.more = nil
	}
}

// addEarly keeps a request of an operation in the table, takeEarly returns and forgets those that were kept.
func (t *table) addEarly(r *Request) {
	if t.more == nil {
		t.more = &overflow{}
	}
	t.more.early = append(t.more.early, r)
}

func (t *table) takeEarly() []*Request {
	if t.more == nil {
		return nil
	}
	list := t.more.early
	t.more.early = nil
	t.settle()
	return list
}

// fence is what holds pongs back, or nil. setFence puts another in its place.
func (t *table) fence() *fence {
	if t.more == nil {
		return nil
	}
	return t.more.fence
}

func (t *table) setFence(f *fence) {
	if t.more == nil {
		t.more = &overflow{}
	}
	t.more.fence = f
	t.settle()
}

// all yields every operation; the table must not change meanwhile.
func (t *table) all(yield func(*op) bool) {
	if !t.first.free() && !yield(&t.first) {
		return
	}
	if t.more == nil {
		return
	}
	for i := range t.more.ops {
		if !yield(&t.more.ops[i]) {
			return
		}
	}
}
