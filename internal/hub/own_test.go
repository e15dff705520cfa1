package hub

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/policy"
)

// slowForOne is a deferred resolver that answers at once what is for all, and keeps what is for one subscription alone.
type slowForOne struct{ kept sink }

func (f *slowForOne) resolver() *Resolver {
	return &Resolver{Deferred: func(r *Request) {
		if r.followed().only == nil {
			r.Resolve(negated(r.Event()))
			return
		}
		f.kept.take(r)
	}}
}

func (f *slowForOne) asked() int {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	return len(f.kept.list)
}

func (f *slowForOne) answer() {
	f.kept.mu.Lock()
	list := f.kept.list
	f.kept.list = nil
	f.kept.mu.Unlock()
	for _, r := range list {
		r.Resolve(negated(r.Event()))
	}
}

// joinedWithDue is a world in which two subscribe in one group, of whom the second went away for due events and has joined with
// their results due.
func joinedWithDue(t *testing.T, slow *slowForOne, channel string, due int, answer func(*Join)) (w *world, publish func(event.Event), stays, back *client) {
	t.Helper()
	w, b := onMemory(t, membus.Options{})
	deliver := memoryPublish(t, b)
	publish = func(ev event.Event) {
		ev.Channel = channel
		deliver(ev)
	}
	query := map[string]string{"orders": ordersQuery}[channel]
	if query == "" {
		query = `subscription { order: ` + channel + ` { total } }`
	}
	stays, back = newClient(w, query, tenant("a")), newClient(w, query, tenant("a"))
	p := w.plan(query)
	shared := func(j *Join) {
		j.Plan = p
		answer(j)
	}
	stays.answer, back.answer = shared, shared
	stays.resume()
	stays.first()
	back.resume()
	back.first()
	back.sub.Complete()
	for i := 1; i <= due; i++ {
		publish(numbered(i, "a"))
		stays.wantTotals(-i)
	}
	back.resume()
	if r := back.first(); r != queue.Recovered || slow.asked() != due {
		t.Fatalf("%v, %d were asked for", r, slow.asked())
	}
	return w, publish, stays, back
}

// wantTotals takes messages of events with these totals.
func (c *client) wantTotals(totals ...int) {
	c.w.tb.Helper()
	for _, want := range totals {
		m, ok := c.next(10 * time.Second)
		if !ok || m.data == "" {
			c.w.tb.Fatalf("%+v in place of %d", m, want)
		}
		if got := total(c.w.tb, m.data); got != want {
			c.w.tb.Fatalf("got %d, want %d", got, want)
		}
	}
}

// What is due to one who came back delays nobody else, and comes before what is newer.
func TestOthersDoNotWaitForWhatIsDueToOne(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	w, publish, stays, back := joinedWithDue(t, slow, "orders", 4, func(j *Join) { j.Resolver = r })
	for i := 5; i <= 8; i++ {
		publish(numbered(i, "a"))
		stays.wantTotals(-i)
	}
	back.wantNothing()
	slow.answer()
	back.wantTotals(-1, -2, -3, -4, -5, -6, -7, -8)
	publish(numbered(9, "a"))
	back.wantTotals(-9)
	stays.wantTotals(-9)
	back.sub.Complete()
	stays.sub.Complete()
	w.wantIdle()
}

// The bound of what waits behind results that are due to one concerns that one.
func TestWhatWaitsForOneIsBounded(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	_, publish, stays, back := joinedWithDue(t, slow, "orders", 4, func(j *Join) { j.Resolver = r })
	for i := 5; i <= 9; i++ {
		publish(numbered(i, "a"))
		stays.wantTotals(-i)
	}
	if m, _ := back.next(10 * time.Second); !m.overflowed {
		t.Errorf("%+v though more wait than may", m)
	}
}

// Where messages are dropped, those that wait for one are dropped for that one.
func TestWhatWaitsForOneIsDropped(t *testing.T) {
	for channel, want := range map[string][]int{"oldest": {-3, -4, -5, -6, -7, -8, -9, -10}, "newest": {-1, -2, -3, -4, -5, -6, -7, -8}} {
		slow := &slowForOne{}
		r := slow.resolver()
		w, publish, stays, back := joinedWithDue(t, slow, channel, 4, func(j *Join) { j.Resolver = r })
		for i := 5; i <= 10; i++ {
			publish(numbered(i, "a"))
			stays.wantTotals(-i)
		}
		slow.answer()
		back.wantTotals(want...)
		back.wantNothing()
		if n := w.counts.of("drop_" + channel); n != 2 {
			t.Errorf("%s: %d counted", channel, n)
		}
	}
}

// A renewal takes along what is due to one.
func TestWhatIsDueToOneIsRenewed(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	w, publish, stays, back := joinedWithDue(t, slow, "orders", 2, func(j *Join) { j.Resolver = r })
	publish(numbered(3, "a"))
	if sum := w.renew(ordersQuery, slow.answer); sum.Moved != 2 {
		t.Fatalf("%+v", sum)
	}
	publish(numbered(4, "a"))
	back.wantTotals(-1, -2, -3, -4)
	stays.wantTotals(-3, -4)
}

