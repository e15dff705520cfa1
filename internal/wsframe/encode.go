package wsframe

import (
	"encoding/binary"
	"unicode/utf8"
)

// HeaderLen is the length of the header that AppendHeader writes for a payload of n bytes.
func HeaderLen(n int) int {
	switch {
	case n <= 125:
		return 2
	case n < 1<<16:
		return 4
	default:
		return 10
	}
}

// AppendHeader appends the header of an unmasked, unfragmented frame with a payload of n bytes.
func AppendHeader(dst []byte, op Opcode, n int) []byte {
	dst = append(dst, 0x80|byte(op))
	return appendLength(dst, 0, n)
}

func appendLength(dst []byte, maskBit byte, n int) []byte {
	switch {
	case n <= 125:
		return append(dst, maskBit|byte(n))
	case n < 1<<16:
		return append(dst, maskBit|126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, maskBit|127), uint64(n))
	}
}

// AppendFrame appends an unmasked, unfragmented frame. Control payloads are cut to MaxControl.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	if op.Control() {
		payload = payload[:min(len(payload), MaxControl)]
	}
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendClose appends a close frame. A code that may not stand on the wire (0 or 1005 for example) makes an
// empty one; reason is cut to MaxReason bytes at a character boundary, and left out unless it is UTF-8.
func AppendClose[T string | []byte](dst []byte, code uint16, reason T) []byte {
	p, n := closePayload(code, reason)
	return append(AppendHeader(dst, Close, n), p[:n]...)
}

func closePayload[T string | []byte](code uint16, reason T) (p [MaxControl]byte, n int) {
	if !ValidCode(code) {
		return p, 0
	}
	binary.BigEndian.PutUint16(p[:], code)
	n = 2 + copy(p[2:], reason)
	if n-2 < len(reason) {
		for n > 2 && !utf8.RuneStart(reason[n-2]) {
			n--
		}
	}
	if !utf8.Valid(p[2:n]) {
		n = 2
	}
	return p, n
}

// AppendMasked appends a frame as a client sends it: masked with key (RFC 6455, 5.3, wants a fresh
// unpredictable one for each frame), fin false for all but the last fragment of a message.
func AppendMasked(dst []byte, fin bool, op Opcode, key uint32, payload []byte) []byte {
	first := byte(op)
	if fin {
		first |= 0x80
	}
	dst = appendLength(append(dst, first), 0x80, len(payload))
	dst = binary.LittleEndian.AppendUint32(dst, key)
	at := len(dst)
	dst = append(dst, payload...)
	Mask(dst[at:], key)
	return dst
}

// AppendMaskedClose appends a close frame as a client sends it; code and reason as for AppendClose.
func AppendMaskedClose[T string | []byte](dst []byte, code uint16, reason T, key uint32) []byte {
	p, n := closePayload(code, reason)
	return AppendMasked(dst, true, Close, key, p[:n])
}
