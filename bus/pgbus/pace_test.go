package pgbus

import (
	"testing"
	"time"
)

// TestPace: a few reads need not wait, many keep the pace on average, and none waits longer than that, whatever was before.
func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	due, reads := time.Time{}, 0
	for ; !due.After(now); reads++ {
		due = nextDue(due, now)
	}
	if reads != ahead+1 {
		t.Errorf("%d reads at once, not %d", reads, ahead+1)
	}
	for range 100 { // each when it is due
		last := due
		if due = nextDue(due, due); due.Sub(last) != pace {
			t.Fatalf("the next is due after %v, not %v", due.Sub(last), pace)
		}
	}
	for range 100 { // each before it is due
		due = nextDue(due, now)
	}
	if wait := due.Sub(now); wait != pace {
		t.Errorf("after reads before their time the next one waits %v, not %v", wait, pace)
	}
}
