package hub

import "github.com/fraiseql/fraiseql-go/internal/queue"

// slab carves payloads and messages from append-only blocks that only the garbage collector frees: no pool and
// no reference count for anything that a subscriber can see.
//
// Whoever holds a message holds the blocks that it lies in. A block of messages is therefore for the payloads of one block
// of bytes, and what may be long, or leads further, lies apart: a message whose payload has an allocation of its own, and
// one with an Extra.
type slab struct {
	bytes    []byte
	messages []queue.Message // free ones, for payloads in bytes
	made     int             // that there were for payloads in bytes, with the free ones
	next     int             // how many are made next
	apart    bool            // the last payload is not in bytes
}

const (
	slabBytes = 8 << 10
	// slabRest is the least room that a payload is tried in.
	slabRest = 512
	// minMessages and maxMessages bound how many messages a block has.
	minMessages, maxMessages = 4, 128
)

// add returns a message with what appendTo appends. extra may be nil.
func (s *slab) add(extra *queue.Extra, appendTo func([]byte) []byte) *queue.Message {
	payload := s.carve(appendTo(s.room()))
	if s.apart || extra != nil {
		return &queue.Message{Payload: payload, Extra: extra}
	}
	m := s.message()
	m.Payload = payload
	return m
}

// room returns the free end of the slab, empty, for a payload to be appended to.
func (s *slab) room() []byte {
	if cap(s.bytes)-len(s.bytes) < slabRest {
		s.renew()
	}
	return s.bytes[len(s.bytes):]
}

// carve returns the payload that was appended to room. What did not fit there has an allocation of its own.
func (s *slab) carve(out []byte) []byte {
	if s.apart = cap(out) != cap(s.bytes)-len(s.bytes); !s.apart {
		s.bytes = s.bytes[:len(s.bytes)+len(out)]
	}
	return out[:len(out):len(out)]
}

// message returns a zero message, for the last payload if it is not apart.
func (s *slab) message() *queue.Message {
	if len(s.messages) == 0 {
		s.messages = make([]queue.Message, s.next)
		s.made += s.next
		s.next = min(s.made/2, maxMessages)
	}
	m := &s.messages[0]
	s.messages = s.messages[1:]
	return m
}

// renew begins a block of bytes. It will have about as many payloads as the one before.
func (s *slab) renew() {
	used := s.made - len(s.messages)
	s.bytes, s.messages, s.made = make([]byte, 0, slabBytes), nil, 0
	s.next = max(minMessages, min(used+used/16, maxMessages))
}
