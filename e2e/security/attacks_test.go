package security

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/jwtauth"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const (
	codeForbidden     = 4403
	codeTryAgainLater = 1013
)

func b64(s []byte) string { return base64.RawURLEncoding.EncodeToString(s) }

// forge signs header and claims with an HMAC secret, whatever the header says.
func forge(header, claims string, secret []byte) string {
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

// rightClaims are what an attacker would like to be believed.
func rightClaims(change string) string {
	exp, _ := json.Marshal(time.Now().Add(time.Hour).Unix())
	return `{"iss":"https://issuer","aud":"fraiseql","sub":"admin","tenant_id":"acme","exp":` + string(exp) + change + `}`
}

// attack is a token, and the reason under which its refusal is counted.
type attack struct{ name, token, reason string }

func onSecret(secret []byte) []attack {
	hs := `{"alg":"HS256","typ":"JWT"}`
	soon, _ := json.Marshal(time.Now().Add(time.Hour).Unix())
	without := func(claims string) string { return forge(hs, claims, secret) }
	return []attack{
		{"alg none", b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(rightClaims(""))) + ".", "algorithm"},
		{"alg NoNe", b64([]byte(`{"alg":"NoNe"}`)) + "." + b64([]byte(rightClaims(""))) + ".", "algorithm"},
		{"alg none with a signature", forge(`{"alg":"none"}`, rightClaims(""), secret), "algorithm"},
		{"signature left out", strings.TrimRight(forge(hs, rightClaims(""), secret), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), "signature"},
		{"another secret", forge(hs, rightClaims(""), []byte("another secret of enough length!")), "signature"},
		{"an empty secret", forge(hs, rightClaims(""), nil), "signature"},
		{"RS256 signed with the secret", forge(`{"alg":"RS256"}`, rightClaims(""), secret), "algorithm"},
		{"expired", without(`{"iss":"https://issuer","aud":"fraiseql","sub":"admin","exp":1700000000}`), "expired"},
		{"no expiry", without(`{"iss":"https://issuer","aud":"fraiseql","sub":"admin"}`), "claims"},
		{"expiry as text", without(`{"iss":"https://issuer","aud":"fraiseql","sub":"admin","exp":"` + string(soon) + `"}`), "claims"},
		{"wrong audience", without(`{"iss":"https://issuer","aud":"other","sub":"admin","exp":` + string(soon) + `}`), "audience"},
		{"no audience", without(`{"iss":"https://issuer","sub":"admin","exp":` + string(soon) + `}`), "claims"},
		{"wrong issuer", without(`{"iss":"https://evil","aud":"fraiseql","sub":"admin","exp":` + string(soon) + `}`), "issuer"},
		{"not yet valid", without(rightClaims(`,"nbf":4102444800`)), "not_yet_valid"},
		{"issued in the future", without(rightClaims(`,"iat":4102444800`)), "not_yet_valid"},
		{"claim twice", without(rightClaims(`,"sub":"alice"`)), "malformed"},
		{"user is a list", without(strings.Replace(rightClaims(""), `"admin"`, `["admin"]`, 1)), "claims"},
		{"critical extension", forge(`{"alg":"HS256","crit":["x"],"x":1}`, rightClaims(""), secret), "malformed"},
		{"kid is an object", forge(`{"alg":"HS256","kid":{"$gt":""}}`, rightClaims(""), secret), "malformed"},
		{"kid is a path, signed with that file's content", forge(`{"alg":"HS256","kid":"../../../../dev/null"}`, rightClaims(""), nil), "signature"},
		{"kid is SQL, signed with what it selects", forge(`{"alg":"HS256","kid":"x' UNION SELECT 'key'--"}`, rightClaims(""), []byte("key")), "signature"},
		{"jwk of one's own", forge(`{"alg":"HS256","jwk":{"kty":"oct","k":"a2V5"}}`, rightClaims(""), []byte("key")), "signature"},
		{"jku of one's own", forge(`{"alg":"HS256","jku":"http://127.0.0.1:1/"}`, rightClaims(""), []byte("key")), "signature"},
		{"wrong typ", forge(`{"alg":"HS256","typ":"logout+jwt"}`, rightClaims(""), secret), "malformed"},
		{"huge", strings.Repeat("A", 20<<10), "malformed"},
		{"encrypted", "e30.e30.e30.e30.e30", "malformed"},
		{"not a token", "let-me-in", "malformed"},
	}
}

