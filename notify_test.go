package fraiseql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
)

// on registers a subscription to everything of a channel, without a schema.
func on(t testing.TB, e *fraiseql.Engine, connection, id, channel string, arrived func()) *fraiseql.Subscription {
	t.Helper()
	s, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: connection, SubscriptionID: id, Query: "subscription { " + channel + " }", Arrived: arrived,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNotify(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{QueueMessages: 1}})
	s, other := on(t, e, "c", "s", "a", nil), on(t, e, "c", "other", "b", nil)
	calls := 0
	count := func() { calls++ }
	expect := func(what string, got, want bool, n int) {
		t.Helper()
		if got != want || calls != n {
			t.Errorf("%s: %v with %d calls, want %v with %d", what, got, calls, want, n)
		}
		calls = 0
	}
	expect("nothing to take back", s.Notify(nil), false, 0)
	expect("set", s.Notify(count), true, 0)
	publish(t, e, "b", `{}`)
	expect("a message of another", other.Waiting(), true, 0)
	publish(t, e, "a", `{}`)
	expect("a message", true, true, 1)
	expect("it waits", s.Notify(count), false, 0)
	publish(t, e, "a", `{}`) // overflows
	expect("not kept", true, true, 0)
	s.Next(nil)
	expect("an overflow is an end", s.Notify(count), false, 0)
	if _, _, err := s.Next(nil); !errors.Is(err, fraiseql.ErrSlowConsumer) {
		t.Error(err)
	}
	expect("an end that was told", s.Notify(count), false, 0)

	other.Next(nil)
	expect("set", other.Notify(func() { t.Error("replaced, and called") }), true, 0)
	expect("replaced", other.Notify(count), true, 0)
	expect("taken back", other.Notify(nil), true, 0)
	publish(t, e, "b", `{}`)
	other.Next(nil)
	expect("set again", other.Notify(count), true, 0)
	other.Complete()
	other.Complete()
	expect("completed", true, true, 1)
	expect("after the end", other.Notify(count), false, 0)
}

// Arrived hears of the whole connection that its registration made, before Notify and after the message is there.
func TestArrived(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	var log []string
	note := func(what string) func() { return func() { log = append(log, what) } }
	s := on(t, e, "c", "1", "a", note("arrived"))
	second := on(t, e, "c", "2", "b", note("never: the connection was there"))
	if s.Channel() != "a" || s.Waiting() {
		t.Errorf("channel %q, waiting %v", s.Channel(), s.Waiting())
	}
	second.Notify(note("notified"))
	publish(t, e, "b", `{}`)
	if !s.Waiting() {
		t.Error("the connection waits")
	}
	publish(t, e, "b", `{}`)
	s.Complete()
	e.CompleteConnection("c")
	want := "[arrived notified arrived arrived arrived]"
	if got := fmt.Sprint(log); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, _, err := second.Next(nil); !errors.Is(err, fraiseql.ErrEnded) || !s.Waiting() {
		t.Errorf("got %v, waiting %v", err, s.Waiting())
	}
	if _, _, err := s.Next(nil); !errors.Is(err, fraiseql.ErrEnded) || s.Waiting() {
		t.Errorf("got %v, waiting %v", err, s.Waiting())
	}
}

// puller reads a subscription as a host does that shares a word with the engine: it looks only while the word is set.
type puller struct {
	word *atomic.Uint32
	stop context.Context
}

// next is the protocol: clear, look, set again if anything of the connection waits.
func (p puller) next(s *fraiseql.Subscription) (ok bool, err error) {
	for spins := 0; p.word.Load() == 0; spins++ {
		if spins%1024 == 0 && p.stop.Err() != nil {
			return false, fmt.Errorf("%s: nothing is announced, waiting: %v", s.ID(), s.Waiting())
		}
		runtime.Gosched()
	}
	p.word.Store(0)
	_, ok, err = s.Next(nil)
	if s.Waiting() {
		p.word.Store(1)
	}
	return ok, err
}

