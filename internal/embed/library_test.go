//go:build linux

package embed

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestTune(t *testing.T) {
	before, growth := runtime.GOMAXPROCS(0), debug.SetGCPercent(100)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(before)
		debug.SetGCPercent(growth)
	})
	for _, tt := range []struct {
		env                 string
		before, after, heap int
	}{
		{"", 1, processors, heapGrowth},
		{"", 64, processors, heapGrowth},
		{"7", 2, 2, 100}, // the runtime has read the environment
	} {
		runtime.GOMAXPROCS(tt.before)
		debug.SetGCPercent(100)
		Tune(func(string) string { return tt.env })
		if n := runtime.GOMAXPROCS(0); n != tt.after {
			t.Errorf("environment %q: %d processors", tt.env, n)
		}
		if n := debug.SetGCPercent(100); n != tt.heap {
			t.Errorf("environment %q: GOGC %d", tt.env, n)
		}
	}
}

func TestConfiguredProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	open(t, `{"processors":5}`)
	if n := runtime.GOMAXPROCS(0); n != 5 {
		t.Errorf("%d processors", n)
	}
}
