package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// recallPage is how many events are asked for at once.
	recallPage = 512
	// recallBytes bounds the data of the events that one Recall tells of.
	recallBytes = 64 << 20
)

// Recall implements bus.Recaller: it reads the channel's events by its subject, and takes from them what makes them the
// same as others. How old they are is the stream's word. It tells of the newest events that have no more than 64 MiB of data.
func (b *Bus) Recall(ctx context.Context, channel string, from, upTo event.Position) ([]bus.Recalled, bool, error) {
	if b.core != nil {
		return nil, true, nil
	}
	s, err := b.bounded(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("recall from nats: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, max(b.timeout, apiTimeout))
	defer cancel()
	list, whole, err := s.recall(bounded, channel, from, upTo, recallBytes)
	if err != nil {
		return nil, false, b.failure(ctx, s, "recall", err)
	}
	return list, whole, nil
}

func (s *session) recall(ctx context.Context, channel string, from, upTo event.Position, room int) (list []bus.Recalled, whole bool, err error) {
	tok, k := token(channel), kindOf(channel)
	partition := partitionOf(tok, partitionsOf(k))
	now, err := s.inspect(ctx, k)
	if err != nil {
		return nil, false, err
	}
	if upTo != position(now.epoch, partition, upTo.Minor) || !from.SameRun(upTo) { // the numbers are those of other events
		return nil, true, nil
	}
	r := pageReader{s: s, spec: &s.streams[k], subject: s.streams[k].stored(partition, tok), channel: channel, epoch: now.epoch, partition: partition, dates: true}
	first, err := r.since(ctx, from.Minor)
	if err != nil || first == 0 || first > upTo.Minor {
		return nil, true, err
	}
	list, first, err = r.recall(ctx, first, upTo.Minor, room)
	return list, first <= from.Minor+1, err
}

// since returns the sequence of the first event that was stored less than bus.RecallTime before the message at a
// sequence; 0: there is none.
func (r *pageReader) since(ctx context.Context, seq uint64) (uint64, error) {
	at := time.Now()
	switch m, err := r.s.get(ctx, r.spec.kind, getRequest{Seq: max(seq, 1)}); {
	case err == nil:
		at = m.Time
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, err
	}
	at = at.Add(-bus.RecallTime)
	switch m, err := r.s.get(ctx, r.spec.kind, getRequest{NextFor: r.subject, StartTime: &at}); {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	default:
		return m.Seq, err
	}
}

// recall reads the events from one sequence up to another that there is room for, the newest, and returns from which
// sequence on that is. The stream only reads forward: when not all fits, what does is read from the end backwards.
func (r *pageReader) recall(ctx context.Context, first, last uint64, room int) (list []bus.Recalled, from uint64, err error) {
	enough := room / 2 // as reading on would be reading twice
	from = last + 1
	for span := from - first; span > 0; span = min(span, from-first) {
		part, bytes, fitted, err := r.span(ctx, from-span, from-1, room, 2*bus.RecallEvents-len(list))
		switch {
		case err != nil:
			return nil, 0, err
		case fitted == span:
			list, room, from = append(list, part...), room-bytes, from-span
			span *= 2
		case span == 1, room < enough, len(list) >= bus.RecallEvents:
			return list, from, nil
		default: // the newest are as large, most likely
			span = max(min(fitted, span/2), 1)
		}
	}
	return list, from, nil
}

// span reads from one sequence up to another, as far as there is room, and returns how many sequences that are.
func (r *pageReader) span(ctx context.Context, first, last uint64, room, most int) (list []bus.Recalled, bytes int, fitted uint64, err error) {
	for at := first - 1; at < last; at = r.last {
		r.messages, r.stored, r.text = nil, nil, 0
		page, err := r.read(ctx, at, last, recallPage)
		if err != nil {
			return nil, 0, 0, err
		}
		for i := range page {
			m := &page[i]
			if bytes += len(m.Event.Data); bytes > room || len(list) == most {
				return nil, 0, m.Position.Minor - first, nil
			}
			list = append(list, bus.Recalled{TenantID: m.Event.TenantID, ID: m.Event.ID, Position: m.Position, At: r.stored[i]})
		}
		if r.last == at { // the rest is of others
			break
		}
	}
	return list, bytes, last - first + 1, nil
}