// A renewal gives up what is due to one whom it refuses, or who goes away meanwhile, at once.
func TestRenewalGivesUpWhatIsDueToWhoGoes(t *testing.T) {
	for name, judge := range map[string]func(*client) []*gql.Error{
		"refused": func(*client) []*gql.Error { return errChannel },
		"left": func(c *client) []*gql.Error {
			c.sub.Complete()
			return nil
		},
	} {
		slow := &slowForOne{}
		r := slow.resolver()
		w, _, stays, back := joinedWithDue(t, slow, "orders", 2, func(j *Join) { j.Resolver = r })
		w.hub.cfg.Ended = func([]*gql.Error) []byte { return []byte("[]") }
		goes := back.sub.who.Load()
		if sum := w.renewAs(ordersQuery, func(who *identity.Identity) (policy.Mask, []*gql.Error) {
			if who == goes {
				return 0, judge(back)
			}
			return 0, nil
		}); sum.Moved != 1 {
			t.Fatalf("%s: %+v", name, sum)
		}
		for _, q := range slow.kept.list {
			if q.Waits() {
				t.Errorf("%s: a result is wanted", name)
			}
		}
		if !stays.sub.cell.group.lane().idles() || w.listed() != 0 {
			t.Errorf("%s: something is due, %d requests are listed", name, w.listed())
		}
	}
}

// What comes during a renewal is projected for those who stay: who is refused because he may see something else gets none of it.
func TestWhoIsRefusedGetsNothingThatIsForOthers(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	w, _, _, back := joinedWithDue(t, slow, "orders", 2, func(j *Join) { j.Resolver = r })
	var why []*gql.Error
	w.hub.cfg.Ended = func(errs []*gql.Error) []byte {
		why = errs
		return []byte("[]")
	}
	refused := back.sub.who.Load()
	if sum := w.renewAs(ordersQuery, func(who *identity.Identity) (policy.Mask, []*gql.Error) {
		if who == refused {
			slow.answer()
			return 1, nil
		}
		return 0, nil
	}); sum.Moved != 1 || sum.Ended != 1 || len(why) != 1 || why[0] != errApart[0] {
		t.Fatalf("%+v, %v", sum, why)
	}
	if it, ok, _ := back.sub.Pop(); ok && it.Message.Extra != nil {
		t.Errorf("it gets %s", it.Message.Payload)
	}
}

// Neither a result for all nor what one brings from its replay makes anybody look at what is due to others, who may be many.
func TestNobodyLooksAtWhatIsDueToOthers(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	w, publish, stays, _ := joinedWithDue(t, slow, "orders", 2, func(j *Join) { j.Resolver = r })
	c, g := stays.sub.channel, stays.sub.cell.group
	l, other := g.lane(), &follower{}
	locked := func(f func()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		f()
	}
	untouched := func(by string) {
		t.Helper()
		locked(func() {
			if len(l.own[other]) != 1 {
				t.Error("looked at by " + by)
			}
			l.own[other] = []*Request{{done: true}} // it goes when somebody looks
		})
	}
	locked(func() { l.own[other] = []*Request{{done: true}} })
	comes := newClient(w, ordersQuery, tenant("a"))
	comes.answer = stays.answer
	comes.resume()
	comes.first()
	comes.sub.Complete()
	publish(numbered(3, "a"))
	stays.wantTotals(-3)
	untouched("a result for all")
	comes.resume()
	comes.first()
	if slow.asked() != 3 || comes.sub.cell == nil {
		t.Fatalf("%d were asked for", slow.asked())
	}
	untouched("who comes back")
	locked(func() {
		var rs results
		l.passOnLocked(comes.sub.follower(), g, &rs)
	})
	untouched("who is passed on")
	locked(func() { delete(l.own, other) })
	slow.answer()
	comes.wantTotals(-3)
}

// Who goes away leaves no request behind.
func TestWhatIsDueToOneGoesWithIt(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	w, publish, stays, back := joinedWithDue(t, slow, "orders", 4, func(j *Join) { j.Resolver = r })
	publish(numbered(5, "a"))
	back.sub.Complete()
	for _, q := range slow.kept.list {
		if q.Waits() {
			t.Error("a result is wanted of a subscription that has ended")
		}
	}
	slow.answer()
	stays.wantTotals(-5)
	stays.wantNothing()
	if n := len(stays.sub.cell.group.lane().own); n != 0 || w.listed() != 0 {
		t.Errorf("%d have something due, %d requests are listed", n, w.listed())
	}
}

