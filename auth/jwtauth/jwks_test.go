package jwtauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/identity"
)

// issuer is a JWKS server whose keys and health a test sets.
type issuer struct {
	*httptest.Server
	fetches atomic.Int64

	mu      sync.Mutex
	answer  http.HandlerFunc
	elapsed time.Duration // of the test's clock
}

func newIssuer(t *testing.T, keys ...string) *issuer {
	t.Helper()
	i := &issuer{}
	i.serve(keys...)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		i.mu.Lock()
		answer := i.answer
		i.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) handle(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

func (i *issuer) serve(keys ...string) {
	i.handle(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(keys, ","))
	})
}

func (i *issuer) now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return now.Add(i.elapsed)
}

func (i *issuer) pass(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.elapsed += d
}

func (i *issuer) authenticator(t *testing.T, o JWKSOptions) *Authenticator {
	t.Helper()
	a, err := newAt(Config{JWKSURL: i.URL, Issuer: "*", Audience: "*", JWKS: o}, i.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// settled waits for the fetch that runs in the background, if any.
func settled(t *testing.T, a *Authenticator) {
	t.Helper()
	s := a.keys.(*keySet)
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running != nil {
		<-running
	}
}

func number64(n *big.Int, size int) string {
	return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, size)))
}

func ecJWK(kid string, k *ecdsa.PrivateKey) string {
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"use":"sig","x":%q,"y":%q}`, kid, number64(k.X, 32), number64(k.Y, 32))
}

func rsaJWK(kid string, k *rsa.PrivateKey, more string) string {
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":"AQAB"%s}`, kid, number64(k.N, 256), more)
}

func ecToken(t *testing.T, kid string, k *ecdsa.PrivateKey) string {
	t.Helper()
	head := map[string]any{"kid": kid}
	if kid == "" {
		head = nil
	}
	return sign(t, jwt.SigningMethodES256, k, claims(map[string]any{"exp": now.Add(100 * time.Hour).Unix()}), head)
}

func TestKeysAreFetchedOnceAndRotate(t *testing.T) {
	k := keys()
	i := newIssuer(t, ecJWK("1", k.p256))
	a := i.authenticator(t, JWKSOptions{})
	if err := a.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantUser(t, a, ecToken(t, "1", k.p256), "user1")
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	// A new key appears: the first token that names it has it fetched.
	i.serve(ecJWK("1", k.p256), ecJWK("2", k.other))
	i.pass(31 * time.Second)
	wantUser(t, a, ecToken(t, "2", k.other), "user1")
	// The old key is withdrawn: tokens of it are refused once the set was refreshed.
	i.serve(ecJWK("2", k.other))
	i.pass(16 * time.Minute)
	wantUser(t, a, ecToken(t, "1", k.p256), "user1") // the set that is held, while the new one is fetched
	settled(t, a)
	wantReason(t, a, ecToken(t, "1", k.p256), identity.Signature)
	wantUser(t, a, ecToken(t, "2", k.other), "user1")
	if n := i.fetches.Load(); n != 3 {
		t.Errorf("%d fetches", n)
	}
}

func TestUnknownKeyIDsDoNotFloodTheIssuer(t *testing.T) {
	k := keys()
	i := newIssuer(t, ecJWK("1", k.p256))
	a := i.authenticator(t, JWKSOptions{})
	var wait sync.WaitGroup
	for n := range 200 {
		token := ecToken(t, fmt.Sprint("unknown", n), k.p256)
		wait.Go(func() {
			if _, err := a.Verify(t.Context(), token); err == nil {
				t.Error("accepted")
			}
		})
	}
	wait.Wait()
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	i.pass(31 * time.Second)
	wantReason(t, a, ecToken(t, "../../1", k.p256), identity.Signature)
	wantReason(t, a, ecToken(t, "1' OR '1'='1", k.p256), identity.Signature)
	if n := i.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

func TestOutageOfTheIssuer(t *testing.T) {
	k := keys()
	i := newIssuer(t)
	down := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) }
	i.handle(down)
	a := i.authenticator(t, JWKSOptions{})
	token := ecToken(t, "1", k.p256)
	if err := a.Warm(t.Context()); err == nil {
		t.Error("no error at start")
	}
	wantReason(t, a, token, identity.KeysUnavailable)
	wantReason(t, a, token, identity.KeysUnavailable)
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	i.serve(ecJWK("1", k.p256))
	i.pass(31 * time.Second)
	wantUser(t, a, token, "user1")

	i.handle(down)
	i.pass(23 * time.Hour) // keys that are held go on being used
	for range 3 {
		wantUser(t, a, token, "user1")
		settled(t, a)
	}
	if n := i.fetches.Load(); n != 3 {
		t.Errorf("%d fetches", n)
	}
	i.pass(2 * time.Hour) // but not for ever
	wantReason(t, a, token, identity.KeysUnavailable)
}

