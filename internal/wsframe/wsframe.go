// Package wsframe is a codec of WebSocket frames (RFC 6455) without I/O. The decoder takes bytes in any pieces
// and gives whole messages; it can be left at every byte and holds memory only between the first and the last
// byte of a message. The encoder appends headers to a caller's buffer.
//
// A Decoder is immutable and shared by all connections of one kind; a State belongs to one connection and is
// used by one goroutine at a time. Reserved bits are errors, but for the one of permessage-deflate where
// that was agreed.
package wsframe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Opcode is the type of a frame or message (RFC 6455, 5.2). The zero value is never the type of a message.
type Opcode uint8

// The opcodes of RFC 6455, 11.8.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// Control reports whether frames of the opcode are control frames: unfragmented, at most 125 bytes, allowed
// between the fragments of a message.
func (o Opcode) Control() bool { return o&0x8 != 0 }

// Close codes of RFC 6455, 7.4.1, that the decoder asks for.
const (
	CodeProtocol    = 1002 // the bytes are not WebSocket as agreed
	CodeInvalidUTF8 = 1007 // a text message or close reason is not UTF-8
	CodeTooBig      = 1009 // a message is longer than the decoder allows
)

// MaxControl is the longest payload of a control frame, MaxReason the longest close reason, in bytes.
const (
	MaxControl = 125
	MaxReason  = MaxControl - 2
)

// MaxHeader is the longest frame header in bytes: 2, extended length 8, mask key 4.
const MaxHeader = 14

// Error is a violation by the peer. Code is the close code to answer with, Reason a text that is safe to send.
type Error struct {
	Code   uint16
	Reason string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("decode frame: %s (%d)", e.Reason, e.Code) }

// The violations that a Decoder reports; compare with errors.Is.
var (
	ErrReservedBits   = &Error{CodeProtocol, "reserved bits set"}
	ErrReservedOpcode = &Error{CodeProtocol, "reserved opcode"}
	ErrUnmasked       = &Error{CodeProtocol, "unmasked frame"}
	ErrMasked         = &Error{CodeProtocol, "masked frame"}
	ErrControl        = &Error{CodeProtocol, "control frame fragmented or too long"}
	ErrLength         = &Error{CodeProtocol, "frame length not minimal or too large"}
	ErrContinuation   = &Error{CodeProtocol, "continuation without a message"}
	ErrInterleaved    = &Error{CodeProtocol, "data frame inside a fragmented message"}
	ErrClosePayload   = &Error{CodeProtocol, "invalid close frame"}
	ErrUTF8           = &Error{CodeInvalidUTF8, "invalid UTF-8"}
	ErrTooBig         = &Error{CodeTooBig, "message too big"}
)

// CodeOf returns the close code and reason for err: those of an *Error in its chain, else 1002.
func CodeOf(err error) (code uint16, reason string) {
	var e *Error
	if errors.As(err, &e) {
		return e.Code, e.Reason
	}
	return CodeProtocol, "protocol error"
}

// Message is one whole message or control frame. Op zero means that there is none.
type Message struct {
	Op      Opcode
	Payload []byte
	// Deflated says that Payload is compressed: AppendInflated gives the message, whose UTF-8 is not checked yet.
	Deflated bool
}

// CloseStatus returns the code and reason of a Close message; 1005 (no status received) if it carries none.
func (m Message) CloseStatus() (code uint16, reason []byte) {
	if len(m.Payload) < 2 {
		return 1005, nil
	}
	return binary.BigEndian.Uint16(m.Payload), m.Payload[2:]
}

// ValidCode reports whether code may stand in a close frame on the wire: the defined ones and 3000–4999
// (RFC 6455, 7.4, with the later registrations 1012–1014).
func ValidCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return code >= 3000 && code <= 4999
	}
}

// checkClose validates the payload of a close frame.
func checkClose(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if len(p) == 1 || !ValidCode(binary.BigEndian.Uint16(p)) {
		return ErrClosePayload
	}
	if !utf8.Valid(p[2:]) {
		return ErrUTF8
	}
	return nil
}
