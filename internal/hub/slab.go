package hub

import "github.com/fraiseql/fraiseql-go/internal/queue"

// slab carves payloads and messages from append-only blocks that only the garbage collector frees: no pool and
// no reference count for anything that a subscriber can see.
type slab struct {
	bytes    []byte
	messages []queue.Message
}

const (
	slabBytes    = 8 << 10
	slabMessages = 128
	// slabRest is the least room that a payload is tried in.
	slabRest = 512
)

// message returns a zero message.
func (s *slab) message() *queue.Message {
	if len(s.messages) == 0 {
		s.messages = make([]queue.Message, slabMessages)
	}
	m := &s.messages[0]
	s.messages = s.messages[1:]
	return m
}

// project appends to the free end of the slab; what does not fit there gets an allocation of its own.
func (s *slab) project(appendTo func([]byte) []byte) []byte {
	if cap(s.bytes)-len(s.bytes) < slabRest {
		s.bytes = make([]byte, 0, slabBytes)
	}
	rest := s.bytes[len(s.bytes):]
	out := appendTo(rest)
	if cap(out) == cap(rest) {
		s.bytes = s.bytes[:len(s.bytes)+len(out)]
	}
	return out[:len(out):len(out)]
}