// refusedWith opens a socket with those credentials and fails unless it is closed with the code and nothing
// but the counter tells why.
func (s *server) refusedWith(t *testing.T, payload string, code int, reason string, head ...string) {
	t.Helper()
	before := s.counts.failures(reason)
	c := s.dial(t, head...)
	m := message{Type: "connection_init"}
	if payload != "" {
		m.Payload = json.RawMessage(payload)
	}
	c.send(m)
	if got := c.closed(); got != code {
		t.Errorf("closed with %d, want %d", got, code)
	}
	if n := s.counts.failures(reason) - before; n != 1 {
		t.Errorf("%d refusals counted as %s, want 1; all: %v", n, reason, s.counts.auth)
	}
}

func bearer(token string) string { return `{"authorization":"Bearer ` + token + `"}` }

func TestAttacksOnTokensAreRefusedAndCounted(t *testing.T) {
	secret := []byte(testkit.Secret)
	a, err := jwtauth.New(jwtauth.Config{Secret: secret, Issuer: "https://issuer", Audience: "fraiseql"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: a, Cookie: "session", Anonymous: true})
	origin := "Origin: http://" + s.Listener.Addr().String()
	for _, tt := range onSecret(secret) {
		t.Run(tt.name, func(t *testing.T) {
			s.refusedWith(t, bearer(tt.token), codeForbidden, tt.reason)
			s.refusedWith(t, "", codeForbidden, tt.reason, "Authorization: Bearer "+tt.token)
			s.refusedWith(t, "", codeForbidden, tt.reason, origin, "Cookie: session="+tt.token)
		})
	}
	good := forge(`{"alg":"HS256","kid":"/etc/passwd"}`, rightClaims(""), secret)
	c := s.dial(t)
	c.send(message{Type: "connection_init", Payload: json.RawMessage(bearer(good))})
	if m := c.receive(); m.Type != "connection_ack" {
		t.Errorf("a right token: %+v", m)
	}
}

// TestCredentialsNeverFallThrough: what is present and wrong refuses, though the next would be right.
func TestCredentialsNeverFallThrough(t *testing.T) {
	s := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: tokens(t), Cookie: "session", Anonymous: true})
	good := testkit.Token(t, alice)
	origin := "Origin: http://" + s.Listener.Addr().String()
	right := []string{"Authorization: Bearer " + good, origin, "Cookie: session=" + good}
	for name, payload := range map[string]string{
		"wrong token": bearer("x.y.z"), "empty": `{"authorization":""}`, "null": `{"authorization":null}`, "list": `{"authorization":["Bearer ` + good + `"]}`,
		"no scheme": `{"authorization":"` + good + `"}`, "twice": `{"authorization":"Bearer ` + good + `","Authorization":"Bearer x"}`,
	} {
		t.Run("payload: "+name, func(t *testing.T) { s.refusedWith(t, payload, codeForbidden, "malformed", right...) })
	}
	for name, header := range map[string]string{"wrong token": "Bearer x.y.z", "basic": "Basic YTpi", "empty token": "Bearer "} {
		t.Run("header: "+name, func(t *testing.T) {
			s.refusedWith(t, "", codeForbidden, "malformed", "Authorization: "+header, right[1], right[2])
		})
	}
	t.Run("two headers", func(t *testing.T) {
		s.refusedWith(t, "", codeForbidden, "malformed", right[0], right[0])
	})
}

// TestACookieNeedsAnOriginThatPasses: another site's page cannot use the visitor's cookie.
func TestACookieNeedsAnOriginThatPasses(t *testing.T) {
	s := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: tokens(t), Cookie: "session"})
	cookie := "Cookie: session=" + testkit.Token(t, alice)
	s.refusedWith(t, "", codeForbidden, "missing", cookie) // no Origin: not a browser's page
	for _, origin := range []string{"http://evil.example", "null", "http://" + s.Listener.Addr().String() + ".evil.example"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
			"Sec-WebSocket-Protocol": "graphql-transport-ws", "Origin": origin, "Cookie": "session=" + testkit.Token(t, alice),
		} {
			req.Header.Set(name, v)
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d", origin, resp.StatusCode)
		}
	}
}

