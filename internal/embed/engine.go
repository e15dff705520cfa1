//go:build linux

package embed

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
)

// Engine is one engine of a host with everything that has a handle.
type Engine struct {
	lib     *Library
	handle  int64
	facade  *fraiseql.Engine
	bus     bus.Bus
	queue   callQueue
	log     *slog.Logger
	workers workers
	// operations are those that have not ended.
	operations sync.WaitGroup
	begun      chan struct{} // of the last that publishes; guarded by mu
	pushes     bool          // the bus calls resolvers by itself, not while an event is published
	sheets     sync.Pool     // *Sheet

	stopped chan struct{} // closed by Close

	mu          sync.Mutex
	connections map[string]*connection       // by the host's name; guarded by mu
	mailboxes   map[int64]*mailbox           // guarded by mu
	resolvers   map[resolverKey]*ownResolver // of single subscriptions; guarded by mu
	clients
}

// Open makes an engine of a configuration. shared is the word that counts the calls which wait.
func (l *Library) Open(config []byte) (handle int64, shared *uint32, err error) {
	c, err := parseEngine(config)
	if err != nil {
		return 0, nil, err
	}
	c.Logger = hostLogger()
	if c.Bus, err = c.bus.open(c.Logger); err != nil {
		return 0, nil, err
	}
	if c.bus.kind != "memory" && c.Limits.ResolverLane == 0 {
		c.Limits.ResolverLane = remoteLane
	}
	facade, err := fraiseql.New(c.Config)
	if err != nil {
		return 0, nil, errors.Join(refusedConfig(err), c.Bus.Close(context.Background()))
	}
	if c.processors > 0 && c.processors != runtime.GOMAXPROCS(0) { // the world stops for it
		runtime.GOMAXPROCS(c.processors)
	}
	e := &Engine{
		lib: l, facade: facade, bus: c.Bus, log: c.Logger, stopped: make(chan struct{}), connections: make(map[string]*connection),
		mailboxes: make(map[int64]*mailbox),
	}
	e.clients.init()
	e.sheets.New = e.newSheet
	e.pushes = c.bus.kind != "memory"
	e.queue.init(l)
	shared = e.queue.word
	e.handle = l.engines.put(e)
	l.newest.Store(e)
	return e.handle, shared, nil
}

// refusedConfig makes what New says about a configuration safe to show: it is the host's own.
func refusedConfig(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all faults
		for _, inner := range many.Unwrap() {
			if inner != nil {
				all = append(all, refusedConfig(inner))
			}
		}
		return all
	}
	text := err.Error()
	if name, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(name, handlerConfig) {
		return bad(strings.ToLower(name[len(handlerConfig):]), rest)
	}
	return bad("", text)
}

// handlerConfig begins the name of a member where the engine speaks to Go; hosts call it by the rest in lower case.
const handlerConfig = "HandlerConfig."

// faults are several errors at once.
type faults []error

func (f faults) Error() string   { return f[0].Error() }
func (f faults) Unwrap() []error { return f }

// closeWindow bounds how long Close waits for what the engine does.
const closeWindow = 10 * time.Second

// Close ends everything of the engine, and waits. Idempotent.
func (l *Library) Close(handle int64) error {
	e, ok := l.engines.remove(handle)
	if !ok {
		return nil
	}
	l.newest.CompareAndSwap(e, nil)
	close(e.stopped)
	e.mu.Lock()
	connections, mailboxes, served := e.connections, e.mailboxes, e.clients
	e.connections, e.mailboxes, e.clients = nil, nil, clients{} // nothing is added any more
	e.mu.Unlock()
	served.end(l)
	for _, c := range connections {
		e.closeConnection(c)
	}
	e.endWork()
	e.queue.close()
	e.workers.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeWindow)
	defer cancel()
	err := errors.Join(e.facade.Close(ctx), e.bus.Close(ctx))
	e.operations.Wait() // the bus lets nobody wait any more
	served.wait()
	for _, b := range mailboxes {
		l.mailboxes.remove(b.handle)
		b.close()
	}
	return err
}

// AppendMetrics appends a JSON object of counts and sizes.
func (e *Engine) AppendMetrics(dst []byte) []byte {
	m := e.facade.Metrics()
	text, err := json.Marshal(map[string]any{
		"connections": m.Connections, "subscriptions": m.Subscriptions, "groups": m.Groups, "channels": m.Channels,
		"queue_bytes": m.QueueBytes, "plan_cache_bytes": m.PlanCacheBytes, "bus_connected": m.Bus.Connected,
		"events": m.Events, "messages": m.Messages, "dropped": m.Dropped, "denied": m.Denied,
	})
	if err != nil { // a map of numbers encodes
		panic(err)
	}
	return append(dst, text...)
}
