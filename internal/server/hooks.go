package server

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/webhook"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

// calling calls the URLs of `hooks`, which a reload can change.
type calling struct {
	now atomic.Pointer[hookSet]
}

// hookSet is the webhooks in force, with their functions.
type hookSet struct {
	webhooks *webhook.Hooks
	fraiseql.Hooks
}

// callHooks makes what calls hooks; the zero Hooks when there are none.
func (a *Assembly) callHooks(h *config.Hooks) (fraiseql.Hooks, error) {
	if !h.Configured() {
		return fraiseql.Hooks{}, nil
	}
	c := &calling{}
	made, err := c.make(h)
	if err != nil {
		return fraiseql.Hooks{}, err
	}
	c.now.Store(made)
	a.hooks = c
	return c.hooks(made), nil
}

// make makes the webhooks of a configuration.
func (c *calling) make(h *config.Hooks) (*hookSet, error) {
	var networks []netip.Prefix
	for _, n := range h.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, fmt.Errorf("hooks.networks: %w", err)
		}
		networks = append(networks, p)
	}
	made, err := webhook.New(webhook.Config{
		Connect: h.Connect, Subscribe: h.Subscribe, Disconnect: h.Disconnect, Recheck: h.Recheck, RecheckEvery: h.RecheckEvery,
		Timeout: h.Timeout, Secret: []byte(h.Secret), Networks: networks,
	})
	if err != nil {
		return nil, fmt.Errorf("hooks: %w", err)
	}
	return &hookSet{made, made.Hooks()}, nil
}

// hooks are functions that call what is in force, for those hooks that there are. Which ones does not change.
func (c *calling) hooks(made *hookSet) fraiseql.Hooks {
	out := fraiseql.Hooks{RecheckEvery: made.RecheckEvery}
	if made.OnConnect != nil {
		out.OnConnect = func(ctx context.Context, who *fraiseql.Identity) error { return c.now.Load().OnConnect(ctx, who) }
	}
	if made.OnSubscribe != nil {
		out.OnSubscribe = func(ctx context.Context, s fraiseql.Subscribing) error { return c.now.Load().OnSubscribe(ctx, s) }
	}
	if made.OnDisconnect != nil {
		out.OnDisconnect = func(ctx context.Context, who *fraiseql.Identity) error { return c.now.Load().OnDisconnect(ctx, who) }
	}
	if made.OnRecheck != nil {
		out.OnRecheck = func(ctx context.Context, who *fraiseql.Identity) error { return c.now.Load().OnRecheck(ctx, who) }
	}
	return out
}

// use puts other webhooks of the same hooks in force; nil: there are none, and none before.
func (c *calling) use(next *hookSet) {
	if next != nil {
		c.now.Swap(next).webhooks.Close()
	}
}

func (c *calling) close() { c.now.Load().webhooks.Close() }
