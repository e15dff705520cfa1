package queue

import (
	"math/bits"
	"sync"
)

const (
	minRing     = 4
	maxPooled   = 1024
	ringClasses = 9 // 4, 8, … 1024
)

// ring is a growing circular buffer of messages. Rings are pooled: only queues that lag hold one.
type ring struct {
	buf     []*Message // length a power of two
	head, n int
}

var ringPools [ringClasses]sync.Pool

func ringClass(size int) int { return bits.Len(uint(size)) - bits.Len(uint(minRing)) }

func newRing(size int) *ring {
	if size <= maxPooled {
		if r, _ := ringPools[ringClass(size)].Get().(*ring); r != nil {
			return r
		}
	}
	return &ring{buf: make([]*Message, size)}
}

func (r *ring) release() {
	if len(r.buf) <= maxPooled {
		clear(r.buf)
		r.head, r.n = 0, 0
		ringPools[ringClass(len(r.buf))].Put(r)
	}
}

func (r *ring) at(i int) **Message { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

// grown is a ring of twice the size, for one that is full.
func (r *ring) grown() *ring {
	g := newRing(2 * len(r.buf))
	copy(g.buf[copy(g.buf, r.buf[r.head:]):], r.buf[:r.head])
	g.n = r.n
	r.release()
	return g
}

func (r *ring) full() bool { return r.n == len(r.buf) }

// push appends; the ring must not be full.
func (r *ring) push(m *Message) {
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = m
	r.n++
}

func (r *ring) pushFront(m *Message) *ring {
	if r.full() {
		r = r.grown()
	}
	r.head = (r.head - 1) & (len(r.buf) - 1)
	*r.at(0) = m
	r.n++
	return r
}

// pop takes the oldest; the ring must not be empty.
func (r *ring) pop() *Message {
	p := r.at(0)
	m := *p
	*p = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return m
}

// removeKey takes out the message of that key, nil if none.
func (r *ring) removeKey(key string) *Message {
	for i := range r.n {
		m := *r.at(i)
		if !m.is(key) {
			continue
		}
		for j := i; j < r.n-1; j++ {
			*r.at(j) = *r.at(j + 1)
		}
		r.n--
		*r.at(r.n) = nil
		return m
	}
	return nil
}

func (r *ring) replace(f func(*Message) *Message) {
	for i := range r.n {
		p := r.at(i)
		*p = f(*p)
	}
}
