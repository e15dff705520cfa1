package server

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// POST /revocations closes the WebSockets of whom it names, and refuses them afterwards.
func TestRevocationOverHTTP(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"admin.listen: 127.0.0.1:0\nadmin.token: operators-token-0001\n")
	ws, url := "ws://"+s.addr+"/graphql", "http://"+s.AdminAddr()+"/revocations"
	token := func(user, id string) string {
		return sign(t, func(c jwt.MapClaims) { c["sub"], c["jti"], c["iat"] = user, id, time.Now().Add(-time.Minute).Unix() })
	}
	post := func(body string) answered {
		return send(t, "POST", url, body, "Content-Type", js, "Authorization", "Bearer operators-token-0001")
	}
	gone, stays := testkit.DialTalk(t, ws).Init(token("u1", "a")), testkit.DialTalk(t, ws).Init(token("u2", "b"))
	if got := post(`{"user_id":"u1","tenant_id":"t1"}`); got.status != 202 || strings.TrimSpace(got.body) != `{"accepted":1}` {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if code, reason := gone.Closed(); code != 4403 || reason != "Forbidden: the credentials were revoked" {
		t.Errorf("closed with %d %s", code, reason)
	}
	stays.Send(`{"type":"ping"}`)
	stays.Expect(`{"type":"pong"}`)
	late := testkit.DialTalk(t, ws)
	late.Send(`{"type":"connection_init","payload":{"authorization":"Bearer ` + token("u1", "c") + `"}}`)
	if code, reason := late.Closed(); code != 4403 || reason != "Forbidden" {
		t.Errorf("later: closed with %d %s", code, reason)
	}
	if got := post(`{"token_id":"b"}`); got.status != 202 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if code, _ := stays.Closed(); code != 4403 {
		t.Errorf("closed with %d", code)
	}
	metrics := send(t, "GET", "http://"+s.AdminAddr()+"/metrics", "").body
	for _, want := range []string{`fraiseql_revocations_total{result="enforced"} 2`, `fraiseql_auth_failures_total{reason="revoked"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

// A request that says something else than it seems to is refused with the member that does, and nobody is closed for it.
func TestRevocationsThatWouldNameMore(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"admin.listen: 127.0.0.1:0\nadmin.token: operators-token-0001\n")
	stays := testkit.DialTalk(t, "ws://"+s.addr+"/graphql").Init(sign(t, func(c jwt.MapClaims) { c["jti"], c["iat"] = "a", time.Now().Add(-time.Minute).Unix() }))
	for _, tt := range []struct {
		body, member string
		status       int
	}{
		{`{"user_id":"","tenant_id":"t1"}`, "user_id", 422},
		{`{"user_id":null,"tenant_id":"t1"}`, "user_id", 422},
		{`{"user_id":"u1","tenant_id":""}`, "tenant_id", 422},
		{`{"token_id":"","issued_before":"` + time.Now().Format(time.RFC3339) + `"}`, "token_id", 422},
		{`{"user_id":"u7","user_id":"u1"}`, "user_id", 422},
		{`{"USER_ID":"u1"}`, "", 400},
	} {
		got := send(t, "POST", "http://"+s.AdminAddr()+"/revocations", tt.body, "Content-Type", js, "Authorization", "Bearer operators-token-0001")
		if got.status != tt.status || !strings.Contains(got.body, `"member":"`+tt.member+`"`) != (tt.member == "") {
			t.Errorf("%s: %d %s", tt.body, got.status, got.body)
		}
	}
	stays.Send(`{"type":"ping"}`)
	stays.Expect(`{"type":"pong"}`)
}

// A single connection ends with the credentials of one of its operations, also while its stream is not open yet.
func TestRevocationBeforeTheStream(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	url := "http://" + s.addr + "/graphql"
	with := func(id string, more ...string) []string {
		token := sign(t, func(c jwt.MapClaims) { c["jti"], c["iat"] = id, time.Now().Unix() })
		return append(more, "Authorization", "Bearer "+token, "Content-Type", js)
	}
	reserve := func() (name string) {
		name = send(t, "PUT", url, "", with("a")...).body
		got := send(t, "POST", url, `{"query":"subscription { orders { id } }","extensions":{"operationId":"1"}}`, with("b", "X-GraphQL-Event-Stream-Token", name)...)
		if got.status != 202 {
			t.Fatalf("an operation: %d %s", got.status, got.body)
		}
		return name
	}
	opened, reserved := reserve(), reserve()
	stream := s.body("GET", "", with("a", "X-GraphQL-Event-Stream-Token", opened, "Accept", "text/event-stream")...)
	if err := s.Engine.Revoke(t.Context(), fraiseql.Revocation{TokenID: "b"}); err != nil {
		t.Fatal(err)
	}
	if got := stream.end(); got != "breaks off" {
		t.Errorf("the stream that is open: %s", got)
	}
	s.awaitSubscriptions(0)
	if got := send(t, "GET", url, "", with("a", "X-GraphQL-Event-Stream-Token", reserved, "Accept", "text/event-stream")...); got.status != 404 {
		t.Errorf("the stream that is not: %d %s", got.status, got.body)
	}
}

// Only the operators' token revokes, and only on the operators' listener.
func TestWhoMayRevoke(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"admin.listen: 127.0.0.1:0\nadmin.token: operators-token-0001\n")
	off := assemble(t, config.Source{}, withJWT+"admin.listen: 127.0.0.1:0\n")
	const right, rule = "Bearer operators-token-0001", `{"user_id":"u1"}`
	for _, tt := range []struct {
		name, method, url, body string
		headers                 []string
		status                  int
	}{
		{"no token", "POST", s.AdminAddr(), rule, []string{"Content-Type", js}, 401},
		{"wrong token", "POST", s.AdminAddr(), rule, []string{"Content-Type", js, "Authorization", right + "x"}, 401},
		{"publish token", "POST", s.AdminAddr(), rule, []string{"Content-Type", js, "Authorization", "Bearer " + anyToken}, 401},
		{"two tokens", "POST", s.AdminAddr(), rule, []string{"Content-Type", js, "Authorization", right, "Authorization", right}, 401},
		{"form of a page", "POST", s.AdminAddr(), rule, []string{"Content-Type", "text/plain", "Authorization", right}, 415},
		{"GET", "GET", s.AdminAddr(), "", []string{"Authorization", right}, 405},
		{"nobody", "POST", s.AdminAddr(), `{}`, []string{"Content-Type", js, "Authorization", right}, 422},
		{"not JSON", "POST", s.AdminAddr(), `{`, []string{"Content-Type", js, "Authorization", right}, 400},
		{"unknown member", "POST", s.AdminAddr(), `{"user":"u1"}`, []string{"Content-Type", js, "Authorization", right}, 400},
		{"long", "POST", s.AdminAddr(), `{"user_id":"` + strings.Repeat("x", 2000) + `"}`, []string{"Content-Type", js, "Authorization", right}, 422},
		{"too long", "POST", s.AdminAddr(), strings.Repeat(" ", 20<<10), []string{"Content-Type", js, "Authorization", right}, 413},
		{"main listener", "POST", s.addr, rule, []string{"Content-Type", js, "Authorization", right}, 404},
		{"not configured", "POST", off.AdminAddr(), rule, []string{"Content-Type", js, "Authorization", right}, 403},
		{"right", "POST", s.AdminAddr(), rule, []string{"Content-Type", js, "Authorization", right}, 202},
	} {
		if got := send(t, tt.method, "http://"+tt.url+"/revocations", tt.body, tt.headers...); got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, got.status, got.body, tt.status)
		}
	}
}
