package poll

import (
	"testing"
	"time"
)

func TestDueBy(t *testing.T) {
	const w = time.Second
	for _, c := range []struct {
		elapsed time.Duration
		n, want int
	}{{0, 10, 1}, {w / 2, 11, 6}, {w, 10, 10}, {2 * w, 10, 10}, {0, 1, 1}, {0, 0, 0}} {
		if got := dueBy(c.elapsed, w, c.n); got != c.want {
			t.Errorf("dueBy(%v, %d) = %d, want %d", c.elapsed, c.n, got, c.want)
		}
	}
	if dueBy(0, 0, 7) != 7 {
		t.Error("no window: all at once")
	}
}
