package jwtauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
)

// The algorithms by family of key. There is no key for none.
var (
	secretAlgorithms = []string{"HS256", "HS384", "HS512"}
	rsaAlgorithms    = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	publicAlgorithms = slices.Concat(rsaAlgorithms, []string{"ES256", "ES384", "ES512", "EdDSA"})
)

// minRSABits is the shortest modulus of an RSA key (RFC 7518, section 3.3).
const minRSABits = 2048

// keySource makes the one source that is configured, and names the algorithms that fit it.
func (c *Config) keySource(now func() time.Time) (keySource, []string, error) {
	given := 0
	for _, set := range []bool{len(c.Secret) > 0, len(c.PublicKey) > 0, c.JWKSURL != ""} {
		if set {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, nil, errors.New("keys: exactly one of secret, public key and JWKS URL must be set")
	case len(c.Secret) > 0:
		if len(c.Secret) < minSecret {
			return nil, secretAlgorithms, fmt.Errorf("secret: has %d bytes, at least %d are needed", len(c.Secret), minSecret)
		}
		return staticKey{slices.Clone(c.Secret), secretAlgorithms}, secretAlgorithms, nil
	case c.JWKSURL != "":
		s, err := newKeySet(c.JWKSURL, c.JWKS, now)
		return s, publicAlgorithms, err
	}
	key, err := parsePEM(c.PublicKey)
	if err != nil {
		return nil, nil, fmt.Errorf("public key: %w", err)
	}
	return staticKey{key, algorithmsOf(key)}, algorithmsOf(key), nil
}

// staticKey is the only key there is: whatever kid says.
type staticKey struct {
	value      any
	algorithms []string
}

func (k staticKey) key(_ context.Context, _, alg string) (any, error) {
	if !slices.Contains(k.algorithms, alg) {
		return nil, &identity.Error{Reason: identity.Algorithm}
	}
	return k.value, nil
}

func (staticKey) close() {}

// algorithmsOf returns what a public key can verify; nothing for keys that are too weak or of no use.
func algorithmsOf(key any) []string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits && k.E >= 3 {
			return rsaAlgorithms
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		case elliptic.P521():
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// CheckPublicKey says what New would say about Config.PublicKey, without its place; nil: it can be used.
func CheckPublicKey(text []byte) error {
	_, err := parsePEM(text)
	return err
}

// parsePEM reads a public key or a certificate's.
func parsePEM(text []byte) (any, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not PEM (-----BEGIN PUBLIC KEY-----)")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("the file holds more than one key or certificate")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		return nil, fmt.Errorf("the file holds a %s, not a public key", block.Type)
	}
	if err != nil {
		return nil, errors.New("the PEM block does not hold a valid public key")
	}
	if algorithmsOf(key) == nil {
		return nil, errors.New("must be RSA of at least 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519")
	}
	return key, nil
}
