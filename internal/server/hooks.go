package server

import (
	"fmt"
	"net/netip"

	"github.com/fraiseql/fraiseql-go/auth/webhook"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

// webhooks makes what calls the URLs of `hooks`; nil when there are none.
func webhooks(h *config.Hooks) (*webhook.Hooks, error) {
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
	made, err := webhook.New(webhook.Config{
		Connect: h.Connect, Subscribe: h.Subscribe, Disconnect: h.Disconnect, Recheck: h.Recheck, RecheckEvery: h.RecheckEvery,
		Timeout: h.Timeout, Secret: []byte(h.Secret), Networks: networks,
	})
	if err != nil {
		return nil, fmt.Errorf("hooks: %w", err)
	}
	return made, nil
}
