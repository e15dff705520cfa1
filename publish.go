package fraiseql

import (
	"context"
	"errors"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Receipt is what the bus acknowledged, see bus.Receipt.
type Receipt = bus.Receipt

const (
	// maxReported is how many problems of one batch are reported.
	maxReported = 100
	// keptBatch is the largest batch whose memory is kept.
	keptBatch = 256
)

// Batch is events to be published together. It is for hosts that make events out of something else: they are
// written where they are needed, and what Publish needs besides is kept for the next batch. Not for concurrent use.
type Batch struct {
	engine   *Engine
	messages []bus.Message // those beyond the length are zero
	parsed   []*hub.Parsed // at least as many
	errs     PublishErrors
	calls    uint32 // of Publish, see pace
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
	b := e.publishing.Get().(*Batch)
	defer e.publishing.Put(b)
	for i := range events {
		*b.Add() = events[i]
	}
	return b.Publish(ctx)
}

// Batch returns an empty batch. It is used again and again; whoever needs several at once makes several.
func (e *Engine) Batch() *Batch { return &Batch{engine: e} }

// Len returns how many events the batch has.
func (b *Batch) Len() int { return len(b.messages) }

// Add returns a new event of the batch, to be filled in before the next call.
func (b *Batch) Add() *Event {
	i := len(b.messages)
	if i < cap(b.messages) {
		b.messages = b.messages[:i+1]
	} else {
		b.messages = append(b.messages, bus.Message{})
	}
	if i == len(b.parsed) {
		b.parsed = append(b.parsed, b.newParsed(i))
	}
	m := &b.messages[i]
	m.Parsed = b.parsed[i]
	return &m.Event
}

// newParsed makes what the hub needs for event i. Most batches have one event.
func (b *Batch) newParsed(i int) *hub.Parsed {
	if i == 0 {
		return b.engine.hub.NewParsed()
	}
	return new(hub.Parsed)
}

// Publish publishes the events as Engine.Publish does. Whatever it returns, the batch is empty afterwards.
func (b *Batch) Publish(ctx context.Context) (Receipt, error) {
	defer b.Clear()
	e, now := b.engine, event.Now()
	for i := range b.messages {
		ev := &b.messages[i].Event
		b.check(i, ev)
		if ev.Timestamp.IsZero() {
			ev.Timestamp = now
		}
		if ev.ID == "" && ev.UID == (event.ID{}) {
			ev.UID = event.NewIDAt(now)
		}
	}
	if len(b.errs) > 0 {
		return Receipt{}, b.refuse()
	}
	if e.closed.Load() {
		return Receipt{}, bus.ErrClosed
	}
	if e.crowded() {
		b.errs = append(b.errs, &PublishError{Code: code.RateLimited, Message: "the server is short of memory, try again later", RetryAfter: time.Second})
		return Receipt{}, b.refuse()
	}
	if r := e.publishRates.Load(); r != nil {
		if err := e.admitEvents(r, b.messages); err != nil {
			b.errs = append(b.errs, err)
			return Receipt{}, b.refuse()
		}
	}
	r, err := e.publish(ctx, b.messages, &b.calls)
	for _, p := range b.parsed[:len(b.messages)] { // deferred resolvers, outside of the bus's turns
		e.hub.HandOver(p)
	}
	if r.Accepted > 0 {
		e.observer.Published(r.Accepted)
	}
	return r, err
}

// Clear takes all events out of the batch. A batch that grew large gives its memory back.
func (b *Batch) Clear() {
	b.errs = nil
	if len(b.messages) > keptBatch {
		b.messages, b.parsed = nil, nil
		return
	}
	clear(b.messages)
	b.messages = b.messages[:0]
}

// Check validates events as Publish does, without publishing.
func (e *Engine) Check(events ...Event) error {
	b := e.publishing.Get().(*Batch)
	defer e.publishing.Put(b)
	defer b.Clear()
	for i := range events {
		*b.Add() = events[i]
		b.check(i, &events[i])
	}
	if len(b.errs) > 0 {
		return b.refuse()
	}
	return nil
}

func (b *Batch) refuse() error {
	for _, err := range b.errs {
		if err.limit != "" {
			b.engine.limited(err.limit)
		}
		b.engine.observer.Counted(observe.PublishRefused, err.Code, 1)
	}
	return b.errs
}

// check validates event i and parses its data.
func (b *Batch) check(i int, ev *event.Event) {
	if err := b.engine.check(b.parsed[i], ev); err != nil && len(b.errs) < maxReported {
		err.Index = i
		b.errs = append(b.errs, err)
	}
}

func (e *Engine) check(p *hub.Parsed, ev *event.Event) *PublishError {
	if bad := ev.Validate(); bad != nil {
		return &PublishError{Member: bad.Member, Code: bad.Code, Message: bad.Message}
	}
	if err := p.Parse(ev, &e.address, e.limits().events()); err != nil {
		return badData(err)
	}
	if e.address.Strict && !p.Audience.Nobody && !e.hasTenantPath(ev, &p.Tape) {
		if isolated := p.Audience.Isolated(ev); isolated.Nobody {
			return addressless(isolated)
		}
	}
	if p.Audience.Nobody {
		return addressless(p.Audience)
	}
	return nil
}

func addressless(a policy.Audience) *PublishError {
	return &PublishError{Member: a.ReasonMember(), Code: code.InvalidValue, Message: a.Reason}
}

func badData(err error) *PublishError {
	var bad *jsontape.Error
	if errors.As(err, &bad) && (bad.Kind == jsontape.TooLarge || bad.Kind == jsontape.TooDeep) {
		limit := "event_bytes"
		if bad.Kind == jsontape.TooDeep {
			limit = "event_depth"
		}
		return &PublishError{Member: "data", Code: code.LimitExceeded, Message: err.Error() + " (limits." + limit + ")", limit: limit}
	}
	return &PublishError{Member: "data", Code: code.InvalidValue, Message: err.Error()}
}

// hasTenantPath reports whether a root field of the event's channel finds a tenant at its @tenant path.
func (e *Engine) hasTenantPath(ev *event.Event, t *jsontape.Tape) bool {
	for _, root := range e.schema.Load().tenantRoots[ev.Channel] {
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
