package queue

// Message is one result, shared by every subscriber of a group and immutable once enqueued. Its bytes are
// owned by the garbage collector.
type Message struct {
	// Payload is an ExecutionResult without its closing brace: `{"data":{…}` with `,"errors":[…]` if any.
	Payload []byte
	// Extra is what few messages have; nil most of the time.
	Extra *Extra
	// End marks the last message of its subscription: `complete` when Payload is nil, else `error` with
	// Payload the JSON array of errors.
	End bool
}

// Extra is what few messages carry beside their payload.
type Extra struct {
	// Cursor is the text of the position's cursor, for groups that asked; nil otherwise.
	Cursor []byte
	// Key is what LATEST compares.
	Key string
	// Recovered, with Cursor, says whether everything since the subscriber's own cursor is there.
	Recovered Recovery
}

// Recovery is what a subscriber that resumes is told.
type Recovery uint8

const (
	// Untold: nothing is said.
	Untold Recovery = iota
	// Recovered: everything since the cursor that the subscriber presented follows.
	Recovered
	// Lost: there may be a gap before the messages that follow.
	Lost
)

func (m *Message) size() int {
	if m.Extra == nil {
		return len(m.Payload)
	}
	return len(m.Payload) + len(m.Extra.Cursor)
}

// Cursor returns the text of the position's cursor, nil if the group did not ask for it.
func (m *Message) Cursor() []byte {
	if m.Extra == nil {
		return nil
	}
	return m.Extra.Cursor
}

// Key returns what LATEST compares.
func (m *Message) Key() string {
	if m.Extra == nil {
		return ""
	}
	return m.Extra.Key
}

// clone copies a message out of the slabs that it shares with others, so that a stalled client keeps no more
// memory alive than its queue counts.
func (m *Message) clone() *Message {
	c := *m
	c.Payload = append([]byte(nil), m.Payload...)
	if m.Extra != nil {
		c.Extra = &Extra{Cursor: append([]byte(nil), m.Extra.Cursor...), Key: m.Extra.Key, Recovered: m.Extra.Recovered}
	}
	return &c
}
