package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/coder/websocket"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// living is one subscription to orders, over one of the transports.
type living interface {
	// name is by which it is given fresh credentials.
	name() string
	// next is the payload of the next result.
	next() string
	// end is how it ends, results in between apart.
	end() string
}

// lifetimes are the transports, and how each says that the credentials have expired or were revoked.
var lifetimes = []struct {
	name             string
	open             func(s *assembled, router *testkit.Router, token string) living
	expired, revoked string
}{
	{"graphql-transport-ws", openModern, "4403 Forbidden: credentials have expired", "4403 Forbidden: the credentials were revoked"},
	{"graphql-ws", openLegacy, "4403 Forbidden: credentials have expired", "4403 Forbidden: the credentials were revoked"},
	{"SSE distinct", openDistinct, "breaks off", "breaks off"},
	{"SSE single", openSingle, "breaks off", "breaks off"},
	{"multipart", openMultipart, "breaks off", "breaks off"},
	{"callback", openCallback, `[{"message":"the credentials have expired or were revoked","extensions":{"code":"UNAUTHENTICATED"}}]`,
		`[{"message":"the credentials have expired or were revoked","extensions":{"code":"UNAUTHENTICATED"}}]`},
}

// mortal is a server on which credentials end on time.
func mortal(t *testing.T) (*assembled, *testkit.Router) {
	return subgraph(t, "auth.jwt.leeway: 0s\nlimits.init_timeout: 1s\nprotocols.legacy_graphql_ws: true\n")
}

// within returns a token that ends after so many seconds.
func within(t *testing.T, seconds int) string {
	return sign(t, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(time.Duration(seconds) * time.Second).Unix() })
}

