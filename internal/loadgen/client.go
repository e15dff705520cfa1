package loadgen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// client is one connection. It belongs to one reader, under whose lock it is used.
type client struct {
	number  int
	partial []byte // bytes of a frame that is not complete
	text    []byte // parts of a fragmented message
	subs    []subscription
	write   func([]byte) error // best effort: pongs
	failed  bool
	fd      int // of the epoll reader
}

// subscription is what was received for one operation.
type subscription struct {
	last     uint32 // highest sequence number, 0: none
	received uint32 // different ones
	window   uint64 // bit i: last-i was received
	ready    bool   // has received a probe: the server knows it
}

// tally is what one reader counted.
type tally struct {
	deliveries uint64 // of measured events
	all        uint64 // deliveries and those of the warm-up
	duplicates uint64
	disorder   uint64
	corrupt    uint64
	ready      int
	closed     int
	problem    string // the first one, of a connection or an operation
	last       time.Duration
	latency    histogram
}

// parser reads what servers send; one per reader.
type parser struct {
	tally
	protocol Protocol
	rooms    int
	perConn  int
	spread   int
	measured uint32 // events due before this time, in µs, belong to the warm-up
}

const (
	opContinuation = 0x0
	opText         = 0x1
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
	maxMessage     = 64 << 20
)

var errProtocol = errors.New("protocol error of the server")

// feed takes bytes that arrived at now, the time since the start of the run.
func (p *parser) feed(c *client, data []byte, now time.Duration) error {
	if len(c.partial) > 0 {
		c.partial = append(c.partial, data...)
		rest, err := p.units(c, c.partial, now)
		if err != nil {
			return err
		}
		n := copy(c.partial, rest)
		if c.partial = c.partial[:n]; n == 0 {
			c.partial = nil
		}
		return nil
	}
	rest, err := p.units(c, data, now)
	if err == nil && len(rest) > 0 {
		c.partial = append([]byte(nil), rest...)
	}
	return err
}

// units handles every complete unit of what the protocol is carried by, and returns what is left.
func (p *parser) units(c *client, b []byte, now time.Duration) ([]byte, error) {
	if p.protocol == SSE {
		return p.chunks(c, b, now)
	}
	return p.frames(c, b, now)
}

// frames handles every complete frame of b and returns what is left.
func (p *parser) frames(c *client, b []byte, now time.Duration) ([]byte, error) {
	for len(b) >= 2 {
		n, size := uint64(b[1]), 2
		switch {
		case b[1]&0x80 != 0 || b[0]&0x70 != 0:
			return nil, fmt.Errorf("%w: masked frame or reserved bits", errProtocol)
		case n == 126:
			if size = 4; len(b) < size {
				return b, nil
			}
			n = uint64(binary.BigEndian.Uint16(b[2:]))
		case n == 127:
			if size = 10; len(b) < size {
				return b, nil
			}
			if n = binary.BigEndian.Uint64(b[2:]); n > maxMessage {
				return nil, fmt.Errorf("%w: frame of %d bytes", errProtocol, n)
			}
		}
		if uint64(len(b)-size) < n {
			return b, nil
		}
		end := size + int(n)
		if err := p.frame(c, b[0], b[size:end], now); err != nil {
			return nil, err
		}
		b = b[end:]
	}
	return b, nil
}

func (p *parser) frame(c *client, first byte, payload []byte, now time.Duration) error {
	switch op := first & 0xf; {
	case first == 0x80|opText:
		return p.message(c, payload, now)
	case op == opText || op == opContinuation:
		c.text = append(c.text, payload...)
		if first&0x80 == 0 {
			return nil
		}
		whole := c.text
		c.text = nil
		return p.message(c, whole, now)
	case op == opPing:
		return c.write(appendFrame(nil, opPong, payload))
	case op == opPong:
		return nil
	case op == opClose && len(payload) >= 2:
		return fmt.Errorf("connection closed by the server with code %d %s", binary.BigEndian.Uint16(payload), payload[2:])
	case op == opClose:
		return errors.New("connection closed by the server")
	}
	return fmt.Errorf("%w: opcode %d", errProtocol, first&0xf)
}

var (
	idPrefix   = []byte(`{"id":"`)
	idMember   = []byte(`"id":`)
	typeMember = []byte(`"type":`)
	nextType   = []byte(`"next"`)
	pingType   = []byte(`"ping"`)
	pongType   = []byte(`"pong"`)
	seqMember  = []byte(`"seq":`)
	sentMember = []byte(`"sent":`)
	sumMember  = []byte(`"sum":`)
	roomMember = []byte(`"room":`)
)

