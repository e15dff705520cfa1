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
	switch name {
	case node:
		b, err := openNode(url, a)
		return ours{b, b}, err
	case another:
		b, err := openNode(url, a)
		if err != nil {
			return nil, err
		}
		publisher, err := openNode(url, nil)
		return ours{publisher, b}, err
	}
	return openBare(url, a)
}

// ours is the bus: the node that publishes and the one that delivers, which may be the same.
type ours struct{ publishes, delivers *pgbus.Bus }

type handler struct{ a *arrivals }

func (h handler) Deliver(m *bus.Message) int {
	h.a.take(m.Event.Data)
	return 1
}

// openNode starts a node. Without arrivals it has no subscribers.
func openNode(url string, a *arrivals) (*pgbus.Bus, error) {
	b, err := pgbus.Open(url, bus.Options{})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := b.Attach(ctx, handler{a}); err != nil {
		return nil, err
	}
	if a != nil {
		b.Interest("bench", true)
	}
	return b, b.Established(ctx, "bench")
}

func (o ours) publisher(ctx context.Context) (func([]byte) error, error) {
	return func(data []byte) error {
		_, err := o.publishes.Publish(ctx, []bus.Message{{Event: fevent.Event{Channel: "bench", Type: "t", UID: fevent.NewID(), Timestamp: time.Now(), Data: data}}})
		return err
	}, nil
}

func (o ours) close() {
	_ = o.publishes.Close(context.Background())
	_ = o.delivers.Close(context.Background())
}

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

// insert is one round trip, one transaction and one row that goes out and back.
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
