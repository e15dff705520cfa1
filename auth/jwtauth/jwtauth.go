// Package jwtauth turns JSON Web Tokens into identities (docs/security.md). It fails closed: a token is accepted
// only when its algorithm is allowed and fits the kind of key, its signature verifies, it has an expiry that
// has not passed, issuer and audience are ours, and every claim that is mapped has the right type.
//
// Keys come from one configured source and from nowhere else: the header members jku, x5u, x5c and jwk are
// not read, and kid only ever selects among the keys of a JWK set.
package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/identity"
)

// Claims names the claims that become an identity. A name is looked up as it is, then, if it has dots, as a
// path through objects. Empty: that part of the identity stays empty.
type Claims struct {
	User, Tenant, Roles, Scopes, Federation, Service string
}

// DefaultClaims are the names used unless configured otherwise.
func DefaultClaims() Claims {
	return Claims{User: "sub", Tenant: "tenant_id", Roles: "roles", Scopes: "scope"}
}

// Config says which tokens are accepted. Exactly one of Secret, PublicKey and JWKSURL is set.
type Config struct {
	Secret    []byte // HS256, HS384, HS512: at least 32 bytes
	PublicKey []byte // PEM: one public key or certificate
	JWKSURL   string // https, or http on a loopback address
	// Algorithms are allowed; nil: those of the key's family.
	Algorithms []string
	// Issuer and Audience must be set; "*" accepts any.
	Issuer, Audience string
	// Leeway is how far clocks may differ; 0: 30 s, negative: none.
	Leeway time.Duration
	// MaxLife refuses tokens that expire later than this from now, or after they were issued; 0: no bound. Revocations
	// need one: they are kept as long.
	MaxLife time.Duration
	// Claims maps claims; the zero value means DefaultClaims.
	Claims Claims
	// KeepClaims lists top-level claims that Identity.Claims holds afterwards.
	KeepClaims []string
	// JWKS sets how keys are fetched.
	JWKS JWKSOptions
}

const (
	minSecret     = 32
	defaultLeeway = 30 * time.Second
	// MaxTokenBytes is the size of the largest token that is looked at.
	MaxTokenBytes = 16 << 10
)

// Authenticator verifies tokens. It implements identity.Authenticator and is safe for concurrent use.
type Authenticator struct {
	config Config
	keys   keySource
	parser *jwt.Parser
	now    func() time.Time
}

var _ identity.Authenticator = (*Authenticator)(nil)

// keySource finds the key that may verify a token. Errors are *identity.Error.
type keySource interface {
	// key returns the one key of that id (empty: the token names none) and algorithm.
	key(ctx context.Context, kid, alg string) (any, error)
	close()
}

// New checks the configuration and reports every problem of it at once. With a JWKSURL nothing is fetched
// yet: see Warm.
func New(c Config) (*Authenticator, error) { return newAt(c, time.Now) }

func newAt(c Config, now func() time.Time) (*Authenticator, error) {
	if c.Claims == (Claims{}) {
		c.Claims = DefaultClaims()
	}
	switch {
	case c.Leeway == 0:
		c.Leeway = defaultLeeway
	case c.Leeway < 0:
		c.Leeway = 0
	}
	keys, family, err := c.keySource(now)
	errs := []error{err}
	if c.Issuer == "" {
		errs = append(errs, errors.New(`issuer: must be set ("*" accepts any)`))
	}
	if c.Audience == "" {
		errs = append(errs, errors.New(`audience: must be set ("*" accepts any)`))
	}
	if c.Algorithms == nil {
		c.Algorithms = family
	} else if len(c.Algorithms) == 0 {
		errs = append(errs, errors.New("algorithms: the list is empty; leave it out for those of the key's family"))
	}
	for _, alg := range c.Algorithms {
		if err == nil && !slices.Contains(family, alg) {
			errs = append(errs, fmt.Errorf("algorithms: %q does not fit the key; it can be used with %s", alg, strings.Join(family, ", ")))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("configure tokens: %w", err)
	}
	a := &Authenticator{config: c, keys: keys, now: now}
	a.parser = jwt.NewParser(a.options()...)
	return a, nil
}

func (a *Authenticator) options() []jwt.ParserOption {
	o := []jwt.ParserOption{
		jwt.WithValidMethods(a.config.Algorithms), jwt.WithJSONNumber(), jwt.WithStrictDecoding(),
		jwt.WithLeeway(a.config.Leeway), jwt.WithTimeFunc(a.now), jwt.WithIssuedAt(), jwt.WithExpirationRequired(),
	}
	if a.config.Issuer != "*" {
		o = append(o, jwt.WithIssuer(a.config.Issuer))
	}
	if a.config.Audience != "*" {
		o = append(o, jwt.WithAudience(a.config.Audience))
	}
	return o
}

// Authenticate judges what a client presented. The error is an *identity.Error.
func (a *Authenticator) Authenticate(ctx context.Context, c identity.Credentials) (*identity.Identity, error) {
	token, err := c.Bearer()
	if err != nil {
		return nil, err
	}
	return a.Verify(ctx, token)
}

// Verify judges a token. The error is an *identity.Error. It may wait for keys to be fetched, as long as
// ctx and JWKSOptions.Timeout allow.
func (a *Authenticator) Verify(ctx context.Context, token string) (*identity.Identity, error) {
	h, err := inspect(token, a.config.Algorithms)
	if err != nil {
		return nil, err
	}
	key, err := a.keys.key(ctx, h.kid, h.alg)
	if err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{}
	if _, err = a.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return nil, reasonOf(err)
	}
	return a.identity(claims)
}

// reasonOf sorts the parser's errors. A wrong signature is found before any claim is judged.
func reasonOf(err error) *identity.Error {
	for _, r := range []struct {
		is     error
		reason identity.Reason
	}{
		{jwt.ErrTokenMalformed, identity.Malformed},
		{jwt.ErrTokenUnverifiable, identity.Signature},
		{jwt.ErrTokenSignatureInvalid, identity.Signature},
		{jwt.ErrInvalidType, identity.Claims},
		{jwt.ErrTokenExpired, identity.Expired},
		{jwt.ErrTokenNotValidYet, identity.NotYetValid},
		{jwt.ErrTokenUsedBeforeIssued, identity.NotYetValid},
		{jwt.ErrTokenInvalidIssuer, identity.Issuer},
		{jwt.ErrTokenInvalidAudience, identity.Audience},
	} {
		if errors.Is(err, r.is) {
			return &identity.Error{Reason: r.reason}
		}
	}
	return &identity.Error{Reason: identity.Claims, Detail: "a required claim is missing"}
}

// Warm fetches the keys of a JWKSURL, so that a wrong address shows at start and the first clients need not
// wait. It does nothing for other keys.
func (a *Authenticator) Warm(ctx context.Context) error {
	if s, ok := a.keys.(*keySet); ok {
		return s.refresh(ctx)
	}
	return nil
}

// TakeOver gives a, which is not used yet, the keys that another one has fetched from the same JWKSURL, so that it goes on
// where that one was: no token waits for a fetch, or is refused because there is none. They are fetched again, unless they
// were within JWKSOptions.Interval. It does nothing for other keys.
func (a *Authenticator) TakeOver(from *Authenticator) {
	s, ok := a.keys.(*keySet)
	if before, same := from.keys.(*keySet); ok && same && s.url == before.url {
		s.takeOver(before)
	}
}

// Close stops fetching keys and waits for it.
func (a *Authenticator) Close() { a.keys.close() }
