package poll

import "github.com/fraiseql/fraiseql-go/internal/queue"

const (
	batchBytes = 64 << 10  // payload taken from a connection for one write
	bigPayload = 4 << 10   // from here on a payload is not copied
	maxScratch = 512 << 10 // a larger buffer is not kept
)

// batch is what one write carries: frames built in a scratch buffer that belongs to the writer, with large
// payloads in between.
type batch struct {
	items []queue.Item
	ends  []int // ends[i] is where the frame of items[i] ends
	buf   []byte
	big   []insert
	vecs  [][]byte
	// total is how long all frames are, skip how much of that is written already.
	total, skip int
	// more says that something is left of what waited.
	more bool
	// closing says that the last item is the close: what came after it is discarded. ending says that some item is the last of its
	// subscription.
	closing, ending bool
}

// insert is a payload that goes out after buf[:at].
type insert struct {
	at      int
	payload []byte
}

// fill takes what waits on c, behind the frame that was cut. more says that something is left.
func (b *batch) fill(c *Conn) (more bool) {
	b.clear()
	if h := c.held.Load(); h != nil {
		b.items = append(b.items, h.item)
		if isClose(&h.item) {
			return false
		}
	}
	b.items, more = c.Take(b.items, batchBytes)
	return more
}

// clear drops every reference to messages.
func (b *batch) clear() {
	clear(b.items)
	clear(b.big)
	clear(b.vecs)
	b.items, b.ends, b.buf, b.big, b.vecs = b.items[:0], b.ends[:0], b.buf[:0], b.big[:0], b.vecs[:0]
	b.closing, b.ending = false, false
	if cap(b.buf) > maxScratch {
		b.buf = nil
	}
}

func isClose(it *queue.Item) bool { return it.Queue == nil && it.Control.Kind == queue.Close }

// encode builds the frames and returns their length.
func (b *batch) encode(f Framing) int {
	outside := 0
	other, _ := f.(PayloadFraming)
	for i := range b.items {
		it := &b.items[i]
		m := it.Message
		if m == nil && b.encodeText(f, it) {
			outside += len(it.Control.Data)
			b.ends = append(b.ends, len(b.buf)+outside)
			continue
		}
		b.buf = f.AppendPrefix(b.buf, it)
		if m != nil {
			if m.End {
				b.ending = true
			}
			payload := m.Payload
			if other != nil {
				payload = other.FramedPayload(it)
			}
			if len(payload) >= bigPayload {
				b.big = append(b.big, insert{len(b.buf), payload})
				outside += len(payload)
			} else {
				b.buf = append(b.buf, payload...)
			}
			b.buf = f.AppendSuffix(b.buf, it)
		}
		b.ends = append(b.ends, len(b.buf)+outside)
		if isClose(it) {
			clear(b.items[i+1:])
			b.items, b.closing = b.items[:i+1], true
			break
		}
	}
	return len(b.buf) + outside
}

// encodeText builds the frame of a long text without a copy; false: it is none.
func (b *batch) encodeText(f Framing, it *queue.Item) bool {
	if len(it.Control.Data) < bigPayload || it.Control.Kind != queue.Text {
		return false
	}
	t, ok := f.(TextFraming)
	if ok {
		b.buf = t.AppendTextHeader(b.buf, len(it.Control.Data))
		b.big = append(b.big, insert{len(b.buf), it.Control.Data})
	}
	return ok
}

// tell tells the owner of the subscriptions whose last message is among the first n items, which are out.
func (b *batch) tell(f Framing, n int) {
	if !b.ending {
		return
	}
	t, ok := f.(EndFraming)
	if !ok {
		return
	}
	for i := range b.items[:n] {
		if it := &b.items[i]; it.Message != nil && it.Message.End {
			t.Written(it)
		}
	}
}

// vectors returns the bytes from offset skip on, in pieces.
func (b *batch) vectors(skip int) [][]byte {
	from := 0
	for _, in := range b.big {
		b.piece(b.buf[from:in.at], &skip)
		b.piece(in.payload, &skip)
		from = in.at
	}
	b.piece(b.buf[from:], &skip)
	return b.vecs
}

func (b *batch) piece(p []byte, skip *int) {
	n := min(*skip, len(p))
	*skip -= n
	if p = p[n:]; len(p) > 0 {
		b.vecs = append(b.vecs, p)
	}
}

// written returns how many items were wholly written when the first n bytes are out, and how many bytes of the
// next one.
func (b *batch) written(n int) (whole, off int) {
	start := 0
	for whole < len(b.ends) && b.ends[whole] <= n {
		start = b.ends[whole]
		whole++
	}
	return whole, n - start
}
