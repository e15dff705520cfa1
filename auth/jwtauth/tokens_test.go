package jwtauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/identity"
)

// The clock of the tests stands still.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

var secret = []byte("0123456789abcdef0123456789abcdef")

// keys are made once: RSA keys take their time.
var keys = sync.OnceValue(func() (k struct {
	rsa, otherRSA *rsa.PrivateKey
	p256, other   *ecdsa.PrivateKey
	p384          *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
}) {
	var err [6]error
	k.rsa, err[0] = rsa.GenerateKey(rand.Reader, 2048)
	k.otherRSA, err[1] = rsa.GenerateKey(rand.Reader, 2048)
	k.p256, err[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.other, err[3] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, err[4] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, k.ed, err[5] = ed25519.GenerateKey(rand.Reader)
	if e := errors.Join(err[:]...); e != nil {
		panic(e)
	}
	return k
})

func publicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// claims are right ones, changed by the given; nil deletes.
func claims(change map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": "https://issuer", "aud": "fraiseql", "sub": "user1", "tenant_id": "tenant1",
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "scope": "read write", "roles": []string{"admin"},
	}
	maps.Copy(c, change)
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, c jwt.MapClaims, head map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	for name, v := range head {
		if token.Header[name] = v; v == nil {
			delete(token.Header, name)
		}
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// signRaw signs parts that no library would write.
func signRaw(t testing.TB, method jwt.SigningMethod, key any, head, payload string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	sig, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// authenticator has issuer and audience set, and what change says.
func authenticator(t testing.TB, change func(*Config)) *Authenticator {
	t.Helper()
	c := Config{Issuer: "https://issuer", Audience: "fraiseql"}
	change(&c)
	a, err := newAt(c, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func withSecret(c *Config) { c.Secret = secret }

// wantReason fails unless the token is refused for that reason.
func wantReason(t testing.TB, a *Authenticator, token string, want identity.Reason) {
	t.Helper()
	who, err := a.Verify(t.Context(), token)
	var e *identity.Error
	if !errors.As(err, &e) {
		t.Fatalf("accepted as %+v, or untyped error %v", who, err)
	}
	if e.Reason != want {
		t.Errorf("refused for %v, want %s", e, want)
	}
}

// wantUser fails unless the token is accepted as that user's.
func wantUser(t testing.TB, a *Authenticator, token, user string) *identity.Identity {
	t.Helper()
	who, err := a.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if who.UserID != user {
		t.Errorf("user %q, want %q", who.UserID, user)
	}
	return who
}
