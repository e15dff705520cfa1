package config

import (
	"fmt"
	"net/netip"

	"github.com/fraiseql/fraiseql-go/internal/outbound"
)

// hooks judges `hooks.*`.
func (v *check) hooks() {
	h := &v.Config.Hooks
	networks := v.networks("hooks.networks", h.Networks)
	for _, u := range []struct{ path, url string }{
		{"hooks.on_connect.url", h.Connect}, {"hooks.on_subscribe.url", h.Subscribe}, {"hooks.on_disconnect.url", h.Disconnect}, {"hooks.recheck.url", h.Recheck},
	} {
		if u.url == "" {
			continue
		}
		if err := outbound.ParseURL(u.url); err != nil {
			v.fail(u.path, "%s", err)
		} else if err := outbound.CheckHost(u.url, networks); err != nil {
			v.fail(u.path, "%s; add its network to hooks.networks", err)
		}
	}
	if h.RecheckEvery <= 0 {
		v.fail("hooks.recheck.every", "must be more than 0")
	}
	if h.Timeout <= 0 {
		v.fail("hooks.timeout", "must be more than 0")
	}
	v.hookSecret()
}

// networks reads networks, and reports those that are none.
func (v *check) networks(path string, texts []string) (list []netip.Prefix) {
	for i, n := range texts {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			v.fail(fmt.Sprintf("%s[%d]", path, i), "%q is not a network such as 10.0.0.0/8", n)
		}
		list = append(list, p)
	}
	return list
}

// hookSecret judges the secret that signs what hooks are sent.
func (v *check) hookSecret() {
	h := &v.Config.Hooks
	path := "hooks.secret"
	if h.SecretFile != "" {
		path = "hooks.secret_file"
	}
	switch {
	case v.bad["hooks.secret"] || v.bad["hooks.secret_file"]:
	case h.Configured() && h.Secret == "":
		v.fail(path, "must be set, or secret_file: what hooks are sent is signed with it")
	case h.Secret != "" && len(h.Secret) < minToken:
		v.fail(path, "has %d bytes; at least %d are needed (try: openssl rand -hex 24)", len(h.Secret), minToken)
	case !h.Configured() && (v.set("hooks.secret") || v.set("hooks.secret_file")):
		v.fail(path, "has no effect without a URL of a hook")
	}
}
