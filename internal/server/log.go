package server

import (
	"io"
	"log/slog"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// NewLogger makes the logger that log.level and log.format ask for. Records never hold a user, a tenant, a
// token, a document or data.
func NewLogger(w io.Writer, c config.Log) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Level]
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
