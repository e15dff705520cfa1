package poll

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Options configures a Poller. Zero members mean the default in the comment.
type Options struct {
	// Shards is the number of epoll sets, each with a reader and a writer; one per core, at most GOMAXPROCS:
	// where that is more, the rest is for others.
	Shards int
	// Tick is the precision of deadlines: how often the tables are swept; 1 s.
	Tick time.Duration
	// Linger is how long a connection may take to read what is left after a close was queued; 5 s.
	Linger time.Duration
	// Portable serves every connection by goroutines, as on systems without epoll.
	Portable bool
	// KeepMemory turns off the one debug.FreeOSMemory that follows a burst of connects (at least 1,000, then a
	// tick without any), for programs in which the engine is a guest.
	KeepMemory bool
	// PlainSends makes a system call for each write, as on systems without io_uring.
	PlainSends bool
}

func (o Options) withDefaults() Options {
	if o.Shards <= 0 {
		o.Shards = min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	}
	if o.Tick <= 0 {
		o.Tick = time.Second
	}
	if o.Linger <= 0 {
		o.Linger = 5 * time.Second
	}
	return o
}

// Framing turns queued items into the bytes of one protocol. The result for an item must not depend on when it
// is asked: a frame that was cut by a full socket is built again and goes on at the byte where it stopped.
type Framing interface {
	// AppendPrefix appends what stands before the item's Message.Payload, and the whole frame of a control
	// item. Nothing for a Close item means that the stream just ends.
	AppendPrefix(dst []byte, it *queue.Item) []byte
	// AppendSuffix appends what stands behind the payload. It is not called for control items.
	AppendSuffix(dst []byte, it *queue.Item) []byte
}

// PayloadFraming is a Framing that writes something else in place of Message.Payload.
type PayloadFraming interface {
	// FramedPayload returns what stands between prefix and suffix of an item with a message. It is not modified.
	FramedPayload(it *queue.Item) []byte
}

// TextFraming is a Framing whose long Text controls need not be copied.
type TextFraming interface {
	// AppendTextHeader appends what stands before the Data of a Text control of n bytes; nothing stands behind it.
	AppendTextHeader(dst []byte, n int) []byte
}

// EndFraming is a Framing that is told when the last message of a subscription is out.
type EndFraming interface {
	// Written says that an item with Message.End, for which AppendPrefix was called, is wholly written and will not be asked
	// for again.
	Written(it *queue.Item)
}

// Owner is the protocol side of a connection.
type Owner interface {
	Framing
	// OnBytes takes what the peer sent. p may be modified and is invalid after the return. After a close was
	// queued, bytes are discarded instead.
	OnBytes(p []byte)
	// OnDeadline says that the time set by SetDeadline is over; the deadline is then unset.
	OnDeadline()
	// OnClose is the last call: the descriptor is closed, the queue shut. err is nil when the peer has left
	// after a close of ours was sent, io.EOF when it left without, ErrReset, ErrClosed or an error of the
	// system otherwise.
	OnClose(err error)
}

var (
	// ErrClosed is the error of connections that a closing Poller ends, and of Register after that.
	ErrClosed   = errors.New("poller closed")
	errNoSocket = errors.New("register: a connection without a socket needs epoll")
	// ErrReset is the error of connections ended by Abort, or because the peer did not read a close in time or went on sending.
	ErrReset = errors.New("connection reset by server")
)

// Poller owns connections. All methods are safe for concurrent use.
type Poller struct {
	opts   Options
	start  time.Time
	now    atomic.Uint32 // ticks since start, as of the last sweep
	linger uint32        // in ticks
	shards []*shard      // with epoll; empty where there is none
	turn   atomic.Uint32 // round robin over shards
	// helpers counts announcements that are not taken back; it is negative while anybody has suspended them.
	helpers atomic.Int64

	mu     sync.RWMutex
	closed bool
	stop   chan struct{}
	wg     sync.WaitGroup

	portable     *shard // for connections served by goroutines; started when needed
	portableOnce sync.Once
	memory       memory
	ringless     atomic.Pointer[error] // why a writer has no io_uring
}

// New starts a poller. It must be closed.
func New(o Options) (*Poller, error) {
	o = o.withDefaults()
	p := &Poller{opts: o, start: time.Now(), stop: make(chan struct{})}
	p.now.Store(1)
	p.linger = p.Ticks(o.Linger)
	p.portable = newShard(p)
	if o.Portable {
		return p, nil
	}
	if err := p.startShards(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Registration is a connection to be taken over.
type Registration struct {
	// Conn is the connection; the poller closes it. One with a method Socket() net.Conn is replaced by what that returns. With epoll it may be nil: a connection without a socket,
	// whose writes are discarded, to measure what so many connections would cost.
	Conn net.Conn
	// Buffered are bytes of the peer that were read already; OnBytes gets them first.
	Buffered []byte
	// Limits bounds the queue; may be shared and nil.
	Limits *queue.Limits
	// Queued says that the owner has initialised the queue, with a sink of its own, and that messages may wait in it
	// already. The sink calls Conn.Wake, but not before Register has returned, and once after that if anything waits.
	Queued bool
	// Deadline is the first deadline; 0 for none.
	Deadline time.Duration
}

// Register takes over a connection as c, which must be new and is usually embedded in its owner. With an
// error, Conn is closed and the owner never called; else OnClose will be called exactly once.
func (p *Poller) Register(c *Conn, owner Owner, r Registration) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		if r.Conn != nil {
			_ = r.Conn.Close()
		}
		return ErrClosed
	}
	if wrapped, ok := r.Conn.(interface{ Socket() net.Conn }); ok {
		r.Conn = wrapped.Socket()
	}
	if r.Conn == nil && len(p.shards) == 0 {
		return errNoSocket
	}
	c.owner, c.fd = owner, -1
	if !r.Queued {
		c.Conn.Init(c, r.Limits)
	}
	if len(p.shards) > 0 {
		fd, ok, err := takeOver(r.Conn)
		if err != nil {
			return err
		}
		if ok {
			p.registerFD(c, fd, r)
			return nil
		}
	}
	p.registerStream(c, r)
	return nil
}

