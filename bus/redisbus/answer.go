package redisbus

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/redis/rueidis"
)

const (
	// slabSize is how much memory the records of small entries share: what keeps one of them keeps that much at most.
	slabSize = 8 << 10
	// entryMost is how large an entry may be; of a larger one only the place is kept, and it is dropped.
	entryMost = 64 << 20
	// namesMost is how many streams, entries and fields an answer may speak of, each: more is no answer of Redis.
	namesMost = 1 << 24
)

var errAnswer = error(problem("redis answered XREAD with something else"))

// found is what an answer holds for one partition.
type found struct {
	part    *partition
	entries []record
}

// take reads the answer to the reader's XREAD off a connection and notes it in r.found. It takes no part of an answer
// that is no list, and reports false.
func (r *reader) take(in *source) (bool, error) {
	kind, err := in.peek()
	if err != nil {
		return false, err
	}
	if kind != '*' && kind != '%' {
		return false, nil
	}
	streams, err := in.header(kind)
	if err != nil {
		return false, err
	}
	if streams < 0 { // nothing new, as older protocols say it
		return true, nil
	}
	for range streams {
		if err := r.takeStream(in, kind == '*'); err != nil {
			return false, err
		}
	}
	return true, nil
}

// takeStream reads the entries of one stream. In lists the name and the entries are a list of two; in maps they are not.
func (r *reader) takeStream(in *source, paired bool) error {
	if paired {
		if err := in.expect('*', 2); err != nil {
			return err
		}
	}
	n, err := in.header('$')
	if err != nil {
		return err
	}
	name, err := in.short(n)
	if err != nil {
		return err
	}
	p := r.bus.table.Load().byStream[string(name)]
	count, err := in.header('*')
	if err != nil || p == nil || count < 1 {
		return errors.Join(errAnswer, err)
	}
	f := found{part: p, entries: make([]record, 0, min(count, maxCount))}
	for range count {
		e, err := r.slab.entry(in)
		if err != nil {
			return err
		}
		f.entries = append(f.entries, e)
	}
	r.found = append(r.found, f)
	return nil
}

// slab is memory that records are carved from.
type slab struct {
	room  []byte // len: used
	begun int    // where the present record begins
}

// entry reads one entry.
func (s *slab) entry(in *source) (record, error) {
	if err := in.expect('*', 2); err != nil {
		return record{}, err
	}
	n, err := in.header('$')
	if err != nil {
		return record{}, err
	}
	text, err := in.short(n)
	if err != nil {
		return record{}, err
	}
	at, err := parseID(rueidis.BinaryString(text))
	if err != nil {
		return record{}, err
	}
	count, err := in.header('*')
	if err != nil {
		return record{}, err
	}
	s.begun = len(s.room)
	whole := true
	for range max(count, 0) { // -1: deleted
		n, err := in.header('$')
		if err != nil || n < 0 {
			return record{}, errors.Join(errAnswer, err)
		}
		if whole = whole && len(s.room)-s.begun+n <= entryMost; whole {
			s.reserve(n + binary.MaxVarintLen32)
			s.room = binary.AppendUvarint(s.room, uint64(n))
			at := len(s.room)
			s.room = s.room[:at+n]
			err = in.fill(s.room[at:])
		} else {
			err = in.skip(n)
		}
		if err != nil {
			return record{}, err
		}
		if err := in.end(); err != nil {
			return record{}, err
		}
	}
	if !whole {
		s.room = s.room[:s.begun]
		return record{at: at}, nil
	}
	return record{at, s.room[s.begun:len(s.room):len(s.room)]}, nil
}

// reserve makes room for n more bytes behind those of the present record.
func (s *slab) reserve(n int) {
	if cap(s.room)-len(s.room) >= n {
		return
	}
	own := s.room[s.begun:]
	size := slabSize
	if need := len(own) + n; need > slabSize/2 { // memory of its own, with space for what usually follows
		size = need + need/4 + 256
	}
	s.room, s.begun = append(make([]byte, 0, size), own...), 0
}

// source reads off a connection.
type source struct {
	from       io.Reader
	buf        []byte
	head, tail int // what is in buf
}

const sourceSize = 64 << 10

func (s *source) buffered() int { return s.tail - s.head }

// move copies what is there.
func (s *source) move(p []byte) int {
	n := copy(p, s.buf[s.head:s.tail])
	s.head += n
	return n
}

// more reads from the connection, once.
func (s *source) more() error {
	switch {
	case s.buf == nil:
		s.buf = make([]byte, sourceSize)
	case s.head == s.tail:
		s.head, s.tail = 0, 0
	case s.tail == len(s.buf):
		s.head, s.tail = 0, copy(s.buf, s.buf[s.head:s.tail])
		if s.tail == len(s.buf) {
			return errAnswer
		}
	}
	n, err := s.from.Read(s.buf[s.tail:])
	s.tail += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// peek returns the next byte.
func (s *source) peek() (byte, error) {
	for s.head == s.tail {
		if err := s.more(); err != nil {
			return 0, err
		}
	}
	return s.buf[s.head], nil
}

// byte reads the next byte.
func (s *source) byte() (byte, error) {
	b, err := s.peek()
	if err == nil {
		s.head++
	}
	return b, err
}

// header reads a kind and the number behind it: a length, at least -1.
func (s *source) header(kind byte) (n int, err error) {
	b, err := s.byte()
	if err != nil {
		return 0, err
	}
	if b != kind {
		return 0, errAnswer
	}
	negative := false
	for {
		if b, err = s.byte(); err != nil {
			return 0, err
		}
		switch {
		case '0' <= b && b <= '9' && n < 1<<40:
			n = n*10 + int(b-'0')
		case b == '-' && n == 0 && !negative:
			negative = true
		case b == '\r':
			if b, err = s.byte(); err != nil {
				return 0, err
			}
			if negative {
				n = -n
			}
			if b != '\n' || n < -1 || kind != '$' && n > namesMost {
				return 0, errAnswer
			}
			return n, nil
		default:
			return 0, errAnswer
		}
	}
}

// expect reads a kind and a number that must be n.
func (s *source) expect(kind byte, n int) error {
	got, err := s.header(kind)
	if err == nil && got != n {
		err = errAnswer
	}
	return err
}

// short reads n bytes, few enough to stay where they are until the next call, and what ends a string.
func (s *source) short(n int) ([]byte, error) {
	if n < 0 || n+2 > sourceSize/2 {
		return nil, errAnswer
	}
	for s.buffered() < n+2 {
		if err := s.more(); err != nil {
			return nil, err
		}
	}
	b := s.buf[s.head : s.head+n]
	s.head += n
	return b, s.end()
}

// fill reads as much as p holds.
func (s *source) fill(p []byte) error {
	n := s.move(p)
	if n == len(p) {
		return nil
	}
	if p = p[n:]; len(p) >= sourceSize {
		_, err := io.ReadFull(s.from, p)
		return err
	}
	for len(p) > 0 {
		if err := s.more(); err != nil {
			return err
		}
		p = p[s.move(p):]
	}
	return nil
}

// skip reads n bytes.
func (s *source) skip(n int) error {
	for n > 0 {
		if _, err := s.peek(); err != nil {
			return err
		}
		some := min(n, s.buffered())
		s.head += some
		n -= some
	}
	return nil
}

// end reads what ends a string.
func (s *source) end() error {
	for _, want := range [...]byte{'\r', '\n'} {
		b, err := s.byte()
		if err != nil {
			return err
		}
		if b != want {
			return errAnswer
		}
	}
	return nil
}
