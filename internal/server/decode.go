package server

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/wire"
)

// scratch is what decoding a body needs besides the events, which own their memory.
type scratch struct {
	body    bytes.Buffer
	decoder wire.Decoder
}

// keptBody is the size in bytes up to which the memory of a body is kept for the next request.
const keptBody = 1 << 20

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) free() {
	if s.body.Cap() <= keptBody {
		scratches.Put(s)
	}
}

// decode reads a body to its end. Errors about events are *event.Error, joined, or wire.Errors.
func (s *scratch) decode(body io.Reader, lim wire.Limits, lines bool) ([]event.Event, error) {
	s.body.Reset()
	if _, err := s.body.ReadFrom(body); err != nil {
		return nil, err
	}
	s.decoder.Limits = lim
	if lines {
		return s.lines(s.body.Bytes(), lim.BatchEvents)
	}
	return s.decoder.Batch(s.body.Bytes())
}

// lines reads one event per line; blank lines are skipped.
func (s *scratch) lines(text []byte, most int) ([]event.Event, error) {
	events := make([]event.Event, 0, min(most, 1+bytes.Count(text, []byte{'\n'})))
	var errs []error
	index := 0
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if index == most {
			return nil, &event.Error{Code: code.LimitExceeded, Limit: "publish_events", Message: "more than " + strconv.Itoa(most) + " events in one batch (limits.publish_events)", Index: index}
		}
		ev, err := s.decoder.Event(line)
		var about *event.Error
		switch {
		case err == nil:
			events = append(events, ev)
		case !errors.As(err, &about):
			return nil, err
		default:
			at := *about
			at.Index = index
			if errs = append(errs, &at); len(errs) == maxProblems {
				return nil, errors.Join(errs...)
			}
		}
		index++
	}
	return events, errors.Join(errs...)
}
