package bustest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

func (s *suite) history(t *testing.T) {
	const n = 20
	b, r := s.attached(t, "c")
	publish(t, b, messages("c", 0, n)...)
	list := distinct(s.await(t, r, "c", n))
	for i := range n {
		p := page(t, b, "c", list[i].Position, n)
		if !p.Complete || p.Head != list[n-1].Position {
			t.Fatalf("after event %d: complete %v, head %v", i, p.Complete, p.Head)
		}
		s.wantOrder(t, b, p.Messages, i+1, n-1-i)
	}
	p := page(t, b, "c", event.Position{}, n)
	if !p.Complete {
		t.Error("from the start: not complete")
	}
	s.wantOrder(t, b, p.Messages, 0, n)
	for i, m := range p.Messages {
		if m.Position != list[i].Position {
			t.Errorf("event %d: position %v in history, delivered with %v", i, m.Position, list[i].Position)
		}
		if diff := cmp.Diff(list[i].Event, m.Event); diff != "" {
			t.Errorf("event %d: %s", i, diff)
		}
	}
}

func (s *suite) pages(t *testing.T) {
	const n = 50
	b, r := s.attached(t, "c")
	publish(t, b, messages("c", 0, n)...)
	s.await(t, r, "c", n)
	if p := page(t, b, "c", event.Position{}, 0); len(p.Messages) != 0 || p.Head.IsZero() || !p.Complete {
		t.Errorf("a limit of 0: %d events, head %v, complete %v", len(p.Messages), p.Head, p.Complete)
	}
	for _, size := range []int{1, 7, 50, 51} {
		var all []bus.Message
		var at event.Position
		for range n + 1 {
			p := page(t, b, "c", at, size)
			if !p.Complete || len(p.Messages) > size {
				t.Fatalf("pages of %d: %d events, complete %v", size, len(p.Messages), p.Complete)
			}
			if len(p.Messages) == 0 {
				break
			}
			all = append(all, p.Messages...)
			at = all[len(all)-1].Position
		}
		s.wantOrder(t, b, all, 0, n)
	}
}

// historyWhilePublishing reads on and on: what was delivered is in the history, each page follows the one before.
func (s *suite) historyWhilePublishing(t *testing.T) {
	const n = 400
	b, r := s.attached(t, "c")
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range n {
			publishQuietly(t, b, message("c", i))
		}
	})
	var all []bus.Message
	var at event.Position
	for len(all) < n && !t.Failed() {
		delivered := r.of("c")
		p := page(t, b, "c", at, 64)
		if !p.Complete {
			t.Fatal("a gap")
		}
		all = append(all, p.Messages...)
		if len(all) > 0 {
			at = all[len(all)-1].Position
		}
		if len(p.Messages) < 64 && len(delivered) > 0 && at.Compare(delivered[len(delivered)-1].Position) < 0 {
			t.Fatal("an event was delivered before it was in the history")
		}
	}
	wait.Wait()
	s.wantOrder(t, b, all, 0, n)
}

func (s *suite) historyOfNothing(t *testing.T) {
	b, r := s.attached(t, "c", "other")
	p := page(t, b, "c", event.Position{}, 10)
	if len(p.Messages) != 0 || !p.Complete {
		t.Errorf("%d events, complete %v", len(p.Messages), p.Complete)
	}
	// The head of a silent channel is where a subscriber stands who comes before the first event.
	publish(t, b, messages("other", 0, 3)...)
	s.await(t, r, "other", 3)
	head := page(t, b, "c", event.Position{}, 0).Head
	publish(t, b, messages("c", 0, 2)...)
	s.await(t, r, "c", 2)
	p = page(t, b, "c", head, 10)
	if !p.Complete {
		t.Error("not complete after the head of the silent channel")
	}
	s.wantOrder(t, b, p.Messages, 0, 2)
}

