package event

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// ID is a UUID in its 16 bytes. Ids stay in this form until they are written.
type ID [16]byte

// lastID is the newest timestamp given out: milliseconds since 1970 and, in the 12 low bits, the fraction
// of the millisecond.
var lastID atomic.Uint64

// NewID returns a UUIDv7 (RFC 9562, section 6.2 method 3): 48 bits of milliseconds, 12 bits of their
// fraction, 62 random bits. The ids of one process are strictly increasing, over goroutines too; when more
// than 4,096,000 a second are asked for, their time runs ahead of the clock rather than going back. The
// random bits come from the runtime's ChaCha8 generators, which are seeded by the operating system.
func NewID() ID { return newID(Now(), rand.Uint64()) }

// NewIDAt is NewID for a clock that was just read.
func NewIDAt(now time.Time) ID { return newID(now, rand.Uint64()) }

// anchor is a reading of both clocks. From it on, the monotonic one alone is read, which takes half the
// time; the next anchor follows a second later, so that steps of the wall clock are seen.
var anchor atomic.Pointer[time.Time]

// Now is time.Now for what happens often: in the second after an anchor it is that anchor's wall clock plus
// the monotonic time since.
func Now() time.Time {
	if a := anchor.Load(); a != nil {
		if d := time.Since(*a); d >= 0 && d < time.Second {
			return a.Add(d)
		}
	}
	t := time.Now()
	anchor.Store(&t)
	return t
}

func newID(now time.Time, random uint64) ID {
	ns := uint64(max(now.UnixNano(), 0))
	ms, rest := ns/1e6, ns%1e6
	stamp := ms<<12 | rest*4096/1e6
	for {
		last := lastID.Load()
		if stamp <= last {
			stamp = last + 1
		}
		if lastID.CompareAndSwap(last, stamp) {
			break
		}
	}
	var id ID
	binary.BigEndian.PutUint64(id[:8], stamp>>12<<16|0x7000|stamp&0xfff)
	binary.BigEndian.PutUint64(id[8:], random&^(3<<62)|1<<63)
	return id
}

const hexDigits = "0123456789abcdef"

// AppendID appends the 36 characters of an id: 8-4-4-4-12 lower-case hexadecimal digits.
func AppendID(dst []byte, id ID) []byte {
	const form = "00000000-0000-0000-0000-000000000000"
	dst = append(dst, form...)
	text := dst[len(dst)-len(form):]
	at := 0
	for i, b := range id {
		text[at], text[at+1] = hexDigits[b>>4], hexDigits[b&15]
		at += 2
		if i == 3 || i == 5 || i == 7 || i == 9 {
			at++
		}
	}
	return dst
}

// String returns the 36 characters of an id, in one allocation.
func (id ID) String() string {
	var buf [36]byte
	return string(AppendID(buf[:0], id))
}
