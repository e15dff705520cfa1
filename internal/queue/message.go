package queue

import (
	"sync/atomic"
	"weak"
)

// Message is one result, shared by every subscriber of a group and immutable once enqueued. Its bytes are
// owned by the garbage collector.
type Message struct {
	// Payload is an ExecutionResult without its closing brace: `{"data":{…}` with `,"errors":[…]` if any.
	Payload []byte
	// Extra is what few messages have; nil most of the time.
	Extra *Extra
	// End marks the last message of its subscription: `complete` when Payload is nil, else `error` with
	// Payload the JSON array of errors.
	End    bool
	copied bool                  // is a copy, see detached
	forms  atomic.Pointer[forms] // nil: none yet
}

// forms are what has been made of a message, each once and shared by all. Most messages have none.
type forms struct {
	other atomic.Pointer[[]byte]                // see Other
	copy  atomic.Pointer[weak.Pointer[Message]] // see detached
}

// made returns the forms of the message, to look at or to add to.
func (m *Message) made() *forms {
	if f := m.forms.Load(); f != nil {
		return f
	}
	m.forms.CompareAndSwap(nil, new(forms))
	return m.forms.Load()
}

// Extra is what few messages carry beside their payload.
type Extra struct {
	// Cursor is the text of the position's cursor, for groups that asked; nil otherwise.
	Cursor []byte
	// Key is what LATEST compares, where Keyed is set: the empty text is a value, too.
	Key   string
	Keyed bool
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

// Key returns what LATEST compares; ok is false if there is nothing, and the message neither replaces one nor is replaced.
func (m *Message) Key() (key string, ok bool) {
	if m.Extra == nil {
		return "", false
	}
	return m.Extra.Key, m.Extra.Keyed
}

// is reports whether the message has that key.
func (m *Message) is(key string) bool {
	own, ok := m.Key()
	return ok && own == key
}

// detached returns a copy of a message that lies in no slab, so that stalled clients keep no more memory alive than their queues
// count. It is made when the first of them needs it, and shared by all: what many stalled clients wait for exists once, as it
// does for those that read. That of a copy is itself.
//
// The message knows its copy weakly: it lives as long as its slab, with many others, and must not keep what the queues have dropped.
func (m *Message) detached() *Message {
	if m.copied {
		return m
	}
	made := &m.made().copy
	var own *Message
	for {
		known := made.Load()
		if known != nil {
			if c := known.Value(); c != nil {
				return c
			}
		}
		if own == nil {
			own = m.clone()
		}
		ref := weak.Make(own)
		if made.CompareAndSwap(known, &ref) {
			return own
		}
	}
}

// clone copies a message and all that it refers to.
func (m *Message) clone() *Message {
	c := &Message{Payload: append([]byte(nil), m.Payload...), End: m.End, copied: true}
	if m.Extra != nil {
		c.Extra = &Extra{Cursor: append([]byte(nil), m.Extra.Cursor...), Key: m.Extra.Key, Keyed: m.Extra.Keyed, Recovered: m.Extra.Recovered}
	}
	return c
}

// Other returns another form of Payload (compressed), made when it is first asked for and then shared by all that the
// message is for. make must give the same for the same payload; it may run more than once.
func (m *Message) Other(make func(payload []byte) []byte) []byte {
	made := &m.made().other
	if form := made.Load(); form != nil {
		return *form
	}
	form := make(m.Payload)
	made.CompareAndSwap(nil, &form)
	return form
}
