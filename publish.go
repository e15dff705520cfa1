package fraiseql

import (
	"context"
	"errors"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/observe"
)

// Receipt is what the bus acknowledged, see bus.Receipt.
type Receipt = bus.Receipt

const (
	// maxReported is how many problems of one batch are reported.
	maxReported = 100
	// keptBatch is the largest batch whose scratch is kept.
	keptBatch = 64
)

// publication is the scratch of one Publish. Pooled.
type publication struct {
	batch  []bus.Message
	parsed []*hub.Parsed
	errs   PublishErrors
}

// tenantRoot is a root field whose events carry a tenant at a path.
type tenantRoot struct {
	types []string
	path  []jsontape.Name
}

// Publish validates events and hands them to the bus in order. Validation is all or nothing: PublishErrors
// lists the problems of the batch, and nothing was published. On the memory bus it returns after every event was
// matched and enqueued, and Receipt.Delivered is the number of subscriptions; other buses answer -1 once they
// have acknowledged. A bus that fails midway: the receipt says how many leading events it has, the error has
// bus.ErrUnavailable in its chain.
//
// Data of the events must not be changed afterwards. Events of one call, and of calls that do not overlap,
// reach subscribers of a channel in order.
func (e *Engine) Publish(ctx context.Context, events ...Event) (Receipt, error) {
	p := e.publishing.Get().(*publication)
	defer e.recycle(p)
	now := event.Now()
	for i := range events {
		p.batch = append(p.batch, bus.Message{Event: events[i]})
		m := &p.batch[i]
		if m.Event.Timestamp.IsZero() {
			m.Event.Timestamp = now
		}
		if m.Event.ID == "" && m.Event.UID == (event.ID{}) {
			m.Event.UID = event.NewIDAt(now)
		}
		if err := e.check(p, i, &m.Event); err != nil && len(p.errs) < maxReported {
			err.Index = i
			p.errs = append(p.errs, err)
		}
		m.Parsed = p.parsed[i]
	}
	if len(p.errs) > 0 {
		return Receipt{}, e.refuse(p)
	}
	if e.closed.Load() {
		return Receipt{}, bus.ErrClosed
	}
	if e.publishRates != nil {
		if err := e.admitEvents(p); err != nil {
			p.errs = append(p.errs, err)
			return Receipt{}, e.refuse(p)
		}
	}
	r, err := e.bus.Publish(ctx, p.batch)
	for i := range p.batch { // deferred resolvers, outside of the bus's turns
		e.hub.HandOver(p.parsed[i])
	}
	if r.Accepted > 0 {
		e.observer.Published(r.Accepted)
	}
	return r, err
}

// Check validates events as Publish does, without publishing.
func (e *Engine) Check(events ...Event) error {
	p := e.publishing.Get().(*publication)
	defer e.recycle(p)
	for i := range events {
		if err := e.check(p, i, &events[i]); err != nil && len(p.errs) < maxReported {
			err.Index = i
			p.errs = append(p.errs, err)
		}
	}
	if len(p.errs) > 0 {
		return e.refuse(p)
	}
	return nil
}

func (e *Engine) refuse(p *publication) error {
	for _, err := range p.errs {
		e.observer.Counted(observe.PublishRefused, err.Code, 1)
	}
	errs := p.errs
	p.errs = nil
	return errs
}

// check validates event i of a publication and parses its data.
func (e *Engine) check(p *publication, i int, ev *event.Event) *PublishError {
	if i >= len(p.parsed) {
		p.parsed = append(p.parsed, new(hub.Parsed))
	}
	if err := ev.Validate(); err != nil {
		var bad *event.Error
		if errors.As(err, &bad) {
			return &PublishError{Member: bad.Member, Code: bad.Code, Message: bad.Message}
		}
		return &PublishError{Code: code.InvalidValue, Message: err.Error()}
	}
	found := p.parsed[i]
	if err := found.Parse(ev, &e.address, e.limits.events()); err != nil {
		return badData(err)
	}
	aud := found.Audience
	if e.address.Strict && !e.hasTenantPath(ev, &found.Tape) {
		aud = aud.Isolated(ev)
	}
	if aud.Nobody {
		return &PublishError{Code: code.InvalidValue, Message: aud.Reason}
	}
	return nil
}

func badData(err error) *PublishError {
	var bad *jsontape.Error
	if errors.As(err, &bad) && (bad.Kind == jsontape.TooLarge || bad.Kind == jsontape.TooDeep) {
		return &PublishError{Member: "data", Code: code.LimitExceeded, Message: err.Error()}
	}
	return &PublishError{Member: "data", Code: code.InvalidValue, Message: err.Error()}
}

// hasTenantPath reports whether a root field of the event's channel finds a tenant at its @tenant path.
func (e *Engine) hasTenantPath(ev *event.Event, t *jsontape.Tape) bool {
	for _, root := range e.tenantRoots[ev.Channel] {
		if len(root.types) > 0 && !contains(root.types, ev.Type) {
			continue
		}
		if hub.HasAddress(t, t.LookupNames(jsontape.Root, root.path)) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func (e *Engine) indexTenantRoots() {
	e.tenantRoots = make(map[string][]tenantRoot)
	if e.schema.Subscription == nil {
		return
	}
	for _, f := range e.schema.Subscription.Fields {
		if f.Tenant != nil && f.Source != nil {
			root := tenantRoot{types: f.Source.Types, path: jsontape.MakeNames(f.Tenant)}
			e.tenantRoots[f.Source.Channel] = append(e.tenantRoots[f.Source.Channel], root)
		}
	}
}

// recycle keeps a publication for later unless it grew large. It forgets the events.
func (e *Engine) recycle(p *publication) {
	if len(p.parsed) > keptBatch {
		return
	}
	clear(p.batch)
	p.batch, p.errs = p.batch[:0], nil
	e.publishing.Put(p)
}
