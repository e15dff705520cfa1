package testkit

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(NoLeaks(m)) }

// TestOursFindsAGoroutine starts a goroutine and looks for it.
func TestOursFindsAGoroutine(t *testing.T) {
	before := len(ours())
	started, end := make(chan struct{}), make(chan struct{})
	go func() {
		close(started)
		<-end
	}()
	<-started
	if after := len(ours()); after != before+1 {
		t.Errorf("found %d goroutines, then %d with one more", before, after)
	}
	close(end)
}
