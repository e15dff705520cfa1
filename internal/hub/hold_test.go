package hub

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// mixedSizes are lengths of payloads: many in a block, few, none.
var mixedSizes = []int{20, 4_000, 20_000}

func text(n int) string { return strings.Repeat("x", n) }

// quietWorld is one group that has many events, and others, each of a channel of its own, that have few.
type quietWorld struct {
	*world
	hot  *Subscription
	subs []*Subscription
}

func (w *quietWorld) readAll() {
	for next(w.hot) != "" {
	}
	for _, s := range w.subs {
		for next(s) != "" {
		}
	}
}

// round is one event for a quiet group with many for the others around it.
func (w *quietWorld) round(t *testing.T, quiet event.Event, receivers, size int) {
	data := []byte(`{"id":"1","status":"` + text(size) + `"}`)
	for i := range 127 {
		if i == 64 {
			if n := w.publish(quiet); n != receivers {
				t.Fatalf("%d receive what is on %s, want %d", n, quiet.Channel, receivers)
			}
		}
		w.publish(event.Event{Channel: "hot", Data: data, Broadcast: true})
		w.readAll()
	}
}

// TestQuietGroupsHoldNothing: what was delivered is not in memory any more, however many groups had an event lately.
func TestQuietGroupsHoldNothing(t *testing.T) {
	const groups = 16
	one := func(w *quietWorld, i int) {
		w.subs = append(w.subs, w.join(newConn(), w.plan(fmt.Sprintf(`subscription { c%d { id status } }`, i)), `{}`, tenant("a")))
	}
	for name, join := range map[string]func(*quietWorld, int){
		"one cell": one,
		"two cells": func(w *quietWorld, i int) {
			one(w, i)
			w.subs = append(w.subs, w.join(newConn(), w.plan(fmt.Sprintf(`subscription { c%d { id status } }`, i)), `{}`, tenant("b")))
		},
	} {
		for _, size := range mixedSizes {
			t.Run(fmt.Sprintf("%s/%d bytes", name, size), func(t *testing.T) {
				w := &quietWorld{world: newWorld(t, Addressing{})}
				w.schema = gql.Schemaless()
				w.hot = w.join(newConn(), w.plan(`subscription { hot { id status } }`), `{}`, tenant("a"))
				for i := range groups {
					join(w, i)
				}
				w.round(t, event.Event{Channel: "c0", Broadcast: true, Data: []byte(`{"id":"1"}`)}, len(w.subs)/groups, size)
				before := liveBytes()
				for i := range groups {
					quiet := event.Event{Channel: fmt.Sprint("c", i), Broadcast: true, Data: []byte(`{"id":"1","status":"` + text(50_000) + `"}`)}
					w.round(t, quiet, len(w.subs)/groups, size)
				}
				if per := (liveBytes() - before) / groups; per >= 1024 {
					t.Errorf("%d live bytes for each group that is quiet", per)
				}
				runtime.KeepAlive(w)
			})
		}
	}
}

// held publishes to many that read at once, and to a few that keep what they get; it returns the live bytes of each message that
// is kept.
func held(t *testing.T, p func(*world) *plan.Plan, channel string, kept, size int) int64 {
	const messages, between = 32, 127
	w := newWorld(t, Addressing{})
	reads := w.join(newConn(), p(w), `{}`, tenant("reads"))
	keeps := w.join(newConn(), p(w), `{}`, tenant("keeps"))
	data, own := []byte(`{"id":"1","status":"`+text(size)+`"}`), []byte(`{"id":"1","status":"`+text(kept)+`"}`)
	list := make([]*queue.Message, 0, messages)
	before := liveBytes()
	for range messages {
		for i := range between {
			ev := event.Event{Channel: channel, TenantID: "reads", Data: data}
			if i == between/2 {
				ev.TenantID, ev.Data = "keeps", own
			}
			w.publish(ev)
			next(reads)
		}
		it, ok, _ := keeps.Pop()
		if !ok {
			t.Fatal("nothing came")
		}
		list = append(list, it.Message)
	}
	per := (liveBytes() - before) / messages
	runtime.KeepAlive(w)
	runtime.KeepAlive(list)
	return per
}

// TestMessagesHoldLittle: who keeps one message, as a client that does not read, keeps it and the blocks it lies in, not those of
// other messages.
func TestMessagesHoldLittle(t *testing.T) {
	for channel, query := range map[string]string{
		"orders": `subscription { order { id status } }`,
		"latest": `subscription { latest { id status } }`,
	} {
		for _, kept := range mixedSizes {
			for _, size := range mixedSizes {
				per := held(t, func(w *world) *plan.Plan { return w.plan(query) }, channel, kept, size)
				if most := 2*slabBytes + 3*int64(kept)/2; per > most {
					t.Errorf("%s: a message of %d bytes among those of %d keeps %d alive, want %d at most", channel, kept, size, per, most)
				}
			}
		}
	}
}

// TestSlabHoldsLittle is TestMessagesHoldLittle for messages that are not of a dispatch.
func TestSlabHoldsLittle(t *testing.T) {
	const messages, between = 64, 127
	for _, extra := range []*queue.Extra{nil, {}} {
		for _, size := range mixedSizes {
			var s slab
			payload := text(size)
			var list []*queue.Message
			before := liveBytes()
			for i := range messages * between {
				of := extra
				if of != nil {
					of = &queue.Extra{Key: text(10_000)}
				}
				content := payload
				if i%between == 0 {
					content = "kept"
				}
				m := s.add(of, func(dst []byte) []byte { return append(dst, content...) })
				if i%between == 0 {
					list = append(list, m)
				}
			}
			most := int64(2 * slabBytes)
			if extra != nil {
				most += 10_000
			}
			if per := (liveBytes() - before) / messages; per > most {
				t.Errorf("payloads of %d bytes, Extra %v: a message keeps %d bytes alive, want %d at most", size, extra != nil, per, most)
			}
			runtime.KeepAlive(list)
			runtime.KeepAlive(&s)
		}
	}
}
