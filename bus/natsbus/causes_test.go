package natsbus

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestCauses(t *testing.T) {
	server := testkit.StartNATS(t, "authorization { user: locked, password: topsecret }")
	bustest.Causes(t, func(u string, o bus.Options) (bus.Bus, error) { return Open(u, o) }, map[string]bus.Cause{
		"nats://locked:topsecret@" + testkit.FreeAddr(t):                bus.Refused,
		"nats://locked:topsecret@" + testkit.FreeAddr(t) + "?mode=core": bus.Refused,
		"nats://locked:topsecret@no-such-host.invalid":                  bus.NoHost,
		"nats://locked:topsecret-not@" + server.Addr:                    bus.BadLogin,
		"nats://" + server.Addr:                                         bus.BadLogin,
		"tls://locked:topsecret@" + server.Addr:                         bus.BadTLS,
	}, "topsecret", "locked")
}
