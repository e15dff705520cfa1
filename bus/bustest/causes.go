package bustest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// Causes opens the bus of each URL, none of which can be used, publishes, and wants the cause that is told, with
// bus.ErrUnavailable and without any of the secrets.
func Causes(t *testing.T, open func(rawURL string, o bus.Options) (bus.Bus, error), causes map[string]bus.Cause, secrets ...string) {
	for rawURL, want := range causes {
		t.Run(string(want)+" "+rawURL[:strings.Index(rawURL, ":")], func(t *testing.T) {
			t.Parallel()
			b, err := open(rawURL, bus.Options{PublishTimeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			if err := b.Attach(t.Context(), nobody{}); err != nil {
				t.Fatal(err)
			}
			_, err = b.Publish(t.Context(), []bus.Message{{Event: event.Event{Channel: "orders", Type: "made", ID: "1", Data: []byte("{}")}}})
			if got := bus.CauseOf(err); got != want || !errors.Is(err, bus.ErrUnavailable) {
				t.Errorf("the cause is %q: %v", got, err)
			}
			if s := bus.StatusOf(b); s.Connected || s.Cause != want {
				t.Errorf("%+v", s)
			}
			for _, secret := range secrets {
				if strings.Contains(err.Error()+bus.StatusOf(b).Problem, secret) {
					t.Errorf("the error tells %q: %v", secret, err)
				}
			}
		})
	}
}

// nobody handles nothing.
type nobody struct{}

func (nobody) Deliver(*bus.Message) int { return 0 }
