package wsframe

import (
	"bytes"
	"compress/flate"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// permessage-deflate (RFC 7692) without context takeover in either direction: every message is compressed by itself,
// so that nothing is kept for a connection, and what is the same for many is compressed once.

// DeflateAnswer is the Sec-WebSocket-Extensions that agrees to it where the client keeps a whole window.
const DeflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// ErrDeflate is what cannot be inflated.
var ErrDeflate = &Error{CodeInvalidUTF8, "compressed message is not valid"}

// maxOffers bounds the extensions of a client that are looked at.
const maxOffers = 16

// AgreeDeflate answers the first extension of a client's offers that is permessage-deflate: answer is "" for none.
// whole is set when the client keeps a window of 32 KiB; otherwise it must be sent nothing compressed, which every window
// can take.
func AgreeDeflate(offers []string) (answer string, whole bool) {
	n := 0
	for _, header := range offers {
		for offer := range strings.SplitSeq(header, ",") {
			if n++; n > maxOffers {
				return "", false
			}
			switch bits, ok := agreeOffer(offer); {
			case ok && bits == "":
				return DeflateAnswer, true
			case ok: // who asks for a window is told (RFC 7692, 7.1.2.1)
				return DeflateAnswer + "; server_max_window_bits=" + bits, bits == "15"
			}
		}
	}
	return "", false
}

// agreeOffer reads one offer: the window that the server is asked to use, "" for any, and whether it can be agreed to.
func agreeOffer(offer string) (bits string, ok bool) {
	name, parameters, _ := strings.Cut(offer, ";")
	if !strings.EqualFold(strings.TrimSpace(name), "permessage-deflate") {
		return "", false
	}
	seen := map[string]bool{}
	for p := range strings.SplitSeq(parameters, ";") {
		if strings.TrimSpace(p) == "" {
			continue
		}
		key, value, valued := strings.Cut(p, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(value), `"`)
		if seen[key] {
			return "", false
		}
		seen[key] = true
		switch key {
		case "server_no_context_takeover", "client_no_context_takeover":
			if valued {
				return "", false
			}
		case "server_max_window_bits":
			if !isWindow(value) {
				return "", false
			}
			bits = value
		case "client_max_window_bits":
			if valued && !isWindow(value) {
				return "", false
			}
		default:
			return "", false
		}
	}
	return bits, true
}

func isWindow(value string) bool {
	bits, err := strconv.Atoi(value)
	return err == nil && bits >= 8 && bits <= 15 && strconv.Itoa(bits) == value
}

// tail ends a message so that it can be inflated: what RFC 7692, 7.2.2, wants, and an empty last block.
const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// maxEnds is how many of a message's blocks may say that they are the last (RFC 7692, 7.2.3.4): behind each the inflater begins again, which
// costs more than the two bytes that such a block takes.
const maxEnds = 16

// inflater inflates one message at a time.
type inflater struct {
	in      source
	z       io.ReadCloser
	ends    int
	scratch [4 << 10]byte
}

// source is a message and what ends it. Its bytes are read one by one, so that it is known where a last block ends.
type source struct {
	message bytes.Reader
	end     strings.Reader
}

func (s *source) ReadByte() (byte, error) {
	if b, err := s.message.ReadByte(); err == nil {
		return b, nil
	}
	return s.end.ReadByte()
}

func (s *source) Read(p []byte) (int, error) {
	if s.message.Len() > 0 {
		return s.message.Read(p)
	}
	return s.end.Read(p)
}

var inflaters = sync.Pool{New: func() any {
	f := &inflater{}
	f.z = flate.NewReader(&f.in)
	return f
}}

// AppendInflated appends what a compressed message holds. More than limit bytes are ErrTooBig, whatever the message
// would grow to. A message that does not fit into what dst has left is inflated twice, the first time only to learn how long it is:
// there is memory for messages within the limit alone, and a bomb costs time, not memory that has to be collected.
func AppendInflated(dst, p []byte, limit int) ([]byte, error) {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	from := len(dst)
	if err := f.begin(p); err != nil {
		return dst, err
	}
	n, ended, err := f.fill(dst[from:min(cap(dst), from+limit)])
	if err != nil {
		return dst, err
	}
	if ended {
		return dst[:from+n], nil
	}
	more, err := f.count(limit - n)
	if err != nil {
		return dst, err
	}
	if more == 0 {
		return dst[:from+n], nil
	}
	if err := f.begin(p); err != nil {
		return dst, err
	}
	n += more
	dst = slices.Grow(dst, n)[:from+n]
	if got, _, err := f.fill(dst[from:]); err != nil || got != n {
		return dst[:from], ErrDeflate
	}
	return dst, nil
}

// begin starts with a message.
func (f *inflater) begin(p []byte) error {
	f.in.message.Reset(p)
	f.in.end.Reset(tail)
	f.ends = 0
	return f.restart()
}

// restart goes on at the next byte as at a beginning.
func (f *inflater) restart() error {
	if f.z.(flate.Resetter).Reset(&f.in, nil) != nil {
		return ErrDeflate
	}
	return nil
}

// fill inflates into dst until that is full or the message has ended.
func (f *inflater) fill(dst []byte) (n int, ended bool, err error) {
	for n < len(dst) {
		k, err := f.z.Read(dst[n:])
		n += k
		switch {
		case err == io.EOF && f.in.message.Len() == 0:
			return n, true, nil
		case err == io.EOF: // a last block, behind which there are others
			if f.ends++; f.ends > maxEnds || f.restart() != nil {
				return n, false, ErrDeflate
			}
		case err != nil:
			return n, false, ErrDeflate
		}
	}
	return n, false, nil
}

// count inflates what is left of a message and drops it: at most limit bytes.
func (f *inflater) count(limit int) (n int, err error) {
	for {
		k, ended, err := f.fill(f.scratch[:])
		n += k
		switch {
		case err != nil:
			return n, err
		case n > limit:
			return n, ErrTooBig
		case ended:
			return n, nil
		}
	}
}

type deflater struct {
	out bytes.Buffer
	z   *flate.Writer
}

var deflaters = sync.Pool{New: func() any {
	d := &deflater{}
	d.z, _ = flate.NewWriter(&d.out, flate.BestSpeed) // the level is one that there is
	return d
}}

// Deflated returns p compressed with an empty window, to its end on a byte: it may stand between other blocks. nil if
// that saves nothing.
func Deflated(p []byte) []byte {
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	d.out.Reset()
	d.z.Reset(&d.out)
	// A bytes.Buffer takes everything.
	_, _ = d.z.Write(p)
	_ = d.z.Flush()
	if d.out.Len()+StoredOverhead*2+1 >= len(p) {
		return nil
	}
	return bytes.Clone(d.out.Bytes())
}

// StoredOverhead is what AppendStored adds to a text, MaxStored the longest one.
const (
	StoredOverhead = 5
	MaxStored      = 1<<16 - 1
)

// AppendStored appends a text of 1 to MaxStored bytes as a block that is not compressed.
func AppendStored(dst, p []byte) []byte {
	n := len(p)
	return append(append(dst, 0, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8)), p...)
}

// AppendDeflatedFrame appends the frame of a whole message, compressed if that saves something.
func AppendDeflatedFrame(dst []byte, op Opcode, payload []byte) []byte {
	z := Deflated(payload)
	if z == nil {
		return AppendFrame(dst, op, payload)
	}
	z = z[:len(z)-4] // the receiver adds them
	dst = AppendDeflatedHeader(dst, op, len(z))
	return append(dst, z...)
}

// AppendDeflatedHeader is AppendHeader of a compressed message.
func AppendDeflatedHeader(dst []byte, op Opcode, n int) []byte {
	from := len(dst)
	dst = AppendHeader(dst, op, n)
	dst[from] |= 0x40
	return dst
}