// message handles a text message. It looks for the members that it knows instead of parsing JSON: events are
// flat, and their text is ours. Servers may put one space behind a colon.
func (p *parser) message(c *client, m []byte, now time.Duration) error {
	if p.protocol == Centrifuge {
		return p.centrifugeMessage(c, m, now)
	}
	if !hasType(m[:min(len(m), 96)], nextType) && !hasType(m[max(0, len(m)-96):], nextType) {
		return p.otherMessage(c, m)
	}
	id, at := -1, 0
	if bytes.HasPrefix(m, idPrefix) {
		id, at = number(m, len(idPrefix))
	} else if i := bytes.Index(m, idMember); i >= 0 {
		if i += len(idMember); i < len(m) && m[i] == ' ' {
			i++
		}
		id, _ = number(m, min(i+1, len(m))) // the payload may come before it
	}
	if id < 0 || id >= len(c.subs) {
		return fmt.Errorf("%w: result for an unknown operation: %.100s", errProtocol, m)
	}
	p.deliveryOf(c, id, m[at:], now)
	return nil
}

// deliveryOf checks the members of an event that came for a subscription; -1 for the one that has its room.
func (p *parser) deliveryOf(c *client, id int, m []byte, now time.Duration) {
	seq, sent, sum, room := member(m, seqMember), member(m, sentMember), member(m, sumMember), member(m, roomMember)
	right := seq >= 0 && sent >= 0 && sum == checksum(room, seq)
	if p.spread > 1 {
		right = right && room%p.spread == 0
		room /= p.spread
	}
	if id < 0 {
		id = ((room-c.number*p.perConn)%p.rooms + p.rooms) % p.rooms
	}
	if id >= len(c.subs) || !right || room != (c.number*p.perConn+id)%p.rooms {
		p.corrupt++
		if p.problem == "" {
			p.problem = fmt.Sprintf("unexpected result: %.200s", m)
		}
		return
	}
	p.result(&c.subs[id], uint32(seq), uint32(sent), now)
}

// result counts one delivery.
func (p *parser) result(s *subscription, seq, sent uint32, now time.Duration) {
	if seq == 0 {
		if !s.ready {
			s.ready = true
			p.ready++
		}
		return
	}
	if ahead := int64(seq) - int64(s.last); ahead > 0 {
		if s.window <<= uint64(ahead); ahead >= 64 {
			s.window = 0
		}
		s.window |= 1
		s.last = seq
	} else {
		bit := uint64(1) << uint64(-ahead)
		if -ahead >= 64 || s.window&bit != 0 {
			p.duplicates++
			return
		}
		s.window |= bit
		p.disorder++
	}
	s.received++
	p.all++
	p.last = now
	if sent >= p.measured {
		p.deliveries++
		p.latency.record(now - time.Duration(sent)*time.Microsecond)
	}
}

// otherMessage answers a ping and refuses what ends an operation.
func (p *parser) otherMessage(c *client, m []byte) error {
	switch {
	case hasType(m, pingType):
		return c.write(appendFrame(nil, opText, []byte(`{"type":"pong"}`)))
	case hasType(m, pongType):
		return nil
	}
	return fmt.Errorf("unexpected message: %.300s", m)
}

// hasType reports whether the first member "type" of a message has a value, given in quotes.
func hasType(m, value []byte) bool {
	i := bytes.Index(m, typeMember)
	if i < 0 {
		return false
	}
	if i += len(typeMember); i < len(m) && m[i] == ' ' {
		i++
	}
	return bytes.HasPrefix(m[i:], value)
}

// number reads the digits at m[i:]; -1 if there are none.
func number(m []byte, i int) (value, end int) {
	start := i
	for ; i < len(m) && m[i] >= '0' && m[i] <= '9' && i-start < 10; i++ {
		value = value*10 + int(m[i]-'0')
	}
	if i == start {
		return -1, i
	}
	return value, i
}

// member reads the number that follows a member's name, which may be in quotes; -1 if there is none.
func member(m, name []byte) int {
	i := bytes.Index(m, name)
	if i < 0 {
		return -1
	}
	if i += len(name); i < len(m) && (m[i] == '"' || m[i] == ' ') {
		i++
	}
	value, _ := number(m, i)
	return value
}

// checksum ties an event's members together; it fits a GraphQL Int.
func checksum(room, seq int) int {
	return int((uint32(room)*2654435761 ^ uint32(seq)*2246822519) >> 1)
}

// appendFrame appends a client's frame: masked with the key 0, which leaves the payload as it is.
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), payload...)
}
