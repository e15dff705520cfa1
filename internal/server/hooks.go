package server

import (
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/fraiseql/fraiseql-go/auth/webhook"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/seldom"
)

// webhooks makes what calls the URLs of `hooks`; nil when there are none.
func webhooks(h *config.Hooks, log *slog.Logger) (*webhook.Hooks, error) {
	if !h.Configured() {
		return nil, nil
	}
	var networks []netip.Prefix
	for _, n := range h.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, fmt.Errorf("hooks.networks: %w", err)
		}
		networks = append(networks, p)
	}
	few := seldom.New(log)
	made, err := webhook.New(webhook.Config{
		Connect: h.Connect, Subscribe: h.Subscribe, Disconnect: h.Disconnect, Recheck: h.Recheck, RecheckEvery: h.RecheckEvery,
		Timeout: h.Timeout, Secret: []byte(h.Secret), Networks: networks,
		Failed: func(err error) {
			few.Write(slog.LevelWarn, "failed", "a hook failed: the operator was not told", "hook", "disconnect", "error", err)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("hooks: %w", err)
	}
	return made, nil
}
