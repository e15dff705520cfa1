package server

import (
	"io"
	"log/slog"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// NewLogger makes the logger that log.level and log.format ask for. Records never hold a user, a tenant, a
// token, a document or data.
func NewLogger(w io.Writer, c config.Log) *slog.Logger {
	log, _ := NewLeveled(w, c)
	return log
}

// NewLeveled is NewLogger with the level that Parts.LogLevel takes.
func NewLeveled(w io.Writer, c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(logLevel(c.Level))
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, opts)), level
	}
	return slog.New(slog.NewJSONHandler(w, opts)), level
}

func logLevel(name string) slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[name]
}
