package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// Reader reads newline-delimited JSON: one event per line, blank lines between them as may be. It holds one
// line at a time.
type Reader struct {
	decoder Decoder
	lim     Limits
	in      *bufio.Reader
	line    []byte
	read    int // bytes
	events  int
	err     error
}

// NewReader returns a strict reader. Its bounds are those of Limits; BatchBytes and BatchEvents are over the
// whole input.
func NewReader(r io.Reader, lim Limits) *Reader {
	lim = lim.WithDefaults()
	return &Reader{decoder: Decoder{Limits: lim}, lim: lim, in: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the next event, io.EOF after the last. An *event.Error (with the index of the event, counted
// from 0) is about one line: the next call goes on behind it, unless the code is LIMIT_EXCEEDED for the
// input as a whole. Other errors are those of the underlying reader. They are returned again and again.
func (r *Reader) Next() (event.Event, error) {
	if r.err != nil {
		return event.Event{}, r.err
	}
	if err := r.nextLine(); err != nil {
		r.err = err
		return event.Event{}, err
	}
	if r.events == r.lim.BatchEvents {
		r.err = tooMany(&r.lim)
		return event.Event{}, r.err
	}
	ev, err := r.decoder.parse(r.line, &r.lim, strict)
	r.events++
	if err != nil {
		at := *err
		at.Index = r.events - 1
		return event.Event{}, &at
	}
	return ev, nil
}

// nextLine reads the next line that is not blank into r.line.
func (r *Reader) nextLine() error {
	for {
		r.line = r.line[:0]
		for {
			part, err := r.in.ReadSlice('\n')
			if r.read += len(part); r.read > r.lim.BatchBytes {
				return r.stop("the input is larger than " + strconv.Itoa(r.lim.BatchBytes) + " bytes")
			}
			if r.line = append(r.line, part...); len(r.line) > 2*r.lim.EventBytes+envelopeBytes {
				return r.stop("a line is longer than an event can be")
			}
			if err == nil {
				break
			}
			if errors.Is(err, io.EOF) && len(bytes.TrimSpace(r.line)) > 0 {
				return nil
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return err
			}
		}
		if len(bytes.TrimSpace(r.line)) > 0 {
			return nil
		}
	}
}

func (r *Reader) stop(message string) error {
	return &event.Error{Code: code.LimitExceeded, Message: message, Index: r.events}
}