// Events that need no resolver pass those who wait for one, for all but the subscription to which something is due.
func TestUnresolvedEventsBesideWhatIsDueToOne(t *testing.T) {
	slow := &slowForOne{}
	types := NewTypes(map[string]*Resolver{"t": slow.resolver()})
	_, publish, stays, back := joinedWithDue(t, slow, "orders", 2, func(j *Join) { j.Types = types })
	for i := 3; i <= 4; i++ {
		ev := numbered(i, "a")
		ev.Type = "plain"
		publish(ev)
		stays.wantTotals(i)
	}
	back.wantNothing()
	slow.answer()
	back.wantTotals(-1, -2, 3, 4)
}

// A subscription whose queue is short does not join with more results due than find room in it.
func TestNoMoreIsDueToWhoJoinsThanFindsRoom(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	slow := &slowForOne{}
	r := slow.resolver()
	c := newClient(w, ordersQuery, tenant("a"))
	c.policy.Messages = 8
	c.answer = func(j *Join) { j.Resolver = r }
	c.resume()
	c.first()
	c.sub.Complete()
	for i := 1; i <= 3; i++ {
		publish(numbered(i, "a"))
	}
	c.resume()
	c.first()
	publish(numbered(4, "a"))
	last := slow.kept.list[2]
	last.Resolve(negated(last.Event())) // not the head; it looks again
	w.until(func() bool { return slow.asked() == 4 })
	_, channel := w.hub.lookup("orders")
	channel.mu.Lock()
	if channel.replayLocked(c.sub) == nil {
		t.Error("it has joined")
	}
	channel.mu.Unlock()
	slow.answer()
	c.wantTotals(-1, -2, -3, -4)
	publish(numbered(5, "a"))
	w.until(func() bool { return c.sub.Len() > 0 || slow.asked() > 0 })
	slow.answer()
	c.wantTotals(-5)
}

// until waits for a condition.
func (w *world) until(is func() bool) {
	w.tb.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			w.tb.Fatal("it does not come to it")
		}
	}
}

// cohort is clients of one group, who go away and come back while results come at random: each gets every event once, in
// order.
type cohort struct {
	w       *world
	random  *rand.Rand
	asked   sink
	members []*client
	live    []bool
	want    []int // the next event of each; 0: it was never there
	newest  int
}

func TestOneGroupComesAndGoesAtRandom(t *testing.T) {
	for seed := range uint64(30) {
		w, b := onMemory(t, membus.Options{})
		publish := memoryPublish(t, b)
		co := &cohort{w: w, random: rand.New(rand.NewPCG(seed, 5)), live: make([]bool, 4), want: make([]int, 4)}
		w.limit(func(l *Limits) { l.Lane = 4 + co.random.IntN(60) })
		p, r := w.plan(ordersQuery), co.asked.resolver()
		for range co.live {
			c := newClient(w, ordersQuery, tenant("a"))
			c.policy.Messages = 8 + co.random.IntN(100)
			c.answer = func(j *Join) { j.Plan, j.Resolver = p, r }
			co.members = append(co.members, c)
		}
		for range 300 {
			co.step(publish)
		}
		for i := range co.members {
			co.come(i)
		}
		w.until(func() bool {
			for range 10 {
				co.answer()
			}
			return co.read() && co.asked.pop() == nil
		})
		for _, c := range co.members {
			c.wantNothing()
			c.sub.Complete()
		}
		w.wantIdle()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (co *cohort) step(publish func(event.Event)) {
	switch i := co.random.IntN(len(co.members)); co.random.IntN(10) {
	case 0:
		if co.live[i] {
			co.members[i].sub.Complete()
			co.live[i] = false
		}
	case 1:
		co.come(i)
	case 2, 3, 4:
		co.newest++
		publish(numbered(co.newest, "a"))
	case 5, 6, 7:
		co.answer()
	default:
		co.read()
	}
}

func (co *cohort) come(i int) {
	if co.live[i] {
		return
	}
	c := co.members[i]
	c.resume()
	if r := c.first(); co.want[i] > 0 && r != queue.Recovered {
		co.w.tb.Errorf("client %d: %v", i, r)
	}
	if co.live[i] = true; co.want[i] == 0 {
		co.want[i] = co.newest + 1
	}
}

func (co *cohort) answer() {
	if r := co.asked.pop(); r != nil {
		r.Resolve(negated(r.Event()))
	}
}

// read takes what there is, and reports whether all have all.
func (co *cohort) read() bool {
	all := true
	for i, c := range co.members {
		for co.live[i] {
			m, ok := c.next(0)
			switch {
			case !ok:
			case m.overflowed:
				c.sub.Complete()
				co.live[i] = false
				co.come(i)
				continue
			case m.data != "" && total(co.w.tb, m.data) == -co.want[i]:
				co.want[i]++
				continue
			default:
				co.w.tb.Fatalf("client %d: %+v in place of %d", i, m, -co.want[i])
			}
			break
		}
		all = all && co.want[i] == co.newest+1
	}
	return all
}