// foreign gives positions of another bus: whatever is answered, it does not pass for complete.
func (s *suite) foreign(t *testing.T) {
	b, r := s.attached(t, "c")
	other, otherRecorder := s.attached(t, "c")
	publish(t, b, messages("c", 0, 5)...)
	publish(t, other, messages("c", 0, 3)...)
	own := s.await(t, r, "c", 5)[1].Position
	for name, at := range map[string]event.Position{
		"another bus":       s.await(t, otherRecorder, "c", 3)[1].Position,
		"another epoch":     {Epoch: own.Epoch + 1, Partition: own.Partition, Major: own.Major, Minor: own.Minor},
		"another partition": {Epoch: own.Epoch, Partition: own.Partition + 1, Major: own.Major, Minor: own.Minor},
		"largest":           {Epoch: ^uint64(0), Partition: ^uint32(0), Major: ^uint64(0), Minor: ^uint64(0)},
	} {
		if at == own {
			continue // two buses that count alike
		}
		if p := page(t, b, "c", at, 10); p.Complete {
			t.Errorf("%s: complete", name)
		} else if p.Head.IsZero() {
			t.Errorf("%s: no head", name)
		}
	}
}

func (s *suite) ahead(t *testing.T) {
	b, r := s.attached(t, "c")
	publish(t, b, messages("c", 0, 2)...)
	at := s.await(t, r, "c", 2)[1].Position
	for name, ahead := range map[string]event.Position{
		"by one":  {Epoch: at.Epoch, Partition: at.Partition, Major: at.Major, Minor: at.Minor + 1},
		"by much": {Epoch: at.Epoch, Partition: at.Partition, Major: ^uint64(0), Minor: ^uint64(0)},
		"wrapped": {Epoch: at.Epoch, Partition: at.Partition, Major: at.Major, Minor: ^uint64(0)},
	} {
		if p := page(t, b, "c", ahead, 10); p.Complete || len(p.Messages) > 0 {
			t.Errorf("%s: complete %v, %d events", name, p.Complete, len(p.Messages))
		}
	}
}

// gap publishes more than is kept.
func (s *suite) gap(t *testing.T) {
	const keep, n = 10, 35
	b := s.Small(t, keep)
	r := attach(t, b, "c")
	for i := 0; i < n; i += keep / 2 { // a node that keeps up misses nothing
		publish(t, b, messages("c", i, keep/2)...)
		s.await(t, r, "c", i+keep/2)
	}
	list := distinct(r.of("c"))
	s.wantOrder(t, b, list, 0, n)
	if p := page(t, b, "c", event.Position{}, n); p.Complete {
		t.Error("from the start: complete")
	}
	gaps := 0
	for i := range n {
		p := page(t, b, "c", list[i].Position, n)
		if p.Head != list[n-1].Position {
			t.Fatalf("head %v", p.Head)
		}
		if !p.Complete {
			gaps++
			continue
		}
		s.wantOrder(t, b, p.Messages, i+1, n-1-i)
	}
	if gaps == 0 || gaps == n {
		t.Errorf("%d of %d positions have a gap behind them", gaps, n)
	}
	if !page(t, b, "c", list[n-1].Position, 1).Complete {
		t.Error("at the head: not complete")
	}
}

func (s *suite) control(t *testing.T) {
	node := bus.NodeChannel("node-1")
	b, r := s.attached(t, bus.ControlChannel, node, bus.NodeChannel("node-2"))
	publish(t, b, messages(bus.ControlChannel, 0, 3)...)
	publish(t, b, messages(node, 0, 2)...)
	s.wantOrder(t, b, s.await(t, r, bus.ControlChannel, 3), 0, 3)
	s.wantOrder(t, b, s.await(t, r, node, 2), 0, 2)
	if s.Forgets {
		return
	}
	p := page(t, b, bus.ControlChannel, event.Position{}, 100)
	if !p.Complete {
		t.Error("a starting node would miss revocations")
	}
	s.wantOrder(t, b, p.Messages, 0, 3)
	if n := len(page(t, b, bus.NodeChannel("node-2"), event.Position{}, 10).Messages); n != 0 {
		t.Errorf("another node's channel has %d events", n)
	}
}

