// Package embedded runs a NATS server with JetStream inside the process and is an event bus on it: several machines
// share events, with no other server to run. It is apart from natsbus so that a program that needs no server does not
// link one.
//
//	nats://[user:password@]embedded?store=DIR[&parameter=value…]
//
//	store=DIR                where events are kept; one process at a time
//	listen=HOST:PORT         where other clients of NATS may connect; none by default
//	sync=interval|always     interval: what the system has not written after two minutes is written to the disk then, so that
//	                         a machine that loses power may lose the newest events, a process that dies none
//	members=1|3|5            how many machines hold the events; with 3 or 5 these are needed:
//	name=NAME                this member's, for ever: the store belongs to it
//	cluster_listen=HOST:PORT where the other members reach this one
//	routes=HOST:PORT,…       the other members
//	advertise=HOST:PORT      what the others are told instead of cluster_listen
//	tls_cert=FILE, tls_key=FILE, tls_ca=FILE
//	                         TLS for listen and routes; with tls_ca both ends of a route are checked
//
// and those of natsbus that concern the streams (prefix, stream, replicas, maxbytes, maxage). Streams are on as many
// members as there are, so the events live while a majority does. Further nodes are plain clients: nats://host:port of
// members that listen. Where others can reach an address, the URL must have credentials; clients and routes use them.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/natsbus"
)

// Bus is an event bus on a NATS server in this process. It does all that natsbus.Bus does.
type Bus struct {
	*natsbus.Bus
	config config
	log    *slog.Logger
	server *inProcess

	mu   sync.Mutex // held while the server is started or its end begun
	lock *storeLock
	done chan struct{} // closed when the server has ended; nil: it was not asked to
}

// inProcess is the server as its client finds it.
type inProcess struct{ running atomic.Pointer[server.Server] }

// InProcessConn connects to the server.
func (p *inProcess) InProcessConn() (net.Conn, error) {
	s := p.running.Load()
	if s == nil {
		return nil, errors.New("the embedded NATS server does not run")
	}
	return s.InProcessConn()
}

// Check reports what Open would refuse.
func Check(rawURL string) error {
	_, err := parseURL(rawURL)
	return err
}

// Open returns the bus of a URL. Nothing runs before Attach.
func Open(rawURL string, o bus.Options) (*Bus, error) {
	c, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	b := &Bus{config: c, log: o.WithDefaults().Logger, server: &inProcess{}}
	b.Bus, err = natsbus.OpenInProcess(c.client, o, b.server)
	return b, err
}

// Attach starts the server, and fails when that is not possible: the store belongs to another process, an address is
// taken. It does not wait for other members.
func (b *Bus) Attach(ctx context.Context, h bus.Handler) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done == nil && b.server.running.Load() == nil {
		lock, err := lockStore(b.config.store)
		if err != nil {
			return fmt.Errorf("embedded nats: %w", err)
		}
		s, err := start(ctx, &b.config, b.log)
		if err != nil {
			lock.release()
			return fmt.Errorf("embedded nats: %w", err)
		}
		b.lock = lock
		b.server.running.Store(s)
	}
	return b.Bus.Attach(ctx, h)
}

// Close ends the client as natsbus.Bus.Close does, then the server, and gives the store back. A member that is closed
// hands its leaderships over first.
func (b *Bus) Close(ctx context.Context) error {
	err := b.Bus.Close(ctx)
	b.mu.Lock()
	if b.done == nil {
		b.done = make(chan struct{})
		go b.stop()
	}
	done := b.done
	b.mu.Unlock()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("close embedded nats: %w", ctx.Err()))
	}
}

// stop ends the server; Close waits for it.
func (b *Bus) stop() {
	defer close(b.done)
	if s := b.server.running.Load(); s != nil {
		s.Shutdown()
		s.WaitForShutdown()
		b.lock.release()
	}
}
