package bustest

import (
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

// bounded is a Handler whose reader reads whenever it gets the chance, and which has room for few messages.
type bounded struct {
	ready chan struct{} // closed: Deliver may begin
	queue chan string   // ids
	empty chan chan struct{}

	mu    sync.Mutex
	lost  int
	waits int
}

const (
	backlogEvents = 10_000
	backlogRoom   = 100
)

// Deliver implements bus.Handler.
func (b *bounded) Deliver(m *bus.Message) int {
	<-b.ready
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.queue <- m.Event.ID:
	default:
		b.lost++
	}
	m.Filled = len(b.queue) > backlogRoom/2
	return 1
}

// Pace implements bus.Pacer.
func (b *bounded) Pace() {
	b.mu.Lock()
	b.waits++
	b.mu.Unlock()
	done := make(chan struct{})
	b.empty <- done
	<-done
}

// read hands over what is delivered until stop is closed.
func (b *bounded) read(stop <-chan struct{}, each func(id string)) {
	for {
		select {
		case id := <-b.queue:
			each(id)
		case done := <-b.empty:
			for len(b.queue) > 0 {
				each(<-b.queue)
			}
			close(done)
		case <-stop:
			return
		}
	}
}

// backlog has many events arrive at once for a reader with little room.
func (s *suite) backlog(t *testing.T) {
	b := s.New(t)
	h := &bounded{ready: make(chan struct{}), queue: make(chan string, backlogRoom), empty: make(chan chan struct{})}
	if err := b.Attach(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	want(t, b, "c")
	if d := bus.Describe(b); !d.Shared || d.Guarantee == bus.AtMostOnce { // others keep none for a node that is held up
		close(h.ready)
	}
	all := messages("c", 0, backlogEvents)
	read, stop, next, ended := make(chan struct{}), make(chan struct{}), 0, sync.WaitGroup{}
	ended.Go(func() {
		h.read(stop, func(id string) {
			if next < len(all) && id == all[next].Event.ID {
				if next++; next == len(all) {
					close(read)
				}
			}
		})
	})
	const each = 500
	for i := 0; i < len(all); i += each {
		publish(t, b, append([]bus.Message(nil), all[i:i+each]...)...)
	}
	select {
	case <-h.ready:
	default:
		close(h.ready)
	}
	select {
	case <-read:
	case <-time.After(s.Patience):
	}
	close(stop)
	ended.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if next != len(all) || h.lost > 0 || h.waits == 0 {
		t.Errorf("%d of %d events were read in order, %d found no room, the bus waited %d times", next, len(all), h.lost, h.waits)
	}
}
