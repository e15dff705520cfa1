package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/auth/webhook"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const hookSecret = "a secret of webhooks"

// hookEndpoint judges by the user's name: "<event>-refused", "<event>-broken"; everybody else is welcome.
type hookEndpoint struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string // "event user"
	forged int
}

func newHookEndpoint(t *testing.T) *hookEndpoint {
	h := &hookEndpoint{}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hookEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct {
		Event    string
		Identity struct {
			User string `json:"user_id"`
		}
	}
	err := json.Unmarshal(body, &m)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || !webhook.Verify([]byte(hookSecret), r.Header.Get(webhook.SignatureHeader), body, time.Now(), time.Minute) {
		h.forged++
	}
	h.asked = append(h.asked, m.Event+" "+m.Identity.User)
	switch m.Identity.User {
	case m.Event + "-refused":
		w.WriteHeader(http.StatusForbidden)
	case m.Event + "-broken":
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// times is how often an event of a user was told.
func (h *hookEndpoint) times(event, user string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.asked {
		if a == event+" "+user {
			n++
		}
	}
	return n
}

// await waits until an event of a user was told so often.
func (h *hookEndpoint) await(t *testing.T, event, user string, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); h.times(event, user) < n; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s of %s was told %d times, want %d", event, user, h.times(event, user), n)
		}
	}
}

// hookedTransport subscribes as a user. The answer is "", or how it was refused; end ends what was opened.
type hookedTransport struct {
	name string
	open func(s *assembled, router *testkit.Router, token string) (refusal string, end func())
	// what a refusal of each hook looks like, and a failure
	connectRefused, connectBroken, subscribeRefused, subscribeBroken string
}

const (
	undecidedConnection   = "A hook of the server could not judge the connection, try again later"
	undecidedSubscription = "A hook of the server could not judge the subscription, try again later."
	refusedSubscription   = `"message":"The server refuses this subscription."`
)

var hookedTransports = []hookedTransport{
	{"websocket", hookedSocket, "4403 Forbidden", "1013 " + undecidedConnection, refusedSubscription + `,"extensions":{"code":"FORBIDDEN"`, undecidedSubscription + `","extensions":{"code":"INTERNAL_SERVER_ERROR"`},
	{"sse", hookedStream("text/event-stream"), `403 {"errors":[{"message":"the connection is refused","code":"FORBIDDEN"`, `503 {"errors":[{"message":"a hook of the server could not judge the connection, try again later","code":"INTERNAL_SERVER_ERROR"`,
		"FORBIDDEN", "INTERNAL_SERVER_ERROR"},
	{"multipart", hookedStream("multipart/mixed;subscriptionSpec=1.0"), `403 {"errors":[{"message":"the connection is refused","code":"FORBIDDEN"`, `503 {"errors":[{"message":"a hook of the server could not judge the connection, try again later","code":"INTERNAL_SERVER_ERROR"`,
		"403 ", "500 "},
	{"callback", hookedCallback, `403 {"errors":[{"message":"the connection is refused","code":"FORBIDDEN"`, `503 {"errors":[{"message":"a hook of the server could not judge the connection, try again later","code":"INTERNAL_SERVER_ERROR"`,
		"403 ", "500 "},
}

func hookedSocket(s *assembled, _ *testkit.Router, token string) (refusal string, end func()) {
	talk := testkit.DialTalk(s.t, "ws://"+s.addr+"/graphql")
	talk.Send(`{"type":"connection_init","payload":{"authorization":"Bearer ` + token + `"}}`)
	if _, err := talk.TryRead(); err != nil {
		bye := websocket.CloseError{}
		if !errors.As(err, &bye) {
			s.t.Fatal(err)
		}
		return fmt.Sprint(int(bye.Code), " ", bye.Reason), talk.Close
	}
	before := s.Engine.Stats().Subscriptions
	talk.Send(`{"id":"1","type":"subscribe","payload":{"query":"` + someOrders + `"}}`)
	talk.Send(`{"type":"ping"}`)
	for {
		switch got := talk.Read(); {
		case strings.Contains(got, `"error"`):
			return got, talk.Close
		case s.Engine.Stats().Subscriptions > before:
			return "", talk.Close
		}
		talk.Send(`{"type":"ping"}`)
	}
}

