package event

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// Cursor is where a subscriber stands: the position of the last event that it has seen, with what is needed
// to notice that the position means something else now. It grants nothing (whoever presents one is checked
// as at any subscribe), so it is not signed.
type Cursor struct {
	Bus      uint32 // HashName of the bus' name
	Channel  uint32 // HashName of the channel
	Position Position
	// Event is HashName of the id of the event at the position; 0 when the position was read without one.
	// A bus that lost its tail reuses numbers: the entry there then has another id.
	Event uint32
}

// ErrCursor is returned for every text that is not a cursor of this version.
var ErrCursor = errors.New("invalid cursor")

// encoding is strict: of the texts that a lax decoder would take for the same bytes, one is a cursor.
var encoding = base64.RawURLEncoding.Strict()

const (
	cursorVersion = 1
	// cursorMax is the longest encoding in bytes: version, three hashes, epoch and three varints.
	cursorMax = 1 + 4*3 + 8 + binary.MaxVarintLen32 + 2*binary.MaxVarintLen64
)

// HashName returns 4 bytes that identify a bus, channel or event id within a cursor: FNV-1a, the same on
// every node and never 0. Two names may share them; a cursor is a hint, its use is verified.
func HashName(name string) uint32 {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * prime
	}
	return max(h, 1)
}

// AppendCursor appends the text of a cursor: base64url without padding, at most 62 characters, no
// character of which needs escaping in JSON, in SSE or in a header.
func AppendCursor(dst []byte, c Cursor) []byte {
	var raw [cursorMax]byte
	return encoding.AppendEncode(dst, c.appendRaw(raw[:0]))
}

func (c Cursor) appendRaw(b []byte) []byte {
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint32(b, c.Bus)
	b = binary.BigEndian.AppendUint32(b, c.Channel)
	b = binary.BigEndian.AppendUint32(b, c.Event)
	b = binary.BigEndian.AppendUint64(b, c.Position.Epoch)
	b = binary.AppendUvarint(b, uint64(c.Position.Partition))
	b = binary.AppendUvarint(b, c.Position.Major)
	return binary.AppendUvarint(b, c.Position.Minor)
}

// String returns the text of AppendCursor.
func (c Cursor) String() string { return string(AppendCursor(nil, c)) }

// ParseCursor reads a cursor. The text comes from a client: anything but the exact form that AppendCursor
// writes is ErrCursor.
func ParseCursor(text string) (Cursor, error) {
	if len(text) > encoding.EncodedLen(cursorMax) || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return Cursor{}, ErrCursor
	}
	var src [64]byte
	var raw [64]byte
	n, err := encoding.Decode(raw[:], src[:copy(src[:], text)])
	if err != nil || n < 24 || raw[0] != cursorVersion {
		return Cursor{}, ErrCursor
	}
	b := raw[:n]
	c := Cursor{
		Bus:     binary.BigEndian.Uint32(b[1:]),
		Channel: binary.BigEndian.Uint32(b[5:]),
		Event:   binary.BigEndian.Uint32(b[9:]),
	}
	c.Position.Epoch = binary.BigEndian.Uint64(b[13:])
	partition, rest, ok := uvarint(b[21:])
	if !ok || partition > 1<<32-1 {
		return Cursor{}, ErrCursor
	}
	c.Position.Partition = uint32(partition)
	if c.Position.Major, rest, ok = uvarint(rest); !ok {
		return Cursor{}, ErrCursor
	}
	if c.Position.Minor, rest, ok = uvarint(rest); !ok || len(rest) != 0 {
		return Cursor{}, ErrCursor
	}
	return c, nil
}

// uvarint reads a varint that is written as briefly as it can be.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}