func (s *assembled) order(id string) {
	s.publish(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"` + id + `"}}`)
}

// Credentials that end, end what was opened with them, and say so in the way of each transport.
func TestExpiryMidStream(t *testing.T) {
	for _, tt := range lifetimes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, router := mortal(t)
			l := tt.open(s, router, within(t, 2))
			s.order("before")
			if got := l.next(); got != `{"data":{"orders":{"id":"before"}}}` {
				t.Errorf("before: %s", got)
			}
			if got := l.end(); got != tt.expired {
				t.Errorf("ended with %s, want %s", got, tt.expired)
			}
			s.awaitSubscriptions(0)
		})
	}
}

// Fresh credentials that are sent by HTTP let a subscription live on, over every transport; what is no good for it does
// not.
func TestRefreshMidStream(t *testing.T) {
	for _, tt := range lifetimes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, router := mortal(t)
			l := tt.open(s, router, within(t, 3))
			witness := openModern(s, router, within(t, 3))
			s.refuseRefreshes(l.name())
			if got := s.refresh(l.name(), within(t, 3600)); got.status != 200 || got.body != `{"refreshed":true,"expiresIn":3599}` && got.body != `{"refreshed":true,"expiresIn":3600}` {
				t.Fatalf("%d %s", got.status, got.body)
			}
			witness.end()
			for i := range 3 {
				id := strconv.Itoa(i)
				s.order(id)
				if got := l.next(); got != `{"data":{"orders":{"id":"`+id+`"}}}` {
					t.Fatalf("after the end of the first credentials: %s", got)
				}
			}
			if got := s.refresh(l.name(), within(t, 2)); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if got := l.end(); got != tt.expired {
				t.Errorf("ended with %s, want %s", got, tt.expired)
			}
			s.awaitSubscriptions(0)
			if got := s.refresh(l.name(), within(t, 2)); got.status != 404 {
				t.Errorf("of a stream that has ended: %d %s", got.status, got.body)
			}
		})
	}
}

// refresh sends fresh credentials in the header.
func (s *assembled) refresh(name, token string, more ...string) answered {
	s.t.Helper()
	return send(s.t, "POST", "http://"+s.addr+"/graphql/refresh", "", append([]string{"X-FraiseQL-Stream", name, "Authorization", "Bearer " + token}, more...)...)
}

// refuseRefreshes sends what must not refresh a stream.
func (s *assembled) refuseRefreshes(name string) {
	s.t.Helper()
	t, good := s.t, within(s.t, 3600)
	other := func(claim string) string { return sign(t, func(c jwt.MapClaims) { c[claim] = "other" }) }
	parts := strings.Split(name, ".")
	forged := strings.Join(append(parts[:3:3], "AAAAAAAAAAAAAAAAAAAAAA"), ".")
	unknown := strings.Join(append(parts[:2:2], "AAAAAAAAAAAAAAAAAAAAAA", parts[3]), ".")
	for _, tt := range []struct {
		what   string
		status int
		got    answered
	}{
		{"no token", 401, send(t, "POST", "http://"+s.addr+"/graphql/refresh", "", "X-FraiseQL-Stream", name)},
		{"a bad token", 401, s.refresh(name, "nonsense")},
		{"another user", 403, s.refresh(name, other("sub"))},
		{"another tenant", 403, s.refresh(name, other("tenant_id"))},
		{"no name", 400, s.refresh("", good)},
		{"a forged name", 404, s.refresh(forged, good)},
		{"an unknown name", 404, s.refresh(unknown, good)},
		{"nonsense as a name", 404, s.refresh("nonsense", good)},
		{"a name of another node", 421, s.refresh("elsewhere."+strings.Join(parts[1:], "."), good)},
		{"a foreign page", 403, s.refresh(name, good, "Origin", "https://evil.example")},
		{"a page without an origin", 403, s.refresh(name, good, "Sec-Fetch-Site", "cross-site")},
		{"a form", 415, send(t, "POST", "http://"+s.addr+"/graphql/refresh", "a=b", "X-FraiseQL-Stream", name, "Content-Type", "application/x-www-form-urlencoded")},
		{"a body that is no object", 400, send(t, "POST", "http://"+s.addr+"/graphql/refresh", "[]", "X-FraiseQL-Stream", name, "Content-Type", js)},
		{"a GET", 405, send(t, "GET", "http://"+s.addr+"/graphql/refresh", "", "X-FraiseQL-Stream", name)},
	} {
		if tt.got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.what, tt.got.status, tt.got.body, tt.status)
		}
	}
	body := `{"authorization":"Bearer ` + good + `"}`
	if got := send(t, "POST", "http://"+s.addr+"/graphql", body, "X-FraiseQL-Stream", name, "Content-Type", js); got.status != 200 {
		t.Errorf("in the body, at /graphql: %d %s", got.status, got.body)
	}
}

// A revocation ends what was opened with the credentials, and nothing else.
func TestRevocationMidStream(t *testing.T) {
	for _, tt := range lifetimes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, router := mortal(t)
			token := func(id string) string {
				return sign(t, func(c jwt.MapClaims) { c["jti"], c["iat"] = id, time.Now().Unix() })
			}
			stays := openDistinct(s, router, token("good"))
			goes := tt.open(s, router, token("bad"))
			if err := s.Engine.Revoke(t.Context(), fraiseql.Revocation{TokenID: "bad"}); err != nil {
				t.Fatal(err)
			}
			if got := goes.end(); got != tt.revoked {
				t.Errorf("ended with %s, want %s", got, tt.revoked)
			}
			if got := s.refresh(goes.name(), token("good")); got.status != 404 {
				t.Errorf("a refresh afterwards: %d %s", got.status, got.body)
			}
			if got := s.refresh(stays.name(), token("bad")); got.status != 401 {
				t.Errorf("a refresh with what was revoked: %d %s", got.status, got.body)
			}
			s.order("after")
			if got := stays.next(); got != `{"data":{"orders":{"id":"after"}}}` {
				t.Errorf("the other: %s", got)
			}
			s.awaitSubscriptions(1)
		})
	}
}

// socket is a living over a WebSocket.
type socket struct {
	t     *testing.T
	conn  *websocket.Conn
	named string
	kind  string // of messages with results
}

func openModern(s *assembled, _ *testkit.Router, token string) living {
	return s.socket("graphql-transport-ws", "subscribe", "next", token)
}

func openLegacy(s *assembled, _ *testkit.Router, token string) living {
	return s.socket("graphql-ws", "start", "data", token)
}

func (s *assembled) socket(protocol, start, kind, token string) living {
	s.t.Helper()
	before := s.Engine.Stats().Subscriptions
	conn, _, err := websocket.Dial(s.t.Context(), "ws://"+s.addr+"/graphql", &websocket.DialOptions{Subprotocols: []string{protocol}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	w := &socket{t: s.t, conn: conn, kind: kind}
	w.send(`{"type":"connection_init","payload":{"stream":true,"authorization":"Bearer ` + token + `"}}`)
	var ack struct {
		Type    string
		Payload struct{ Stream string }
	}
	if err := json.Unmarshal([]byte(w.read()), &ack); err != nil || ack.Type != "connection_ack" || ack.Payload.Stream == "" {
		s.t.Fatalf("acknowledged with %+v, %v", ack, err)
	}
	w.named = ack.Payload.Stream
	w.send(`{"id":"1","type":"` + start + `","payload":{"query":"subscription { orders { id } }"}}`)
	s.awaitSubscriptions(before + 1)
	return w
}

func (w *socket) send(text string) {
	w.t.Helper()
	if err := w.conn.Write(w.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *socket) read() string {
	w.t.Helper()
	_, text, err := w.conn.Read(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func (w *socket) name() string { return w.named }

func (w *socket) next() string {
	w.t.Helper()
	for {
		var m struct {
			Type    string
			Payload json.RawMessage
		}
		if err := json.Unmarshal([]byte(w.read()), &m); err != nil {
			w.t.Fatal(err)
		}
		if m.Type == w.kind {
			return string(m.Payload)
		}
	}
}

func (w *socket) end() string {
	for {
		_, _, err := w.conn.Read(w.t.Context())
		if bye := (websocket.CloseError{}); errors.As(err, &bye) {
			return fmt.Sprint(int(bye.Code), " ", bye.Reason)
		}
		if err != nil {
			return err.Error()
		}
	}
}

// body is a living that is the body of an answer.
type body struct {
	t     *testing.T
	lines *bufio.Reader
	named string
}

func (s *assembled) body(method, content string, header ...string) *body {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+"/graphql", strings.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 {
		s.t.Fatalf("a stream: %d", res.StatusCode)
	}
	return &body{s.t, bufio.NewReader(res.Body), res.Header.Get("X-FraiseQL-Stream")}
}

const namedQuery = `{"query":"subscription { orders { id } }","extensions":{"stream":true}}`

// first reads the message that tells the name.
func (b *body) first() living {
	b.t.Helper()
	if got := b.next(); b.named == "" || got != `{"data":null,"extensions":{"stream":"`+b.named+`"}}` {
		b.t.Fatalf("the first message is %s, the name %q", got, b.named)
	}
	return b
}

func openDistinct(s *assembled, _ *testkit.Router, token string) living {
	return s.body("POST", namedQuery, "Content-Type", js, "Accept", "text/event-stream", "Authorization", "Bearer "+token).first()
}

func openMultipart(s *assembled, _ *testkit.Router, token string) living {
	return s.body("POST", namedQuery, "Content-Type", js, "Accept", "multipart/mixed;subscriptionSpec=1.0", "Authorization", "Bearer "+token).first()
}

func openSingle(s *assembled, _ *testkit.Router, token string) living {
	s.t.Helper()
	with := []string{"Authorization", "Bearer " + token, "Content-Type", js}
	name := send(s.t, "PUT", "http://"+s.addr+"/graphql", "", with...).body
	with = append(with, "X-GraphQL-Event-Stream-Token", name)
	b := s.body("GET", "", append(with, "Accept", "text/event-stream")...)
	b.named = name
	if got := send(s.t, "POST", "http://"+s.addr+"/graphql", `{"query":"subscription { orders { id } }","extensions":{"operationId":"1"}}`, with...); got.status != 202 {
		s.t.Fatalf("an operation: %d %s", got.status, got.body)
	}
	return b
}

func (b *body) name() string { return b.named }

// next finds the payload in a line of either kind of stream.
func (b *body) next() string {
	b.t.Helper()
	for {
		line, err := b.lines.ReadString('\n')
		if err != nil {
			b.t.Fatal(err)
		}
		text, _ := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		var m struct{ Payload, Data json.RawMessage }
		if json.Unmarshal([]byte(text), &m) != nil {
			continue
		}
		if m.Payload != nil {
			return string(m.Payload)
		}
		if m.Data != nil {
			return text
		}
	}
}

func (b *body) end() string {
	_, err := io.Copy(io.Discard, b.lines)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "breaks off"
	}
	return fmt.Sprint("ends with ", err)
}

// called is a living by callback.
type called struct {
	router *testkit.Router
	named  string
}

func openCallback(s *assembled, router *testkit.Router, token string) living {
	s.t.Helper()
	extensions := router.Expect("one", "v", time.Minute)
	extensions["stream"] = true
	got := s.subscribeBy(extensions, token)
	if got.status != 200 {
		s.t.Fatalf("%d %s", got.status, got.body)
	}
	return &called{router, got.header.Get("X-FraiseQL-Stream")}
}

func (c *called) name() string { return c.named }

func (c *called) next() string { return string(c.router.Next().Payload) }

func (c *called) end() string {
	for {
		if m := c.router.Next(); m.Action == "complete" {
			return string(m.Errors)
		}
	}
}
