package jwtauth

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
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

// FuzzInspect reads header and claims of tokens: what is taken has the same algorithm, key and names of members, not looking into these, for
// another reader of JSON.
func FuzzInspect(f *testing.F) {
	for _, part := range [][2]string{
		{`{"alg":"HS256","typ":"JWT","kid":"a"}`, `{"sub":"u","tenant_id":"t","iat":1,"exp":2}`},
		{`{"alg":"HS256","\u0061lg":"HS256"}`, `{"a":[{"b":1,"b":2}]}`},
		{`{"alg":"RS256","kid":"\ud800"}`, `{"\ud800":1,"\udfff":2}`},
		{` {"alg" : "ES256"} `, `[]`}, {`{"alg":"HS256","crit":[]}`, `{"sub":"u"}{}`}, {`null`, "{\"\xff\":1}"},
	} {
		f.Add(part[0], part[1])
	}
	f.Fuzz(func(t *testing.T, head, claims string) {
		h, err := inspect(b64(head)+"."+b64(claims)+".c2lnbmF0dXJl", []string{"HS256", "RS256", "ES256"})
		if err != nil {
			return
		}
		var members, rest map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal([]byte(head), &members), json.Unmarshal([]byte(claims), &rest)); err != nil {
			t.Fatalf("%q, %q: %v", head, claims, err)
		}
		var other struct{ Alg, Kid string }
		if err := json.Unmarshal(members["alg"], &other.Alg); err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if kid, ok := members["kid"]; ok && json.Unmarshal(kid, &other.Kid) != nil {
			t.Fatalf("%q: kid", head)
		}
		if other.Alg != h.alg || other.Kid != h.kid && utf8.ValidString(h.kid) { // of half a surrogate pair others make U+FFFD
			t.Fatalf("%q: %+v, others read %+v", head, h, other)
		}
		for text, all := range map[string]map[string]json.RawMessage{head: members, claims: rest} {
			if n := names(t, text); n != len(all) {
				t.Fatalf("%q: %d members, %d names", text, n, len(all))
			}
		}
	})
}

// names counts the members of a JSON object, whatever their names.
func names(t *testing.T, text string) (n int) {
	dec := json.NewDecoder(strings.NewReader(text))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for ; dec.More(); n++ {
		var value json.RawMessage
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