func TestBadKeySetsAreNotTaken(t *testing.T) {
	k := keys()
	elsewhere := newIssuer(t, ecJWK("1", k.p256))
	for name, h := range map[string]http.HandlerFunc{
		"not JSON":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"empty set": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"null":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`null`)) },
		"too large": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxKeySetBytes+1)) },
		"symmetric keys": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[{"kty":"oct","kid":"1","k":"` + b64(string(secret)) + `"}]}`))
		},
		"redirects without end": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/"+r.URL.Path, http.StatusFound)
		},
		"redirect to plain http": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://example.invalid/keys", http.StatusFound)
		},
		"redirect to a file": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			i.handle(h)
			a := i.authenticator(t, JWKSOptions{})
			wantReason(t, a, ecToken(t, "1", k.p256), identity.KeysUnavailable)
			wantReason(t, a, signRaw(t, jwt.SigningMethodHS256, secret, `{"alg":"HS256","kid":"1"}`, toJSON(t, claims(nil))), identity.Algorithm)
		})
	}
	i := newIssuer(t)
	i.handle(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	wantUser(t, i.authenticator(t, JWKSOptions{}), ecToken(t, "1", k.p256), "user1")
}

func TestOnlyKeysThatFitAreUsed(t *testing.T) {
	k := keys()
	offCurve := strings.Replace(ecJWK("off", k.p256), number64(k.p256.Y, 32), number64(k.other.Y, 32), 1)
	i := newIssuer(t,
		`7`, `{"kty":"EC","crv":"P-256","kid":"cut","x":"AA","y":"AA"}`, offCurve, `{"kty":"OKP","crv":"X25519","kid":"x","x":"`+b64(string(k.ed[:32]))+`"}`,
		rsaJWK("enc", k.rsa, `,"use":"enc"`), rsaJWK("ops", k.rsa, `,"key_ops":["sign"]`), rsaJWK("wrong", k.rsa, `,"alg":"ES256"`),
		rsaJWK("ps", k.rsa, `,"alg":"PS256"`), rsaJWK("dup", k.rsa, ""), rsaJWK("dup", k.otherRSA, ""),
		`{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"`+b64(string(k.ed[32:]))+`"}`, ecJWK("ec", k.p256))
	a := i.authenticator(t, JWKSOptions{})
	rs := func(method jwt.SigningMethod, kid string) string {
		return sign(t, method, k.rsa, claims(nil), map[string]any{"kid": kid})
	}
	wantUser(t, a, rs(jwt.SigningMethodPS256, "ps"), "user1")
	wantUser(t, a, sign(t, jwt.SigningMethodEdDSA, k.ed, claims(nil), map[string]any{"kid": "ed"}), "user1")
	wantUser(t, a, ecToken(t, "", k.p256), "user1") // no kid, and one key that fits
	wantUser(t, a, sign(t, jwt.SigningMethodEdDSA, k.ed, claims(nil), nil), "user1")
	wantReason(t, a, rs(jwt.SigningMethodRS256, "ps"), identity.Algorithm)
	for _, kid := range []string{"enc", "ops", "wrong", "off", "cut", "x"} {
		wantReason(t, a, rs(jwt.SigningMethodRS256, kid), identity.Signature)
	}
	wantReason(t, a, ecToken(t, "off", k.p256), identity.Signature)
	wantReason(t, a, rs(jwt.SigningMethodRS256, "dup"), identity.Malformed)
	wantReason(t, a, sign(t, jwt.SigningMethodRS256, k.rsa, claims(nil), nil), identity.Malformed)
	wantReason(t, a, sign(t, jwt.SigningMethodES256, k.p256, claims(nil), map[string]any{"kid": "ed"}), identity.Algorithm)
}

func TestAnIssuerThatHangsIsBounded(t *testing.T) {
	k := keys()
	i := newIssuer(t)
	entered := make(chan struct{}, 8)
	i.handle(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
	})
	a := i.authenticator(t, JWKSOptions{Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := a.Verify(ctx, ecToken(t, "1", k.p256))
		failed <- err
	}()
	<-entered
	cancel()
	if e, ok := (<-failed).(*identity.Error); !ok || !e.Unavailable() {
		t.Errorf("got %v", e)
	}
	a.Close() // ends the fetch and waits for it
	wantReason(t, a, ecToken(t, "1", k.p256), identity.KeysUnavailable)
	short := i.authenticator(t, JWKSOptions{Timeout: time.Millisecond})
	wantReason(t, short, ecToken(t, "1", k.p256), identity.KeysUnavailable)
}
