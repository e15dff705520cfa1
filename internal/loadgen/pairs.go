package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pairing is one connection that subscribes and completes.
type pairing struct {
	run  *run
	n    int
	conn *net.TCPConn
	in   *bufio.Reader
	done int // pairs
}

// pairs subscribes and completes on every connection for Duration. All operations of a connection have the same id,
// which a server refuses as long as one of them is not complete; a ping behind every so many of them bounds what is
// under way. At the end each connection subscribes once more: events that are published then must come for that operation
// alone.
func (r *run) pairs(ctx context.Context) (*Result, error) {
	if r.cfg.Protocol != "" && r.cfg.Protocol != TransportWS {
		return nil, errors.New("pairs are measured over graphql-transport-ws")
	}
	list := make([]*pairing, r.cfg.Connections)
	defer func() {
		for _, p := range list {
			if p != nil {
				p.conn.Close()
			}
		}
	}()
	for n := range list {
		conn, rest, err := r.dial(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", n+1, err)
		}
		list[n] = &pairing{run: r, n: n, conn: conn, in: bufio.NewReaderSize(io.MultiReader(bytes.NewReader(rest), conn), 64<<10)}
	}
	if err := r.pairAll(ctx, list, r.cfg.Warmup); err != nil {
		return nil, err
	}
	for _, p := range list {
		p.done = 0
	}
	began, cpu, own := time.Now(), r.process.cpu(), ownCPU()
	if err := r.pairAll(ctx, list, r.cfg.Duration); err != nil {
		return nil, err
	}
	span := time.Since(began).Seconds()
	result := &Result{Connections: len(list), Channels: r.cfg.Rooms}
	for _, p := range list {
		result.Pairs += p.done
	}
	result.PairsPerSecond = float64(result.Pairs) / span
	result.Server.CPUSeconds, result.Client.CPUSeconds = (r.process.cpu() - cpu).Seconds(), (ownCPU() - own).Seconds()
	million := float64(result.Pairs) / 1e6
	result.Server.CPUSecondsPerMillion, result.Client.CPUSecondsPerMillion = result.Server.CPUSeconds/million, result.Client.CPUSeconds/million
	result.Server.PID, result.Server.RSSKB = r.process.id(), r.process.memory()/1024
	return result, nil
}

// pairAll has all connections go on for a while, and then looks whether the server did what it was told.
func (r *run) pairAll(ctx context.Context, list []*pairing, length time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		for _, p := range list {
			_ = p.conn.SetDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	for _, p := range list {
		wg.Go(func() {
			if err := p.pair(end); err != nil {
				cancel(fmt.Errorf("connection %d: %w", p.n+1, err))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, p := range list {
		if err := p.confirm(ctx); err != nil {
			return fmt.Errorf("connection %d: %w", p.n+1, err)
		}
	}
	return nil
}

const (
	pairID  = "pair"
	finalID = "final"
)

// pair subscribes and completes until end, then subscribes to its first room. Those of one connection go through all
// rooms.
func (p *pairing) pair(end time.Time) error {
	complete := []byte(`{"id":"` + pairID + `","type":"complete"}`)
	ping := appendFrame(nil, opText, []byte(`{"type":"ping"}`))
	_ = p.conn.SetDeadline(end.Add(p.run.cfg.ConnectTimeout))
	var out []byte
	for next := p.n; time.Now().Before(end); p.done += p.run.cfg.Pairs {
		out = out[:0]
		for range p.run.cfg.Pairs {
			out = appendFrame(out, opText, p.run.subscribeMessage(pairID, next))
			out = appendFrame(out, opText, complete)
			next += p.run.cfg.Connections
		}
		if _, err := p.conn.Write(append(out, ping...)); err != nil {
			return err
		}
		if err := p.pong(); err != nil {
			return err
		}
	}
	if _, err := p.conn.Write(append(appendFrame(nil, opText, p.run.subscribeMessage(finalID, p.n)), ping...)); err != nil {
		return err
	}
	return p.pong()
}

var completeType = []byte(`"complete"`)

// pong waits for the answer to a ping. Events of the last operation may still come; any other message is wrong.
func (p *pairing) pong() error {
	for {
		m, err := p.next()
		switch {
		case err != nil:
			return fmt.Errorf("pong expected: %w", err)
		case hasType(m, pongType):
			return nil
		case !isFinal(m) && !hasType(m, completeType): // some servers confirm a complete
			return fmt.Errorf("pong expected, not %.200q", m)
		}
	}
}

// isFinal reports whether a message is an event for the last operation.
func isFinal(m []byte) bool {
	return hasType(m, nextType) && bytes.Contains(m, []byte(`"`+finalID+`"`))
}

// confirm publishes until an event comes for the last operation, and completes it.
func (p *pairing) confirm(ctx context.Context) error {
	const patience = 200 * time.Millisecond
	for late := time.Now().Add(p.run.cfg.ConnectTimeout); ; {
		if err := p.run.probe(ctx); err != nil {
			return err
		}
		_ = p.conn.SetReadDeadline(time.Now().Add(patience))
		m, err := p.next()
		if err == nil && isFinal(m) {
			break
		}
		switch {
		case err == nil:
			return fmt.Errorf("an event for the last operation expected, not %.200q", m)
		case !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(late):
			return fmt.Errorf("an event for the last operation expected: %w", err)
		}
	}
	_ = p.conn.SetReadDeadline(time.Time{})
	out := appendFrame(nil, opText, []byte(`{"id":"`+finalID+`","type":"complete"}`))
	if _, err := p.conn.Write(appendFrame(out, opText, []byte(`{"type":"ping"}`))); err != nil {
		return err
	}
	return p.pong()
}

// next reads a message; frames of control are passed over.
func (p *pairing) next() ([]byte, error) {
	for {
		head, err := p.in.Peek(2)
		if err != nil {
			return nil, err
		}
		first, n, size := head[0], int(head[1]), 2
		if n == 126 {
			if head, err = p.in.Peek(4); err != nil {
				return nil, err
			}
			n, size = int(binary.BigEndian.Uint16(head[2:])), 4
		}
		if n > 64<<10 || head[1]&0x80 != 0 {
			return nil, errProtocol
		}
		frame := make([]byte, size+n)
		if _, err := io.ReadFull(p.in, frame); err != nil {
			return nil, err
		}
		switch m := frame[size:]; {
		case first == 0x80|opText && hasType(m, pingType):
			if _, err := p.conn.Write(appendFrame(nil, opText, []byte(`{"type":"pong"}`))); err != nil {
				return nil, err
			}
		case first == 0x80|opText:
			return m, nil
		case first&0xf == opClose && len(m) >= 2:
			return nil, fmt.Errorf("connection closed by the server with code %d %s", binary.BigEndian.Uint16(m), m[2:])
		}
	}
}
