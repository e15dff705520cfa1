//go:build !fqmemory

package fraiseql

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

const (
	defaultRecheck = 5 * time.Minute
	// recheckCalls is how many calls of OnRecheck run at the same time, recheckTimeout the life of their context.
	recheckCalls   = 8
	recheckTimeout = 30 * time.Second
	// recheckPatience is a little longer: what has not returned by then does not heed its context.
	recheckPatience = 35 * time.Second
	// dismissSoon is how long a refusal waits for others, since each look for connections is one at all of them.
	dismissSoon = 100 * time.Millisecond
)

// asked calls a hook. A panic is an error.
func (g *gate) asked(hook string, ask func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			g.engine.log.Error("a hook panicked", "hook", hook, "panic", v)
			err = errHookPanicked
		}
		label := "allowed"
		switch {
		case errors.Is(err, ErrRefused):
			label = "refused"
			g.engine.seldom.Write(slog.LevelInfo, "refused by "+hook, "a hook refused", "hook", hook)
		case err != nil:
			label = "failed"
			g.engine.seldom.Write(slog.LevelWarn, "failed "+hook, hookFailed[hook == "disconnect"], "hook", hook, "error", err)
		}
		g.engine.observer.Counted(observe.Hooks, label, 1)
	}()
	return ask()
}

// hookFailed says, by whether the hook gates nothing, what its failure means.
var hookFailed = map[bool]string{false: "a hook failed: what it gates does not happen", true: "a hook failed: the operator was not told"}

var errHookPanicked = errors.New("the hook panicked")

// connectHook asks whether a connection may be.
func (g *gate) connectHook(ctx context.Context, who *identity.Identity) error {
	h := g.hooks.Load().OnConnect
	if h == nil {
		return nil
	}
	switch err := g.asked("connect", func() error { return h(ctx, who) }); {
	case err == nil:
		return nil
	case errors.Is(err, ErrRefused):
		return session.ErrForbidden
	}
	return session.ErrUndecided
}

// subscribeHook returns what Engine.subscribe is to ask; nil: nothing.
func (g *gate) subscribeHook(ctx context.Context, who *identity.Identity, req *session.Request) func(*plan.Plan) []*gql.Error {
	h := g.hooks.Load().OnSubscribe
	if h == nil {
		return nil
	}
	return func(p *plan.Plan) []*gql.Error {
		err := g.asked("subscribe", func() error {
			return h(ctx, Subscribing{Identity: who, Channel: p.Channel, Field: p.RootName, Query: req.Query, OperationName: req.OperationName, Variables: req.Variables})
		})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrRefused):
			return refused(code.Forbidden, "The server refuses this subscription.")
		}
		return refused(code.InternalServerError, "A hook of the server could not judge the subscription, try again later.")
	}
}

// disconnectHook tells of the end of a connection, later.
func (g *gate) disconnectHook(who *identity.Identity) {
	h := g.hooks.Load().OnDisconnect
	if h == nil {
		return
	}
	later := g.host.Later(func(ctx context.Context) {
		_ = g.asked("disconnect", func() error { return told(h(ctx, who)) }) // counted and logged
	})
	if !later {
		g.engine.observer.Counted(observe.Hooks, "dropped", 1)
	}
}

// told is the error of a hook that is told something: one that refuses has failed.
func told(err error) error {
	if errors.Is(err, ErrRefused) {
		return errRefusedToBeTold
	}
	return err
}

var errRefusedToBeTold = errors.New("the hook refused, but there was nothing to refuse")

// setHooks puts other hooks in force: for what happens from now on, and about s for the rounds of OnRecheck, which begin anew.
func (g *gate) setHooks(h *Hooks, s server) {
	g.hooks.Store(h)
	every := h.RecheckEvery
	if every <= 0 {
		every = defaultRecheck
	}
	if h.OnRecheck == nil {
		g.rechecks.start(nil)
		return
	}
	g.rechecks.start(func(ctx context.Context) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				g.recheckAll(ctx, s, h.OnRecheck)
			}
		}
	})
}

// rechecks has the goroutine that looks at all connections again and again, if there is one.
type rechecks struct {
	running sync.WaitGroup // also of those before, whose calls may last
	// calls has a slot for each call that may run; those that outlive their context keep theirs, beyond their round, and other
	// hooks, too.
	calls chan struct{}

	mu    sync.Mutex
	stop  context.CancelFunc // of the one that is to run; nil: none
	ended bool
}

// start stops what runs and begins run; nil: nothing.
func (r *rechecks) start(run func(context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
	if run == nil || r.ended {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.running.Go(func() { run(ctx) })
}

// halt stops what runs, for good; running says when it has ended.
func (r *rechecks) halt() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.start(nil)
}

// recheckAll asks about every identity that is connected, a few at a time, and has the connections of those refused closed.
func (g *gate) recheckAll(ctx context.Context, s server, ask func(context.Context, *Identity) error) {
	calls := g.rechecks.calls
	gone := &dismissal{ctx: ctx, from: s}
	for _, who := range connected(s) {
		if !recheckSlot(ctx, calls) {
			if ctx.Err() == nil {
				g.engine.seldom.Write(slog.LevelError, "recheck", "calls of OnRecheck do not return: not every connection was looked at")
			}
			return
		}
		g.rechecks.running.Go(func() {
			defer func() { <-calls }()
			ctx, cancel := context.WithTimeout(ctx, recheckTimeout)
			defer cancel()
			if errors.Is(g.asked("recheck", func() error { return ask(ctx, who) }), ErrRefused) {
				gone.add(who)
			}
		})
	}
	// The next round begins when the calls of this one have returned, but for those that will not.
	rest, cancel := context.WithTimeout(ctx, recheckPatience)
	defer cancel()
	n := 0
	for n < recheckCalls && recheckSlot(rest, calls) {
		n++
	}
	for range n {
		<-calls
	}
}

// recheckSlot waits for a slot. False: there is none, or ctx is over.
func recheckSlot(ctx context.Context, calls chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case calls <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(recheckPatience)
	defer timer.Stop()
	select {
	case calls <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

// connected returns every identity that is connected, once.
func connected(s server) (all []*identity.Identity) {
	seen := map[*identity.Identity]bool{}
	s.dismiss(func(who *identity.Identity) bool {
		if !seen[who] {
			seen[who] = true
			all = append(all, who)
		}
		return false
	}, 0, "")
	return all
}

// dismissal closes the connections of identities that were refused, of several at a time.
type dismissal struct {
	ctx  context.Context // nobody is closed when it is over
	from server

	mu   sync.Mutex
	gone map[*identity.Identity]bool // refused, and not closed yet
}

// add has the connections of an identity closed soon.
func (d *dismissal) add(who *identity.Identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone == nil {
		d.gone = map[*identity.Identity]bool{}
		time.AfterFunc(dismissSoon, d.close)
	}
	d.gone[who] = true
}

func (d *dismissal) close() {
	d.mu.Lock()
	gone := d.gone
	d.gone = nil
	d.mu.Unlock()
	if d.ctx.Err() == nil {
		d.from.dismiss(func(who *identity.Identity) bool { return gone[who] }, session.CodeForbidden, "Forbidden: the credentials are not accepted any more")
	}
}
