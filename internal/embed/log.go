//go:build linux

package embed

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
)

// errLogged is the failure of a resolver that the host has logged itself.
var errLogged = errors.New("the host has logged it")

// hostLog writes errors and warnings of an engine (its bus is away) to the standard error of the process, but those that the host has logged.
type hostLog struct{ slog.Handler }

// hostLogger is the log of every engine of the process, made by the first.
var hostLogger = sync.OnceValue(func() *slog.Logger {
	return slog.New(hostLog{slog.NewTextHandler(standardError{}, &slog.HandlerOptions{Level: slog.LevelWarn})})
})

// Handle implements slog.Handler.
func (l hostLog) Handle(ctx context.Context, r slog.Record) error {
	told := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		told = ok && errors.Is(err, errLogged)
		return !told
	})
	if told {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// standardError is descriptor 2 without what os.Stderr does when nobody reads it: end the process.
type standardError struct{}

func (standardError) Write(text []byte) (int, error) { return syscall.Write(2, text) }
