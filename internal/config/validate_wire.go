package config

import (
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/forwarded"
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
	if len(v.Config.Proxy.Trusted) == 0 && v.Config.Proxy.Headers != "x-forwarded" {
		v.fail("proxy.headers", "has no effect without proxy.trusted")
	}
}
