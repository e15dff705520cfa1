package hub

import (
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Subscription is one live operation of one connection. It joins its channel's index by Hub.Join and leaves by
// Complete.
type Subscription struct {
	// What every event looks at comes first, beside the queue's own such members: cache lines count.
	joined  uint64 // the channel's event sequence when it joined: later events are for it
	slot    int32  // in cell.members
	expires uint32 // Unix second from which on nothing is delivered; 0: never
	queue.Queue
	channel *channel
	cell    *cell // guarded by channel.mu; nil until it is in the index
	who     atomic.Pointer[identity.Identity]
}

// Complete ends the subscription: what waits is dropped and nothing more is written for it. Idempotent, safe
// from any goroutine.
func (s *Subscription) Complete() {
	if s.Queue.Complete() {
		s.left()
	}
}

// End ends the subscription after what waits, with a last message: `complete`, or `error` with the JSON array of
// errors. Nothing is delivered after it. Idempotent, safe from any goroutine that holds no lock.
func (s *Subscription) End(errors []byte) {
	if s.Queue.End(endMessage(errors)) {
		s.left()
	}
}

func endMessage(errors []byte) *queue.Message { return &queue.Message{End: true, Payload: errors} }

// left takes the subscription out of the index and tells so. It is called once.
func (s *Subscription) left() {
	if s.channel == nil { // it was never joined
		return
	}
	s.channel.leave(s)
	s.tellLeft()
}

func (s *Subscription) tellLeft() {
	if left := s.channel.hub.cfg.Left; left != nil {
		left(s)
	}
}

// Identity returns who subscribed, or what Hub.Readmit has put in the place.
func (s *Subscription) Identity() *identity.Identity { return s.who.Load() }

// Channel returns the channel that the subscription listens to.
func (s *Subscription) Channel() string { return s.channel.name }
