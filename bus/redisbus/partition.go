package redisbus

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The partitions of the engine's own channels.
const (
	controlNumber = 1 << 16
	nodeNumber    = controlNumber + 1

	controlEvents = 100_000
	nodeEvents    = 10_000
	nodeRetention = time.Minute
)

// partition is one stream, with what this node knows of it.
type partition struct {
	bus                         *Bus
	number                      uint32
	name, stream, hash, samples string // the last three are keys
	maxLen                      int64
	maxLenText                  string
	queue                       chan batch    // from the reader to the goroutine that delivers
	starved                     atomic.Bool   // the reader left it out because its queue was full
	tending                     chan struct{} // one token: one tend at a time for publishers
	gate                        atomic.Bool   // opening() is nil
	reader                      *reader
	after                       string // the place to read from, as Redis writes it; of the reader

	queued bool // under crew.mu: it is among the ready ones, or with a goroutine of the crew
	at     id   // delivered so far; of the goroutine that has it

	recalling chan struct{} // one token: who has it uses memory
	memory    memory        // for Recall

	mu       sync.Mutex
	channels map[string]struct{} // of interest
	epoch    uint64              // 0: not known
	nextID   string              // what XADD is given
	adds     uint                // XADDs made
	captured bool                // read from a known place on
	ready    chan struct{}       // closed while gate is open
	next     seen                // read so far; what is read next follows it
	acked    seen                // the newest entry that was acknowledged to this node
}

// queueLength is how many answers of Redis wait for the goroutine that delivers.
const queueLength = 4

func newPartition(b *Bus, number uint32, name string, maxLen int64) *partition {
	tag := "{" + b.cfg.prefix + ":" + name + "}"
	return &partition{
		bus: b, number: number, name: name, stream: tag + ":e", hash: tag + ":m", samples: tag + ":t", maxLen: maxLen, maxLenText: strconv.FormatInt(maxLen, 10),
		channels: map[string]struct{}{}, ready: make(chan struct{}), queue: make(chan batch, queueLength), tending: make(chan struct{}, 1),
		recalling: make(chan struct{}, 1), memory: memory{room: recallBytes},
	}
}

// maxAge is how long entries are kept.
func (p *partition) maxAge() time.Duration {
	switch p.number {
	case controlNumber:
		return time.Duration(p.bus.retain.Load())
	case nodeNumber:
		return nodeRetention
	}
	return p.bus.cfg.maxAge
}

// want notes an interest and reports whether the reader must be told.
func (p *partition) want(channel string, wanted bool) (tell bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !wanted {
		delete(p.channels, channel)
		p.gateLocked()
		return len(p.channels) == 0
	}
	p.channels[channel] = struct{}{}
	p.gateLocked()
	return !p.captured
}

// wanted reports whether a channel of the partition is of interest.
func (p *partition) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.channels) > 0
}

// wants reports whether one channel is.
func (p *partition) wants(channel string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.channels[channel]
	return ok
}

// interests returns the channels of interest.
func (p *partition) interests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]string, 0, len(p.channels))
	for c := range p.channels {
		list = append(list, c)
	}
	return list
}

// gateLocked opens the partition for publishing when its epoch is known and, if it is wanted here, it is read from a
// place on that is known: what this node publishes then is delivered to it.
func (p *partition) gateLocked() {
	open := p.epoch != 0 && (p.captured || len(p.channels) == 0)
	if open == p.gate.Load() {
		return
	}
	p.gate.Store(open)
	if open {
		close(p.ready)
	} else {
		p.ready = make(chan struct{})
	}
}

// open reports whether the gate is.
func (p *partition) open() bool { return p.gate.Load() }

// opening returns nil, or what is closed once the gate is open.
func (p *partition) opening() chan struct{} {
	if p.gate.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate.Load() {
		return nil
	}
	return p.ready
}

// known returns the epoch and what must be in the stream.
func (p *partition) known() (epoch uint64, must []seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.captured {
		must = append(must, p.next)
	}
	return p.epoch, append(must, p.acked)
}

// used reports whether this node reads the partition or has published to it.
func (p *partition) used() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.captured || p.acked.at.epoch != 0
}

// learn notes what a tend has found.
func (p *partition) learn(t tended) {
	p.mu.Lock()
	p.epochLocked(t.epoch)
	p.mu.Unlock()
	if t.why != "" && t.why != "none" {
		p.bus.o.Logger.Warn("redis: a new epoch began: cursors of this partition from before are not recovered", "partition", p.name, "why", t.why)
	}
}

// capture sets where reading begins.
func (p *partition) capture(at seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.captured = at, true
	p.gateLocked()
}

// abandon ends reading when nobody is interested any more, and reports whether it has.
func (p *partition) abandon() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.channels) > 0 {
		return false
	}
	p.captured, p.next = false, seen{}
	p.gateLocked()
	return true
}

// place returns where reading goes on.
func (p *partition) place() (at seen, captured bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next, p.captured
}

// advance notes what was read.
func (p *partition) advance(to seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = to
	p.epochLocked(to.at.epoch)
}

// epochLocked notes an epoch if it is a newer one.
func (p *partition) epochLocked(epoch uint64) {
	if epoch > p.epoch {
		p.epoch, p.nextID = epoch, strconv.FormatUint(epoch, 10)+"-*"
		p.gateLocked()
	}
}

// acknowledged notes an entry that Redis has acknowledged.
func (p *partition) acknowledged(s seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.acked.at.less(s.at) {
		p.acked = s
	}
}

// batch is what one answer of Redis holds for one partition, or (entries nil) the place where reading begins or, in doubt,
// the news that what is read next may not follow what was read.
type batch struct {
	start   id
	doubt   bool
	entries []record
}
