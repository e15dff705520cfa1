package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// keyIssuer serves one key at any path while it is up.
type keyIssuer struct {
	*httptest.Server
	key     *ecdsa.PrivateKey
	down    atomic.Bool
	fetches atomic.Int64
}

func newKeyIssuer(t *testing.T) *keyIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	i := &keyIssuer{key: key}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		if i.down.Load() {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":%q,"y":%q}]}`, text(point[1:33]), text(point[33:]))
	}))
	t.Cleanup(i.Close)
	return i
}

// status is that of a request with a token of the issuer.
func (i *keyIssuer) status(t *testing.T, s *assembled) int {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "me", "aud": "us", "sub": "u1", "exp": time.Now().Add(time.Hour).Unix()})
	token.Header["kid"] = "1"
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__typename}"}`, "Content-Type", js, "Authorization", "Bearer "+text).status
}

// A reload keeps the keys of the same URL, whatever becomes of the issuer; those of another URL must be there first.
func TestReloadKeepsFetchedKeys(t *testing.T) {
	issuer := newKeyIssuer(t)
	s := assemble(t, config.Source{}, "auth.jwt: {jwks_url: \""+issuer.URL+"/keys\", issuer: me, audience: us}\npublish.tokens: [{token: "+anyToken+"}]\n")
	if got := issuer.status(t, s); got != 200 {
		t.Fatalf("before: %d", got)
	}
	issuer.down.Store(true)
	next := *s.inForce()
	next.Limits.QueueBytes /= 2
	for range 3 {
		if err := s.Reload(&next); err != nil {
			t.Fatal(err)
		}
		if got := issuer.status(t, s); got != 200 {
			t.Errorf("the issuer is down: %d", got)
		}
	}
	if n := issuer.fetches.Load(); n != 1 {
		t.Errorf("%d fetches within their interval", n)
	}
	other := next
	other.Auth.JWT.JWKSURL, other.Limits.QueueBytes = issuer.URL+"/others", next.Limits.QueueBytes/2
	if err := s.Reload(&other); err == nil || !strings.Contains(err.Error(), "auth.jwt.jwks_url: ") {
		t.Errorf("a URL without keys: %v", err)
	}
	if got := issuer.status(t, s); got != 200 || s.inForce().Limits.QueueBytes != next.Limits.QueueBytes {
		t.Errorf("a reload that was refused: %d, queue_bytes %d", got, s.inForce().Limits.QueueBytes)
	}
	issuer.down.Store(false)
	if err := s.Reload(&other); err != nil {
		t.Error(err)
	}
	if got, n := issuer.status(t, s), issuer.fetches.Load(); got != 200 || n != 3 {
		t.Errorf("another URL: %d, %d fetches", got, n)
	}
}
