package server

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// stream opens an event stream; the status says whether it is one. end closes it.
func (s *assembled) stream(token string) (status int, end func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/graphql", strings.NewReader(`{"query":"subscription { orders { id } }"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {js}, "Accept": {"text/event-stream"}, "Authorization": {"Bearer " + token}}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, func() { cancel(); _ = res.Body.Close() }
}

// WebSockets and event streams of a user count together; an answer that is no stream does not count.
func TestConnectionsPerUserOverAllTransports(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"limits: {connections_per_user: 2, init_timeout: 60s}\nintrospection: true\n")
	url := "ws://" + s.addr + "/graphql"
	u1 := sign(t, nil)
	u2 := sign(t, func(c jwt.MapClaims) { c["sub"] = "u2" })
	first := testkit.DialTalk(t, url).Init(u1)
	status, end := s.stream(u1)
	if status != 200 {
		t.Fatalf("stream: %d", status)
	}
	if status, _ := s.stream(u1); status != 429 {
		t.Errorf("a third: %d", status)
	}
	third := testkit.DialTalk(t, url)
	third.Send(`{"type":"connection_init","payload":{"authorization":"Bearer ` + u1 + `"}}`)
	if code, reason := third.Closed(); code != 1013 || reason != "Too many connections of this user or tenant, try again later" {
		t.Errorf("a third: closed with %d %s", code, reason)
	}
	for range 5 {
		if got := send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__typename}"}`, "Content-Type", js, "Authorization", "Bearer "+u1); got.status != 200 {
			t.Errorf("a query: %d %s", got.status, got.body)
		}
	}
	testkit.DialTalk(t, url).Init(u2)
	end()
	s.connections(2) // the first, and that of u2
	status, end = s.stream(u1)
	if status != 200 {
		t.Errorf("after one has ended: %d", status)
	}
	end()
	first.Close()
	s.connections(1)
	for range 2 {
		testkit.DialTalk(t, url).Init(u1)
	}
	if status, _ := s.stream(u1); status != 429 {
		t.Errorf("one more: %d", status)
	}
}

// connections waits until so many are open.
func (s *assembled) connections(n int) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Engine.Stats().Connections != n {
		select {
		case <-tick.C:
		case <-s.t.Context().Done():
			s.t.Fatal(s.t.Context().Err())
		}
	}
}
