package fraiseql

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRates[string](10, 5)
		take := func(key string, n int, want time.Duration) {
			t.Helper()
			if got := r.take(key, n); got != want {
				t.Errorf("%d of %q after %v: wait %v, want %v", n, key, time.Since(r.start), got, want)
			}
		}
		take("a", 3, 0)
		take("a", 2, 0)
		take("a", 1, 100*time.Millisecond)
		take("a", 5, 500*time.Millisecond)
		take("b", 5, 0) // a bucket of its own
		<-time.After(99 * time.Millisecond)
		take("a", 1, time.Millisecond)
		<-time.After(time.Millisecond)
		take("a", 1, 0)
		take("a", 1, 100*time.Millisecond) // what was refused took nothing
		<-time.After(time.Hour)
		take("a", 5, 0) // never more than the burst
		take("a", 1, 100*time.Millisecond)
		r.giveBack("a", 2)
		take("a", 2, 0)
		r.giveBack("unknown", 2)
		take("unknown", 5, 0)
	})
}

// Buckets that are full again are forgotten, those that are not are kept.
func TestIdleBucketsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRates[int](10, 10) // full after a second
		for i := range 1000 {
			r.take(i, 10)
		}
		<-time.After(600 * time.Millisecond)
		for i := range 1000 {
			r.take(i, 6)
		}
		<-time.After(600 * time.Millisecond) // the first generation is over
		for i := range 1000 {
			if r.take(i, 7) == 0 {
				t.Fatalf("%d: forgotten before its bucket was full", i)
			}
		}
		<-time.After(5 * time.Second)
		for i := range 200 { // some in every shard
			r.take(-1-i, 1)
		}
		if n := r.len(); n != 200 {
			t.Errorf("%d buckets, of which 200 are in use", n)
		}
	})
}

// Whoever varies who he is does not make the engine grow, nor keep others out.
func TestBucketsAreBounded(t *testing.T) {
	r := newRates[int](1, 1000)
	for i := range 3 * rateShards * rateBuckets {
		if r.take(i, 1) != 0 {
			t.Fatalf("%d: refused", i)
		}
	}
	if n := r.len(); n > 2*rateShards*rateBuckets {
		t.Errorf("%d buckets", n)
	}
}

func TestRatesAreExtreme(t *testing.T) {
	for _, tt := range []struct{ rate, burst, want int }{
		{1, 0, 10}, {1 << 62, 0, (1<<31 - 1) * 10}, {1, 1 << 62, (1<<63 - 1) / 4 / 1_000_000_000}, {2_000_000_000, 3, 3},
	} {
		r := newRates[string](tt.rate, tt.burst)
		if r.burst != tt.want || r.interval <= 0 || r.capacity <= 0 {
			t.Errorf("%+v: %+v", tt, r)
		}
		for range 3 {
			r.take("k", r.burst)
		}
	}
	if newRates[string](0, 5) != nil {
		t.Error("no rate is no bound")
	}
}

// Tokens are given out once, whoever asks at the same time.
func TestConcurrentRates(t *testing.T) {
	r := newRates[string](1, 1000)
	r.interval, r.capacity = int64(time.Hour), int64(1000*time.Hour)
	var mu sync.Mutex
	given := map[string]int{}
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for i := range 1500 {
				key := fmt.Sprint(i % 3)
				if r.take(key, 1) == 0 {
					mu.Lock()
					given[key]++
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	for key, n := range given {
		if n != 1000 {
			t.Errorf("%s: %d tokens, want 1000", key, n)
		}
	}
}

func TestRatesDoNotAllocate(t *testing.T) {
	r := newRates[key](1_000_000_000, 1_000_000)
	a := accountOf(&Identity{TenantID: "t", UserID: "u"}, nil)
	r.take(a, 1)
	if n := testing.AllocsPerRun(1000, func() { r.take(a, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A connection that nobody knows has a bucket, and goes when it is closed.
func TestBucketsKeepNoConnection(t *testing.T) {
	r := newRates[key](1, 5)
	gone := make(chan struct{})
	func() {
		c := &queue.Conn{}
		runtime.AddCleanup(c, func(struct{}) { close(gone) }, struct{}{})
		for i, want := range []bool{true, true, true, true, true, false} {
			if got := r.take(accountOf(&Identity{TenantID: "t"}, c), 1) == 0; got != want {
				t.Errorf("take %d: %v", i, got)
			}
		}
		if r.take(accountOf(&Identity{TenantID: "t"}, &queue.Conn{}), 1) != 0 {
			t.Error("another connection has the same bucket")
		}
	}()
	for range 100 {
		runtime.GC()
		runtime.Gosched()
		select {
		case <-gone:
			return
		default:
		}
	}
	t.Errorf("the connection is still there, with %d buckets", r.len())
}

func BenchmarkRates(b *testing.B) {
	b.Run("anonymous", func(b *testing.B) {
		r, c := newRates[key](1_000_000_000, 1_000_000_000), &queue.Conn{}
		b.ReportAllocs()
		for b.Loop() {
			r.take(accountOf(&Identity{}, c), 1)
		}
	})
	for _, keys := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			r := newRates[key](1_000_000_000, 1_000_000_000)
			accounts := make([]key, keys)
			for i := range accounts {
				accounts[i] = accountOf(&Identity{TenantID: "tenant", UserID: fmt.Sprint("user", i)}, nil)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					r.take(accounts[i%keys], 1)
				}
			})
		})
	}
}
