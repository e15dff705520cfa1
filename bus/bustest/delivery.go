package bustest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

func (s *suite) arrives(t *testing.T) {
	b, r := s.attached(t, "orders")
	sent := bus.Message{Event: event.Event{
		Channel: "orders", Type: "created", ID: "id-1", TenantID: "acme", UserID: "7", FederationID: "f", ServiceName: "s",
		Timestamp: time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC), Data: []byte(`{"a":[1,2,{"b":null}]}`),
	}}
	receipt := publish(t, b, sent)
	if shared := bus.Describe(b).Shared; !shared && receipt.Delivered != 1 || shared && receipt.Delivered != -1 {
		t.Errorf("receipt %+v", receipt)
	}
	got := s.await(t, r, "orders", 1)[0]
	if diff := cmp.Diff(sent.Event, got.Event); diff != "" {
		t.Error(diff)
	}
	if got.Position.IsZero() {
		t.Error("no position")
	}
	all := event.Event{Channel: "orders", Type: "t", ID: "id-2", Broadcast: true, Timestamp: time.Unix(1, 0).UTC(), Data: []byte(`{}`)}
	publish(t, b, bus.Message{Event: all})
	if diff := cmp.Diff(all, s.await(t, r, "orders", 2)[1].Event); diff != "" {
		t.Error(diff)
	}
}

func (s *suite) order(t *testing.T) {
	const n = 500
	b, r := s.attached(t, "a", "b")
	for i := range n {
		publish(t, b, message("a", i))
		publish(t, b, message("b", i))
	}
	s.wantOrder(t, b, s.await(t, r, "a", n), 0, n)
	s.wantOrder(t, b, s.await(t, r, "b", n), 0, n)
}

func (s *suite) batch(t *testing.T) {
	const n = 300
	b, r := s.attached(t, "a", "b")
	var mixed []bus.Message
	for i := range n {
		mixed = append(mixed, message("a", i), message("b", i))
	}
	publish(t, b, mixed...)
	s.wantOrder(t, b, s.await(t, r, "a", n), 0, n)
	s.wantOrder(t, b, s.await(t, r, "b", n), 0, n)
	if receipt, err := b.Publish(t.Context(), nil); err != nil || receipt.Accepted != 0 {
		t.Errorf("an empty batch: %+v, %v", receipt, err)
	}
}

