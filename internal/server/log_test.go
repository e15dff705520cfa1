package server

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// The log says at level info which credentials were refused and which clients were too slow; a flood of either is a few lines.
func TestLogOfRefusedAndSlowClients(t *testing.T) {
	router, log := testkit.NewRouter(t), &logBuffer{}
	s := assembleWith(t, config.Source{}, withJWT+"callback: {allowed_urls: ["+router.URL+"*], allowed_networks: [127.0.0.0/8]}\nlimits.queue_messages: 10\n",
		Parts{Version: "test", Logger: NewLogger(log, config.Log{Format: "text"})})
	for range 50 {
		send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__typename}"}`, "Content-Type", js, "Authorization", "Bearer not-a-token")
	}
	talk := testkit.DialTalk(t, "ws://"+s.addr+"/graphql")
	talk.Send(`{"type":"connection_init","payload":{"authorization":"Bearer ` + sign(t, func(c jwt.MapClaims) { c["aud"] = "others" }) + `"}}`)
	talk.Closed()
	s.awaitLog(log, `level=INFO msg="credentials refused" reason=malformed`, `level=INFO msg="credentials refused" reason=audience`)
	if n := strings.Count(log.String(), "reason=malformed"); n > 5 {
		t.Errorf("%d lines about 50 requests", n)
	}
	if strings.Contains(log.String(), "not-a-token") || strings.Contains(log.String(), "others") {
		t.Errorf("the log has what clients sent:\n%s", log)
	}
	slowRouter(&limitRun{assembled: s, router: router})
	s.awaitLog(log, `level=INFO msg="a client that was too slow was closed: more waited for it than limits allow" transport=callback code=4290`)
}

// The level of the configuration holds from the start, and is what a reload moves.
func TestLogLevelAtStart(t *testing.T) {
	for name, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		for _, format := range []string{"json", "text"} {
			log, level := NewLeveled(io.Discard, config.Log{Level: name, Format: format})
			if ctx := t.Context(); level.Level() != want || !log.Enabled(ctx, want) || log.Enabled(ctx, want-1) {
				t.Errorf("%s, %s: starts at %v", format, name, level.Level())
			}
			level.Set(slog.LevelError + 4)
			if log.Enabled(t.Context(), slog.LevelError) {
				t.Errorf("%s, %s: the level cannot be moved", format, name)
			}
		}
	}
}
