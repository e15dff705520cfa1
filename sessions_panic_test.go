package fraiseql_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
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

// A wake that fails when the acknowledgement waits ends its session, and nothing else.
func TestSessionSurvivesPanicsAtItsAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{Logger: slog.New(slog.DiscardHandler)})
		sessions := anonymous(t, e, fraiseql.HandlerConfig{})
		s, err := sessions.Open(fraiseql.SessionRequest{}, func() { panic("the host fails") })
		if err != nil {
			t.Fatal(err)
		}
		s.Receive([]byte(`{"type":"connection_init"}`))
		synctest.Wait()
		out, _ := s.Take(nil, 0)
		if len(out) == 0 || out[len(out)-1].Kind != fraiseql.OutgoingClose || out[len(out)-1].Code != 1011 {
			t.Errorf("got %v, want a close with 1011 at the end", out)
		}
		s.Close()
	})
}

// Who would not be told of anything gets no session.
func TestSessionsNeedAWake(t *testing.T) {
	sessions := anonymous(t, newEngine(t, fraiseql.Config{}), fraiseql.HandlerConfig{})
	if s, err := sessions.Open(fraiseql.SessionRequest{}, nil); s != nil || err == nil {
		t.Errorf("got %v, %v", s, err)
	}
	if x, err := sessions.OpenHTTP(httptest.NewRequest("GET", "/", nil), nil, nil); x != nil || err == nil {
		t.Errorf("got %v, %v", x, err)
	}
	if n := sessions.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
