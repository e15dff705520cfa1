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

// ErrRefused in the chain of a hook's error refuses. Every other error, and a panic, means that the hook could not judge:
// what it gates does not happen either, and the client is told to come again.
var ErrRefused = errors.New("refused by a hook")

// Hooks are asked, and told, at points in the life of the connections of one handler. Members that are nil are not
// called. They are called by many goroutines and may block, within the bounds of HandlerConfig.Workers; contexts end after
// 30 s, or with the handler. Subscriptions that the host registers itself (Engine.Register) are nobody's connection.
type Hooks struct {
	// OnConnect is asked once per connection and stream, when its credentials were accepted. ErrRefused: close 4403, HTTP
	// 403.
	OnConnect func(ctx context.Context, who *Identity) error
	// OnSubscribe is asked before each subscription begins, after everything else has allowed it.
	OnSubscribe func(ctx context.Context, s Subscribing) error
	// OnDisconnect is told of the end of each connection that OnConnect was asked about and has let in, soon after it. When
	// the process is so busy that it would have to wait for long, and after Engine.Close, it is not. Its error is counted
	// and logged, nothing else: nobody waits for it.
	OnDisconnect func(ctx context.Context, who *Identity) error
	// OnRecheck is asked about each open connection, every RecheckEvery. ErrRefused closes it with 4403; where it cannot
	// judge, the connection stays until the next time.
	OnRecheck func(ctx context.Context, who *Identity) error
	// RecheckEvery is the time between two looks at all connections; 5 min.
	RecheckEvery time.Duration
}

// Subscribing is a subscription that somebody asks for. It is valid during the call.
type Subscribing struct {
	Identity *Identity
	// Channel that it listens to, and the root field.
	Channel, Field string
	// Query is the document as the client sent it, Variables the object of its variables; they may be long.
	Query         string
	OperationName string
	Variables     []byte
}

const (
	defaultRecheck = 5 * time.Minute
	recheckWorkers = 8
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
	h := g.cfg.Hooks.OnConnect
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
	h := g.cfg.Hooks.OnSubscribe
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
	h := g.cfg.Hooks.OnDisconnect
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

// recheck looks at all connections again and again until stopped.
type recheck struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// startRecheck begins to ask about the connections of s; nil when nobody is to be asked.
func (g *gate) startRecheck(s server) *recheck {
	ask := g.cfg.Hooks.OnRecheck
	if ask == nil {
		return nil
	}
	every := g.cfg.Hooks.RecheckEvery
	if every <= 0 {
		every = defaultRecheck
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &recheck{stop: cancel}
	r.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				g.recheckAll(ctx, s, ask)
			}
		}
	})
	return r
}

func (r *recheck) end() {
	if r != nil {
		r.stop()
		r.done.Wait()
	}
}

// recheckAll asks about every identity that is connected, a few at a time, and closes the connections of those refused.
func (g *gate) recheckAll(ctx context.Context, s server, ask func(context.Context, *Identity) error) {
	var all []*identity.Identity
	seen := map[*identity.Identity]bool{}
	s.dismiss(func(who *identity.Identity) bool {
		if !seen[who] {
			seen[who] = true
			all = append(all, who)
		}
		return false
	}, 0, "")
	next := make(chan *identity.Identity)
	var mu sync.Mutex
	gone := map[*identity.Identity]bool{}
	var workers sync.WaitGroup
	for range min(recheckWorkers, len(all)) {
		workers.Go(func() {
			for who := range next {
				if errors.Is(g.asked("recheck", func() error { return ask(ctx, who) }), ErrRefused) {
					mu.Lock()
					gone[who] = true
					mu.Unlock()
				}
			}
		})
	}
	for _, who := range all {
		if ctx.Err() != nil {
			break
		}
		next <- who
	}
	close(next)
	workers.Wait()
	if len(gone) > 0 && ctx.Err() == nil {
		s.dismiss(func(who *identity.Identity) bool { return gone[who] }, session.CodeForbidden, "Forbidden: the credentials are not accepted any more")
	}
}
