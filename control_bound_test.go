package fraiseql

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/internal/revoke"
)

// overtaken is a bus on which others come first with what they publish.
type overtaken struct {
	*membus.Bus
	first func()
}

func (o *overtaken) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	o.first()
	return o.Bus.Publish(ctx, batch)
}

// revoking is an engine on such a bus, and what puts rules for tokens in force.
func revoking(t *testing.T) (e *Engine, o *overtaken, add func(n int)) {
	o = &overtaken{Bus: membus.New(membus.Options{}), first: func() {}}
	e, err := New(Config{Bus: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Close(context.Background()), o.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	now := time.Now()
	return e, o, func(n int) {
		for i := range n {
			e.control.rules.Add(revoke.Rule{TokenID: strconv.Itoa(i)}, now, now, now.Add(time.Hour))
		}
	}
}

// As many revocations may be in force as is said, and what is in force can be renewed.
func TestRevocationsAreBounded(t *testing.T) {
	e, _, add := revoking(t)
	add(maxRevocations)
	if err := e.Revoke(t.Context(), Revocation{TokenID: "one more"}); !errors.Is(err, ErrTooManyRevocations) {
		t.Errorf("one more: %v", err)
	}
	if err := e.Revoke(t.Context(), Revocation{TokenID: "7"}); err != nil {
		t.Errorf("one that is in force: %v", err)
	}
}

// What the bus has acknowledged, and is not in force since others were faster, is not said to be.
func TestARevocationThatIsOvertaken(t *testing.T) {
	e, o, add := revoking(t)
	o.first = func() { add(maxRevocations + revocationSpare) }
	if err := e.Revoke(t.Context(), Revocation{TokenID: "late"}); !errors.Is(err, ErrTooManyRevocations) {
		t.Errorf("got %v", err)
	}
	if e.revoked(&Identity{TokenID: "late"}) {
		t.Error("it is in force")
	}
}
