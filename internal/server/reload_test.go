package server

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// A reload changes keys, tokens and bounds under open connections; one that is wrong changes nothing.
func TestReload(t *testing.T) {
	const other = "another-secret-of-32-bytes-or-more"
	s := assemble(t, config.Source{}, withJWT+"admin: {listen: \"127.0.0.1:0\", token: operators-token-0001}\n")
	url := "ws://" + s.addr + "/graphql"
	old, fresh := sign(t, nil), signWith(t, other)
	open := testkit.DialTalk(t, url).Init(old)
	open.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
	s.live(1)
	publish := func(token string) int {
		return send(t, "POST", "http://"+s.addr+"/events", `{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"7"}}`, "Content-Type", js, "Authorization", "Bearer "+token).status
	}
	revoke := func(token string) int {
		return send(t, "POST", "http://"+s.AdminAddr()+"/revocations", `{"token_id":"nobody's"}`, "Content-Type", js, "Authorization", "Bearer "+token).status
	}
	refused := func(token string, want int) {
		t.Helper()
		talk := testkit.DialTalk(t, url)
		talk.Send(`{"type":"connection_init","payload":{"authorization":"Bearer ` + token + `"}}`)
		if code, reason := talk.Closed(); code != want {
			t.Errorf("closed with %d %s, want %d", code, reason, want)
		}
	}

	wrong := *s.cfg
	wrong.Auth.JWT.Secret, wrong.Publish.Tokens = "short", nil
	if err := s.Reload(&wrong); err == nil {
		t.Error("a short secret was accepted")
	}
	off := *s.cfg
	off.Auth.JWT.Secret = ""
	if err := s.Reload(&off); err == nil {
		t.Error("authentication was turned off")
	}
	refused(fresh, 4403)
	if got := publish(anyToken); got != 202 {
		t.Errorf("after a reload that was refused: %d", got)
	}
	open.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"7"}}}}`)

	next := *s.cfg
	next.Auth.JWT.Secret, next.Admin.Token = other, "operators-token-0002"
	next.Publish.Tokens = []config.Token{{Token: "another-publish-token"}}
	next.Limits.ConnectionsPerUser = 2
	if err := s.Reload(&next); err != nil {
		t.Fatal(err)
	}
	refused(old, 4403)
	testkit.DialTalk(t, url).Init(fresh)
	refused(fresh, 1013) // the third of that user
	if a, b := publish(anyToken), publish("another-publish-token"); a != 401 || b != 202 {
		t.Errorf("publish: %d with the old token, %d with the new one", a, b)
	}
	if a, b := revoke("operators-token-0001"), revoke("operators-token-0002"); a != 401 || b != 202 {
		t.Errorf("revoke: %d with the old token, %d with the new one", a, b)
	}
	open.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"7"}}}}`) // it never noticed
	if s.counts(`fraiseql_schema_changes_total{result="accepted"}`) {
		t.Error("reloads that did not change the schema count as changes of it")
	}
}

// signWith is sign with another secret.
func signWith(t *testing.T, secret string) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": "me", "aud": "us", "sub": "u1", "tenant_id": "t1", "exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}