// until reads until n messages have come, or the end.
func (p puller) until(s *fraiseql.Subscription, n int) (int, error) {
	for got := 0; ; {
		ok, err := p.next(s)
		if err != nil {
			return got, err
		}
		if ok {
			got++
		}
		if got == n {
			return got, nil
		}
	}
}

// limited is a context for spinning tests: it ends them with a message before the test binary is killed.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// The word between engine and host loses nothing: several readers of one connection, each of its own subscription,
// publishers, and ends of every kind from other goroutines.
func TestReadyWordLosesNothing(t *testing.T) {
	const readers, publishers, events, rounds = 3, 2, 200, 20
	for round := range rounds {
		e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{QueueMessages: publishers * events}})
		var word atomic.Uint32
		p := puller{&word, limited(t)}
		var subs []*fraiseql.Subscription
		for i := range readers {
			subs = append(subs, on(t, e, "c", fmt.Sprint(i), fmt.Sprint("r", i%2), func() { word.Store(1) }))
		}
		var work, complete sync.WaitGroup
		complete.Add(readers)
		for range publishers {
			work.Go(func() {
				for range events {
					publishBoth(t, e)
				}
			})
		}
		for i, s := range subs {
			work.Go(func() {
				n, err := p.until(s, publishers*events)
				if complete.Done(); err != nil {
					t.Errorf("round %d: after %d messages: %v", round, n, err)
					return
				}
				complete.Wait() // one may end the connection of all
				var ender sync.WaitGroup
				ender.Go(func() { finish(e, s, (round+i)%3) })
				if n, err := p.until(s, -1); !errors.Is(err, fraiseql.ErrEnded) && !errors.Is(err, fraiseql.ErrSlowConsumer) {
					t.Errorf("round %d: end after %d more: %v", round, n, err)
				}
				ender.Wait()
			})
		}
		work.Wait()
		if subs[0].Waiting() {
			t.Errorf("round %d: something is left", round)
		}
	}
}

func publishBoth(t testing.TB, e *fraiseql.Engine) {
	for _, channel := range []string{"r0", "r1"} {
		if _, err := e.Publish(context.Background(), fraiseql.Event{Channel: channel, Type: "t", Data: []byte(`{}`)}); err != nil {
			t.Error(err)
		}
	}
}

// finish ends a subscription in one of the ways there are.
func finish(e *fraiseql.Engine, s *fraiseql.Subscription, how int) {
	switch how {
	case 0:
		s.Complete()
	case 1:
		e.Complete("c", s.ID())
	default:
		e.CompleteConnection("c")
	}
}

// An overflow is announced like everything else.
func TestReadyWordAndOverflow(t *testing.T) {
	for range 50 {
		e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{QueueMessages: 2}})
		var word atomic.Uint32
		p := puller{&word, limited(t)}
		s := on(t, e, "c", "s", "r0", func() { word.Store(1) })
		var over atomic.Bool
		var work sync.WaitGroup
		for range 4 { // one waits for who reads
			work.Go(func() {
				for !over.Load() {
					publishBoth(t, e)
				}
			})
		}
		n, err := p.until(s, -1)
		if over.Store(true); !errors.Is(err, fraiseql.ErrSlowConsumer) {
			t.Fatalf("after %d messages: %v", n, err)
		}
		work.Wait()
	}
}

// Readers that sleep until Notify calls them miss nothing, and none is called twice for one Notify.
func TestNotifyLosesNothing(t *testing.T) {
	const subs, publishers, events = 4, 2, 2000
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{QueueMessages: publishers * events}})
	var work sync.WaitGroup
	for i := range subs {
		s := on(t, e, fmt.Sprint(i%2), fmt.Sprint(i), fmt.Sprint("r", i%2), nil)
		work.Go(func() {
			n, err := sleeper(limited(t), s, func(n int) {
				if n == publishers*events {
					work.Go(s.Complete)
				}
			})
			if n != publishers*events || !errors.Is(err, fraiseql.ErrEnded) {
				t.Errorf("%d messages, then %v", n, err)
			}
		})
	}
	for range publishers {
		work.Go(func() {
			for range events {
				publishBoth(t, e)
			}
		})
	}
	work.Wait()
}

