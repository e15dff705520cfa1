package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// onCarrier is a world on a bus like Redis.
func onCarrier(t testing.TB, seed uint64) (*world, *carrier) {
	w, c := newWorld(t, Addressing{}), newCarrier(t, seed)
	w.hub.Close()
	cfg := w.hub.cfg
	cfg.Bus, cfg.Interest = c.access(), c.interest
	w.use(cfg)
	c.hub = w.hub
	go c.run()
	return w, c
}

// onMemory is a world on the memory bus.
func onMemory(t testing.TB, o membus.Options) (*world, *membus.Bus) {
	w, b := newWorld(t, Addressing{}), membus.New(o)
	w.hub.Close()
	cfg := w.hub.cfg
	cfg.Bus = BusAccess{
		Name: event.HashName("memory"), History: b.History,
		Established: func(ctx context.Context, channel string) error { return bus.Established(ctx, b, channel) },
	}
	w.use(cfg)
	if err := b.Attach(t.Context(), w.hub); err != nil {
		t.Fatal(err)
	}
	return w, b
}

// use makes the hub of the world anew.
func (w *world) use(cfg Config) {
	h := New(cfg)
	w.hub = h
	w.tb.Cleanup(h.Close)
}

// client is somebody who pulls, and resumes.
type client struct {
	w      *world
	conn   *queue.Conn
	sub    *Subscription
	cursor string
	woken  chan struct{}
	query  string
	who    *identity.Identity
	policy *queue.Policy
	answer func(*Join)
}

