package carrier

import (
	"context"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
)

// TestBusesSayWhatTheyAre opens every kind of bus, without a server, and asks it for its status.
func TestBusesSayWhatTheyAre(t *testing.T) {
	for rawURL, durable := range map[string]bool{
		"memory://": false, "REDIS://127.0.0.1:1": true, "redis://127.0.0.1:1?mode=pubsub": false,
		"postgres://u@127.0.0.1:1/d": true, "nats://127.0.0.1:1": true, "NATS://a:b@127.0.0.1:1,nats://127.0.0.1:2,nats://a:b@127.0.0.1:3?replicas=1": true, "nats://127.0.0.1:1?mode=core&buffer=1MiB": false,
	} {
		b, err := new(Opener).Open(rawURL, bus.Options{})
		if err != nil {
			t.Errorf("%s: %v", rawURL, err)
			continue
		}
		d, s := bus.Describe(b), bus.StatusOf(b)
		remote := rawURL != "memory://"
		if d.Durable != durable || d.Shared != remote || (d.Guarantee == bus.AtLeastOnce) != durable {
			t.Errorf("%s: %+v", rawURL, d)
		}
		if s.Connected == remote || remote && s.Problem == "" {
			t.Errorf("%s: %+v", rawURL, s)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
}
