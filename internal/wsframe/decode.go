package wsframe

import (
	"encoding/binary"
	"unicode/utf8"
)

// Decoder decodes the inbound side of connections. It is immutable.
type Decoder struct {
	// MaxMessage bounds one message in bytes, over all its fragments; 0 means 1 MiB.
	MaxMessage int
	// Client decodes what a server sends (unmasked frames); the zero value decodes what clients send.
	Client bool
	// Deflate allows compressed messages.
	Deflate bool
}

// DefaultMaxMessage is the bound of a message when Decoder.MaxMessage is 0.
const DefaultMaxMessage = 1 << 20

func (d *Decoder) limit() int {
	if d.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return d.MaxMessage
}

// State is one connection's place in its stream. The zero value is the start; between messages it holds nothing.
type State struct{ p *partial }

// Held is the number of payload bytes kept for an incomplete message.
func (s *State) Held() int {
	if s.p == nil {
		return 0
	}
	return len(s.p.msg) + len(s.p.ctl)
}

// Idle reports whether the stream is between two messages, so that nothing is kept for it.
func (s *State) Idle() bool { return s.p == nil }

// partial is what must survive between two reads.
type partial struct {
	msg     []byte // data message so far, unmasked
	ctl     []byte // control payload so far, unmasked
	remain  int    // payload bytes missing in the current frame
	key     uint32 // mask key, rotated to the next byte
	hdr     [MaxHeader]byte
	hn      uint8 // header bytes in hdr
	inFrame bool
	fin     bool
	op      Opcode // of the current frame
	msgOp   Opcode // of the message begun, 0 = none
	packed  bool   // the message begun is compressed
	text    utf8State
}

// header is a decoded frame header.
type header struct {
	length int
	key    uint32
	op     Opcode
	fin    bool
	packed bool // the first frame of a compressed message
}

// Next decodes b up to the end of the next message and returns it with the rest of b, to be passed to the next
// call. Op 0 means that b is used up without completing a message. A message that lies whole in b is returned
// as a slice of b, unmasked in place; any other payload is valid until the next call. After an error (always an
// *Error) or a Close message the state must not be used again.
func (d *Decoder) Next(s *State, b []byte) (m Message, rest []byte, err error) {
	for {
		if s.p == nil || !s.p.inFrame {
			h, n, err := d.nextHeader(s, b)
			if err != nil || n < 0 {
				return Message{}, nil, err
			}
			b = b[n:]
			if len(b) >= h.length && (h.op.Control() || h.fin && h.op != Continuation) {
				p := b[:h.length:h.length]
				Mask(p, h.key)
				s.release()
				return inPlace(h, p, b[h.length:])
			}
			s.begin(h)
		}
		p := s.p
		n := min(p.remain, len(b))
		if err := p.take(b[:n], d.limit()); err != nil {
			return Message{}, nil, err
		}
		b = b[n:]
		if p.remain > 0 {
			return Message{}, nil, nil
		}
		p.inFrame = false
		if p.op.Control() || p.fin {
			m, err := s.finish()
			return m, b, err
		}
		if len(b) == 0 {
			return Message{}, nil, nil
		}
	}
}

// inPlace checks a frame that is a whole message.
func inPlace(h header, p, rest []byte) (Message, []byte, error) {
	switch {
	case h.op == Text && !h.packed && !utf8.Valid(p):
		return Message{}, nil, ErrUTF8
	case h.op == Close:
		if err := checkClose(p); err != nil {
			return Message{}, nil, err
		}
	}
	return Message{Op: h.op, Payload: p, Deflated: h.packed}, rest, nil
}

// nextHeader decodes a header from what s holds of it and b. n is the number of bytes of b it took, or -1 when
// the header is incomplete; s holds its bytes then.
func (d *Decoder) nextHeader(s *State, b []byte) (h header, n int, err error) {
	p := s.p
	if p == nil || p.hn == 0 {
		var msgOp Opcode
		have := 0
		if p != nil {
			msgOp, have = p.msgOp, len(p.msg)
		}
		h, n, err = d.header(b, msgOp, have)
		if n < 0 && err == nil && len(b) > 0 {
			if p == nil {
				p = &partial{}
				s.p = p
			}
			p.hn = uint8(copy(p.hdr[:], b))
		}
		return h, n, err
	}
	held := int(p.hn)
	got := copy(p.hdr[held:], b)
	h, n, err = d.header(p.hdr[:held+got], p.msgOp, len(p.msg))
	if err != nil {
		return h, -1, err
	}
	if n < 0 {
		p.hn = uint8(held + got)
		return h, -1, nil
	}
	p.hn = 0
	return h, n - held, nil
}

