package server

import (
	"fmt"
	"net/netip"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/webhook"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

// hookSet is what calls the URLs of `hooks`. A reload puts another one in its place.
type hookSet struct {
	webhooks *webhook.Hooks // nil: there are none
	fraiseql.Hooks
}

// makeHooks makes the webhooks of a configuration.
func makeHooks(h *config.Hooks) (*hookSet, error) {
	if !h.Configured() {
		return &hookSet{}, nil
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
	return &hookSet{made, made.Hooks()}, nil
}

// close closes connections that are idle; calls that run are not cut. Nil has none.
func (s *hookSet) close() {
	if s != nil && s.webhooks != nil {
		s.webhooks.Close()
	}
}