// controlOutlives publishes much on ordinary channels: the control channel is still whole.
func (s *suite) controlOutlives(t *testing.T) {
	const n = 25
	b := s.Small(t, 10)
	r := attach(t, b, bus.ControlChannel, "c")
	publish(t, b, messages(bus.ControlChannel, 0, n)...)
	for i := range 40 {
		m := message("c", i)
		m.Event.Data = []byte(`{"a":"` + strings.Repeat("x", 4000) + `"}`)
		publish(t, b, m)
		s.await(t, r, "c", i+1)
	}
	s.await(t, r, bus.ControlChannel, n)
	p := page(t, b, bus.ControlChannel, event.Position{}, 100)
	if !p.Complete {
		t.Error("not complete")
	}
	s.wantOrder(t, b, p.Messages, 0, n)
}

// nodes publishes at two nodes at once: both deliver everything in one order, at the same positions.
func (s *suite) nodes(t *testing.T) {
	const each = 100
	first := s.New(t)
	second := s.Join(t, first)
	recorders := []*recorder{attach(t, first, "c"), attach(t, second, "c")}
	var wait sync.WaitGroup
	for p, b := range []bus.Bus{first, second} {
		wait.Go(func() {
			for i := range each {
				m := message("c", i)
				m.Event.ID = fmt.Sprintf("%d-%d", p, i)
				publishQuietly(t, b, m)
			}
		})
	}
	wait.Wait()
	var order [2][]bus.Message
	for i, r := range recorders {
		order[i] = distinct(s.await(t, r, "c", 2*each))
	}
	if diff := cmp.Diff(ids(order[0]), ids(order[1])); diff != "" {
		t.Fatalf("two orders:\n%s", diff)
	}
	if s.Forgets {
		return // positions are each node's own then
	}
	for i := range order[0] {
		if order[0][i].Position != order[1][i].Position {
			t.Fatalf("event %d: positions %v and %v", i, order[0][i].Position, order[1][i].Position)
		}
	}
}

// later opens a second node after events: it sees them in the history, and from then on gets what the first publishes.
func (s *suite) later(t *testing.T) {
	const n = 20
	first := s.New(t)
	r := attach(t, first, "c")
	publish(t, first, messages("c", 0, n)...)
	list := distinct(s.await(t, r, "c", n))
	second := s.Join(t, first)
	r2 := attach(t, second, "c")
	if got := r2.of("c"); len(got) > 0 {
		t.Errorf("%d old events were delivered to a node that came later", len(got))
	}
	if !s.Forgets {
		p := page(t, second, "c", event.Position{}, n)
		if !p.Complete || p.Head != list[n-1].Position {
			t.Errorf("complete %v, head %v, want %v", p.Complete, p.Head, list[n-1].Position)
		}
		s.wantOrder(t, second, p.Messages, 0, n)
		p = page(t, second, "c", list[4].Position, n)
		if !p.Complete {
			t.Error("a position of the first node is a gap for the second")
		}
		s.wantOrder(t, second, p.Messages, 5, n-5)
	}
	publish(t, first, messages("c", n, n)...)
	s.wantOrder(t, second, s.await(t, r2, "c", n), n, n)
	publish(t, second, messages("c", 2*n, n)...)
	s.wantOrder(t, first, s.await(t, r, "c", 3*n), 0, 3*n)
	s.wantOrder(t, second, s.await(t, r2, "c", 2*n), n, 2*n)
}

