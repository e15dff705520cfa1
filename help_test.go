package fraiseql

import (
	"testing"
	"testing/synctest"
	"time"
)

// Publishers help while events come one by one; not under a rate at which messages gather for the writers.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, calls := pace{start: time.Now()}, uint32(0)
		call := func(n int, every time.Duration) (calm int) {
			for range n {
				if p.calm() {
					calm++
				}
				p.count(&calls, 1)
				<-time.After(every)
			}
			return calm
		}
		if n := call(10*paceCalls, 400*time.Microsecond); n != 10*paceCalls {
			t.Errorf("2,500 a second: %d of %d help", n, 10*paceCalls)
		}
		for range 20 { // steps of 10 ms
			if n := call(25, 0); n != 25 {
				t.Errorf("steps of 25: %d help", n)
			}
			<-time.After(10 * time.Millisecond)
		}
		if n := call(10*paceCalls, 20*time.Microsecond); n > 6*paceCalls {
			t.Errorf("50,000 a second: %d of %d help", n, 10*paceCalls)
		}
		if n := call(10*paceCalls, time.Millisecond); n < 8*paceCalls {
			t.Errorf("1,000 a second again: %d of %d help", n, 10*paceCalls)
		}
		others := make([]uint32, 8) // in step: eight publishers whose calls come together
		calm := 0
		for range 10 * paceCalls {
			for i := range others {
				if p.calm() {
					calm++
				}
				p.count(&others[i], 1)
			}
			<-time.After(10 * time.Millisecond)
		}
		if calm != 8*10*paceCalls {
			t.Errorf("800 a second in step: %d of %d help", calm, 8*10*paceCalls)
		}
	})
}

// A call counts by what it delivers, so that publishers spend no more time with many writes each than with one each.
func TestPaceCountsDeliveries(t *testing.T) {
	for _, c := range []struct {
		deliveries int
		a          int // so many calls a second are calm
		b          int // so many are not
	}{{-1, 9_000, 11_000}, {8, 9_000, 11_000}, {9, 4_500, 5_500}, {20, 3_000, 3_700}, {32, 2_300, 2_700}, {10_000, 2_300, 2_700}} {
		synctest.Test(t, func(t *testing.T) {
			for _, rate := range []int{c.a, c.b} {
				p, calls := pace{start: time.Now()}, uint32(0)
				for range 10 * paceCalls {
					p.count(&calls, c.deliveries)
					<-time.After(time.Second / time.Duration(rate))
				}
				if p.calm() != (rate == c.a) {
					t.Errorf("%d deliveries by each of %d calls a second: calm is %v", c.deliveries, rate, p.calm())
				}
			}
		})
	}
}

// Publishers know the handlers that there are.
func TestHelpedFollowsHandlers(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	if e.helped.Load() != nil {
		t.Error("helped without a handler")
	}
	h, err := e.Handler(HandlerConfig{Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	if made := e.helped.Load(); made == nil || len(made.pollers) != 1 {
		t.Fatalf("helped %v", made)
	}
	e.Release(h)
	if e.helped.Load() != nil {
		t.Error("helped after the handler was released")
	}
}
