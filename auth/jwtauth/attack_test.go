package jwtauth

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/identity"
)

// attack is a token that must be refused, whatever it says.
type attack struct {
	name  string
	token string
	want  identity.Reason
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// unsigned attacks need no key at all.
func unsigned(t *testing.T) []attack {
	payload := toJSON(t, claims(nil))
	list := []attack{
		{"nothing", "", identity.Malformed},
		{"one part", "abc", identity.Malformed},
		{"two parts", b64(`{"alg":"HS256"}`) + "." + b64(payload), identity.Malformed},
		{"four parts", strings.Repeat("e30.", 3) + "e30", identity.Malformed},
		{"encrypted: five parts", strings.Repeat("e30.", 4) + "e30", identity.Malformed},
		{"only dots", "..", identity.Malformed},
		{"larger than 16 KiB", strings.Repeat("a", MaxTokenBytes+1), identity.Malformed},
		{"16 KiB of dots", strings.Repeat(".", MaxTokenBytes), identity.Malformed},
		{"spaces", " . . ", identity.Malformed},
		{"line feeds", b64(`{"alg":"HS256"}`) + ".\n" + b64(payload) + ".x", identity.Malformed},
		{"padding", base64.URLEncoding.EncodeToString([]byte(`{"alg":"none" }`)) + "=." + b64(payload) + ".", identity.Malformed},
		{"header is a list", b64(`["HS256"]`) + "." + b64(payload) + ".x", identity.Malformed},
		{"header is null", b64(`null`) + "." + b64(payload) + ".x", identity.Malformed},
		{"claims are a list", b64(`{"alg":"HS256"}`) + "." + b64(`[]`) + ".x", identity.Malformed},
		{"claims are a string", b64(`{"alg":"HS256"}`) + "." + b64(`"x"`) + ".x", identity.Malformed},
		{"two JSON values", b64(`{"alg":"HS256"}{}`) + "." + b64(payload) + ".x", identity.Malformed},
		{"no alg", b64(`{}`) + "." + b64(payload) + ".", identity.Malformed},
		{"alg is null", b64(`{"alg":null}`) + "." + b64(payload) + ".", identity.Malformed},
		{"alg is a list", b64(`{"alg":["HS256"]}`) + "." + b64(payload) + ".", identity.Malformed},
		{"no signature", b64(`{"alg":"HS256"}`) + "." + b64(payload) + ".", identity.Signature},
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "", "hs256", "HS256\\u0000", "HS1", "HS224", "RS256", "ES256", "PS256", "EdDSA", "ES256K", "RSA-OAEP", "dir"} {
		list = append(list,
			attack{"alg " + alg, b64(`{"alg":"`+alg+`","typ":"JWT"}`) + "." + b64(payload) + ".", identity.Algorithm},
			attack{"alg " + alg + " with something for a signature", b64(`{"alg":"`+alg+`"}`) + "." + b64(payload) + "." + b64("signature"), identity.Algorithm})
	}
	return list
}

// signed attacks hold a right signature of whoever may sign: header and claims are what is wrong.
func signed(t *testing.T) []attack {
	payload := toJSON(t, claims(nil))
	hs := func(head, payload string) string { return signRaw(t, jwt.SigningMethodHS256, secret, head, payload) }
	list := []attack{
		{"critical extension", hs(`{"alg":"HS256","crit":["exp"],"exp":1}`, payload), identity.Malformed},
		{"empty crit", hs(`{"alg":"HS256","crit":[]}`, payload), identity.Malformed},
		{"unencoded payload", hs(`{"alg":"HS256","b64":false}`, payload), identity.Malformed},
		{"nested token", hs(`{"alg":"HS256","cty":"JWT"}`, payload), identity.Malformed},
		{"compressed", hs(`{"alg":"HS256","zip":"DEF"}`, payload), identity.Malformed},
		{"alg twice", hs(`{"alg":"none","alg":"HS256"}`, payload), identity.Malformed},
		{"alg twice, escaped", hs(`{"alg":"HS256","\u0061lg":"HS256"}`, payload), identity.Malformed},
		{"claim twice", hs(`{"alg":"HS256"}`, payload[:len(payload)-1]+`,"sub":"admin"}`), identity.Malformed},
		{"claim twice, escaped", hs(`{"alg":"HS256"}`, payload[:len(payload)-1]+`,"s\u0075b":"admin"}`), identity.Malformed},
		{"claim twice, deep", hs(`{"alg":"HS256"}`, payload[:len(payload)-1]+`,"a":[{"b":1,"b":2}]}`), identity.Malformed},
		{"names that some take for one", hs(`{"alg":"HS256"}`, payload[:len(payload)-1]+`,"\ud800":1,"\udfff":2}`), identity.Malformed},
		{"deep nesting", hs(`{"alg":"HS256"}`, payload[:len(payload)-1]+`,"a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`), identity.Malformed},
		{"cut claims", hs(`{"alg":"HS256"}`, payload[:len(payload)-1]), identity.Malformed},
		{"something after the claims", hs(`{"alg":"HS256"}`, payload+"x"), identity.Malformed},
		{"kid is a number", hs(`{"alg":"HS256","kid":1}`, payload), identity.Malformed},
		{"kid is an object", hs(`{"alg":"HS256","kid":{"$ne":""}}`, payload), identity.Malformed},
		{"kid is empty", hs(`{"alg":"HS256","kid":""}`, payload), identity.Malformed},
		{"kid of 257 bytes", hs(`{"alg":"HS256","kid":"`+strings.Repeat("k", 257)+`"}`, payload), identity.Malformed},
		{"typ is a number", hs(`{"alg":"HS256","typ":1}`, payload), identity.Malformed},
	}
	for _, typ := range []string{"", "JWE", "logout+jwt", "secevent+jwt", "dpop+jwt", "id_token", "JWT ", "JOSE+JSON"} {
		list = append(list, attack{"typ " + typ, hs(`{"alg":"HS256","typ":"`+typ+`"}`, payload), identity.Malformed})
	}
	return list
}

func TestAttacksOnSecret(t *testing.T) {
	a := authenticator(t, func(c *Config) { c.Secret, c.Algorithms = secret, []string{"HS256"} })
	good := sign(t, jwt.SigningMethodHS256, secret, claims(nil), nil)
	parts := strings.Split(good, ".")
	list := append(unsigned(t), signed(t)...)
	list = append(list,
		attack{"another secret", sign(t, jwt.SigningMethodHS256, []byte("another secret of enough length!"), claims(nil), nil), identity.Signature},
		attack{"an empty secret", signRaw(t, jwt.SigningMethodHS256, []byte{}, `{"alg":"HS256"}`, toJSON(t, claims(nil))), identity.Signature},
		attack{"an allowed family, another size", sign(t, jwt.SigningMethodHS512, secret, claims(nil), nil), identity.Algorithm},
		attack{"cut signature", good[:len(good)-4], identity.Signature},
		attack{"longer signature", good + "AAAA", identity.Signature},
		attack{"signature of another token", parts[0] + "." + b64(toJSON(t, claims(map[string]any{"sub": "admin"}))) + "." + parts[2], identity.Signature},
		attack{"signature in another alphabet", parts[0] + "." + parts[1] + "." + strings.Repeat("+/", 21) + "A", identity.Malformed},
	)
	for _, tt := range list {
		t.Run(tt.name, func(t *testing.T) { wantReason(t, a, tt.token, tt.want) })
	}
	if len(list) < 60 {
		t.Errorf("%d attacks", len(list))
	}
	wantUser(t, a, good, "user1")
}

// TestConfusionOfKeys uses the public key, in every form that somebody may know it in, as an HMAC secret.
func TestConfusionOfKeys(t *testing.T) {
	k := keys()
	text := publicPEM(t, &k.rsa.PublicKey)
	a := authenticator(t, func(c *Config) { c.PublicKey = text })
	for name, known := range map[string][]byte{
		"PEM": text, "PEM without the last line feed": text[:len(text)-1], "modulus": k.rsa.N.Bytes(), "nothing": {},
	} {
		for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
			t.Run(name+" "+method.Alg(), func(t *testing.T) {
				head := `{"alg":"` + method.Alg() + `","typ":"JWT"}`
				wantReason(t, a, signRaw(t, method, known, head, toJSON(t, claims(nil))), identity.Algorithm)
				// the same signature under the name of an algorithm that is allowed
				wantReason(t, a, signRaw(t, method, known, `{"alg":"RS256"}`, toJSON(t, claims(nil))), identity.Signature)
			})
		}
	}
	wantUser(t, a, sign(t, jwt.SigningMethodRS256, k.rsa, claims(nil), nil), "user1")
	wantUser(t, a, sign(t, jwt.SigningMethodPS256, k.rsa, claims(nil), nil), "user1")
	wantReason(t, a, sign(t, jwt.SigningMethodRS256, k.otherRSA, claims(nil), nil), identity.Signature)
	wantReason(t, a, sign(t, jwt.SigningMethodES256, k.p256, claims(nil), nil), identity.Algorithm)
	only := authenticator(t, func(c *Config) { c.PublicKey, c.Algorithms = text, []string{"RS256"} })
	wantReason(t, only, sign(t, jwt.SigningMethodPS256, k.rsa, claims(nil), nil), identity.Algorithm)
}

