package membus

import (
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/event"
)

// ring is the newest events of a channel, oldest first from head on. An event is kept in half the memory that it
// has on its way: without its channel, and without addresses where no event of the channel has any.
type ring struct {
	head  int32
	count int32 // events held
	// One of them holds the events: pairs once an event had an address.
	entries []entry
	pairs   []pair
	times   []int64 // when each was published (Unix nanoseconds), for retention; else nil
	text    int64   // bytes of what the events refer to
}

// entry is an event without its channel and addresses.
type entry struct {
	kind      string
	data      []byte
	uid       event.ID
	at        time.Time
	text      int64 // bytes of what the event refers to
	broadcast bool
}

// addresses are the members that many events do not have.
type addresses struct{ id, tenant, user, federation, service string }

type pair struct {
	entry
	addresses
}

const (
	entryBytes = int64(unsafe.Sizeof(entry{}))
	pairBytes  = int64(unsafe.Sizeof(pair{}))
)

// bytes is what the events cost.
func (r *ring) bytes() int64 {
	return int64(len(r.entries))*entryBytes + int64(len(r.pairs))*pairBytes + r.text
}

// size is how many events there is room for.
func (r *ring) size() int32 { return int32(len(r.entries) + len(r.pairs)) }

// index returns where the nth event after the oldest is.
func (r *ring) index(n int32) int32 {
	i := r.head + n
	if size := r.size(); i >= size {
		i -= size
	}
	return i
}

// at returns a slot; to is nil while no event has addresses.
func (r *ring) at(i int32) (e *entry, to *addresses) {
	if r.pairs != nil {
		return &r.pairs[i].entry, &r.pairs[i].addresses
	}
	return &r.entries[i], nil
}

// push keeps an event; there is room.
func (r *ring) push(e *event.Event) (index int32) {
	text := int64(len(e.Type) + len(e.Data))
	if e.ID != "" || e.TenantID != "" || e.UserID != "" || e.FederationID != "" || e.ServiceName != "" {
		if r.pairs == nil {
			r.pair()
		}
		text += int64(len(e.ID) + len(e.TenantID) + len(e.UserID) + len(e.FederationID) + len(e.ServiceName))
	}
	i := r.index(r.count)
	k, to := r.at(i)
	if to != nil {
		*to = addresses{e.ID, e.TenantID, e.UserID, e.FederationID, e.ServiceName}
	}
	k.kind, k.data, k.uid, k.at, k.text, k.broadcast = e.Type, e.Data, e.UID, e.Timestamp, text, e.Broadcast
	r.count++
	r.text += text
	return i
}

// pair makes room for addresses.
func (r *ring) pair() {
	r.pairs = make([]pair, len(r.entries))
	for i := range r.entries {
		r.pairs[i].entry = r.entries[i]
	}
	r.entries = nil
}

// event returns the nth event after the oldest.
func (r *ring) event(n int32, channel string) event.Event {
	from, a := r.at(r.index(n))
	e := event.Event{
		Channel: channel, Type: from.kind, UID: from.uid, Broadcast: from.broadcast, Timestamp: from.at, Data: from.data,
	}
	if a != nil {
		e.ID, e.TenantID, e.UserID, e.FederationID, e.ServiceName = a.id, a.tenant, a.user, a.federation, a.service
	}
	return e
}

// drop forgets the oldest event.
func (r *ring) drop() {
	e, a := r.at(r.head)
	r.text -= e.text
	*e = entry{}
	if a != nil {
		*a = addresses{}
	}
	r.count--
	r.head = r.index(1)
}

// resize moves the events into a ring of n slots, n ≥ count.
func (r *ring) resize(n int32) {
	if r.times != nil {
		r.times = moved(r, r.times, n)
	}
	if r.pairs != nil {
		r.pairs = moved(r, r.pairs, n)
	} else {
		r.entries = moved(r, r.entries, n)
	}
	r.head = 0
}

// moved returns what one of the ring's lists holds in a list of n slots.
func moved[T any](r *ring, from []T, n int32) []T {
	to := make([]T, n)
	first := from[r.head:min(r.head+r.count, int32(len(from)))]
	copy(to[copy(to, first):], from[:int(r.count)-len(first)])
	return to
}

// shrink gives back a ring that is three quarters empty.
func (r *ring) shrink() {
	switch n := r.size(); {
	case r.count > n/4 || r.count == n:
	case r.count == 0:
		r.entries, r.pairs, r.head = nil, nil, 0
		if r.times != nil {
			r.times = []int64{}
		}
	default:
		r.resize(r.count)
	}
}

// grown is the size of the ring that follows one of n slots. Many channels see one event only.
func grown(n int32) int32 {
	switch {
	case n == 0:
		return 1
	case n < 16:
		return 4 * n
	}
	return 2 * n
}
