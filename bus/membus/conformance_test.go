package membus_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/bus/membus"
)

func TestConformance(t *testing.T) {
	open := func(o membus.Options) func(t *testing.T) bus.Bus {
		return func(t *testing.T) bus.Bus {
			b := membus.New(o)
			t.Cleanup(func() { _ = b.Close(t.Context()) })
			return b
		}
	}
	bustest.Run(t, bustest.Options{
		New: open(membus.Options{}),
		Small: func(t *testing.T, n int) bus.Bus {
			return open(membus.Options{Events: n})(t)
		},
	})
}

// TestConformanceOnASmallBudget runs what a bus must do even when it can keep hardly anything.
func TestConformanceOnASmallBudget(t *testing.T) {
	bustest.Run(t, bustest.Options{
		New: func(*testing.T) bus.Bus { return membus.New(membus.Options{Bytes: 4 << 20}) },
		Small: func(_ *testing.T, n int) bus.Bus {
			return membus.New(membus.Options{Bytes: int64(n) * 512})
		},
	})
}
