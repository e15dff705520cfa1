package hub

import (
	"errors"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Parsed is what a publishing door has found out about an event, in bus.Message.Parsed on its way to the hub of
// the same process. The zero value is ready; it may be used again once the event was dispatched.
type Parsed struct {
	Tape jsontape.Tape
	// Audience is who may see the event, see Addressing.Audience.
	Audience policy.Audience
	buf      []byte     // texts of Audience
	due      []*Request // deferred resolvers to be called, see Hub.HandOver
	scratch  *dispatch  // nil: of the pool
}

// NewParsed returns a Parsed with scratch of its own, which saves the hub h a look at its pool for each event. It is
// for one event at a time, like every Parsed.
func (h *Hub) NewParsed() *Parsed { return &Parsed{scratch: newDispatch(h)} }

// ErrNotObject says that an event's data is JSON, but not an object.
var ErrNotObject = errors.New("must be a JSON object")

// Parse fills p. The error is a *jsontape.Error or ErrNotObject.
func (p *Parsed) Parse(ev *event.Event, a *Addressing, lim jsontape.Limits) error {
	if err := p.Tape.Parse(ev.Data, lim); err != nil {
		return err
	}
	if p.Tape.Kind(jsontape.Root) != jsontape.Object {
		return ErrNotObject
	}
	p.buf = a.Audience(&p.Audience, ev, &p.Tape, p.buf[:0])
	return nil
}
