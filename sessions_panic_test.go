package fraiseql_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
)

// A panic while a session is served ends the session and is logged; nothing stays locked.
func TestSessionSurvivesPanics(t *testing.T) {
	for name, provoke := range map[string]func(*fraiseql.Session){
		"message": func(s *fraiseql.Session) { s.Receive([]byte(`{"type":"ping"}`)) },
		"timer":   func(*fraiseql.Session) { <-time.After(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				e := newEngine(t, fraiseql.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				sessions := anonymous(t, e, fraiseql.HandlerConfig{})
				s, err := sessions.Open(fraiseql.SessionRequest{}, func() { panic("the host fails") })
				if err != nil {
					t.Fatal(err)
				}
				provoke(s)
				synctest.Wait()
				out, more := s.Take(nil, 0)
				if more || len(out) == 0 || out[len(out)-1].Kind != fraiseql.OutgoingClose {
					t.Errorf("got %v, want a close at the end", out)
				}
				s.Receive([]byte(`{"type":"ping"}`))
				s.Close()
				if !strings.Contains(log.String(), "the host fails") {
					t.Errorf("logged %q", log.String())
				}
			})
		})
	}
}
