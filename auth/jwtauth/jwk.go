package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
)

// jwk is a key of a JWK set (RFC 7517, RFC 7518 section 6, RFC 8037). Members that could lead elsewhere
// (x5u) or hold private parts are not read.
type jwk struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
}

// verifier is a public key with the algorithms that it may be used for.
type verifier struct {
	kid        string
	value      any
	algorithms []string
}

// maxKeys is how many keys of a set are looked at.
const maxKeys = 256

// parseKeySet reads a JWK set. Keys that are of no use here are left out: symmetric ones, those for
// encryption, unknown curves, weak ones. A set without any is an error.
func parseKeySet(text []byte) ([]verifier, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("not a JWK set")
	}
	var keys []verifier
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jwk
		if json.Unmarshal(raw, &k) != nil {
			continue
		}
		if v, ok := k.verifier(); ok {
			keys = append(keys, v)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWK set has no key that could verify a token")
	}
	return keys, nil
}

func (k *jwk) verifier() (verifier, bool) {
	if k.Use != "" && k.Use != "sig" || len(k.KeyOps) > 0 && !slices.Contains(k.KeyOps, "verify") {
		return verifier{}, false
	}
	v := verifier{kid: k.Kid}
	switch k.Kty {
	case "RSA":
		v.value = k.rsa()
	case "EC":
		v.value = k.ecdsa()
	case "OKP":
		v.value = k.ed25519()
	}
	v.algorithms = algorithmsOf(v.value)
	if k.Alg != "" {
		if !slices.Contains(v.algorithms, k.Alg) {
			return verifier{}, false
		}
		v.algorithms = []string{k.Alg}
	}
	return v, len(v.algorithms) > 0
}

func (k *jwk) rsa() any {
	n, e := number(k.N), number(k.E)
	if n == nil || e == nil || e.BitLen() > 31 || n.BitLen() > 16384 {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}

func (k *jwk) ecdsa() any {
	var curve elliptic.Curve
	switch k.Crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil
	}
	x, y := part(k.X), part(k.Y)
	if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y)) // checks that it is on the curve
	if err != nil {
		return nil
	}
	return key
}

func (k *jwk) ed25519() any {
	if x := part(k.X); k.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize {
		return ed25519.PublicKey(x)
	}
	return nil
}

func part(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

func number(s string) *big.Int {
	b := part(s)
	if len(b) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
