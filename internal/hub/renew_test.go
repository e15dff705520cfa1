package hub

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// A resolver answers while the members of a group move to what it becomes: the result waits for the last of them.
func TestResultsWaitForMembersThatMove(t *testing.T) {
	w := newWorld(t, Addressing{})
	var asked sink
	p := w.plan(`subscription { order { id } }`)
	var subs []*Subscription
	r := asked.resolver()
	for range 3 {
		subs = append(subs, w.joinLate(p, user("a"), r, nil))
	}
	for range 2 {
		w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	}
	schema, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "test.graphql", Text: testSDL}}, gql.SchemaOptions{})
	if errs != nil {
		t.Fatal(errs)
	}
	w.schema = schema
	renewed := w.plan(`subscription { order { id } }`)
	judged := 0
	w.hub.cfg.Renew = func(j *Join) *Renewal {
		return &Renewal{Plan: renewed, Variables: j.Variables, Tape: j.Tape, Policy: subs[0].Policy(), Admit: func(*identity.Identity) (policy.Mask, []*gql.Error) {
			if judged++; judged == 2 {
				for _, r := range asked.list {
					r.Resolve([]byte(`{"id":"` + []string{"1", "2"}[r.seq-1] + `"}`))
				}
			}
			return 0, nil
		}}
	}
	if sum := w.hub.Renew(schema.Generation); sum.Moved != 3 || judged != 3 {
		t.Fatalf("%+v, %d judged", sum, judged)
	}
	for i, s := range subs {
		if one, two, three := next(s), next(s), next(s); one != order("1") || two != order("2") || three != "" {
			t.Errorf("%d: %s %s %s", i, one, two, three)
		}
	}
}

// A replay has read all that there is, and waits for its first event; results that are due are in its group's lane. They go
// with it.
func TestDueResultsGoWithAReplayThatWaits(t *testing.T) {
	w, carrier := onCarrier(t, 3)
	for i := 1; i <= 3; i++ {
		carrier.publish(numbered(i, "a"))
	}
	carrier.mu.Lock()
	carrier.wanted = true // nothing of that is delivered
	carrier.mu.Unlock()
	var asked sink
	r := asked.resolver()
	c := newClient(w, ordersQuery, tenant("a"))
	c.answer = func(j *Join) { j.Resolver = r }
	c.cursor = string(w.hub.cursor("orders", standing{at: carrier.history[0].Position.Before()}))
	c.resume()
	if c.first() != queue.Recovered || len(asked.list) != 3 {
		t.Fatalf("%d were asked for", len(asked.list))
	}
	if sum := w.renew(ordersQuery, func() {}); sum.Moved != 1 {
		t.Fatalf("%+v", sum)
	}
	for _, r := range asked.list {
		r.Resolve(negated(r.Event()))
	}
	for want := 1; want <= 3; want++ {
		if m, ok := c.next(10 * time.Second); !ok || total(t, m.data) != -want {
			t.Fatalf("%+v, want event %d", m, want)
		}
	}
}

// Results that are due to a replay that waits, and come while members move, are projected by what it may see, not by what they may.
func TestDueResultsOfAReplayThatMaySeeLess(t *testing.T) {
	w, carrier := onCarrier(t, 3)
	slow := &slowForOne{}
	r := slow.resolver()
	const query = `subscription { order { total secret } }`
	p := w.plan(query)
	var members []*client
	for range 2 {
		c := newClient(w, query, tenant("a"))
		c.answer = func(j *Join) { j.Plan, j.Resolver = p, r }
		c.resume()
		c.first()
		members = append(members, c)
	}
	carrier.publish(numbered(1, "a"))
	for _, c := range members {
		c.wantTotals(-1)
	}
	deliver := func(wanted bool) {
		carrier.mu.Lock()
		defer carrier.mu.Unlock()
		carrier.wanted = wanted
	}
	deliver(false)
	carrier.publish(numbered(2, "a"))
	deliver(true)
	back := newClient(w, query, tenant("a"))
	back.answer, back.cursor = members[0].answer, members[0].cursor
	back.resume()
	if back.first() != queue.Recovered || slow.asked() != 1 || back.sub.cell != nil {
		t.Fatalf("%d were asked for", slow.asked())
	}
	less, judged := back.sub.who.Load(), 0
	if sum := w.renewAs(query, func(who *identity.Identity) (policy.Mask, []*gql.Error) {
		if who == less {
			return 1, nil
		}
		if judged++; judged == 2 {
			for _, r := range slow.kept.list {
				r.Resolve([]byte(`{"total":2,"secret":3}`))
			}
		}
		return 0, nil
	}); sum.Moved != 3 {
		t.Fatalf("%+v", sum)
	}
	if m, ok := back.next(10 * time.Second); !ok || m.data != `{"data":{"order":{"total":2,"secret":null}}}` {
		t.Errorf("%+v", m)
	}
}

