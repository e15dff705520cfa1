package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/pgbus"
	fevent "github.com/fraiseql/fraiseql-go/event"
)

// open makes a peer whose listener is ready.
func open(name, url string, a *arrivals) (peer, error) {
	if name == "pgbus" {
		return openBus(url, a)
	}
	return openBare(url, a)
}

// ours is the bus, one node that publishes and delivers.
type ours struct{ b *pgbus.Bus }

type handler struct{ a *arrivals }

func (h handler) Deliver(m *bus.Message) int {
	h.a.take(m.Event.Data)
	return 1
}

func openBus(url string, a *arrivals) (peer, error) {
	b, err := pgbus.Open(url, bus.Options{})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := b.Attach(ctx, handler{a}); err != nil {
		return nil, err
	}
	b.Interest("bench", true)
	return ours{b}, b.Established(ctx, "bench")
}

func (o ours) publisher(ctx context.Context) (func([]byte) error, error) {
	return func(data []byte) error {
		_, err := o.b.Publish(ctx, []bus.Message{{Event: fevent.Event{Channel: "bench", Type: "t", UID: fevent.NewID(), Timestamp: time.Now(), Data: data}}})
		return err
	}, nil
}

func (o ours) close() { _ = o.b.Close(context.Background()) }

// bare is the driver: a connection per publisher, and one that listens.
type bare struct {
	url    string
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu    sync.Mutex
	conns []*pgx.Conn
}

func openBare(url string, a *arrivals) (peer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &bare{url: url, cancel: cancel}
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN bench"); err != nil {
		return nil, err
	}
	p.ended.Go(func() {
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return // closed
			}
			a.take([]byte(n.Payload))
		}
	})
	return p, nil
}

func (p *bare) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conn)
	return conn, nil
}

const insert = `INSERT INTO fraiseql.outbox (slot, channel, type, event_id, data)
VALUES ((SELECT last_value FROM fraiseql.slot), 'bench', 't', $1, $2::text::json) RETURNING pg_notify('bench', $2::text)`

func (p *bare) publisher(ctx context.Context) (func([]byte) error, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	return func(data []byte) error {
		if _, err := conn.Exec(ctx, insert, fevent.NewID().String(), string(data)); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		return nil
	}, nil
}

func (p *bare) close() {
	p.cancel()
	p.ended.Wait()
	for _, c := range p.conns {
		_ = c.Close(context.Background())
	}
}
