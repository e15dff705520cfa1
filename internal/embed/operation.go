//go:build linux

package embed

import (
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

// operation is what waits for the bus while its host waits, too, or does something else.
type operation struct {
	engine *Engine
	note   *note         // nil: no mailbox is told
	after  chan struct{} // closed when the publish before it goes on its way; nil: there is none
	begun  chan struct{} // closed when this one does; nil: it is no publish
	done   chan struct{} // closed at the end: result, made and err are there then
	result int64
	made   Subscribed
	err    error

	mu    sync.Mutex
	ended bool // guarded by mu
	left  bool // nobody asks for the result; guarded by mu
}

// StartPublish is Sheet.Publish that does not wait: Finish answers. The mailbox is told the token at the end; 0: none is.
// Publishes go on their way in the order in which they are started, though none waits for the end of another.
func (e *Engine) StartPublish(s *Sheet, mailbox, token int64) (int64, error) {
	o := &operation{begun: make(chan struct{})}
	handle, err := e.start(o, mailbox, token, func(o *operation) (err error) {
		o.result, err = s.Publish()
		return err
	})
	if err != nil {
		s.Drop()
	}
	return handle, err
}

// StartRevoke is Revoke that does not wait.
func (e *Engine) StartRevoke(text []byte, mailbox, token int64) (int64, error) {
	text = clone(text)
	return e.start(new(operation), mailbox, token, func(*operation) error { return e.Revoke(text) })
}

// StartSubscribe is Subscribe that does not wait. The subscription ends when nobody asks for it.
func (e *Engine) StartSubscribe(s *Subscription) (int64, error) {
	kept := s.clone()
	return e.start(new(operation), 0, 0, func(o *operation) (err error) {
		o.made, err = e.Subscribe(kept)
		o.result = o.made.Handle
		return err
	})
}

func (s *Subscription) clone() *Subscription {
	c := *s
	for _, text := range [...]*[]byte{&c.ConnectionID, &c.SubscriptionID, &c.Query, &c.OperationName, &c.Variables, &c.Extensions, &c.Identity} {
		*text = clone(*text)
	}
	return &c
}

func (e *Engine) start(o *operation, mailbox, token int64, run func(o *operation) error) (int64, error) {
	o.engine, o.done = e, make(chan struct{})
	if mailbox != 0 {
		b := e.mailbox(mailbox)
		if b == nil {
			return 0, &Fault{Code: code.BadUserInput, Message: "there is no such mailbox"}
		}
		o.note = &note{box: b, token: token}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connections == nil {
		return 0, errClosed
	}
	e.operations.Add(1)
	if o.begun != nil {
		o.after, e.begun = e.begun, o.begun
	}
	handle := e.lib.operations.put(o)
	go o.run(run)
	return handle, nil
}

// errInside answers for a panic.
var errInside = &Fault{Code: code.InternalServerError, Message: "A fault of the library."}

func (o *operation) run(run func(o *operation) error) {
	defer o.engine.operations.Done()
	defer o.end()
	defer func() {
		if recover() != nil {
			o.err = errInside
		}
	}()
	if o.after != nil {
		<-o.after
		o.after = nil
	}
	if o.begun != nil {
		close(o.begun)
	}
	o.err = run(o)
}

func (o *operation) end() {
	o.mu.Lock()
	o.ended = true
	left := o.left
	close(o.done)
	o.mu.Unlock()
	switch {
	case left:
		o.undo()
	case o.note != nil:
		o.note.tell()
	}
}

// undo ends a subscription that nobody asks for.
func (o *operation) undo() {
	if o.err == nil && o.made.Handle != 0 {
		o.engine.Complete(o.made.Handle)
	}
}

// Finish answers what an operation came to, once, or Pending when it has not ended within wait; Unknown when there is no
// such operation. made is what a subscription got. The engine may be closed meanwhile.
func (l *Library) Finish(handle int64, wait time.Duration) (made Subscribed, result int64, err error) {
	o, ok := l.operations.get(handle)
	if !ok {
		return made, Unknown, nil
	}
	if !o.wait(wait) {
		return made, Pending, nil
	}
	if _, ok := l.operations.remove(handle); !ok {
		return made, Unknown, nil
	}
	return o.made, o.result, o.err
}

// wait reports whether an operation has ended.
func (o *operation) wait(most time.Duration) bool {
	select {
	case <-o.done:
		return true
	default:
	}
	if most <= 0 {
		return false
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-o.done:
		return true
	case <-timer.C:
		return false
	}
}

// Leave says that nobody asks what an operation comes to. It goes on; a subscription ends. 1, or 0 when there is none.
func (l *Library) Leave(handle int64) int64 {
	o, ok := l.operations.remove(handle)
	if !ok {
		return 0
	}
	o.mu.Lock()
	o.left = true
	ended := o.ended
	o.mu.Unlock()
	if ended {
		o.undo()
	}
	return 1
}
