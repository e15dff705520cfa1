package shift

import (
	"testing"
	"testing/synctest"
	"time"
)

// A shift is over after 100 µs; the next one is as long as the others were, within bounds.
func TestShift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Shift
		work := func(d time.Duration) { <-time.After(d) }
		s.Pause()
		began := s.began
		if began == 0 || s.length != least {
			t.Errorf("%+v", s)
		}
		work(least / 2)
		if s.Pause(); s.began != began {
			t.Error("a pause in the middle of a shift")
		}
		work(least)
		if s.Pause(); s.began != began+3*least/2 || s.length != least {
			t.Errorf("%+v", s)
		}
		s.Rested()
		work(time.Hour)
		if s.Pause(); s.length != least {
			t.Errorf("%+v", s)
		}
	})
	for waited, want := range map[time.Duration]time.Duration{0: least, least: least, time.Millisecond: time.Millisecond, time.Second: most} {
		if got := next(waited); got != want {
			t.Errorf("after %v: %v, want %v", waited, got, want)
		}
	}
}

// Others that compute run, too.
func TestPauseLetsOthersRun(t *testing.T) {
	done := make(chan struct{})
	go close(done)
	for s := (Shift{}); ; s.Pause() {
		select {
		case <-done:
			return
		default:
		}
	}
}

// What is to be done before others run is done by whoever lets them, until it is taken back.
func TestBeforeYield(t *testing.T) {
	var first, second int
	remove := BeforeYield(func() { first++ })
	removeSecond := BeforeYield(func() { second++ })
	Yield()
	remove()
	Yield()
	removeSecond()
	Yield()
	if first != 1 || second != 2 {
		t.Errorf("%d and %d calls, want 1 and 2", first, second)
	}
}
