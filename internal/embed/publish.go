//go:build linux

package embed

import (
	"context"
	"unsafe"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// Event is an event of a host. nil is absent; nothing is kept.
type Event struct {
	Channel, Type, Data                             []byte
	ID, TenantID, UserID, FederationID, ServiceName []byte
	Broadcast                                       bool
}

const (
	// slabSize is how much memory is carved into events at once.
	slabSize = 8 << 10
	// ownSize is the size from which an event has memory of its own.
	ownSize = slabSize / 4
)

// Sheet is a batch of events on its way into the engine. From Engine.Sheet; it is gone after Publish or Drop.
type Sheet struct {
	engine *Engine
	batch  *fraiseql.Batch
	slab   []byte // what is left of it
	err    *fraiseql.PublishError
}

// Sheet begins a batch.
func (e *Engine) Sheet() *Sheet { return e.sheets.Get().(*Sheet) }

func (e *Engine) newSheet() any { return &Sheet{engine: e, batch: e.facade.Batch()} }

// Add copies an event, once, into memory that the engine keeps.
func (s *Sheet) Add(ev *Event) {
	size := len(ev.Channel) + len(ev.Type) + len(ev.Data)
	addressed := ev.ID != nil || ev.TenantID != nil || ev.UserID != nil || ev.FederationID != nil || ev.ServiceName != nil
	if addressed {
		s.check(ev)
		size += len(ev.ID) + len(ev.TenantID) + len(ev.UserID) + len(ev.FederationID) + len(ev.ServiceName)
	}
	block, to := s.block(size), s.batch.Add()
	to.Channel, to.Type, to.Broadcast = text(&block, ev.Channel), text(&block, ev.Type), ev.Broadcast
	if addressed {
		to.ID, to.TenantID, to.UserID = text(&block, ev.ID), text(&block, ev.TenantID), text(&block, ev.UserID)
		to.FederationID, to.ServiceName = text(&block, ev.FederationID), text(&block, ev.ServiceName)
	}
	to.Data = carve(&block, ev.Data)
}

// check refuses members that are there and empty: to the engine an empty text is an absent one, which would widen
// whom the event is for.
func (s *Sheet) check(ev *Event) {
	name := ""
	switch {
	case s.err != nil:
	case ev.ID != nil && len(ev.ID) == 0:
		name = "id"
	case ev.TenantID != nil && len(ev.TenantID) == 0:
		name = "tenant_id"
	case ev.UserID != nil && len(ev.UserID) == 0:
		name = "user_id"
	case ev.FederationID != nil && len(ev.FederationID) == 0:
		name = "federation_id"
	case ev.ServiceName != nil && len(ev.ServiceName) == 0:
		name = "service_name"
	}
	if name != "" {
		s.err = &fraiseql.PublishError{Index: s.batch.Len(), Member: name, Code: code.InvalidValue, Message: "must not be empty: leave it out"}
	}
}

// block returns size bytes that nobody else has.
func (s *Sheet) block(size int) []byte {
	if size > ownSize {
		return make([]byte, size)
	}
	if size > len(s.slab) {
		s.slab = make([]byte, slabSize)
	}
	b := s.slab[:size:size]
	s.slab = s.slab[size:]
	return b
}

// carve copies bytes to the front of a block and takes that off it.
func carve(block *[]byte, src []byte) []byte {
	n := copy(*block, src)
	part := (*block)[:n:n]
	*block = (*block)[n:]
	return part
}

// text is carve for a string. The block is written once, here.
func text(block *[]byte, src []byte) string {
	if len(src) == 0 {
		return ""
	}
	part := carve(block, src)
	return unsafe.String(&part[0], len(part))
}

// Publish hands the batch to the engine. n is the number of subscriptions that it was enqueued for, or Acknowledged.
func (s *Sheet) Publish() (n int64, err error) {
	if s.err != nil {
		err = s.err
		s.Drop()
		return 0, err
	}
	r, err := s.batch.Publish(context.Background())
	s.engine.sheets.Put(s)
	switch {
	case err != nil:
		return 0, err
	case r.Delivered < 0:
		return Acknowledged, nil
	}
	return int64(r.Delivered), nil
}

// Drop forgets the batch.
func (s *Sheet) Drop() {
	s.err = nil
	s.batch.Clear()
	s.engine.sheets.Put(s)
}
