package wsframe

import (
	"encoding/binary"
	"math/bits"
)

// Mask applies a mask key (in little-endian order of its four bytes) to p in place and returns the key rotated
// for the byte that follows p, so that a payload can be masked in pieces. Masking twice restores p.
func Mask(p []byte, key uint32) uint32 {
	if key == 0 {
		return 0
	}
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 32 {
		q := p[:32:32]
		binary.LittleEndian.PutUint64(q, binary.LittleEndian.Uint64(q)^wide)
		binary.LittleEndian.PutUint64(q[8:], binary.LittleEndian.Uint64(q[8:])^wide)
		binary.LittleEndian.PutUint64(q[16:], binary.LittleEndian.Uint64(q[16:])^wide)
		binary.LittleEndian.PutUint64(q[24:], binary.LittleEndian.Uint64(q[24:])^wide)
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(key)
		key = bits.RotateLeft32(key, -8)
	}
	return key
}

// utf8State checks UTF-8 in pieces and fails at the first byte that cannot be part of a valid text. The zero
// value is the start of a text.
type utf8State struct {
	need   uint8 // continuation bytes missing
	lo, hi uint8 // bounds of the next continuation byte, when need > 0
}

// boundary reports whether the text so far ends with a whole character.
func (u *utf8State) boundary() bool { return u.need == 0 }

// write takes the next bytes of the text.
func (u *utf8State) write(p []byte) bool {
	for i := 0; i < len(p); i++ {
		c := p[i]
		if u.need > 0 {
			if c < u.lo || c > u.hi {
				return false
			}
			u.need--
			u.lo, u.hi = 0x80, 0xBF
			continue
		}
		if c < 0x80 {
			for len(p)-i >= 8 && binary.LittleEndian.Uint64(p[i:])&0x8080808080808080 == 0 {
				i += 8
			}
			if i == len(p) {
				return true
			}
			if c = p[i]; c < 0x80 {
				continue
			}
		}
		if !u.lead(c) {
			return false
		}
	}
	return true
}

// lead takes the first byte of a character of several bytes (Unicode 16, table 3-7).
func (u *utf8State) lead(c byte) bool {
	u.lo, u.hi = 0x80, 0xBF
	switch {
	case c < 0xC2 || c > 0xF4:
		return false
	case c < 0xE0:
		u.need = 1
	case c < 0xF0:
		u.need = 2
		switch c {
		case 0xE0:
			u.lo = 0xA0
		case 0xED:
			u.hi = 0x9F
		}
	default:
		u.need = 3
		switch c {
		case 0xF0:
			u.lo = 0x90
		case 0xF4:
			u.hi = 0x8F
		}
	}
	return true
}