// slow holds up a node while much more is published than is kept: whatever it did not get, it is told of.
func (s *suite) slow(t *testing.T) {
	const keep, batches, each = 10, 100, 50
	b := s.Small(t, keep)
	r := newRecorder()
	var once sync.Once
	leave := make(chan struct{})
	entered := make(chan struct{})
	r.enter = func(*bus.Message) {
		once.Do(func() { close(entered) })
		<-leave
	}
	if err := b.Attach(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want(t, b, "c")
	var wait sync.WaitGroup
	wait.Go(func() { // on a bus within the process this waits for the handler
		for i := range batches {
			if _, err := b.Publish(t.Context(), messages("c", i*each, each)); err != nil {
				t.Error(err)
			}
		}
	})
	<-entered
	if bus.Describe(b).Shared {
		wait.Wait()
	}
	close(leave)
	wait.Wait()
	last := message("c", batches*each).Event.ID
	publish(t, b, message("c", batches*each))
	list := s.await(t, r, "c", 1)
	for n := 1; list[len(list)-1].Event.ID != last; n++ {
		list = s.await(t, r, "c", n)
	}
	s.wantNoSilentHole(t, list, r.gapsOf("c"))
}

// wantNoSilentHole fails if numbers are missing where no gap was told.
func (s *suite) wantNoSilentHole(t *testing.T, list []bus.Message, gaps []int) {
	t.Helper()
	want := 0
	for i, m := range list {
		var n int
		if _, err := fmt.Sscanf(m.Event.ID, "c-%d", &n); err != nil {
			t.Fatal(err)
		}
		if n > want && !slices.Contains(gaps, i) {
			t.Errorf("events %d to %d are missing before index %d, gaps were told at %v", want, n-1, i, gaps)
		}
		want = max(want, n+1)
	}
}

// forgets asks a bus without a history for it.
func (s *suite) forgets(t *testing.T) {
	b, r := s.attached(t, "c")
	publish(t, b, messages("c", 0, 3)...)
	at := s.await(t, r, "c", 3)[0].Position
	for name, after := range map[string]event.Position{"the start": {}, "the first event": at} {
		if p := page(t, b, "c", after, 10); p.Complete || len(p.Messages) > 0 || p.Head.IsZero() {
			t.Errorf("after %s: %d events, complete %v, head %v", name, len(p.Messages), p.Complete, p.Head)
		}
	}
}

// interruption publishes, cuts, and publishes again: what is missing from delivery is a gap in the history, too.
func (s *suite) interruption(t *testing.T) {
	const n = 50
	b, r := s.attached(t, "c")
	publish(t, b, messages("c", 0, n)...)
	s.await(t, r, "c", n)
	s.Interrupt(t, b)
	if bus.Describe(b).Guarantee == bus.AtLeastOnce {
		publish(t, b, messages("c", n, n)...)
		s.wantOrder(t, b, s.await(t, r, "c", 2*n), 0, 2*n)
		return
	}
	// Such a bus does not send again what is in doubt: the publisher is told, and tries. It may have several connections, and that which
	// delivers be back later than the one that publishes: what comes in between is lost, and told.
	insist(t, b, messages("c", n, n))
	got := s.afterwards(t, b, r, 2*n)
	for i := range 2 * n {
		if !got[message("c", i).Event.ID] && len(r.gapsOf("c")) == 0 {
			t.Fatalf("event %d is lost, and no gap was told", i)
		}
	}
}

// afterwards publishes events from a number on until one of them arrives, and returns what has arrived.
func (s *suite) afterwards(t *testing.T, b bus.Bus, r *recorder, from int) (got map[string]bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	ends := map[string]bool{}
	for end := time.Now().Add(s.Patience); time.Now().Before(end); <-again.C {
		got = map[string]bool{}
		arrived := false
		for _, m := range r.of("c") {
			got[m.Event.ID] = true
			arrived = arrived || ends[m.Event.ID]
		}
		if arrived {
			return got
		}
		next := message("c", from+len(ends))
		insist(t, b, []bus.Message{next})
		ends[next.Event.ID] = true
	}
	t.Fatal("nothing arrives any more")
	return nil
}

// insist publishes until the bus has acknowledged all.
func insist(t *testing.T, b bus.Bus, batch []bus.Message) {
	t.Helper()
	for tries := 0; ; tries++ {
		r, err := b.Publish(t.Context(), batch)
		if err == nil {
			return
		}
		if !errors.Is(err, bus.ErrUnavailable) || r.Accepted == len(batch) || tries == 100 {
			t.Fatalf("published %d of %d: %v", r.Accepted, len(batch), err)
		}
	}
}
