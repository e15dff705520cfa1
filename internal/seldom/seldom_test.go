package seldom

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func written(b *bytes.Buffer) string {
	defer b.Reset()
	return b.String()
}

func log(b *bytes.Buffer, level slog.Level) *Log {
	return New(slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level})))
}

// A flood of one kind is a few lines, each kind has its own, and the count of what was left out follows.
func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := log(&b, slog.LevelInfo)
		for range 100 {
			l.Write(slog.LevelInfo, "one", "first", "n", 1)
		}
		l.Write(slog.LevelWarn, "two", "second")
		if got := written(&b); strings.Count(got, "first n=1\n") != most || strings.Count(got, "second\n") != 1 {
			t.Errorf("wrote %s", got)
		}
		<-time.After(window)
		l.Write(slog.LevelInfo, "one", "first")
		l.Write(slog.LevelInfo, "one", "first")
		if got := written(&b); strings.Count(got, "first") != 2 || strings.Count(got, fmt.Sprint("left_out=", 100-most)) != 1 {
			t.Errorf("afterwards %s", got)
		}
	})
}

// Who asks for debug lines sees what is left out, too.
func TestDebug(t *testing.T) {
	var b bytes.Buffer
	l := log(&b, slog.LevelDebug)
	for range 100 {
		l.Write(slog.LevelInfo, "one", "first", "n", 1)
	}
	if l.Line(slog.LevelInfo, "one", "first") != nil {
		t.Error("a line for later is not bounded")
	}
	got := written(&b)
	if strings.Count(got, "level=INFO msg=first n=1\n") != most || strings.Count(got, "level=DEBUG msg=first n=1\n") != 100-most {
		t.Errorf("wrote %s", got)
	}
}

func TestBounds(t *testing.T) {
	var b bytes.Buffer
	l := log(&b, slog.LevelError)
	l.Write(slog.LevelInfo, "not written", "x")
	if len(l.kinds) != 0 || b.Len() != 0 {
		t.Errorf("a line below the level counts: %s", &b)
	}
	for i := range 2 * kinds {
		l.Write(slog.LevelError, fmt.Sprint(i), "x")
	}
	if len(l.kinds) != kinds {
		t.Errorf("%d kinds", len(l.kinds))
	}
}