// header decodes a header at the start of b, checking each byte as soon as it is there. msgOp is the type of
// the message begun (0: none), have its bytes so far. n is -1 when bytes are missing.
func (d *Decoder) header(b []byte, msgOp Opcode, have int) (h header, n int, err error) {
	if len(b) == 0 {
		return h, -1, nil
	}
	h.fin, h.op = b[0]&0x80 != 0, Opcode(b[0]&0xF)
	h.packed = d.Deflate && b[0]&0x40 != 0 && (h.op == Text || h.op == Binary)
	if err := checkFirst(b[0], h, msgOp); err != nil {
		return h, -1, err
	}
	if len(b) < 2 {
		return h, -1, nil
	}
	masked := b[1]&0x80 != 0
	if masked == d.Client {
		if masked {
			return h, -1, ErrMasked
		}
		return h, -1, ErrUnmasked
	}
	length, n, err := frameLength(b, h.op)
	if err != nil || n < 0 {
		return h, -1, err
	}
	if !h.op.Control() && length > uint64(max(d.limit()-have, 0)) {
		return h, -1, ErrTooBig
	}
	h.length = int(length)
	if masked {
		if len(b) < n+4 {
			return h, -1, nil
		}
		h.key = binary.LittleEndian.Uint32(b[n:])
		n += 4
	}
	return h, n, nil
}

// checkFirst checks the first byte of a frame.
func checkFirst(b byte, h header, msgOp Opcode) error {
	switch {
	case b&0x30 != 0 || b&0x40 != 0 && !h.packed:
		return ErrReservedBits
	case h.op > Pong || h.op > Binary && h.op < Close:
		return ErrReservedOpcode
	case h.op.Control():
		if !h.fin {
			return ErrControl
		}
	case h.op == Continuation && msgOp == 0:
		return ErrContinuation
	case h.op != Continuation && msgOp != 0:
		return ErrInterleaved
	}
	return nil
}

// frameLength decodes the payload length; n is the number of header bytes up to the mask key, -1 when bytes
// are missing.
func frameLength(b []byte, op Opcode) (length uint64, n int, err error) {
	l := uint64(b[1] & 0x7F)
	switch {
	case l <= 125:
		return l, 2, nil
	case op.Control():
		return 0, -1, ErrControl
	case l == 126:
		if len(b) < 4 {
			return 0, -1, nil
		}
		if l = uint64(binary.BigEndian.Uint16(b[2:])); l < 126 {
			return 0, -1, ErrLength
		}
		return l, 4, nil
	default:
		if len(b) < 10 {
			return 0, -1, nil
		}
		if l = binary.BigEndian.Uint64(b[2:]); l < 1<<16 || l>>63 != 0 {
			return 0, -1, ErrLength
		}
		return l, 10, nil
	}
}

// begin enters a frame whose payload is not delivered in place.
func (s *State) begin(h header) {
	p := s.p
	if p == nil {
		p = &partial{}
		s.p = p
	}
	p.inFrame, p.fin, p.op, p.remain, p.key = true, h.fin, h.op, h.length, h.key
	if !h.op.Control() && h.op != Continuation {
		p.msgOp, p.packed = h.op, h.packed
	}
}

// take consumes payload bytes of the current frame. limit is the bound of a message.
func (p *partial) take(b []byte, limit int) error {
	if len(b) == 0 {
		return nil
	}
	p.remain -= len(b)
	dst := &p.msg
	if p.op.Control() {
		dst = &p.ctl
	}
	at := len(*dst)
	if need := at + len(b); need > cap(*dst) {
		// Twice as much each time, so that growing leaves little to collect; never more than the message may become.
		most := limit
		if p.fin {
			most = need + p.remain
		}
		grown := make([]byte, at, max(need, min(2*at, most)))
		copy(grown, *dst)
		*dst = grown
	}
	*dst = append(*dst, b...)
	p.key = Mask((*dst)[at:], p.key)
	if !p.op.Control() && p.msgOp == Text && !p.packed && !p.text.write((*dst)[at:]) {
		return ErrUTF8
	}
	return nil
}

// finish delivers what the frame that just ended completes.
func (s *State) finish() (Message, error) {
	p := s.p
	if p.op.Control() {
		m := Message{Op: p.op, Payload: p.ctl}
		p.ctl = nil
		s.release()
		if m.Op == Close {
			if err := checkClose(m.Payload); err != nil {
				return Message{}, err
			}
		}
		return m, nil
	}
	if p.msgOp == Text && !p.packed && !p.text.boundary() {
		return Message{}, ErrUTF8
	}
	m := Message{Op: p.msgOp, Payload: p.msg, Deflated: p.packed}
	p.msg, p.msgOp, p.packed = nil, 0, false
	s.release()
	return m, nil
}

// release drops the partial state when nothing of a message is left in it.
func (s *State) release() {
	if s.p != nil && s.p.msgOp == 0 && s.p.hn == 0 {
		s.p = nil
	}
}
