package session

import (
	"context"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/shift"
)

// pool runs jobs on a bounded number of goroutines, which end when there is nothing to do. Clients whose jobs wait are
// served in turn, one job of each: one that sends many does not delay the others. The jobs of one are begun in their
// order.
type pool struct {
	ctx     context.Context
	cancel  context.CancelFunc
	late    context.Context // of what nobody waits for: it goes on for a while when the pool is closed
	endLate context.CancelFunc
	timeout time.Duration
	workers int
	limit   int // jobs that wait
	most    int // bytes of their messages
	wg      sync.WaitGroup

	mu      sync.Mutex
	lines   map[*Driver]*line // of clients whose jobs wait
	first   *line             // whose turn is next; a ring
	waiting int               // jobs of all
	bytes   int               // of their messages
	running int
	closed  bool
}

// line is the jobs of one client that wait.
type line struct {
	client     *Driver
	jobs       []job
	head       int // those before have left
	prev, next *line
}

// job is a call of the engine for a message of that size. It runs under base for at most the pool's timeout.
type job struct {
	run  func(context.Context)
	size int
	base context.Context
}

func (p *pool) init(cfg *HostConfig) {
	p.workers, p.limit, p.most, p.timeout = cfg.Workers, cfg.Waiting, cfg.WaitingBytes, cfg.CallTimeout
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.late, p.endLate = context.WithCancel(context.Background())
	p.lines = make(map[*Driver]*line)
}

// do queues a job of a client, nil: of one that has no others; false means that too many wait or that the pool is closed.
func (p *pool) do(client *Driver, size int, run func(context.Context)) bool {
	return p.queue(client, job{run, size, p.ctx})
}

// later queues a job that nobody waits for, such as one that tells an operator of the end of a connection.
func (p *pool) later(run func(context.Context)) bool { return p.queue(nil, job{run, 0, p.late}) }

func (p *pool) queue(client *Driver, j job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.waiting >= p.limit || p.bytes+j.size > p.most {
		return false
	}
	p.waiting++
	p.bytes += j.size
	l := p.lines[client]
	if l == nil {
		l = &line{client: client}
		p.linkLocked(l)
		if client != nil {
			p.lines[client] = l
		}
	}
	l.jobs = append(l.jobs, j)
	if p.running < p.workers {
		p.running++
		p.wg.Add(1)
		go p.work()
	}
	return true
}

func (p *pool) work() {
	idle := false
	defer func() {
		if idle {
			p.wg.Done()
		} else {
			go p.work() // a job has ended the goroutine: another one goes on
		}
	}()
	var turn shift.Shift
	for {
		j, ok := p.take()
		if !ok {
			idle = true
			return
		}
		p.run(&j)
		turn.Pause() // many jobs in a row must not delay who waits for events
	}
}

func (p *pool) run(j *job) {
	ctx, cancel := context.WithTimeout(j.base, p.timeout)
	defer cancel()
	j.run(ctx)
}

// take returns the oldest job of the client whose turn it is; without one the worker ends.
func (p *pool) take() (oldest job, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.first
	if l == nil {
		p.running--
		return job{}, false
	}
	oldest = l.jobs[l.head]
	l.jobs[l.head] = job{}
	l.head++
	p.waiting--
	p.bytes -= oldest.size
	p.first = l.next
	switch {
	case l.head == len(l.jobs):
		p.unlinkLocked(l)
		delete(p.lines, l.client)
	case l.head >= 64 && 2*l.head >= len(l.jobs):
		n := copy(l.jobs, l.jobs[l.head:])
		clear(l.jobs[n:])
		l.jobs, l.head = l.jobs[:n], 0
	}
	return oldest, true
}

// linkLocked puts a line behind all others.
func (p *pool) linkLocked(l *line) {
	if p.first == nil {
		l.prev, l.next, p.first = l, l, l
		return
	}
	l.prev, l.next = p.first.prev, p.first
	l.prev.next, l.next.prev = l, l
}

func (p *pool) unlinkLocked(l *line) {
	if l.next == l {
		p.first = nil
		return
	}
	l.prev.next, l.next.prev = l.next, l.prev
	if p.first == l {
		p.first = l.next
	}
}

// grace is how long what was begun with later may take once the pool is closed.
const grace = 2 * time.Second

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	end := time.AfterFunc(grace, p.endLate)
	p.wg.Wait()
	end.Stop()
	p.endLate()
}