func hookedStream(accept string) func(*assembled, *testkit.Router, string) (string, func()) {
	return func(s *assembled, _ *testkit.Router, token string) (refusal string, end func()) {
		res := s.request("POST", `{"query":"`+someOrders+`"}`, "Content-Type", js, "Accept", accept, "Authorization", "Bearer "+token)
		end = func() { _ = res.Body.Close() }
		if res.StatusCode == 200 && s.Engine.Stats().Subscriptions > 0 {
			return "", end
		}
		text, err := io.ReadAll(res.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		return fmt.Sprint(res.StatusCode, " ", string(text)), end
	}
}

func hookedCallback(s *assembled, router *testkit.Router, token string) (refusal string, end func()) {
	id := fmt.Sprint(time.Now().UnixNano())
	got := s.subscribeBy(router.Expect(id, "v", 0), token)
	end = func() { router.Forget(id); s.publish(mine) }
	if got.status == 200 {
		return "", end
	}
	return fmt.Sprint(got.status, " ", got.body), end
}

// A server asks its hooks about connections and subscriptions over every transport, tells of the end of those that it has
// let in, and says to clients and in the log which hook it was.
func TestWebhooks(t *testing.T) {
	for _, tt := range hookedTransports {
		t.Run(tt.name, func(t *testing.T) {
			endpoint, router, log := newHookEndpoint(t), testkit.NewRouter(t), &logBuffer{}
			url := endpoint.URL
			s := assembleWith(t, config.Source{}, withJWT+"callback: {allowed_urls: ["+router.URL+"*], allowed_networks: [127.0.0.0/8]}\n"+
				`hooks: {on_connect.url: "`+url+`", on_subscribe.url: "`+url+`", on_disconnect.url: "`+url+`", secret: `+hookSecret+`, networks: ["127.0.0.0/8"], timeout: 20s}`+"\n",
				Parts{Version: "test", Logger: NewLogger(log, config.Log{Format: "text"})})
			for user, want := range map[string]string{
				"welcome": "", "connect-refused": tt.connectRefused, "connect-broken": tt.connectBroken,
				"subscribe-refused": tt.subscribeRefused, "subscribe-broken": tt.subscribeBroken,
				"disconnect-broken": "",
			} {
				got, end := tt.open(s, router, sign(t, func(c jwt.MapClaims) { c["sub"] = user }))
				if !strings.Contains(got, want) || (want == "") != (got == "") {
					t.Errorf("%s: %q, want %q", user, got, want)
				}
				end()
				s.awaitSubscriptions(0)
				in := !strings.HasPrefix(user, "connect-")
				if in {
					endpoint.await(t, "disconnect", user, 1)
				}
				if n := endpoint.times("connect", user); n != 1 || endpoint.times("subscribe", user) != map[bool]int{true: 1}[in] {
					t.Errorf("%s: asked %d times about the connection, %d about the subscription", user, n, endpoint.times("subscribe", user))
				}
			}
			for _, user := range []string{"connect-refused", "connect-broken"} {
				if n := endpoint.times("disconnect", user); n != 0 {
					t.Errorf("told %d times that %s has left, who was not let in", n, user)
				}
			}
			s.awaitLog(log, `msg="a hook refused" hook=connect`, `msg="a hook refused" hook=subscribe`,
				`msg="a hook failed: what it gates does not happen" hook=connect error="webhook connect: status 500"`,
				`hook=subscribe error="webhook subscribe: status 500"`, `hook=disconnect error="webhook disconnect: status 500"`)
			if strings.Contains(log.String(), "-broken") || strings.Contains(log.String(), "-refused") || endpoint.forged > 0 {
				t.Errorf("%d signatures are wrong; log\n%s", endpoint.forged, log)
			}
		})
	}
}

// awaitLog waits until the log has all these texts.
func (s *assembled) awaitLog(log *logBuffer, texts ...string) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		missing := ""
		for _, text := range texts {
			if !strings.Contains(log.String(), text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("the log does not say %q:\n%s", missing, log)
		}
	}
}
