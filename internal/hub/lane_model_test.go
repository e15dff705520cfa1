package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/plan"
)

// laneModel says what the subscriptions of one group must receive: its events in order, each with those that it is
// for and its message once it is known.
type laneModel struct {
	t     *testing.T
	w     *world
	rnd   *rand.Rand
	plan  *plan.Plan
	types *Types
	asked sink
	subs  []*Subscription
	lane  []*laneEvent
	byID  map[string]*laneEvent
	came  int
}

type laneEvent struct {
	readers []*Subscription
	known   bool
	message string // "" for none
}

const failedMessage = `{"data":{"order":null},"errors":[{"message":"The resolver failed.","path":["order"],"extensions":{"code":"RESOLVER_FAILED"}}]}`

// TestLanesAgreeWithAModel runs random histories of publishing, answering, joining and leaving.
func TestLanesAgreeWithAModel(t *testing.T) {
	for seed := range uint64(200) {
		m := &laneModel{t: t, w: newWorld(t, Addressing{}), rnd: rand.New(rand.NewPCG(seed, 7)), byID: map[string]*laneEvent{}}
		m.w.limit(func(l *Limits) { l.Lane = 1000 })
		m.plan = m.w.plan(`subscription { order { id } }`)
		m.types = NewTypes(map[string]*Resolver{"late": m.asked.resolver()})
		for step := range 150 {
			m.step(step)
			m.check()
		}
		for len(m.asked.list) > 0 {
			m.answer()
			m.check()
		}
		for len(m.subs) > 0 {
			m.leave()
		}
		if c, g, n := m.w.hub.Sizes(); c+g+n+m.w.listed() != 0 || m.came == 0 {
			t.Fatalf("left over: %d channels, %d groups, %d subscriptions, %d requests; %d messages came", c, g, n, m.w.listed(), m.came)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (m *laneModel) step(step int) {
	switch k := m.rnd.IntN(20); {
	case k < 2 && len(m.subs) < 6:
		m.subs = append(m.subs, m.w.joinLate(m.plan, user(fmt.Sprint("u", m.rnd.IntN(3))), nil, m.types))
	case k < 3 && len(m.subs) > 0:
		m.leave()
	case k < 12:
		m.publish(fmt.Sprint(step))
	default:
		m.answer()
	}
}

func (m *laneModel) leave() {
	i := m.rnd.IntN(len(m.subs))
	m.subs[i].Complete()
	if m.subs = slices.Delete(m.subs, i, i+1); len(m.subs) == 0 {
		m.lane = nil // the group is gone, and what waited with it
	}
}

func (m *laneModel) publish(id string) {
	ev := event.Event{Channel: "orders", Type: []string{"late", "plain"}[m.rnd.IntN(2)], ID: id, Data: fmt.Appendf(nil, `{"id":"raw%s"}`, id)}
	if m.rnd.IntN(3) == 0 {
		ev.UserID = fmt.Sprint("u", m.rnd.IntN(3))
	}
	e := &laneEvent{known: ev.Type == "plain", message: order("raw" + id)}
	for _, s := range m.subs {
		if ev.UserID == "" || s.who.Load().UserID == ev.UserID {
			e.readers = append(e.readers, s)
		}
	}
	if len(e.readers) > 0 {
		m.lane = append(m.lane, e)
	}
	m.byID[id] = e
	if n := m.w.publish(ev); n != len(e.readers) {
		m.t.Errorf("event %s counted for %d, want %d", id, n, len(e.readers))
	}
}

// answer answers one request.
func (m *laneModel) answer() {
	r := m.asked.pop()
	if r == nil {
		return
	}
	id := r.Event().ID
	e := m.byID[id]
	if waits := slices.Contains(m.lane, e); waits != r.Waits() {
		m.t.Errorf("request %s waits: %v, want %v", id, !waits, waits)
	}
	e.known = true
	switch m.rnd.IntN(4) {
	case 0:
		e.message = ""
		r.Skip()
	case 1:
		e.message = failedMessage
		r.Fail(errors.New("raw" + id))
	default:
		e.message = order(id)
		r.Resolve(fmt.Appendf(nil, `{"id":%q}`, id))
	}
}

// check compares what came with the events at the head of the lane that are known.
func (m *laneModel) check() {
	for len(m.lane) > 0 && m.lane[0].known {
		head := m.lane[0]
		m.lane = m.lane[1:]
		for _, s := range head.readers {
			if head.message == "" || !slices.Contains(m.subs, s) {
				continue
			}
			if got := next(s); got != head.message {
				m.t.Errorf("got %q, want %s", got, head.message)
			}
			m.came++
		}
	}
	for _, s := range m.subs {
		if got := next(s); got != "" {
			m.t.Errorf("%q came too early", got)
		}
	}
}
