package natsbus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/event"
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

// TestNoRoom has a server whose disk is too small for what the stream may hold.
func TestNoRoom(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL("maxbytes=2TiB&prefix="+freshPrefix()), bus.Options{PublishTimeout: 100 * time.Millisecond})
	if err := b.Attach(t.Context(), idle{}); err != nil {
		t.Fatal(err)
	}
	b.Interest("c", true)
	await(t, "the bus says why", func() bool { return strings.Contains(bus.StatusOf(b).Problem, "maxbytes") })
	_, published := b.Publish(t.Context(), []bus.Message{{Event: event.Event{Channel: "c", Type: "t", ID: "1"}}})
	for what, err := range map[string]error{"interest": bus.Established(t.Context(), b, "c"), "publish": published} {
		if !errors.Is(err, bus.ErrUnavailable) || bus.CauseOf(err) != bus.Full || !strings.Contains(err.Error(), "no room") {
			t.Errorf("%s: %v (%s)", what, err, bus.CauseOf(err))
		}
	}
}

// idle is a handler to which nothing comes.
type idle struct{}

func (idle) Deliver(*bus.Message) int { return 0 }
