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
	// recallBytes bounds what one Recall reads.
	recallBytes = 64 << 20
)

// Recall implements bus.Recaller: it reads the channel's events by its subject, and takes from them what makes them the
// same as others. How old they are is the stream's word. No more is read than 64 MiB.
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
	list, whole, err := s.recall(bounded, channel, from, upTo)
	switch {
	case err == nil:
		return list, whole, nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case b.ctx.Err() != nil:
		err = bus.ErrClosed
	default:
		err = fmt.Errorf("%w: %s", bus.ErrUnavailable, describe(s.cause(err)))
	}
	return nil, false, fmt.Errorf("recall from nats: %w", err)
}

func (s *session) recall(ctx context.Context, channel string, from, upTo event.Position) (list []bus.Recalled, whole bool, err error) {
	tok, k := token(channel), kindOf(channel)
	partition := partitionOf(tok, partitionsOf(k))
	now, err := s.inspect(ctx, k)
	if err != nil {
		return nil, false, err
	}
	if upTo != position(now.epoch, partition, upTo.Minor) || !from.SameRun(upTo) { // the numbers are those of other events
		return nil, true, nil
	}
	r := pageReader{s: s, spec: &s.streams[k], subject: s.streams[k].stored(partition, tok), channel: channel, epoch: now.epoch, partition: partition}
	first, err := r.since(ctx, from.Minor)
	if err != nil || first == 0 || first > upTo.Minor {
		return nil, true, err
	}
	list, all, err := r.recall(ctx, first, upTo.Minor)
	if late := upTo.Minor - min(upTo.Minor-1, 2*bus.RecallEvents-1); err == nil && !all && late > first { // the newest are what counts
		first = late
		list, _, err = r.recall(ctx, first, upTo.Minor)
	}
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

// recall reads from one sequence up to another; not all: there are more than it may read.
func (r *pageReader) recall(ctx context.Context, first, last uint64) (list []bus.Recalled, all bool, err error) {
	at, bytes := first-1, 0
	for at < last {
		if len(list) >= 2*bus.RecallEvents || bytes >= recallBytes {
			return list, false, nil
		}
		r.messages, r.text = nil, 0
		page, err := r.read(ctx, at, last, recallPage)
		if err != nil {
			return nil, false, err
		}
		for i := range page {
			m := &page[i]
			list = append(list, bus.Recalled{TenantID: m.Event.TenantID, ID: m.Event.ID, Position: m.Position})
		}
		bytes += r.text
		if r.last == at {
			break
		}
		at = r.last
	}
	return list, true, nil
}