// The message after the one that is being read comes when its reader is about to fall asleep.
func TestNotifyAtTheLastMoment(t *testing.T) {
	const events = 20_000
	e := newEngine(t, fraiseql.Config{})
	s, ctx := on(t, e, "c", "s", "x", nil), limited(t)
	read := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(read)
		n, err := sleeper(ctx, s, func(int) { read <- struct{}{} })
		if n != events || !errors.Is(err, fraiseql.ErrEnded) {
			t.Errorf("%d messages, then %v", n, err)
		}
	})
	for range events {
		publish(t, e, "x", `{}`)
		if _, on := <-read; !on {
			break
		}
	}
	s.Complete()
	reader.Wait()
}

// sleeper reads until the end; now and then it takes a Notify back. got is told how many messages have come.
func sleeper(ctx context.Context, s *fraiseql.Subscription, got func(n int)) (n int, err error) {
	for turn := 0; ; turn++ {
		for {
			_, ok, err := s.Next(nil)
			if err != nil {
				return n, err
			}
			if !ok {
				break
			}
			n++
			got(n)
		}
		var calls atomic.Int32
		called := make(chan struct{}, 2)
		kept := s.Notify(func() {
			calls.Add(1)
			called <- struct{}{}
		})
		switch {
		case !kept && calls.Load() > 0:
			return n, errors.New("not kept, and called")
		case !kept, turn%7 == 0 && s.Notify(nil):
			continue
		}
		select {
		case <-called:
		case <-ctx.Done():
			return n, fmt.Errorf("nobody called, waiting: %v", s.Waiting())
		}
		if calls.Load() != 1 {
			return n, errors.New("called twice")
		}
	}
}

// Receive by several goroutines, on subscriptions of one connection, misses nothing either.
func TestReceiveIsWoken(t *testing.T) {
	const subs, events = 8, 1000
	e := newEngine(t, fraiseql.Config{})
	ctx := limited(t)
	var work sync.WaitGroup
	for i := range subs {
		s := on(t, e, "c", fmt.Sprint(i), fmt.Sprint("r", i%2), nil)
		work.Go(func() {
			for n := range events {
				if _, err := s.Receive(ctx); err != nil {
					t.Errorf("%s: after %d: %v", s.ID(), n, err)
					return
				}
			}
		})
	}
	for range events {
		publishBoth(t, e)
	}
	work.Wait()
}

// Who panics when it is told of news costs nobody else theirs, and its own are there.
func TestPanicsOfWhoIsTold(t *testing.T) {
	var log bytes.Buffer
	e := newEngine(t, fraiseql.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var all []*fraiseql.Subscription
	for i, arrived := range []func(){func() { panic("the host arrived") }, nil, nil} {
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: fmt.Sprint(i), SubscriptionID: "s", Query: "subscription { a }", Arrived: arrived})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	all[1].Notify(func() { panic("the host was notified") })
	for n := range 2 {
		publish(t, e, "a", fmt.Sprintf(`{"n":%d}`, n))
	}
	for i, s := range all {
		for n := range 2 {
			if m, ok, err := s.Next(nil); !ok || err != nil || !strings.Contains(string(m), fmt.Sprintf(`{"n":%d}`, n)) {
				t.Errorf("subscriber %d got %q, %v, %v", i, m, ok, err)
			}
		}
	}
	if !e.CompleteConnection("0") {
		t.Error("there was no connection")
	}
	if text := log.String(); !strings.Contains(text, "the host arrived") || !strings.Contains(text, "the host was notified") {
		t.Errorf("logged %q", text)
	}
}
