package fraiseql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/internal/ceiling"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/seldom"
	"github.com/fraiseql/fraiseql-go/internal/shift"
	"github.com/fraiseql/fraiseql-go/observe"
)

// Engine is one subscriptions engine: a schema, a bus and the live subscriptions on it. All methods are safe
// for concurrent use.
type Engine struct {
	cfg     Config
	bounds  atomic.Pointer[Limits] // see limits
	schema  atomic.Pointer[schema]
	bus     bus.Bus
	ownsBus bool
	// establishes: interest in a channel takes effect later than it is told.
	establishes bool
	hub         *hub.Hub
	address     hub.Addressing
	observer    observe.Observer
	log         *slog.Logger
	seldom      *seldom.Log // of what clients cause
	resolvers   atomic.Pointer[resolvers]
	connLimits  queue.Limits
	relief      queue.Relief // of all connections
	policies    sync.Map     // deliveryKey → *delivery
	lastPolicy  atomic.Pointer[delivery]
	// Bounds of users and tenants; nil: none.
	accounts       accounts
	subscribeRates atomic.Pointer[rates[key]]
	connectRate    atomic.Pointer[rates[struct{}]]
	publishRates   atomic.Pointer[rates[string]] // by tenant
	ceiling        atomic.Pointer[ceiling.Ceiling]
	warned         atomic.Bool // of a limit per address
	// Bounds that queues, sessions and transports look at; see setQueues.
	queues                   queue.Bounds
	connQueue, perConnection atomic.Int64

	publishing  sync.Pool
	subscribing sync.Pool
	compiling   *shift.Few // for documents that are not known by their text

	pulls   pulls
	mu      sync.Mutex
	servers []server
	helped  atomic.Pointer[helped] // nil: none
	// refusedScope and refusedRole count subscribes refused by checks 1 and 5.
	refusedScope, refusedRole atomic.Uint64
	closed                    atomic.Bool
	closing                   closing
	drain                     turn           // one Drain at a time
	works                     sync.WaitGroup // calls of Work; none is added once closed is set and mu was taken
	control                   control
	setting                   sync.Mutex // one SetSchema, SetLimits or SetServing at a time
}

// New builds an engine and reports every problem of its configuration at once; problems of the schema come with
// file, line and column.
func New(cfg Config) (*Engine, error) {
	options := SchemaOptions{cfg.SnakeCase, cfg.Introspection}
	schema, err := cfg.loadSchema(cfg.Schema, options, cfg.hasResolver)
	if err = errors.Join(cfg.validate(), err); err != nil {
		return nil, err
	}
	if err := cfg.checkResolvers(schema); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, bus: cfg.Bus, observer: cfg.Observer, log: cfg.Logger, drain: newTurn()}
	if e.observer == nil {
		e.observer = observe.Discard{}
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.seldom = seldom.New(e.log)
	if e.bus == nil {
		e.bus, e.ownsBus = membus.New(membus.Options{}), true
	}
	e.address = cfg.Security.addressing(schema.Schemaless)
	limits := cfg.Limits.WithDefaults()
	e.bounds.Store(&limits)
	e.connLimits = queue.Limits{Changing: &e.connQueue, Relief: &e.relief}
	e.schema.Store(e.newSchema(schema, cfg.Schema, options))
	e.setResolvers(cfg.Resolvers)
	e.compiling = shift.NewFew(compilers())
	e.publishing.New = func() any { return e.Batch() }
	e.subscribing.New = func() any { return new(subscribing) }
	e.pulls.init()
	e.accounts = newAccounts(&limits)
	e.setRates(&Limits{}, &limits)
	e.setQueues(&limits)
	e.hub = hub.New(hub.Config{
		Left:     e.accounts.left,
		Observer: e.observer, Interest: e.bus.Interest, Address: e.address,
		Limits: e.limits().hub(), Timeout: e.limits().ResolverTimeout,
		Failed: func(field string, err error) {
			e.log.Error("resolver failed", "field", field, "error", err)
		},
		Bus: e.busAccess(), Renew: e.renew, Ended: schemaChanged,
		Refused: func(why []*gql.Error) []byte { return appendErrors(nil, why) },
	})
	e.connLimits.Room = e.hub.Room
	_, e.establishes = e.bus.(bus.Establisher)
	e.control.init()
	if r, ok := e.bus.(bus.ControlRetainer); ok {
		r.RetainControl(e.cfg.keptFor())
	}
	if err := e.bus.Attach(context.Background(), &inbox{e.hub, e}); err != nil {
		return nil, fmt.Errorf("attach to the event bus: %w", err)
	}
	e.startControl()
	return e, nil
}

// Schemaless reports whether the engine works without a schema.
func (e *Engine) Schemaless() bool { return e.schema.Load().Schemaless }