// TestHeaderLeadsNowhere: a kid, a URL or a key in the header changes nothing.
func TestHeaderLeadsNowhere(t *testing.T) {
	k := keys()
	a := authenticator(t, func(c *Config) { c.PublicKey = publicPEM(t, &k.p256.PublicKey) })
	for name, head := range map[string]map[string]any{
		"path":          {"kid": "../../../../dev/null"},
		"file":          {"kid": "/etc/passwd"},
		"SQL":           {"kid": "x' UNION SELECT 'secret' --"},
		"command":       {"kid": "|/usr/bin/id"},
		"control":       {"kid": "a\x00b\r\nc"},
		"template":      {"kid": "${jndi:ldap://127.0.0.1/a}"},
		"jku":           {"jku": "http://127.0.0.1:1/keys"},
		"x5u":           {"x5u": "http://127.0.0.1:1/cert"},
		"x5c":           {"x5c": []string{"MIIB"}},
		"jwk":           {"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": b64(string(k.other.X.Bytes())), "y": b64(string(k.other.Y.Bytes()))}},
		"jwk, a secret": {"jwk": map[string]any{"kty": "oct", "k": b64("secret")}},
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, a, sign(t, jwt.SigningMethodES256, k.other, claims(nil), head), identity.Signature)
			wantUser(t, a, sign(t, jwt.SigningMethodES256, k.p256, claims(nil), head), "user1")
		})
	}
}