// renew puts the same schema in force once more, and calls a function before each subscription is judged.
func (w *world) renew(query string, judge func()) Renewed {
	w.tb.Helper()
	return w.renewAs(query, func(*identity.Identity) (policy.Mask, []*gql.Error) {
		judge()
		return 0, nil
	})
}

// renewAs puts the same schema in force once more, under which a function judges each subscription.
func (w *world) renewAs(query string, admit func(*identity.Identity) (policy.Mask, []*gql.Error)) Renewed {
	w.tb.Helper()
	schema, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "test.graphql", Text: testSDL}}, gql.SchemaOptions{})
	if errs != nil {
		w.tb.Fatal(errs)
	}
	w.schema = schema
	renewed := w.plan(query)
	w.hub.cfg.Renew = func(j *Join) *Renewal {
		return &Renewal{Plan: renewed, Variables: j.Variables, Tape: j.Tape, Policy: &queue.Policy{Messages: 1000, Bytes: 4 << 20}, Admit: admit}
	}
	return w.hub.Renew(schema.Generation)
}

// unlocked is an observer that wants a channel's turn when it is told of drops.
type unlocked struct {
	*counts
	see func()
}

func (u unlocked) Counted(k observe.Counter, label string, n int) {
	if k == observe.Dropped {
		u.see()
	}
	u.counts.Counted(k, label, n)
}

// A schema is replaced while results are due to one whose queue is full, and another subscription ends: whoever is told of that may
// wait for the channel.
func TestRenewTellsWithoutALock(t *testing.T) {
	w := newWorld(t, Addressing{})
	var c *channel
	drops, left, judged := 0, 0, 0
	see := func(n *int) func() {
		return func() {
			*n++
			if !c.turn.TryLock() {
				t.Error("told under the channel's turn")
				return
			}
			c.turn.Unlock()
		}
	}
	w.hub.cfg.Observer = unlocked{w.counts, see(&drops)}
	seeLeft := see(&left)
	w.hub.cfg.Left = func(*Subscription) { seeLeft() }
	var asked sink
	const query = `subscription { oldest { id } }`
	p := w.plan(query)
	by := asked.resolver()
	s := w.joinLate(p, user("stays"), by, nil)
	w.joinLate(p, user("stays"), by, nil)
	c = s.channel
	w.join(newConn(), p, `{}`, user("ends"))
	for range 4 {
		w.publish(event.Event{Channel: "oldest", Data: []byte(orderData)})
	}
	schema, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "test.graphql", Text: testSDL}}, gql.SchemaOptions{})
	if errs != nil {
		t.Fatal(errs)
	}
	w.schema, drops = schema, 0
	renewed := w.plan(query)
	w.hub.cfg.Ended = func([]*gql.Error) []byte { return []byte("[]") }
	w.hub.cfg.Renew = func(j *Join) *Renewal {
		return &Renewal{Plan: renewed, Variables: j.Variables, Tape: j.Tape, Policy: s.Policy(), Admit: func(who *identity.Identity) (policy.Mask, []*gql.Error) {
			if who.UserID == "ends" {
				return 0, errChannel
			}
			if judged++; judged == 2 { // the results wait for who is judged
				for _, r := range asked.list {
					r.Resolve([]byte(`{"id":"1"}`))
				}
			}
			return 0, nil
		}}
	}
	if sum := w.hub.Renew(schema.Generation); sum.Moved != 2 || sum.Ended != 1 {
		t.Fatalf("%+v", sum)
	}
	if drops != 1 || left != 1 || s.Len() != 3 {
		t.Errorf("told %d times of drops, %d times of an end; %d messages wait", drops, left, s.Len())
	}
}
