package hub

import (
	"fmt"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Subscribers come and go while events are dispatched. Each that stays gets every event accepted after it
// joined, in order; nothing is left when all have gone.
func TestChurn(t *testing.T) {
	w := newWorld(t, Addressing{})
	one := w.plan(`subscription($i: ID) { order(id: $i) { id total } }`)
	all := w.plan(`subscription { order { total } }`)
	stays := w.join(newConn(), all, `{}`, user("stays"))
	const workers, rounds, events = 4, 200, 800
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() {
			conn := newConn()
			for i := range rounds {
				p, vars := all, `{}`
				if i%2 == 0 {
					p, vars = one, fmt.Sprintf(`{"i":"%d"}`, i%7)
				}
				s := w.join(conn, p, vars, tenant(fmt.Sprint(k, i%20)))
				for next(s) != "" {
				}
				s.Complete()
				s.Complete()
			}
		})
	}
	for i := range events {
		w.publish(event.Event{Channel: "orders", Data: fmt.Appendf(nil, `{"id":"%d","total":%d}`, i%7, i)})
	}
	wg.Wait()
	for i := range events {
		if got, want := next(stays), fmt.Sprintf(`{"data":{"order":{"total":%d}}}`, i); got != want {
			t.Fatalf("event %d: got %s", i, got)
		}
	}
	stays.Complete()
	if ch, g, n := w.hub.Sizes(); ch+g+n != 0 || len(w.hub.domains.live) != 0 {
		t.Errorf("left over: %d channels, %d groups, %d subscriptions, %d domains", ch, g, n, len(w.hub.domains.live))
	}
	table := w.hub.shards.Load()
	for i := range table {
		if len(table[i].channels) != 0 {
			t.Error("a channel is left in its shard")
		}
	}
}

// leaver completes another subscription when it is woken: in the middle of a dispatch.
type leaver struct {
	once  sync.Once
	leave func()
}

func (l *leaver) Wake(*queue.Queue) { l.once.Do(l.leave) }

func TestLeaveInTheMiddleOfADispatch(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { order { id } }`)
	var subs []*Subscription
	gone := make(chan struct{})
	l := &leaver{leave: func() {
		go func() {
			for _, s := range subs[1:300] {
				s.Complete()
			}
			close(gone)
		}()
	}}
	first := &queue.Conn{}
	first.Init(l, nil)
	subs = append(subs, w.join(first, p, `{}`, user("u")))
	for range 600 {
		subs = append(subs, w.join(newConn(), p, `{}`, user("u")))
	}
	w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":1}`)})
	<-gone
	if n := w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":2}`)}); n != 302 {
		t.Errorf("reached %d, want 302", n)
	}
	for i, s := range subs[300:] {
		if next(s) != `{"data":{"order":{"id":"1"}}}` || next(s) != `{"data":{"order":{"id":"2"}}}` || next(s) != "" {
			t.Fatalf("subscription %d did not get both", i)
		}
	}
}

func TestCompletedBetweenBeginAndJoin(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { order { id } }`)
	j := &Join{Conn: newConn(), ID: []byte("s"), Plan: p, Variables: []byte("{}"), Identity: user("u"), Policy: &queue.Policy{Messages: 10, Bytes: 1000}}
	s, errs := w.hub.Join(j, func(s *Subscription) bool { s.Complete(); return true })
	if s == nil || errs != nil {
		t.Fatal(s, errs)
	}
	if s, errs := w.hub.Join(j, func(*Subscription) bool { return false }); s != nil || errs != nil {
		t.Fatal(s, errs)
	}
	if n := w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":2}`)}); n != 0 {
		t.Errorf("reached %d", n)
	}
	if ch, g, n := w.hub.Sizes(); ch+g+n != 0 {
		t.Errorf("left over: %d channels, %d groups, %d subscriptions", ch, g, n)
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t, Addressing{})
	w.limit(func(l *Limits) { l.GroupsPerChannel, l.GroupsPerTenant = 3, 2 })
	p := w.plan(`subscription($i: ID) { order(id: $i) { id } }`)
	try := func(who string, id int) bool {
		j := w.request(newConn(), p, fmt.Sprintf(`{"i":"%d"}`, id), tenant(who))
		_, errs := w.hub.Join(j, nil)
		if len(errs) > 0 && errs[0].Code != "LIMIT_EXCEEDED" {
			t.Error(errs[0])
		}
		return len(errs) == 0
	}
	if !try("a", 1) || !try("a", 2) || try("a", 3) {
		t.Error("a tenant may make two groups")
	}
	if !try("a", 1) || !try("b", 3) || try("b", 4) {
		t.Error("a channel may have three groups; joining one of them is free")
	}
}

// Past the bound of shapes the first path is the key and the filter does the rest: the same answers.
func TestManyInValuesAndShapes(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription($i: ID, $s: [String!]) { order(id: $i, status: $s) { id } }`)
	list := `"open"`
	for i := range 31 {
		list += fmt.Sprintf(`,"s%d"`, i)
	}
	hit := w.join(newConn(), p, `{"i":"42","s":[`+list+`]}`, user("u"))
	miss := w.join(newConn(), p, `{"i":"42","s":["a","b"]}`, user("u"))
	none := w.join(newConn(), p, `{"i":"42","s":[]}`, user("u"))
	if n := w.hub.Deliver(&bus.Message{Event: event.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}}); n != 1 {
		t.Errorf("reached %d, want 1", n)
	}
	if next(hit) == "" || next(miss) != "" || next(none) != "" {
		t.Error("IN must hold for one of its values only")
	}
	for _, s := range []*Subscription{hit, miss, none} {
		s.Complete()
	}
	if ch, g, n := w.hub.Sizes(); ch+g+n != 0 {
		t.Errorf("left over: %d channels, %d groups, %d subscriptions", ch, g, n)
	}
}