// enter puts a connection into a shard's table.
func (s *shard) enter(c *Conn, deadline time.Duration) {
	c.shard = s
	s.table.add(c)
	s.stats.open.Add(1)
	s.stats.accepted.Add(1)
	if deadline > 0 {
		c.SetDeadline(deadline)
	}
}

// Close resets every connection, waits for their OnClose and for all goroutines. Idempotent.
func (p *Poller) Close() error {
	p.Shut()
	p.wg.Wait()
	return nil
}

// Shut is Close without the wait: it refuses further connections and has the open ones reset.
func (p *Poller) Shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.stop)
		for _, s := range p.shards {
			s.interrupt()
		}
		p.portable.table.each(func(c *Conn) { c.stream.kill(ErrClosed) })
	}
}

// Each calls f with the owner of every open connection, in no order, while others come and go. f must not block.
func (p *Poller) Each(f func(Owner)) {
	visit := func(c *Conn) { f(c.owner) }
	for _, s := range p.shards {
		s.table.each(visit)
	}
	p.portable.table.each(visit)
}

// tick brings the clock up to date and returns it, in ticks since the start plus 1.
func (p *Poller) tick() uint32 {
	now := uint32(time.Since(p.start)/p.opts.Tick) + 1
	p.now.Store(now)
	return now
}

// Current is the time in ticks, on the scale of Now.
func (p *Poller) Current() uint32 { return p.tick() }

// Tick is how long a tick is.
func (p *Poller) Tick() time.Duration { return p.opts.Tick }

// Now is the time as of the last sweep, in ticks since some moment before the start.
func (p *Poller) Now() uint32 { return p.now.Load() }

// Ticks converts a duration to ticks, rounded up.
func (p *Poller) Ticks(d time.Duration) uint32 {
	return uint32((d + p.opts.Tick - 1) / p.opts.Tick)
}

// Ringless is why a writer does not submit by io_uring: nil if all of them do.
func (p *Poller) Ringless() error {
	if why := p.ringless.Load(); why != nil {
		return *why
	}
	return nil
}

func (p *Poller) noRing(why error) { p.ringless.CompareAndSwap(nil, &why) }

// shard is a table of connections with what serves them: with epoll a reader and a writer, else only sweeps.
type shard struct {
	poller *Poller
	table  table
	_      line
	dirty  dirtyList // written by whoever publishes
	_      line
	stats  counters
	sys    sysShard
	writer
}

// line keeps what different cores write on cache lines of their own; processors fetch them in pairs.
type line [128]byte

func newShard(p *Poller) *shard {
	s := &shard{poller: p}
	s.dirty.init(&p.helpers)
	return s
}

// sweep handles the deadlines that are over.
func (s *shard) sweep() {
	s.table.expired(s.poller.tick(), func(c *Conn) {
		if c.state.Load() != stateOpen {
			s.stats.resets.Add(1)
			c.reset()
			return
		}
		if c.stream != nil {
			c.stream.deadline()
			return
		}
		c.owner.OnDeadline()
	})
}

// Stats are counts since the start, and what is open now.
type Stats struct {
	Open     int64 // connections now
	Accepted int64 // connections registered
	Resets   int64 // connections reset because the peer did not read a close in time or went on sending
	Blocked  int64 // times that a socket was full
	BytesIn  int64
	BytesOut int64
	Reads    int64 // reads that gave bytes
	Writes   int64 // writes to sockets
	Frames   int64 // items wholly written
	Helped   int64 // connections that helpers wrote to, see Poller.Announce
	Together int64 // writes that were submitted by io_uring, with others
	Rings    int64 // writers that use io_uring now
	Released int64 // times that memory was given back after a burst of connects
}

type counters struct {
	open, accepted, resets, bytesIn, reads    atomic.Int64 // the reader's
	_                                         line
	blocked, bytesOut, writes, frames, helped atomic.Int64 // the writer's
	together, rings                           atomic.Int64
	_                                         line
}

// Stats adds up the counts of all shards.
func (p *Poller) Stats() Stats {
	var t Stats
	add := func(s *shard) {
		t.Open += s.stats.open.Load()
		t.Accepted += s.stats.accepted.Load()
		t.Resets += s.stats.resets.Load()
		t.Blocked += s.stats.blocked.Load()
		t.BytesIn += s.stats.bytesIn.Load()
		t.BytesOut += s.stats.bytesOut.Load()
		t.Reads += s.stats.reads.Load()
		t.Writes += s.stats.writes.Load()
		t.Frames += s.stats.frames.Load()
		t.Helped += s.stats.helped.Load()
		t.Together += s.stats.together.Load()
		t.Rings += s.stats.rings.Load()
	}
	for _, s := range p.shards {
		add(s)
	}
	add(p.portable)
	t.Released = p.memory.times.Load()
	return t
}
