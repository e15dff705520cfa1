// Package seldom writes log lines about what clients can cause as often as they like: a few of each kind, then how many
// were left out. What is left out are debug lines.
package seldom

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// window is how long a kind is counted, most how many lines of it are written in that time.
	window = 10 * time.Second
	most   = 5
	// kinds bounds what is remembered; kinds are named by the code, never by a client.
	kinds = 256
)

// Log writes few lines. Its methods are safe for concurrent use; Write blocks as the logger does.
type Log struct {
	to *slog.Logger

	mu    sync.Mutex
	kinds map[string]*kind // guarded by mu
}

// kind is what was said of one kind in its window.
type kind struct {
	since   time.Time
	written int
	leftOut int
}

// New makes a log that writes to another.
func New(to *slog.Logger) *Log { return &Log{to: to, kinds: make(map[string]*kind)} }

// Write writes a line, at level debug if enough of its kind were written in these seconds. The first line afterwards says
// how many were left out for that.
func (l *Log) Write(level slog.Level, of, message string, args ...any) {
	if write := l.Line(level, of, message, args...); write != nil {
		write()
		return
	}
	l.to.Debug(message, args...)
}

// Line is Write for who must not wait for the logger: it returns what writes the line, nil for none. What is left out is
// no debug line either, as whoever writes it later would have to keep as many as clients like.
func (l *Log) Line(level slog.Level, of, message string, args ...any) (write func()) {
	ctx := context.Background()
	if !l.to.Enabled(ctx, level) {
		return nil
	}
	leftOut, ok := l.take(of)
	if !ok {
		return nil
	}
	if leftOut > 0 {
		args = append(args[:len(args):len(args)], "left_out", leftOut)
	}
	return func() { l.to.Log(ctx, level, message, args...) }
}

// take reports whether a line of a kind may be written, and how many were not before it.
func (l *Log) take(of string) (leftOut int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[of]
	if k == nil {
		if len(l.kinds) >= kinds {
			return 0, false
		}
		k = &kind{since: now}
		l.kinds[of] = k
	}
	if now.Sub(k.since) >= window {
		leftOut = k.leftOut
		*k = kind{since: now}
	}
	if k.written >= most {
		k.leftOut++
		return 0, false
	}
	k.written++
	return leftOut, true
}