func (s *suite) serial(t *testing.T) {
	const publishers, each = 8, 100
	b := s.New(t)
	r := newRecorder()
	var inside [2]atomic.Int32
	r.enter = func(m *bus.Message) {
		at := &inside[m.Event.Channel[0]-'a']
		if at.Add(1) != 1 {
			t.Error("two calls for one channel at a time")
		}
		defer at.Add(-1)
	}
	if err := b.Attach(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want(t, b, "a", "b")
	var wait sync.WaitGroup
	for p := range publishers {
		wait.Go(func() {
			for i := range each {
				m := message(string("ab"[p%2]), i)
				m.Event.ID = fmt.Sprintf("%d-%d", p, i) // a bus may drop what has an id that it knows
				publishQuietly(t, b, m)
			}
		})
	}
	wait.Wait()
	s.await(t, r, "a", publishers/2*each)
	s.await(t, r, "b", publishers/2*each)
}

// publishQuietly is publish for goroutines, which must not end the test.
func publishQuietly(t testing.TB, b bus.Bus, m bus.Message) {
	if _, err := b.Publish(t.Context(), []bus.Message{m}); err != nil {
		t.Error(err)
	}
}

// parallel holds up one channel until another has delivered.
func (s *suite) parallel(t *testing.T) {
	b := s.New(t)
	r := newRecorder()
	passed := make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	r.enter = func(m *bus.Message) {
		if m.Event.Channel != "held" {
			once.Do(func() { close(passed) })
			return
		}
		select {
		case <-passed:
		case <-ctx.Done():
			t.Error("one channel waits for another")
		}
	}
	if err := b.Attach(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	// A bus may carry several channels in one stream: of many others, at least one is independent.
	channels := []string{"held"}
	for i := range 32 {
		channels = append(channels, fmt.Sprintf("other%d", i))
	}
	want(t, b, channels...)
	var wait sync.WaitGroup
	for _, c := range channels {
		wait.Go(func() { publishQuietly(t, b, message(c, 0)) })
	}
	wait.Wait()
	for _, c := range channels {
		s.await(t, r, c, 1)
	}
}

// publishers checks that each publisher's own order is kept, and that history tells the order of delivery.
func (s *suite) publishers(t *testing.T) {
	const publishers, each = 6, 80
	b, r := s.attached(t, "c")
	var wait sync.WaitGroup
	for p := range publishers {
		wait.Go(func() {
			for i := range each {
				m := message("c", i)
				m.Event.ID, m.Event.Type = fmt.Sprintf("%d-%d", p, i), fmt.Sprint(p)
				publishQuietly(t, b, m)
			}
		})
	}
	wait.Wait()
	list := distinct(s.await(t, r, "c", publishers*each))
	next := map[string]int{}
	for _, m := range list {
		if want := fmt.Sprintf("%s-%d", m.Event.Type, next[m.Event.Type]); m.Event.ID != want {
			t.Fatalf("%s, want %s", m.Event.ID, want)
		}
		next[m.Event.Type]++
	}
	if s.Forgets {
		return
	}
	held := page(t, b, "c", event.Position{}, publishers*each+1).Messages
	if diff := cmp.Diff(ids(list), ids(held)); diff != "" {
		t.Errorf("history tells another order:\n%s", diff)
	}
}

// distinct leaves out what was delivered again.
func distinct(list []bus.Message) []bus.Message {
	var out []bus.Message
	for _, m := range list {
		if len(out) == 0 || m.Position.Compare(out[len(out)-1].Position) > 0 {
			out = append(out, m)
		}
	}
	return out
}

func ids(list []bus.Message) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Event.ID
	}
	return out
}

func (s *suite) positions(t *testing.T) {
	const n = 200
	b, r := s.attached(t, "c")
	sent := messages("c", 0, n)
	publish(t, b, sent...)
	list := s.await(t, r, "c", n)
	s.wantOrder(t, b, list, 0, n)
	if bus.Describe(b).Shared {
		return
	}
	for i := range sent { // delivered in-process: the caller's messages have them too
		if sent[i].Position != list[i].Position {
			t.Fatalf("message %d has position %v, delivered with %v", i, sent[i].Position, list[i].Position)
		}
	}
}

func (s *suite) odd(t *testing.T) {
	names := []string{
		"a", ".", "..", "a.b", "a/b", "a:b", "-", "_", "_a", "A", "%", "%2e", "%00", "'", `"`, "`", `\`, `\\`, "a'b;--", "#", "?x=1", "&", "+", ",",
		"(", ")", "[a]", "<", "=", "|", "~", "@", "!", "^", "é", "\u65e5\u672c\u8a9e", "\U0001f600", "e\u0301", "\u202e", "\ufeff",
		strings.Repeat("x", 255), strings.Repeat("\u00e9", 127), strings.Repeat("\U0001f600", 63), "NULL", "null", "0", "-1", "true",
	}
	b, r := s.attached(t, names...)
	for i, name := range names {
		if err := event.ValidateChannel(name); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		m := message(name, 0)
		m.Event.Type, m.Event.ID = name, fmt.Sprint(i)
		m.Event.TenantID, m.Event.UserID = "tenant "+name[:min(len(name), 200)], `"'\{}*>`
		m.Event.Data = []byte(`{"text":"\u0000\ud83d\ude00 é \"\\","n":1e400,"n":-0.0,"":{}}`)
		publish(t, b, m)
		got := s.await(t, r, name, 1)
		if diff := cmp.Diff(m.Event, got[0].Event); diff != "" || len(got) != 1 {
			t.Errorf("%q: %d events; %s", name, len(got), diff)
		}
		if held := page(t, b, name, event.Position{}, 10).Messages; !s.Forgets && (len(held) != 1 || held[0].Event.ID != m.Event.ID) {
			t.Errorf("%q: history has %v", name, ids(held))
		}
	}
}

