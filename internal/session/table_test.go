package session

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// TestTableAgreesWithMap adds, finds and removes at random, below and above the bounds at which the table
// changes its form, and compares with a map.
func TestTableAgreesWithMap(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var conn queue.Conn
		conn.Init(nobody{}, nil)
		var table table
		model := map[string]uint32{}
		for step := range 2000 {
			id := []byte(fmt.Sprint("id", r.IntN(1+int(seed)*3)))
			o := table.find(id)
			token, known := model[string(id)]
			if (o != nil) != known || known && o.token != token {
				t.Fatalf("seed %d, step %d: found %v, want %v %d", seed, step, o, known, token)
			}
			switch {
			case !known:
				token = uint32(step + 1)
				table.add(op{key: string(id), token: token})
				model[string(id)] = token
			case r.IntN(2) == 0 && o.sub == nil:
				o.sub = &hub.Subscription{}
				o.sub.Init(&conn, &queue.Policy{}, id, false)
				if !table.indexed() {
					o.key = ""
				}
			case r.IntN(3) > 0:
				table.remove(o, id)
				delete(model, string(id))
			}
			if table.len() != len(model) {
				t.Fatalf("seed %d, step %d: %d operations, want %d", seed, step, table.len(), len(model))
			}
		}
		seen := 0
		for o := range table.all {
			seen++
			if o.free() {
				t.Error("an operation that is none")
			}
		}
		if seen != len(model) {
			t.Errorf("seed %d: visited %d of %d", seed, seen, len(model))
		}
	}
}

// TestSizes holds what an idle connection with one operation costs beside its queue and subscription.
func TestSizes(t *testing.T) {
	if size := unsafe.Sizeof(Machine{}); size > 80 {
		t.Errorf("a Machine has %d bytes, want at most 80", size)
	}
	if size := unsafe.Sizeof(Driver{}); size > 112 {
		t.Errorf("a Driver has %d bytes, want at most 112", size)
	}
}

// TestIDIsHeldOnce checks that the table lets go of the id of a live subscription, which holds it.
func TestIDIsHeldOnce(t *testing.T) {
	p := newPlayer(t, Options{})
	p.play(live1)
	if key := p.machine.ops.first.key; key != "" {
		t.Errorf("the table holds %q", key)
	}
}