func TestWithoutCredentials(t *testing.T) {
	closed := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: tokens(t)})
	for _, payload := range []string{"", `{}`, `{"token":"x"}`} {
		closed.refusedWith(t, payload, codeForbidden, "missing")
	}
	open := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: tokens(t), Anonymous: true})
	c := open.dial(t)
	c.send(message{Type: "connection_init"})
	if m := c.receive(); m.Type != "connection_ack" {
		t.Fatalf("got %+v", m)
	}
	c.subscribe("op", `subscription { order { id } }`, nil)
	open.publish(t, order("no", nil), order("no", func(e *fraiseql.Event) { e.TenantID, e.UserID = "", "alice" }), order("all", func(e *fraiseql.Event) { e.TenantID, e.Broadcast = "", true }))
	if got := c.next("op"); got != `{"order":{"id":"all"}}` {
		t.Errorf("arrived at nobody: %s", got)
	}
}

// TestAPublicKeyIsNoSecret signs with the text of the public key, which everybody knows.
func TestAPublicKeyIsNoSecret(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	a, err := jwtauth.New(jwtauth.Config{PublicKey: public, Issuer: "*", Audience: "*"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: a})
	for _, secret := range [][]byte{public, der, key.N.Bytes()} {
		s.refusedWith(t, bearer(forge(`{"alg":"HS256"}`, rightClaims(""), secret)), codeForbidden, "algorithm")
		s.refusedWith(t, bearer(forge(`{"alg":"RS256"}`, rightClaims(""), secret)), codeForbidden, "signature")
	}
}

// TestKeysOfAnIssuer: a key id leads to the configured set and nowhere else; an issuer that is down is not the
// client's fault.
func TestKeysOfAnIssuer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	set := `{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"` + b64(point[1:33]) + `","y":"` + b64(point[33:]) + `"}]}`
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(set)) }))
	defer issuer.Close()
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusBadGateway) }))
	defer down.Close()
	connect := func(url string) *server {
		a, err := jwtauth.New(jwtauth.Config{JWKSURL: url, Issuer: "*", Audience: "*"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		return serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: a})
	}
	signed := func(header string, key *ecdsa.PrivateKey) string {
		text := b64([]byte(header)) + "." + b64([]byte(rightClaims("")))
		hash := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
		if err != nil {
			t.Fatal(err)
		}
		var sig [64]byte
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return text + "." + b64(sig[:])
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := connect(issuer.URL)
	for _, kid := range []string{"k1", "../k1", "k1' OR '1'='1", "/dev/null", "http://127.0.0.1:1/k1"} {
		s.refusedWith(t, bearer(signed(`{"alg":"ES256","kid":"`+kid+`"}`, other)), codeForbidden, "signature")
	}
	c := s.dial(t)
	c.send(message{Type: "connection_init", Payload: json.RawMessage(bearer(signed(`{"alg":"ES256","kid":"k1"}`, key)))})
	if m := c.receive(); m.Type != "connection_ack" {
		t.Errorf("a right token: %+v", m)
	}
	connect(down.URL).refusedWith(t, bearer(signed(`{"alg":"ES256","kid":"k1"}`, key)), codeTryAgainLater, "keys_unavailable")
}

// shortLived admits everybody for a moment.
type shortLived struct{}

// Authenticate implements fraiseql.Authenticator.
func (shortLived) Authenticate(context.Context, fraiseql.Credentials) (*fraiseql.Identity, error) {
	return &fraiseql.Identity{UserID: "alice", TenantID: "acme", ExpiresAt: time.Now().Add(time.Second)}, nil
}

// TestAnIdentityThatExpiresIsClosed in the middle of its stream.
func TestAnIdentityThatExpiresIsClosed(t *testing.T) {
	s := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: shortLived{}})
	c := s.connect(t, nil)
	c.subscribe("op", `subscription { order { id } }`, nil)
	s.publish(t, order("in time", nil))
	if got := c.next("op"); got != `{"order":{"id":"in time"}}` {
		t.Errorf("got %s", got)
	}
	if got := c.closed(); got != codeForbidden {
		t.Errorf("closed with %d", got)
	}
}
