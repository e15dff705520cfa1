package pgbus

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

const (
	// relayBytes bounds the transaction that is delivered from memory; a larger one is read.
	relayBytes = 256 << 10
	// relayRows is how many transactions are remembered: those of the writers that are under way, and a few whose turn
	// has not come.
	relayRows = 64
	// relayed is how many deliveries from memory may wait for a handler, per shard.
	relayed = 32
	// grace is how long the reader waits for the turn of a transaction of this node, before it reads what is between.
	grace = time.Millisecond
)

// stand is how far this node has read, and where.
type stand struct {
	located bool
	epoch   uint64
	at      place // everything up to it was handed over
	// last is the newest event that was handed over, to be found again after a reconnect.
	last   place
	lastID string
	lastOf uint64 // the interest that it was taken by
}

// relay delivers what this node has written itself without reading it from the server again, where that is known to be what
// a read would return next: the transaction has committed, the connection that listens says so (it is of the server that the reader reads,
// not of one that was promoted meanwhile), and its number is the one after the last of which everything was handed over. There is no
// transaction between, hence no event, no other epoch, nothing that was pruned. Everything else is read.
//
// The notification of a transaction is its number and a mark, which the writer has drawn for the attempt. It holds nothing of the event:
// who may connect to the database may listen, too, and may notify.
//
// The reader owns the stand while it reads or is not connected; in between writers and reader move it under mu.
type relay struct {
	b *Bus

	mu      sync.Mutex
	reading bool
	stand   stand
	own     map[uint64]*entry // by mark
	passed  int               // transactions that were delivered so
	pending time.Time         // since when a committed transaction of own waits for its turn; zero: none does
}

// entry is a transaction of this node.
type entry struct {
	group   []*request
	xid     uint64 // once it is known
	ids     []int64
	written bool // the server has acknowledged it
	told    bool // the notification has come
	covered bool // told before the last read began, which has read it or knows that it is held back
}

// expect notes that a group is being written and returns its mark; 0: it will be read.
func (l *relay) expect(group []*request) (mark uint64) {
	size := 0
	for _, r := range group {
		if size += r.bytes; r.untimed || size > relayBytes {
			return 0
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.own) >= relayRows {
		return 0
	}
	for mark == 0 || l.own[mark] != nil {
		mark = rand.Uint64()
	}
	l.own[mark] = &entry{group: group}
	return mark
}

// failed says that it is not known whether a group was written. The reader reads it if it was.
func (l *relay) failed(mark uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLocked(mark)
}

// dropLocked forgets a group. One whose notification has come is kept until it is read.
func (l *relay) dropLocked(mark uint64) {
	if o := l.own[mark]; o != nil && !o.told {
		delete(l.own, mark)
	}
}

// committed says that a group was written, and delivers it if the notification was waiting for that.
func (l *relay) committed(mark, xid uint64, ids []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.own[mark]
	if o == nil {
		return
	}
	rows := 0
	for _, r := range o.group {
		rows += r.rows
	}
	if rows != len(ids) || o.told && o.xid != xid { // of another server, if the notification is of this one
		l.dropLocked(mark)
		return
	}
	o.xid, o.ids, o.written = xid, ids, true
	l.advanceLocked()
}

// everything is the number of a transaction that is not read yet, whatever was read.
const everything = 1<<64 - 1

// heard takes a notification and returns up to which transaction is to be read for it.
func (l *relay) heard(payload string) (xid uint64) {
	number, text, _ := strings.Cut(payload, " ")
	xid, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return everything
	}
	mark, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return xid
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.own[mark]
	if o == nil || o.told || o.written && o.xid != xid {
		return xid
	}
	o.xid, o.told = xid, true
	l.advanceLocked()
	return 0
}

// advanceLocked delivers what is next, as long as there is such.
func (l *relay) advanceLocked() {
	if l.reading {
		return
	}
	for {
		moved, waiting := false, false
		for mark, o := range l.own {
			switch {
			case o.xid == 0:
			case o.xid <= l.stand.at.xid:
				delete(l.own, mark)
			case !o.told:
			case o.written && l.stand.at == place{o.xid - 1, wholly} && l.deliverLocked(o):
				delete(l.own, mark)
				moved = true
			case !o.covered:
				waiting = true
			}
		}
		if moved {
			l.pending = time.Time{}
			continue
		}
		if !waiting {
			l.pending = time.Time{}
		} else if l.pending.IsZero() {
			l.pending = time.Now()
		}
		return
	}
}

// deliverLocked hands over a transaction and moves the stand behind it. false: the handler is behind.
func (l *relay) deliverLocked(o *entry) bool {
	b := l.b
	var lists [shards][]bus.Message
	last, lastID, n := l.stand.last, l.stand.lastID, 0
	version := b.version()
	for _, r := range o.group {
		for row := range r.each(o.xid, o.ids[n:]) {
			n++
			if !b.wants(row[colChannel]) {
				continue
			}
			m, err := message(row, l.stand.epoch)
			if err != nil {
				return false
			}
			shard := shardOf(m.Event.Channel)
			lists[shard] = append(lists[shard], m)
			last, lastID = place{m.Position.Major, m.Position.Minor}, m.Event.ID
		}
	}
	for shard, list := range lists { // nobody else sends meanwhile: what has room now does not wait below
		if len(list) > 0 && len(b.shards[shard]) >= relayed {
			return false
		}
	}
	for shard, list := range lists {
		if len(list) > 0 {
			b.shards[shard] <- delivery{messages: list}
		}
	}
	if l.stand.at = (place{o.xid, wholly}); l.stand.last != last {
		l.stand.last, l.stand.lastID, l.stand.lastOf = last, lastID, version
	}
	b.horizon.pass(o.xid)
	l.passed++
	return true
}

// take gives the stand to the reader, which is about to read.
func (l *relay) take() stand {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = true
	for _, o := range l.own {
		o.covered = o.told
	}
	return l.stand
}

// put takes the stand back after a read, and delivers what is next.
func (l *relay) put(s stand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stand, l.reading, l.pending = s, false, time.Time{}
	l.advanceLocked()
}

// place notes where the reader stands before it reads.
func (l *relay) place(s stand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stand = s
}

// part is for a connection that is no more: everything is read, by another one.
func (l *relay) part() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = true
	clear(l.own)
}

// state returns where the node stands, and since when a transaction waits for its turn; zero: none does.
func (l *relay) state() (s stand, pending time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stand, l.pending
}

// count returns how many transactions were delivered without having been read.
func (l *relay) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed
}

// each yields the rows of a request as a read returns them.
func (r *request) each(xid uint64, ids []int64) func(yield func([][]byte) bool) {
	return func(yield func([][]byte) bool) {
		columns := r.columns
		next := func(i int) []byte {
			length := binary.BigEndian.Uint32(columns[i])
			columns[i] = columns[i][4:]
			if length == 1<<32-1 {
				return nil
			}
			value := columns[i][:length]
			columns[i] = columns[i][length:]
			return value
		}
		for n := range r.rows {
			next(0) // the partition
			row := [...][]byte{
				colXID: xid8Value(xid), colID: int8Value(ids[n]), colTimestamp: next(1), colBroadcast: next(2), colVersion: {0, Version},
				colChannel: next(3), colType: next(4), colEventID: next(5), colTenant: next(6), colUser: next(7), colFederation: next(8),
				colService: next(9), colData: next(10),
			}
			if !yield(row[:]) {
				return
			}
		}
	}
}
