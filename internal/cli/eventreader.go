package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fraiseql/fraiseql-go/event"
)

// countingReader counts bytes, for progress, and keeps why no more could be read.
type countingReader struct {
	in     io.Reader
	bytes  int64
	failed error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.bytes += int64(n)
	if err != nil && err != io.EOF {
		c.failed = fmt.Errorf("read the input: %w", err)
	}
	return n, err
}

// eventReader reads events from JSON texts that follow each other: objects, arrays of objects, lines. It holds
// one event at a time.
type eventReader struct {
	in      *countingReader
	dec     *json.Decoder
	inArray bool
	count   int
}

func newEventReader(in io.Reader) *eventReader {
	kept := &countingReader{in: in}
	return &eventReader{in: kept, dec: json.NewDecoder(kept)}
}

// next returns the next event on one line, with an id; io.EOF after the last.
func (r *eventReader) next() ([]byte, error) {
	for {
		if r.inArray {
			if r.dec.More() {
				return r.event()
			}
			if _, err := r.dec.Token(); err != nil {
				return nil, r.fault(err)
			}
			r.inArray = false
			continue
		}
		open, err := r.peek()
		if err != nil {
			return nil, err
		}
		if open != '[' {
			return r.event()
		}
		if _, err := r.dec.Token(); err != nil {
			return nil, r.fault(err)
		}
		r.inArray = true
	}
}

// peek returns the first byte of the next text. More skips white space and sees the end of the input as such, and the end
// of what can be read as well.
func (r *eventReader) peek() (byte, error) {
	if !r.dec.More() {
		if r.in.failed != nil {
			return 0, r.fault(r.in.failed)
		}
		rest, err := io.ReadAll(r.dec.Buffered())
		if err == nil && len(bytes.TrimSpace(rest)) == 0 {
			return 0, io.EOF
		}
		return 0, r.fault(errors.New("a text can't begin with ] or }"))
	}
	var first [1]byte
	for buffered := r.dec.Buffered(); ; {
		if _, err := buffered.Read(first[:]); err != nil {
			return 0, r.fault(err)
		}
		if first[0] != ' ' && first[0] != '\n' && first[0] != '\r' && first[0] != '\t' {
			return first[0], nil
		}
	}
}

func (r *eventReader) event() ([]byte, error) {
	var raw json.RawMessage
	if err := r.dec.Decode(&raw); err != nil {
		return nil, r.fault(err)
	}
	r.count++
	if raw[0] != '{' {
		return nil, fmt.Errorf("event %d is not a JSON object", r.count)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, r.fault(err)
	}
	var line bytes.Buffer
	if _, ok := members["id"]; !ok {
		line.WriteString(`{"id":"` + event.NewID().String() + `"`)
		if len(members) > 0 {
			line.WriteByte(',')
		}
		raw = raw[1:]
	}
	line.Write(raw)
	var compact bytes.Buffer
	if err := json.Compact(&compact, line.Bytes()); err != nil {
		return nil, r.fault(err)
	}
	return compact.Bytes(), nil
}

// fault names the place of a text that can't be read.
func (r *eventReader) fault(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the input ends in the middle of event %d", r.count+1)
	}
	return fmt.Errorf("event %d (near byte %d): %w", r.count+1, r.dec.InputOffset(), err)
}
