package jwtauth

import (
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzKeySet reads what an address of JWK sets may answer: no key is taken for an algorithm with a shared secret, and none that is weak.
func FuzzKeySet(f *testing.F) {
	k := keys()
	for _, keys := range []string{
		`{"kty":"RSA","kid":"a","use":"sig","n":"` + b64(string(k.rsa.N.Bytes())) + `","e":"AQAB"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"` + b64(strings.Repeat("x", 32)) + `","alg":"EdDSA"},{"kty":"oct","k":"c2VjcmV0"},null`,
		`{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("\x00", 32)) + `","y":"` + b64(strings.Repeat("\x00", 32)) + `","key_ops":["verify"]}`,
		`{"kty":"RSA","n":"AQAB","e":"AQAB"}`,
	} {
		f.Add([]byte(`{"keys":[` + keys + `]}`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := parseKeySet(text)
		if err == nil && (len(set) == 0 || len(set) > maxKeys || !json.Valid(text)) {
			t.Fatalf("%q gives %d keys", text, len(set))
		}
		for _, v := range set {
			if len(v.algorithms) == 0 || v.value == nil {
				t.Fatalf("%q: a key without use", text)
			}
			for _, alg := range v.algorithms {
				if strings.HasPrefix(alg, "HS") || alg == "none" {
					t.Fatalf("%q: a public key for %s", text, alg)
				}
			}
			if key, ok := v.value.(*rsa.PublicKey); ok && (key.N.BitLen() < 2048 || key.E < 2) {
				t.Fatalf("%q: a key of %d bits, exponent %d", text, key.N.BitLen(), key.E)
			}
		}
	})
}