func (s *suite) large(t *testing.T) {
	b, r := s.attached(t, "c")
	m := message("c", 0)
	m.Event.Data = []byte(`{"a":"` + strings.Repeat("x", event.MaxData-8) + `"}`)
	publish(t, b, m, message("c", 1))
	got := s.await(t, r, "c", 2)
	if string(got[0].Event.Data) != string(m.Event.Data) || got[1].Event.ID != "c-1" {
		t.Errorf("%d bytes arrived, then %s", len(got[0].Event.Data), got[1].Event.ID)
	}
	if held := page(t, b, "c", event.Position{}, 1).Messages; !s.Forgets && (len(held) != 1 || len(held[0].Event.Data) != event.MaxData) {
		t.Errorf("history has %d events", len(held))
	}
}

func (s *suite) separate(t *testing.T) {
	b, r := s.attached(t, "a", "b")
	publish(t, b, message("a", 0), message("b", 0), message("a", 1))
	s.await(t, r, "b", 1)
	s.wantOrder(t, b, s.await(t, r, "a", 2), 0, 2)
	if held := page(t, b, "b", event.Position{}, 10).Messages; !s.Forgets && len(held) != 1 {
		t.Errorf("history of b: %v", ids(held))
	}
}

func (s *suite) interest(t *testing.T) {
	b, r := s.attached(t)
	for range 3 {
		b.Interest("c", true)
	}
	b.Interest("c", false)
	b.Interest("never", false)
	want(t, b, "c")
	publish(t, b, message("c", 0))
	s.await(t, r, "c", 1)
}

func (s *suite) attachOnce(t *testing.T) {
	b, _ := s.attached(t)
	if err := b.Attach(t.Context(), newRecorder()); err == nil {
		t.Error("attached twice")
	}
}

func (s *suite) ended(t *testing.T) {
	b, r := s.attached(t, "c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	receipt, err := b.Publish(ctx, messages("c", 100, 3))
	if !errors.Is(err, context.Canceled) || receipt.Accepted != 0 {
		t.Errorf("%+v, %v", receipt, err)
	}
	if _, err := b.History(ctx, "c", event.Position{}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("history: %v", err)
	}
	publish(t, b, message("c", 0))
	s.wantOrder(t, b, s.await(t, r, "c", 1), 0, 1)
}

// closing holds a Handler while the bus is closed: Close returns after it has.
func (s *suite) closing(t *testing.T) {
	b := s.New(t)
	r := newRecorder()
	entered, leave := make(chan struct{}), make(chan struct{})
	var left atomic.Bool
	r.enter = func(*bus.Message) {
		close(entered)
		<-leave
		left.Store(true)
	}
	if err := b.Attach(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want(t, b, "c")
	published := make(chan struct{})
	go func() {
		defer close(published)
		_, _ = b.Publish(t.Context(), messages("c", 0, 1))
	}()
	<-entered
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Close(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("closed while a handler runs: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- b.Close(t.Context()) }()
	close(leave)
	if err := <-closed; err != nil || !left.Load() {
		t.Errorf("closed before the handler returned: %v", err)
	}
	<-published
	n := len(r.of("c"))
	if receipt, err := b.Publish(t.Context(), messages("c", 1, 1)); !errors.Is(err, bus.ErrClosed) || receipt.Accepted != 0 {
		t.Errorf("published after Close: %+v, %v", receipt, err)
	}
	if _, err := b.History(t.Context(), "c", event.Position{}, 1); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("history after Close: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if len(r.of("c")) != n {
		t.Error("delivered after Close")
	}
}
