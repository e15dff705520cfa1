package config

import (
	"fmt"
	"net/netip"

	"github.com/fraiseql/fraiseql-go/internal/forwarded"
	"github.com/fraiseql/fraiseql-go/internal/outbound"
)

// wire judges the keys of table_wire.go.
func (v *check) wire() {
	t := &v.Config.TLS
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		v.fail("tls.key_file", "is needed with tls.cert_file")
	case t.CertFile == "" && t.KeyFile != "":
		v.fail("tls.cert_file", "is needed with tls.key_file")
	case t.CertFile == "" && t.MinVersion != "1.2":
		v.fail("tls.min_version", "has no effect without tls.cert_file")
	}
	for i, text := range v.Config.Proxy.Trusted {
		switch p, err := forwarded.ParseNetwork(text); {
		case err != nil:
			v.fail(fmt.Sprintf("proxy.trusted[%d]", i), "%v", err)
		case p.Bits() == 0:
			v.fail(fmt.Sprintf("proxy.trusted[%d]", i), "%s would believe everybody; name the networks of your proxies", text)
		}
	}
	v.callback()
	if len(v.Config.Proxy.Trusted) == 0 && v.Config.Proxy.Headers != "x-forwarded" {
		v.fail("proxy.headers", "has no effect without proxy.trusted")
	}
}

func (v *check) callback() {
	c := &v.Config.Callback
	var networks []netip.Prefix
	for i, text := range c.AllowedNetworks {
		p, err := forwarded.ParseNetwork(text)
		if err != nil {
			v.fail(fmt.Sprintf("callback.allowed_networks[%d]", i), "%v", err)
		}
		networks = append(networks, p)
	}
	for i, text := range c.AllowedURLs {
		path := fmt.Sprintf("callback.allowed_urls[%d]", i)
		if err := outbound.ParseURL(text); err != nil {
			v.fail(path, "%q %v", text, err)
		} else if err := outbound.CheckHost(text, networks); err != nil {
			v.fail(path, "%v; add its network to callback.allowed_networks", err)
		}
	}
	if len(c.AllowedURLs) == 0 && len(c.AllowedNetworks) > 0 {
		v.fail("callback.allowed_networks", "has no effect without callback.allowed_urls")
	}
	if c.MaxSubscriptions == 0 {
		v.fail("callback.max_subscriptions", "must be at least 1; leave callback.allowed_urls out for no callbacks")
	}
}
