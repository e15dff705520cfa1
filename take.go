package fraiseql

import (
	"sync"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// takeQueues is how many subscriptions one look at a connection finds.
const takeQueues = 256

// taking is the scratch of one Take. Pooled.
type taking struct {
	queues []*queue.Queue
	subs   []*Subscription
	buf    []byte
}

var takings = sync.Pool{New: func() any { return new(taking) }}

// keptMessage is the largest buffer of a message that is kept.
const keptMessage = 64 << 10

// Take gives up to max messages of a connection's subscriptions to yield, one of each that has some in turn, as
// Subscription.Next returns them. message is valid until yield returns; yield may call the engine. It returns how
// many there were: 0 for an unknown connection. Messages of a subscription whose Register has not returned yet wait.
// Ends are told by Subscription.Next alone.
func (e *Engine) Take(connectionID string, max int, yield func(s *Subscription, message []byte)) (n int) {
	c := e.pulls.connection(connectionID)
	if c == nil {
		return 0
	}
	t := takings.Get().(*taking)
	defer t.free()
	for n < max {
		all := t.look(c, min(max-n, takeQueues))
		before := n
		for n < max && len(t.subs) > 0 {
			if n += t.round(max-n, yield); !all {
				break // others wait: it is their turn
			}
		}
		if all || n == before {
			break
		}
	}
	return n
}

// look finds whose turn it is; all says that there are no others.
func (t *taking) look(c *pullConn, limit int) (all bool) {
	t.queues, t.subs = c.Ready(t.queues[:0], limit), t.subs[:0]
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range t.queues {
		if s := c.live[q]; s != nil && s.settled {
			t.subs = append(t.subs, s)
		}
	}
	return len(t.queues) < limit
}

// round yields one message of each subscription that has one, and drops the others.
func (t *taking) round(max int, yield func(*Subscription, []byte)) (n int) {
	rest := t.subs[:0]
	for _, s := range t.subs {
		if n == max {
			return n
		}
		message, ok := s.pop(s.sub.Load(), t.buf[:0])
		if t.buf = message; !ok {
			continue
		}
		rest = append(rest, s)
		n++
		yield(s, message)
	}
	t.subs = rest
	return n
}

func (t *taking) free() {
	if cap(t.buf) > keptMessage {
		t.buf = nil
	}
	clear(t.queues[:cap(t.queues)])
	clear(t.subs[:cap(t.subs)])
	takings.Put(t)
}
