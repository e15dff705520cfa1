package natsbus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestAgedRevocationsAreNotMissing reads $control from its start when age has taken all of it: nothing is missing, unless
// the stream also drops what it has no room for.
func TestAgedRevocationsAreNotMissing(t *testing.T) {
	server := testkit.StartNATS(t)
	_, js := plain(t, server.Addr)
	for discard, complete := range map[jetstream.DiscardPolicy]bool{jetstream.DiscardNew: true, jetstream.DiscardOld: false} {
		prefix := freshPrefix()
		c := config{prefix: prefix, stream: prefix}
		sp := c.spec(control)
		made := sp.create(&c, time.Second, true)
		made.Discard = discard
		if _, err := js.CreateStream(t.Context(), made); err != nil {
			t.Fatal(err)
		}
		b := open(t, server.URL("prefix="+prefix), bus.Options{})
		b.RetainControl(time.Second)
		attach(t, b, bus.ControlChannel)
		publishAll(t, b, numbered(bus.ControlChannel, 0, 2))
		var page bus.Page
		await(t, "age has taken all", func() bool {
			var err error
			page, err = b.History(t.Context(), bus.ControlChannel, event.Position{}, 10)
			return err == nil && len(page.Messages) == 0
		})
		if page.Complete != complete {
			t.Errorf("%v: complete %v", discard, page.Complete)
		}
	}
}