// Wake implements queue.Sink.
func (c *client) Wake(*queue.Queue) {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

func newClient(w *world, query string, who *identity.Identity) *client {
	return &client{w: w, query: query, who: who, woken: make(chan struct{}, 1), policy: &queue.Policy{Messages: 1000, Bytes: 4 << 20}}
}

// resume subscribes, after the cursor of the newest message.
func (c *client) resume() {
	c.w.tb.Helper()
	c.conn = &queue.Conn{}
	c.conn.InitPull(c, &queue.Limits{Room: c.w.hub.Room})
	j := c.w.request(c.conn, c.w.plan(c.query), `{}`, c.who)
	j.Policy, j.Cursors = c.policy, true
	if c.answer != nil {
		c.answer(j)
	}
	s, errs, err := c.w.hub.Follow(context.Background(), j, c.cursor, nil)
	if err != nil || len(errs) > 0 {
		c.w.tb.Errorf("follow: %v %v", errs, err)
	}
	c.sub = s
}

// told is a message.
type told struct {
	data      string // of the event; "" for a note
	recovered queue.Recovery
	dropped   uint32
	// overflowed: live events came more quickly than they were read, and there is no message any more.
	overflowed bool
}

// next takes a message and keeps its cursor; ok is false when none comes in time.
func (c *client) next(wait time.Duration) (m told, ok bool) {
	deadline := time.After(wait)
	for {
		it, ok, _ := c.sub.Pop()
		if ok {
			if it.Message.Extra == nil || it.Message.Cursor() == nil {
				c.w.tb.Errorf("a message without cursor: %s", it.Message.Payload)
				return m, false
			}
			c.cursor = string(it.Message.Cursor())
			if p := string(it.Message.Payload); p != `{"data":null` {
				m.data = p + "}"
			}
			m.recovered, m.dropped = it.Message.Extra.Recovered, it.Dropped
			return m, true
		}
		if c.sub.TellEnd() == queue.Overflowed {
			m.overflowed = true
			return m, true
		}
		select {
		case <-c.woken:
		case <-deadline:
			return m, false
		}
	}
}

// first takes the first message after resume and says what it told.
func (c *client) first() queue.Recovery {
	c.w.tb.Helper()
	m, ok := c.next(10 * time.Second)
	if !ok || m.data != "" {
		c.w.tb.Errorf("the first message is %+v", m)
	}
	return m.recovered
}

// total reads the number of an event.
func total(t testing.TB, data string) int {
	var v struct {
		Data struct{ Order struct{ Total int } }
	}
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	return v.Data.Order.Total
}

func numbered(n int, tenant string) event.Event {
	return event.Event{Channel: "orders", Type: "t", ID: fmt.Sprint("e", n), TenantID: tenant, Data: fmt.Appendf(nil, `{"id":"%d","total":%d}`, n, n)}
}

const ordersQuery = `subscription { order { total } }`

// publishOn publishes to two tenants.
func publishOn(publish func(event.Event), from, to, pace int) {
	for i := from; i < to; i++ {
		publish(numbered(i, "a"))
		publish(numbered(i, "b"))
		for range pace * (i % 5) {
			runtime.Gosched()
		}
	}
}

// comeAndGo plays a client that reads, goes away and resumes, at random, while a publisher works: it gets every event
// of its tenant once, in order.
func comeAndGo(t *testing.T, w *world, publish func(event.Event), seed uint64, n int) {
	random := rand.New(rand.NewPCG(seed, 2))
	var wait sync.WaitGroup
	defer wait.Wait()
	c := newClient(w, ordersQuery, tenant("a"))
	c.policy.Messages = 2 + random.IntN(40)
	c.policy.Messages *= 2
	begun := random.IntN(n / 2)
	for i := range begun {
		publish(numbered(i, "a"))
	}
	c.resume()
	if c.first() != queue.Untold {
		t.Error("a first subscribe says something of recovery")
	}
	pace := random.IntN(3)
	wait.Go(func() { publishOn(publish, begun, n, pace) })
	for want := begun; want < n; {
		for range random.IntN(60) {
			if want == n {
				break
			}
			m, ok := c.next(20 * time.Second)
			if !ok {
				t.Errorf("event %d does not come", want)
				return
			}
			if m.overflowed {
				break
			}
			if m.recovered == queue.Lost {
				t.Error("lost")
			}
			if m.data == "" {
				continue
			}
			if got := total(t, m.data); got != want {
				t.Errorf("event %d, want %d", got, want)
				return
			}
			want++
		}
		c.sub.Complete()
		c.resume()
		if r := c.first(); r != queue.Recovered {
			t.Errorf("resumed at %d: %v", want, r)
			return
		}
	}
	c.sub.Complete()
	if m, ok, _ := c.sub.Pop(); ok {
		t.Errorf("more: %s", m.Message.Payload)
	}
}

// TestResumeAtRandom is the model test: seeds choose bounds, paces and where clients go away.
func TestResumeAtRandom(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("carrier ", seed), func(t *testing.T) {
			w, c := onCarrier(t, seed)
			comeAndGo(t, w, c.publish, seed, 400)
			w.wantIdle()
		})
		t.Run(fmt.Sprint("memory ", seed), func(t *testing.T) {
			w, b := onMemory(t, membus.Options{})
			comeAndGo(t, w, func(ev event.Event) {
				if _, err := b.Publish(context.Background(), []bus.Message{{Event: ev}}); err != nil {
					t.Error(err)
				}
			}, seed, 400)
			w.wantIdle()
		})
	}
}

// wantIdle checks that nothing of replays is left once everybody has gone.
func (w *world) wantIdle() {
	w.tb.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		channels, groups, subs := w.hub.Sizes()
		w.hub.replays.mu.Lock()
		left := len(w.hub.replays.conns)
		w.hub.replays.mu.Unlock()
		w.hub.follows.mu.Lock()
		left += len(w.hub.follows.channels)
		w.hub.follows.mu.Unlock()
		if channels+groups+subs+left == 0 && w.hub.seenEntries.Load()+w.hub.recalledIDs.Load()+w.hub.replayedIDs.Load() == 0 && w.hub.recorded.Load() == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.tb.Errorf("left: %d channels, %d groups, %d subscriptions, %d of replays, %d ids, %d bytes", channels, groups, subs, left, w.hub.seenEntries.Load()+w.hub.recalledIDs.Load()+w.hub.replayedIDs.Load(), w.hub.recorded.Load())
			return
		}
	}
}
