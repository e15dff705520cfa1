package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/auth/webhook"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// A server asks its hooks about connections over every transport, and about subscriptions.
func TestWebhooks(t *testing.T) {
	const secret = "a secret of webhooks"
	var forged atomic.Int32
	ended := make(chan struct{}, 10)
	operator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := string(body)
		if !webhook.Verify([]byte(secret), r.Header.Get(webhook.SignatureHeader), body, time.Now(), time.Minute) {
			forged.Add(1)
		}
		switch {
		case strings.Contains(text, `"event":"disconnect"`):
			ended <- struct{}{}
		case strings.Contains(text, `"event":"connect"`) && strings.Contains(text, `"user_id":"barred"`),
			strings.Contains(text, `"event":"subscribe"`) && strings.Contains(text, `"user_id":"silent"`):
			w.WriteHeader(http.StatusForbidden)
		case strings.Contains(text, `"user_id":"odd"`):
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer operator.Close()
	s := assemble(t, config.Source{}, withJWT+`hooks: {on_connect.url: "`+operator.URL+`", on_subscribe.url: "`+operator.URL+`", on_disconnect.url: "`+operator.URL+`", secret: `+secret+`, networks: ["127.0.0.0/8"], timeout: 20s}`+"\n")
	as := func(user string) string { return sign(t, func(c jwt.MapClaims) { c["sub"] = user }) }
	url := "ws://" + s.addr + "/graphql"

	good := testkit.DialTalk(t, url).Init(as("good"))
	good.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
	s.live(1)
	silent := testkit.DialTalk(t, url).Init(as("silent"))
	silent.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
	if got := silent.Read(); !strings.Contains(got, `"code":"FORBIDDEN"`) {
		t.Errorf("got %s", got)
	}
	for user, want := range map[string]int{"barred": 4403, "odd": 1013} {
		talk := testkit.DialTalk(t, url)
		talk.Send(`{"type":"connection_init","payload":{"authorization":"Bearer ` + as(user) + `"}}`)
		if code, _ := talk.Closed(); code != want {
			t.Errorf("%s: closed with %d", user, code)
		}
	}
	for user, want := range map[string]int{"barred": 403, "odd": 503, "silent": 200, "good": 200} {
		status, end := s.stream(as(user))
		if end(); status != want {
			t.Errorf("a stream of %s: %d, want %d", user, status, want)
		}
	}
	good.Close()
	for range 3 { // good twice, and the stream of silent, which was let in; the WebSocket of silent is still there
		<-ended
	}
	if n := forged.Load(); n > 0 {
		t.Errorf("%d signatures are wrong", n)
	}
}