// TestECDSASignatures: every ECDSA signature has a twin (r, n-s) that anybody can make. It is a right
// signature of the same claims, so it gives the same identity and nothing else; no decision hangs on the text of
// a token. Everything else that is not exactly r and s in 32 bytes each is refused.
func TestECDSASignatures(t *testing.T) {
	k := keys()
	a := authenticator(t, func(c *Config) { c.PublicKey = publicPEM(t, &k.p256.PublicKey) })
	good := sign(t, jwt.SigningMethodES256, k.p256, claims(nil), nil)
	cut := strings.LastIndexByte(good, '.')
	text := good[:cut]
	sig, err := base64.RawURLEncoding.DecodeString(good[cut+1:])
	if err != nil {
		t.Fatal(err)
	}
	r, s := sig[:32], new(big.Int).SetBytes(sig[32:])
	n := k.p256.Params().N
	fixed := func(v *big.Int) []byte { return v.FillBytes(make([]byte, 32)) }
	join := func(parts ...[]byte) string {
		var all []byte
		for _, p := range parts {
			all = append(all, p...)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(all)
	}
	wantUser(t, a, join(r, fixed(new(big.Int).Sub(n, s))), "user1")

	hash := sha256.Sum256([]byte(text))
	der, err := ecdsa.SignASN1(nil, k.p256, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	long, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(r), s})
	if err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, 32)
	for name, token := range map[string]string{
		"DER":                 join(der),
		"DER of the same":     join(long),
		"zero r":              join(zero, sig[32:]),
		"zero s":              join(r, zero),
		"both zero":           join(zero, zero),
		"s of n":              join(r, fixed(n)),
		"r of n":              join(fixed(n), sig[32:]),
		"negative s, wrapped": join(r, fixed(new(big.Int).Mod(new(big.Int).Add(s, n), new(big.Int).Lsh(big.NewInt(1), 256)))),
		"swapped":             join(sig[32:], r),
		"leading zeros":       join([]byte{0}, r, []byte{0}, sig[32:]),
		"cut":                 join(sig[:63]),
		"longer":              join(sig, []byte{0}),
		"empty":               join(),
		"for a larger curve":  join(make([]byte, 16), r, make([]byte, 16), sig[32:]),
		"last bits of base64": good[:len(good)-1] + string(alphabetAfter(good[len(good)-1])),
		"another key's":       sign(t, jwt.SigningMethodES256, k.other, claims(nil), nil),
	} {
		t.Run(name, func(t *testing.T) {
			if who, err := a.Verify(t.Context(), token); err == nil {
				t.Errorf("accepted: %+v", who)
			}
		})
	}
	wantReason(t, a, sign(t, jwt.SigningMethodES384, k.p384, claims(nil), nil), identity.Algorithm)
}

// alphabetAfter returns a character that differs from c in bits that the decoder must not ignore.
func alphabetAfter(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

func TestEdDSA(t *testing.T) {
	k := keys()
	a := authenticator(t, func(c *Config) { c.PublicKey = publicPEM(t, k.ed.Public()) })
	good := sign(t, jwt.SigningMethodEdDSA, k.ed, claims(nil), nil)
	wantUser(t, a, good, "user1")
	wantReason(t, a, good[:len(good)-2], identity.Signature)
	wantReason(t, a, sign(t, jwt.SigningMethodHS256, []byte(k.ed[32:]), claims(nil), nil), identity.Algorithm)
}

// FuzzVerify gives any text to an authenticator: nothing but a token that we signed is accepted.
func FuzzVerify(f *testing.F) {
	good := sign(f, jwt.SigningMethodHS256, secret, claims(nil), nil)
	a := authenticator(f, withSecret)
	f.Add(good)
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{"sub":"admin"}`) + ".")
	f.Add(b64(`{"alg":"HS256","crit":["a"]}`) + "." + b64(`{"sub":"admin","sub":"b"}`) + ".AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := a.Verify(t.Context(), token); err == nil && token != good {
			t.Fatalf("accepted %q as %+v", token, who)
		} else if err != nil {
			if e, ok := err.(*identity.Error); !ok || e.Reason == "" {
				t.Fatalf("untyped error %v", err)
			}
		}
	})
}
