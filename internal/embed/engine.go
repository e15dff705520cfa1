//go:build linux

package embed

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// Engine is one engine of a host with everything that has a handle.
type Engine struct {
	lib    *Library
	handle int64
	facade *fraiseql.Engine
	queue  callQueue
	pushes bool      // the bus calls resolvers by itself, not while an event is published
	sheets sync.Pool // *Sheet

	mu          sync.Mutex
	connections map[string]*connection       // by the host's name; guarded by mu
	mailboxes   map[int64]*mailbox           // guarded by mu
	resolvers   map[resolverKey]*ownResolver // of single subscriptions; guarded by mu
	closed      atomic.Bool
}

// Open makes an engine of a configuration. shared is the word that counts the calls which wait.
func (l *Library) Open(config []byte) (handle int64, shared *uint32, err error) {
	c, err := parseEngine(config)
	if err != nil {
		return 0, nil, err
	}
	if c.bus.kind != "memory" {
		return 0, nil, &Fault{Code: code.BusUnavailable, Member: "bus.type", Message: "this build has no driver for " + c.bus.kind}
	}
	facade, err := fraiseql.New(c.Config)
	if err != nil {
		return 0, nil, refusedConfig(err)
	}
	if c.processors > 0 {
		runtime.GOMAXPROCS(c.processors)
	}
	e := &Engine{lib: l, facade: facade, connections: make(map[string]*connection), mailboxes: make(map[int64]*mailbox)}
	e.sheets.New = func() any { return &Sheet{} }
	e.pushes = c.bus.kind != "memory"
	e.queue.init(l, c.Limits.WithDefaults().ResolverTimeout)
	shared = e.queue.word
	e.handle = l.engines.put(e)
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
	return bad("", err.Error())
}

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
	e.closed.Store(true)
	e.mu.Lock()
	connections, mailboxes := e.connections, e.mailboxes
	e.connections, e.mailboxes = nil, nil
	e.mu.Unlock()
	for _, c := range connections {
		e.closeConnection(c)
	}
	e.queue.close()
	for _, b := range mailboxes {
		l.mailboxes.remove(b.handle)
		b.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWindow)
	defer cancel()
	return e.facade.Close(ctx)
}

// AppendMetrics appends a JSON object of counts and sizes.
func (e *Engine) AppendMetrics(dst []byte) []byte {
	m := e.facade.Metrics()
	text, err := json.Marshal(map[string]any{
		"connections": m.Connections, "subscriptions": m.Subscriptions, "groups": m.Groups, "channels": m.Channels,
		"queue_bytes": m.QueueBytes, "plan_cache_bytes": m.PlanCacheBytes, "bus_connected": m.BusConnected,
		"events": m.Events, "messages": m.Messages, "dropped": m.Dropped, "denied": m.Denied,
	})
	if err != nil { // a map of numbers encodes
		panic(err)
	}
	return append(dst, text...)
}
