package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
)

var secret = []byte("a secret of webhooks")

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// receiver keeps what it is sent and answers with a status.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	status int
	bad    int // signatures
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !Verify(secret, req.Header.Get(SignatureHeader), body, time.Now(), time.Minute) {
		r.bad++
	}
	r.bodies = append(r.bodies, string(body))
	w.WriteHeader(r.status)
}

func hooks(t *testing.T, cfg Config) fraiseql.Hooks {
	t.Helper()
	cfg.Secret = secret
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h.Hooks()
}

func TestCalls(t *testing.T) {
	r := newReceiver(t)
	h := hooks(t, Config{Connect: r.URL, Subscribe: r.URL + "/s", Disconnect: r.URL + "/d", Recheck: r.URL + "/r", Networks: loopback})
	who := &fraiseql.Identity{UserID: "u", TenantID: "t", Roles: []string{"r"}, TokenID: "j", ExpiresAt: time.Unix(1, 0).UTC(), Claims: map[string]any{"secret": 1}}
	if err := h.OnConnect(t.Context(), who); err != nil {
		t.Error(err)
	}
	if err := h.OnSubscribe(t.Context(), fraiseql.Subscribing{Identity: who, Channel: "c", Field: "f", Query: "q", OperationName: "o", Variables: []byte(`{"a":1}`)}); err != nil {
		t.Error(err)
	}
	h.OnDisconnect(t.Context(), who)
	if err := h.OnRecheck(t.Context(), who); err != nil {
		t.Error(err)
	}
	const id = `"identity":{"user_id":"u","tenant_id":"t","roles":["r"],"token_id":"j","expires_at":"1970-01-01T00:00:01Z"}`
	want := []string{`{"event":"connect",` + id + `}`,
		`{"event":"subscribe",` + id + `,"channel":"c","field":"f","query":"q","operation_name":"o","variables":{"a":1}}`,
		`{"event":"disconnect",` + id + `}`, `{"event":"recheck",` + id + `}`}
	for i, w := range want {
		if r.bodies[i] != w {
			t.Errorf("got  %s\nwant %s", r.bodies[i], w)
		}
	}
	if r.bad > 0 {
		t.Errorf("%d signatures are wrong", r.bad)
	}
	if err := h.OnSubscribe(t.Context(), fraiseql.Subscribing{Identity: who, Query: strings.Repeat("q", queryBytes+1), Variables: []byte(`{"a":"` + strings.Repeat("x", queryBytes) + `"}`)}); err != nil {
		t.Error(err)
	}
	if last := r.bodies[len(r.bodies)-1]; strings.Contains(last, "query") || strings.Contains(last, "variables") || !json.Valid([]byte(last)) {
		t.Errorf("what is too long was sent: %.100s", last)
	}
}

// Whatever is no clear answer is no judgement.
func TestJudgements(t *testing.T) {
	r := newReceiver(t)
	h := hooks(t, Config{Connect: r.URL, Timeout: 20 * time.Second, Networks: loopback})
	for status, want := range map[int]string{200: "", 202: "", 204: "", 401: "refused", 403: "refused", 302: "status 302", 400: "status 400", 404: "status 404", 429: "status 429", 500: "status 500", 503: "status 503"} {
		r.status = status
		err := h.OnConnect(t.Context(), &fraiseql.Identity{})
		switch {
		case want == "" && err != nil, want == "refused" && !errors.Is(err, fraiseql.ErrRefused):
			t.Errorf("%d: %v", status, err)
		case strings.HasPrefix(want, "status") && (err == nil || errors.Is(err, fraiseql.ErrRefused) || !strings.Contains(err.Error(), want)):
			t.Errorf("%d: %v", status, err)
		}
	}
	r.Close()
	if err := h.OnConnect(t.Context(), &fraiseql.Identity{}); err == nil || errors.Is(err, fraiseql.ErrRefused) {
		t.Errorf("nobody answers: %v", err)
	}
}

// A receiver that does not answer is given up. (One whose name leads to a private address: internal/outbound.)
func TestReceiversThatAreNotCalled(t *testing.T) {
	held := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer silent.Close()
	defer close(held)
	h := hooks(t, Config{Connect: silent.URL, Timeout: 50 * time.Millisecond, Networks: loopback})
	if err := h.OnConnect(t.Context(), &fraiseql.Identity{}); err == nil || errors.Is(err, fraiseql.ErrRefused) {
		t.Errorf("no answer: %v", err)
	}
}

func TestConfigurations(t *testing.T) {
	for _, cfg := range []Config{{Secret: secret}, {Connect: "https://a.example/x"}, {Connect: "https://a.example/x", Secret: []byte("short")}, {Connect: "ftp://a", Secret: secret}, {Connect: "nonsense", Secret: secret},
		{Connect: "http://127.0.0.1/x", Secret: secret}, {Recheck: "http://[::1]:1/x", Secret: secret}, {Connect: "http://10.0.0.1/x", Networks: loopback, Secret: secret}, {Connect: "http://LOCALHOST./", Secret: secret}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v accepted", cfg)
		}
	}
}

func TestVerify(t *testing.T) {
	now, body := time.Unix(1_800_000_000, 0), []byte(`{"a":1}`)
	right := Sign(secret, now, body)
	for _, tt := range []struct {
		name, signature string
		body            string
		after           time.Duration
		want            bool
	}{
		{"right", right, string(body), 0, true},
		{"within the tolerance", right, string(body), time.Minute, true},
		{"old", right, string(body), time.Minute + time.Second, false},
		{"of the future", right, string(body), -time.Minute - time.Second, false},
		{"another body", right, `{"a":2}`, 0, false},
		{"another time", "t=1800000001" + right[len("t=1800000000"):], string(body), 0, false},
		{"cut", right[:len(right)-2], string(body), 0, false},
		{"empty", "", string(body), 0, false},
		{"no time", strings.Replace(right, "t=1800000000", "t=", 1), string(body), 0, false},
		{"no hex", "t=1800000000,v1=zz", string(body), 0, false},
	} {
		if got := Verify(secret, tt.signature, []byte(tt.body), now.Add(tt.after), time.Minute); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if Verify([]byte("another secret of webhooks"), right, body, now, time.Minute) {
		t.Error("another secret")
	}
}
