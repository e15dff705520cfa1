package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// linePublisher writes the lines to a connection.
type linePublisher struct {
	cfg  *Config
	conn net.Conn
	mu   sync.Mutex // one publisher writes at a time
	out  bytes.Buffer
}

func dialLines(ctx context.Context, cfg *Config, address string) (*linePublisher, error) {
	dialer := net.Dialer{Timeout: cfg.ConnectTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return &linePublisher{cfg: cfg, conn: conn}, nil
}

func (l *linePublisher) publish(ctx context.Context, events []Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.Reset()
	for i := range events {
		l.cfg.writeLine(&l.out, &events[i])
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := l.conn.Write(l.out.Bytes()); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// writeLine appends an event as POST /events takes it.
func (c *Config) writeLine(b *bytes.Buffer, e *Event) {
	b.WriteString(`{"channel":"` + e.Channel + `","type":"` + e.Type + `"`)
	if e.Tenant != "" {
		b.WriteString(`,"tenant_id":` + strconv.Quote(e.Tenant))
	} else if c.Broadcast {
		b.WriteString(`,"broadcast":true`)
	}
	b.WriteString(`,"data":`)
	b.Write(e.Data)
	b.WriteString("}\n")
}

// event makes one event of a room, due at a time since the start.
func (r *run) event(room, seq int, due time.Duration) Event {
	tenant := r.cfg.TenantID
	if r.cfg.TenantSecret != nil {
		tenant = tenantOf(room)
	}
	data, channel := make([]byte, 0, 96+len(r.pad)), r.channels[room]
	room *= max(1, r.cfg.Spread)
	data = strconv.AppendInt(append(data, `{"room":`...), int64(room), 10)
	data = strconv.AppendInt(append(data, `,"seq":`...), int64(seq), 10)
	data = strconv.AppendInt(append(data, `,"sent":`...), due.Microseconds(), 10)
	data = strconv.AppendInt(append(data, `,"sum":`...), int64(checksum(room, seq)), 10)
	data = append(append(append(data, `,"pad":"`...), r.pad...), `"}`...)
	return Event{Channel: channel, Type: "bench", Tenant: tenant, Data: data}
}

func makePad(n int) string { return strings.Repeat("x", n) }

// publishLoad is publisher p: it publishes each of its events when it is due, those that are due together in
// one call, and returns how many there were.
func (r *run) publishLoad(ctx context.Context, p int) (int, error) {
	if r.cfg.Window > 0 {
		return r.publishWindow(ctx)
	}
	total := int(r.cfg.Rate * (r.cfg.Warmup + r.cfg.Duration).Seconds())
	sequence := make([]int, r.cfg.Rooms)
	batch := make([]Event, 0, r.cfg.Batch)
	published := 0
	for i := 0; i < total; {
		for ; i < total && len(batch) < r.cfg.Batch; i++ {
			room := i % r.cfg.Rooms
			if room%r.cfg.Publishers != p {
				continue
			}
			due := time.Duration(float64(i) / r.cfg.Rate * float64(time.Second))
			if at := r.sendAt(due); at > time.Since(r.start) {
				if len(batch) > 0 {
					break
				}
				if err := r.waitUntil(ctx, at); err != nil {
					return published, err
				}
			}
			sequence[room]++
			batch = append(batch, r.event(room, sequence[room], due))
		}
		if len(batch) > 0 {
			if err := r.cfg.Publish(ctx, batch); err != nil {
				return published, err
			}
			published += len(batch)
			batch = batch[:0]
		}
		if ctx.Err() != nil {
			return published, context.Cause(ctx)
		}
	}
	return published, nil
}

// sendAt is when an event that is due then is published.
func (r *run) sendAt(due time.Duration) time.Duration {
	if tick := r.cfg.Tick; tick > 0 {
		return (due + tick - 1) / tick * tick
	}
	return due
}

// waitUntil waits for a time since the start: coarsely, then to the microsecond.
func (r *run) waitUntil(ctx context.Context, due time.Duration) error {
	const coarse = 2 * time.Millisecond
	for {
		d := due - time.Since(r.start)
		switch {
		case d <= 0:
			return nil
		case d > coarse:
			if err := pause(ctx, d-coarse); err != nil {
				return err
			}
		default:
			sleep(d)
		}
	}
}

// publishWindow publishes while fewer than Window events are under way.
func (r *run) publishWindow(ctx context.Context) (int, error) {
	sequence := make([]int, r.cfg.Rooms)
	batch := make([]Event, 0, r.cfg.Batch)
	for r.published < 1<<31-1 && time.Since(r.start) < r.cfg.Warmup+r.cfg.Duration {
		for upTo := r.delivered() + r.cfg.Window; r.published < upTo && len(batch) < r.cfg.Batch; r.published++ {
			room := r.published % r.cfg.Rooms
			sequence[room]++
			batch = append(batch, r.event(room, sequence[room], time.Since(r.start)))
		}
		if len(batch) == 0 {
			sleep(100 * time.Microsecond)
		} else if err := r.cfg.Publish(ctx, batch); err != nil {
			return r.published, err
		}
		batch = batch[:0]
		if ctx.Err() != nil {
			return r.published, context.Cause(ctx)
		}
	}
	return r.published, nil
}

// delivered is the number of events that have arrived at every subscription they are for.
func (r *run) delivered() int {
	least := 1<<31 - 1
	for _, rd := range r.readers {
		rd.mu.Lock()
		defer rd.mu.Unlock()
	}
	for _, c := range r.clients {
		for i := range c.subs {
			least = min(least, int(c.subs[i].received)*r.cfg.Rooms+r.roomOf(c.number, i))
		}
	}
	return least
}

// expected is the highest sequence number of each room after a complete run.
func (r *run) expected(room int) int {
	total := int(r.cfg.Rate * (r.cfg.Warmup + r.cfg.Duration).Seconds())
	if r.cfg.Window > 0 {
		total = r.published
	}
	n := total / r.cfg.Rooms
	if room < total%r.cfg.Rooms {
		n++
	}
	return n
}

// probe publishes one event, outside of the sequence, to every room.
func (r *run) probe(ctx context.Context) error {
	for from := 0; from < r.cfg.Rooms; from += r.cfg.Batch {
		batch := make([]Event, 0, r.cfg.Batch)
		for room := from; room < min(from+r.cfg.Batch, r.cfg.Rooms); room++ {
			batch = append(batch, r.event(room, 0, 0))
		}
		if err := r.cfg.Publish(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}
