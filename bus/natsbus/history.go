package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// historyBytes bounds the text of one page; a page that is shorter than its limit for that says so by its Head.
	historyBytes = 16 << 20
	// historyPause is how long a server that has not yet all that its leader has is given before it is asked again.
	historyPause = 5 * time.Millisecond
)

// History reads a channel's events out of the stream, by its subject: nothing else is read or sent. A page may have fewer
// events than limit when they are large together (16 MiB); Head tells whether that was all. Complete is what the stream
// can prove: its first message is not beyond the position asked for, and none inside was deleted behind it. What was
// trimmed may have been of other channels: Complete may be false though nothing of this channel is missing, never the
// other way round. The start of $control means all that must be kept: what age alone has taken is not missing. In core
// mode nothing is held: the page is empty and Complete only at the newest position.
func (b *Bus) History(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	s, err := b.bounded(ctx)
	if err != nil {
		return bus.Page{}, fmt.Errorf("history from nats: %w", err)
	}
	if b.core != nil {
		return b.core.history(channel, after), nil
	}
	bounded, cancel := context.WithTimeout(ctx, max(b.timeout, apiTimeout))
	defer cancel()
	page, err := s.history(bounded, channel, after, limit)
	if err != nil {
		return bus.Page{}, b.failure(ctx, s, "history", err)
	}
	return page, nil
}

// failure says why what was asked of a session failed: the caller or the bus ended, or NATS does not answer.
func (b *Bus) failure(ctx context.Context, s *session, what string, err error) error {
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case b.ctx.Err() != nil:
		err = bus.ErrClosed
	default:
		err = fmt.Errorf("%w: %s", bus.ErrUnavailable, describe(s.cause(err)))
	}
	return fmt.Errorf("%s from nats: %w", what, err)
}

// history asks for the newest event first, then for events up to it, then for the stream: what is still held then was
// held before.
func (s *session) history(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	tok := token(channel)
	k := kindOf(channel)
	partition := partitionOf(tok, partitionsOf(k))
	before, err := s.revive(ctx, k)
	if err != nil {
		return bus.Page{}, err
	}
	head := before.last
	subject := s.streams[k].stored(partition, tok)
	newest, err := s.get(ctx, k, getRequest{LastFor: subject})
	switch {
	case err == nil:
		head = newest.Seq
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return bus.Page{}, err
	}
	page := bus.Page{Head: position(before.epoch, partition, head)}
	known := after.IsZero() || after == position(before.epoch, partition, after.Minor) && after.Minor <= max(before.last, head)
	if known && limit > 0 && err == nil && after.Minor < head {
		r := pageReader{s: s, spec: &s.streams[k], subject: subject, channel: channel, epoch: before.epoch, partition: partition}
		if page.Messages, err = r.read(ctx, after.Minor, head, limit); err != nil {
			return bus.Page{}, err
		}
	}
	now, err := s.inspect(ctx, k)
	if err != nil {
		return bus.Page{}, err
	}
	if now.epoch != before.epoch { // what was read may be of either
		return bus.Page{Head: position(now.epoch, partition, now.last)}, nil
	}
	page.Complete = known && (!now.missing(after.Minor) || k == control && after.IsZero() && now.ages)
	if page.Complete && now.deleted > 0 {
		page.Complete, err = s.whole(ctx, k, after.Minor, head)
	}
	return page, err
}

// whole reports whether no message between two sequences was deleted one by one.
func (s *session) whole(ctx context.Context, k kind, after, head uint64) (bool, error) {
	found, err := s.js.Stream(ctx, s.streams[k].name)
	if err != nil {
		return false, err
	}
	info, err := found.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(info.State.Deleted, func(seq uint64) bool { return seq > after && seq <= head }), nil
}

// getRequest asks for messages by number or subject.
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
	// StartTime goes with NextFor, in place of Seq.
	StartTime *time.Time `json:"start_time,omitempty"`
}

// stored is a message as the leader of a stream has it, without its content.
type stored struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// get asks the leader of a stream for one message.
func (s *session) get(ctx context.Context, k kind, r getRequest) (stored, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return stored{}, err
	}
	m, err := s.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+s.streams[k].name, body)
	if err != nil {
		return stored{}, err
	}
	var answer struct {
		Message stored              `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return stored{}, errors.New("an answer that cannot be read")
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return stored{}, jetstream.ErrMsgNotFound
		}
		return stored{}, answer.Error
	}
	return answer.Message, nil
}

// pageReader reads the events of one subject.
type pageReader struct {
	s         *session
	spec      *spec
	subject   string
	channel   string
	epoch     uint64
	partition uint32

	messages []bus.Message
	dates    bool        // stored is asked for
	stored   []time.Time // when messages were stored
	last     uint64      // sequence of the last message read
	text     int
}

// read returns events after a sequence up to head, at most limit. Any replica may answer, so one that has not yet
// what the leader has is asked again.
func (r *pageReader) read(ctx context.Context, after, head uint64, limit int) ([]bus.Message, error) {
	r.last = after
	for r.last < head && len(r.messages) < limit && r.text < historyBytes {
		before := r.last
		if err := r.batch(ctx, head, limit-len(r.messages)); err != nil {
			return nil, err
		}
		if r.last > before {
			continue
		}
		if held, err := r.s.get(ctx, r.spec.kind, getRequest{Seq: r.last + 1, NextFor: r.subject}); errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && held.Seq > head {
			return r.messages, nil // trimmed meanwhile
		}
		t := time.NewTimer(historyPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
	}
	return r.messages, nil
}

// batch asks for messages once and takes what comes.
func (r *pageReader) batch(ctx context.Context, head uint64, n int) error {
	const most = 512 // what one subscription may have waiting
	body, err := json.Marshal(getRequest{Seq: r.last + 1, NextFor: r.subject, Batch: min(n, most), MaxBytes: historyBytes})
	if err != nil {
		return err
	}
	inbox := r.s.nc.NewInbox()
	answers := make(chan *nats.Msg, most+1)
	sub, err := r.s.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := r.s.nc.PublishRequest("$JS.API.DIRECT.GET."+r.spec.name, inbox, body); err != nil {
		return err
	}
	for {
		select {
		case m := <-answers:
			if more, err := r.take(m, head); !more {
				return err
			}
		case <-r.s.gone:
			return errGone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take reads one answer; not more: the batch has ended.
func (r *pageReader) take(m *nats.Msg, head uint64) (more bool, err error) {
	number := added(m, nats.JSSequence)
	switch status := value(m, "Status"); {
	case number != "": // a message, whatever its publisher calls Status
	case status == "204" || status == "404":
		return false, nil
	case status != "":
		return false, fmt.Errorf("direct get: %s %.100s", status, value(m, "Description"))
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return false, errors.New("direct get: an answer without a sequence")
	}
	if seq <= r.last || seq > head {
		return true, nil
	}
	r.last = seq
	at, err := time.Parse(time.RFC3339Nano, added(m, nats.JSTimeStamp))
	if err != nil {
		return false, errors.New("direct get: an answer without a time")
	}
	e, err := decode(m, r.channel, at, func() string { return madeID(r.epoch, seq) })
	if err != nil {
		return true, nil // counted where it is delivered
	}
	r.text += len(e.Data)
	r.messages = append(r.messages, bus.Message{Event: e, Position: position(r.epoch, r.partition, seq)})
	if r.dates {
		r.stored = append(r.stored, at)
	}
	return true, nil
}
