package jwtauth

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/identity"
)

// maxDate is the last second of the year 9999: what lies behind it is no expiry.
const maxDate = 253402300799

// identity maps the claims of a token that has been verified.
func (a *Authenticator) identity(claims jwt.MapClaims) (*identity.Identity, error) {
	expires, issued, err := dates(claims)
	if err != nil {
		return nil, err
	}
	if life := a.config.MaxLife; life > 0 && (expires.After(a.now().Add(life+a.config.Leeway)) || issued.Unix() > 0 && expires.Sub(issued) > life) {
		return nil, &identity.Error{Reason: identity.Lifetime, Detail: "exp is further away than is accepted"}
	}
	who := &identity.Identity{ExpiresAt: expires.Add(a.config.Leeway).UTC().Truncate(time.Millisecond), IssuedAt: issued}
	names := &a.config.Claims
	for _, m := range []struct {
		name    string
		to      *string
		integer bool
	}{
		{names.User, &who.UserID, true},
		{names.Tenant, &who.TenantID, true},
		{names.Federation, &who.FederationID, false},
		{names.Service, &who.ServiceName, false},
		{"jti", &who.TokenID, true},
	} {
		if *m.to, err = single(claims, m.name, m.integer); err != nil {
			return nil, err
		}
	}
	if who.Roles, err = several(claims, names.Roles, false); err != nil {
		return nil, err
	}
	if who.Scopes, err = several(claims, names.Scopes, true); err != nil {
		return nil, err
	}
	for _, name := range a.config.KeepClaims {
		if v, ok := claims[name]; ok {
			if who.Claims == nil {
				who.Claims = map[string]any{}
			}
			who.Claims[name] = v
		}
	}
	return who, nil
}

// dates checks that the dates are ones (a huge number may wrap around to any) and returns the expiry, and the time of
// issue: 1970 for a token that does not say, so that it is older than whatever is revoked.
func dates(claims jwt.MapClaims) (expires *jwt.NumericDate, issued time.Time, err error) {
	issued = time.Unix(0, 0).UTC()
	for _, d := range []struct {
		name string
		get  func() (*jwt.NumericDate, error)
	}{{"nbf", claims.GetNotBefore}, {"iat", claims.GetIssuedAt}, {"exp", claims.GetExpirationTime}} {
		if expires, err = d.get(); err != nil || expires != nil && (expires.Unix() > maxDate || expires.Unix() < 0) {
			return nil, issued, wrong(d.name)
		}
		if expires != nil && d.name == "iat" {
			issued = expires.UTC()
		}
		if _, present := claims[d.name]; present && expires == nil {
			return nil, issued, wrong(d.name)
		}
	}
	if expires == nil {
		return nil, issued, wrong("exp")
	}
	return expires, issued, nil
}

func wrong(claim string) *identity.Error {
	return &identity.Error{Reason: identity.Claims, Detail: "claim " + claim + " has a type or value that is not accepted"}
}

// lookup finds a claim by its exact name, else by a dotted path. A path that runs into something that is not
// an object is an error.
func lookup(claims map[string]any, name string) (v any, ok bool, err error) {
	if v, ok = claims[name]; ok || name == "" || !strings.Contains(name, ".") {
		return v, ok && name != "", nil
	}
	v = claims
	for part := range strings.SplitSeq(name, ".") {
		object, is := v.(map[string]any)
		if !is {
			return nil, false, wrong(name)
		}
		if v, ok = object[part]; !ok {
			return nil, false, nil
		}
	}
	return v, true, nil
}

// single reads a non-empty string, or an integer as its decimal text; an absent claim is an empty string.
func single(claims map[string]any, name string, integer bool) (string, error) {
	v, ok, err := lookup(claims, name)
	if err != nil || !ok {
		return "", err
	}
	switch v := v.(type) {
	case string:
		if v != "" {
			return v, nil
		}
	case json.Number:
		if s := v.String(); integer && isInteger(s) {
			if s == "-0" {
				return "0", nil
			}
			return s, nil
		}
	}
	return "", wrong(name)
}

// isInteger reports whether a JSON number is written without fraction and exponent.
func isInteger(s string) bool { return !strings.ContainsAny(s, ".eE") }

// several reads a list of non-empty strings, or one string: a single value, or several with spaces between
// them when spaced.
func several(claims map[string]any, name string, spaced bool) ([]string, error) {
	v, ok, err := lookup(claims, name)
	if err != nil || !ok {
		return nil, err
	}
	switch v := v.(type) {
	case string:
		if spaced {
			return strings.Fields(v), nil
		}
		if v != "" {
			return []string{v}, nil
		}
	case []any:
		list := make([]string, 0, len(v))
		for _, element := range v {
			s, ok := element.(string)
			if !ok || s == "" {
				return nil, wrong(name)
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, wrong(name)
}