// Channels returns the channels that the schema's root fields listen to, sorted; nil without a schema.
func (e *Engine) Channels() []string {
	subscription := e.schema.Load().Subscription
	if subscription == nil {
		return nil
	}
	var names []string
	for _, f := range subscription.Fields {
		names = append(names, f.Source.Channel)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Stats returns sizes as they are now; cheap enough for a scrape per second.
func (e *Engine) Stats() Stats {
	channels, groups, subscriptions := e.hub.Sizes()
	s := Stats{
		Connections: e.pulls.len(), Subscriptions: subscriptions, Groups: groups, Channels: channels,
		PlanCacheBytes: int64(e.schema.Load().plans.Bytes()), Bus: e.BusStatus(), QueueBytes: e.pulls.queuedBytes(),
	}
	for _, srv := range e.serving() {
		s.Connections += srv.Connections()
		srv.eachConn(func(_ *queue.Conn, owed int) { s.QueueBytes += int64(owed) })
		if rings, ok := srv.(interface{ countRings(*Stats) }); ok {
			rings.countRings(&s)
		}
	}
	return s
}

// BusStatus is how the event bus is with its carrier; a memory bus is always connected. It never blocks.
func (e *Engine) BusStatus() bus.Status {
	s := bus.StatusOf(e.bus)
	if e.closed.Load() {
		s.Connected, s.Problem = false, "the engine is closed"
	}
	return s
}

// Ready reports whether the engine can do its work: it is open, its bus is connected and well, and it knows every
// revocation.
func (e *Engine) Ready() bool {
	s := e.BusStatus()
	return e.control.known.Load() && s.Connected && s.Problem == ""
}

func (e *Engine) serving() []server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.servers)
}

// closing is the end of an engine, once it has begun.
type closing struct {
	begin   sync.Once
	servers []server
	done    chan struct{} // closed when everything has ended
	err     error         // set by then
}

// closeGrace is how long Close waits for clients to go, and the first one for everything when its context had ended before it.
const closeGrace = time.Second

// Close ends every subscription, connection and Work, closes the bus if the engine made it, and waits, also for what
// Authenticators, hooks and functions of Work are doing, whose contexts end; none of them may call it. Clients of handlers get
// what waits for them and are closed with 1001, as far as they take it within a second, and before ctx ends; who is left then
// is cut. Sessions end at once, with 1001. Drain before it gives all of them more time, spread.
//
// When ctx ends before, Close returns its error, and what is left ends by itself once what hangs has returned; Close can be
// called again to wait on. Whatever ctx says, connections have been closed or cut when it returns, and a first call with a
// context that has ended already cuts them and waits for a second. What resolvers are doing is not waited for. Idempotent.
func (e *Engine) Close(ctx context.Context) error {
	c, patience, over := &e.closing, ctx, ctx.Err() != nil
	cancel := func() {}
	c.begin.Do(func() {
		e.closed.Store(true)
		c.done = make(chan struct{})
		c.servers = e.halt()
		if over {
			c.cut()
			patience, cancel = context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
		}
		go func(ctx context.Context) {
			defer close(c.done)
			c.err = e.wait(ctx)
		}(patience)
	})
	defer cancel()
	select {
	case <-c.done:
		return c.err
	case <-patience.Done():
	}
	select {
	case <-c.done:
		return c.err
	default:
		c.cut()
		return fmt.Errorf("close the engine: %w", ctx.Err())
	}
}

// halt ends what has no clients to be told, and returns the servers.
func (e *Engine) halt() []server {
	e.control.stop()
	list := e.serving()
	for _, name := range e.pulls.names() {
		e.CompleteConnection(name)
	}
	return list
}

// cut ends what can be ended without waiting for anybody.
func (c *closing) cut() {
	for _, srv := range c.servers {
		srv.shut()
	}
}

// wait waits for everything, for the servers side by side: one whose hook hangs keeps no other from its end. Clients and the
// bus have until ctx ends.
func (e *Engine) wait(ctx context.Context) error {
	list := e.closing.servers
	ends := make(chan error, len(list))
	for _, srv := range list {
		go func() {
			grace, cancel := context.WithTimeout(ctx, closeGrace)
			defer cancel()
			srv.part(grace)
			srv.shut()
			ends <- srv.wait()
		}()
	}
	e.awaitControl()
	var errs []error
	for range list {
		errs = append(errs, <-ends)
	}
	e.works.Wait()
	if e.ownsBus {
		errs = append(errs, e.bus.Close(context.WithoutCancel(ctx)))
	}
	e.hub.Close()
	return errors.Join(errs...)
}

// serves reports whether a schema-less engine may serve a channel.
func (e *Engine) serves(channel string) bool {
	if !e.Schemaless() || e.cfg.SchemalessChannels == nil {
		return true
	}
	return slices.ContainsFunc(e.cfg.SchemalessChannels, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(channel, prefix)
		}
		return pattern == channel
	})
}
