package jwtauth

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/identity"
)

func TestTokensBecomeIdentities(t *testing.T) {
	a := authenticator(t, withSecret)
	token := sign(t, jwt.SigningMethodHS256, secret, claims(nil), nil)
	want := &identity.Identity{
		UserID: "user1", TenantID: "tenant1", Roles: []string{"admin"}, Scopes: []string{"read", "write"},
		ExpiresAt: now.Add(time.Hour + 30*time.Second), IssuedAt: now,
	}
	for name, c := range map[string]identity.Credentials{
		"header":      {Authorization: "Bearer " + token},
		"lower case":  {Authorization: "bearer  " + token},
		"cookie":      {Cookie: token},
		"payload":     {Payload: []byte(`{"x":[1],"authorization":"Bearer ` + token + `"}`), Authorization: "Bearer junk", Cookie: "junk"},
		"before both": {Authorization: "Bearer " + token, Cookie: "junk", Payload: []byte(`{}`)},
		"capitals":    {Payload: []byte(`{"Authorization":"Bearer ` + token + `"}`)},
	} {
		who, err := a.Authenticate(t.Context(), c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, who); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhatIsPresentAndWrongRefuses(t *testing.T) {
	a := authenticator(t, withSecret)
	token := sign(t, jwt.SigningMethodHS256, secret, claims(nil), nil)
	right := "Bearer " + token
	for name, tt := range map[string]struct {
		c    identity.Credentials
		want identity.Reason
	}{
		"nothing":                       {identity.Credentials{}, identity.Missing},
		"empty payload":                 {identity.Credentials{Payload: []byte(`{}`)}, identity.Missing},
		"null payload":                  {identity.Credentials{Payload: []byte(`null`)}, identity.Missing},
		"wrong payload, right header":   {identity.Credentials{Payload: []byte(`{"authorization":"Bearer x"}`), Authorization: right}, identity.Malformed},
		"empty payload, right header":   {identity.Credentials{Payload: []byte(`{"authorization":""}`), Authorization: right}, identity.Malformed},
		"null in payload, right header": {identity.Credentials{Payload: []byte(`{"authorization":null}`), Authorization: right}, identity.Malformed},
		"list in payload":               {identity.Credentials{Payload: []byte(`{"authorization":["` + right + `"]}`)}, identity.Malformed},
		"twice in payload":              {identity.Credentials{Payload: []byte(`{"authorization":"` + right + `","Authorization":"` + right + `"}`)}, identity.Malformed},
		"payload is a list":             {identity.Credentials{Payload: []byte(`["authorization"]`), Authorization: right}, identity.Malformed},
		"payload is cut":                {identity.Credentials{Payload: []byte(`{"authorization":`), Authorization: right}, identity.Malformed},
		"wrong header, right cookie":    {identity.Credentials{Authorization: "Bearer x", Cookie: token}, identity.Malformed},
		"basic header, right cookie":    {identity.Credentials{Authorization: "Basic dTpw", Cookie: token}, identity.Malformed},
		"bare token in header":          {identity.Credentials{Authorization: token}, identity.Malformed},
		"two tokens in header":          {identity.Credentials{Authorization: right + " " + token}, identity.Malformed},
		"wrong cookie":                  {identity.Credentials{Cookie: "x.y.z"}, identity.Malformed},
		"header's form in cookie":       {identity.Credentials{Cookie: right}, identity.Malformed},
	} {
		_, err := a.Authenticate(t.Context(), tt.c)
		e, ok := err.(*identity.Error)
		if !ok || e.Reason != tt.want {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}

func TestClaimMapping(t *testing.T) {
	names := Claims{User: "sub", Tenant: "org.id", Roles: "realm_access.roles", Scopes: "scp", Federation: "fed", Service: "svc"}
	a := authenticator(t, func(c *Config) { c.Secret, c.Claims, c.KeepClaims = secret, names, []string{"jti", "nothing"} })
	for name, tt := range map[string]struct {
		change map[string]any
		want   identity.Identity // nothing: refused
	}{
		"path": {
			map[string]any{"org": map[string]any{"id": "acme"}, "realm_access": map[string]any{"roles": []string{"a", "b"}}, "jti": "1"},
			identity.Identity{UserID: "user1", TenantID: "acme", Roles: []string{"a", "b"}, TokenID: "1", Claims: map[string]any{"jti": "1"}},
		},
		"exact name before path": {
			map[string]any{"org.id": "exact", "org": map[string]any{"id": "path"}, "realm_access.roles": "one role"},
			identity.Identity{UserID: "user1", TenantID: "exact", Roles: []string{"one role"}},
		},
		"integers": {
			map[string]any{"sub": json.Number("9007199254740993"), "org.id": json.Number("-0")},
			identity.Identity{UserID: "9007199254740993", TenantID: "0"},
		},
		"only what is required": {map[string]any{"sub": nil}, identity.Identity{}},
		"scopes in a string":    {map[string]any{"scp": " a  b "}, identity.Identity{UserID: "user1", Scopes: []string{"a", "b"}}},
		"scopes in a list":      {map[string]any{"scp": []string{"a b", "c"}}, identity.Identity{UserID: "user1", Scopes: []string{"a b", "c"}}},
		"no scopes":             {map[string]any{"scp": ""}, identity.Identity{UserID: "user1", Scopes: []string{}}},
		"federation":            {map[string]any{"fed": "f", "svc": "s"}, identity.Identity{UserID: "user1", FederationID: "f", ServiceName: "s"}},

		"user is a list":           {map[string]any{"sub": []string{"user1"}}, identity.Identity{}},
		"user is empty":            {map[string]any{"sub": ""}, identity.Identity{}},
		"user is null":             {map[string]any{"sub": json.RawMessage("null")}, identity.Identity{}},
		"user is a fraction":       {map[string]any{"sub": json.Number("1.0")}, identity.Identity{}},
		"user has an exponent":     {map[string]any{"sub": json.Number("1e3")}, identity.Identity{}},
		"tenant is a boolean":      {map[string]any{"org": map[string]any{"id": true}}, identity.Identity{}},
		"tenant is an object":      {map[string]any{"org": map[string]any{"id": map[string]any{}}}, identity.Identity{}},
		"path through a string":    {map[string]any{"org": "acme"}, identity.Identity{}},
		"path through a list":      {map[string]any{"org": []any{map[string]any{"id": "acme"}}}, identity.Identity{}},
		"roles are a number":       {map[string]any{"realm_access": map[string]any{"roles": 1}}, identity.Identity{}},
		"roles hold a number":      {map[string]any{"realm_access": map[string]any{"roles": []any{"a", 1}}}, identity.Identity{}},
		"roles hold an empty one":  {map[string]any{"realm_access": map[string]any{"roles": []any{""}}}, identity.Identity{}},
		"roles are an object":      {map[string]any{"realm_access": map[string]any{"roles": map[string]any{"a": true}}}, identity.Identity{}},
		"scopes are a boolean":     {map[string]any{"scp": true}, identity.Identity{}},
		"federation is an integer": {map[string]any{"fed": 1}, identity.Identity{}},
		"service is null":          {map[string]any{"svc": json.RawMessage("null")}, identity.Identity{}},
	} {
		t.Run(name, func(t *testing.T) {
			c := claims(tt.change)
			delete(c, "tenant_id")
			delete(c, "roles")
			delete(c, "scope")
			token := sign(t, jwt.SigningMethodHS256, secret, c, nil)
			if cmp.Equal(tt.want, identity.Identity{}) && name != "only what is required" {
				wantReason(t, a, token, identity.Claims)
				return
			}
			who, err := a.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if !who.IssuedAt.Equal(now) {
				t.Errorf("issued at %v", who.IssuedAt)
			}
			who.ExpiresAt, who.IssuedAt = time.Time{}, time.Time{}
			if diff := cmp.Diff(tt.want, *who); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDates(t *testing.T) {
	a := authenticator(t, func(c *Config) { c.Secret, c.MaxLife = secret, 24*time.Hour })
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, tt := range map[string]struct {
		change map[string]any
		want   identity.Reason // empty: accepted
	}{
		"within the leeway":        {map[string]any{"exp": at(-29 * time.Second)}, ""},
		"expired":                  {map[string]any{"exp": at(-31 * time.Second)}, identity.Expired},
		"expired long ago":         {map[string]any{"exp": 1}, identity.Expired},
		"no expiry":                {map[string]any{"exp": nil}, identity.Claims},
		"null expiry":              {map[string]any{"exp": json.RawMessage("null")}, identity.Claims},
		"expiry is text":           {map[string]any{"exp": "4102444800"}, identity.Claims},
		"expiry is a list":         {map[string]any{"exp": []int64{at(time.Hour)}}, identity.Claims},
		"expiry with a fraction":   {map[string]any{"exp": json.Number("1795435300.5")}, ""},
		"expiry of 1e300":          {map[string]any{"exp": json.Number("1e300")}, "any"},
		"expiry of 1e400":          {map[string]any{"exp": json.Number("1e400")}, "any"},
		"expiry before 1970":       {map[string]any{"exp": -1}, identity.Expired},
		"lives too long":           {map[string]any{"exp": at(25 * time.Hour)}, identity.Lifetime},
		"lived too long":           {map[string]any{"exp": at(time.Hour), "iat": at(-24 * time.Hour)}, identity.Lifetime},
		"not yet":                  {map[string]any{"nbf": at(31 * time.Second)}, identity.NotYetValid},
		"nearly":                   {map[string]any{"nbf": at(29 * time.Second)}, ""},
		"not before is text":       {map[string]any{"nbf": "0"}, identity.Claims},
		"not before 1e300":         {map[string]any{"nbf": json.Number("1e300")}, "any"},
		"not before is null":       {map[string]any{"nbf": json.RawMessage("null")}, identity.Claims},
		"issued in the future":     {map[string]any{"iat": at(time.Minute)}, identity.NotYetValid},
		"issued at is an object":   {map[string]any{"iat": map[string]any{}}, identity.Claims},
		"never issued, as allowed": {map[string]any{"iat": nil}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			token := sign(t, jwt.SigningMethodHS256, secret, claims(tt.change), nil)
			switch tt.want {
			case "":
				wantUser(t, a, token, "user1")
			case "any":
				if who, err := a.Verify(t.Context(), token); err == nil {
					t.Errorf("accepted: %+v", who)
				}
			default:
				wantReason(t, a, token, tt.want)
			}
		})
	}
}

func TestIssuerAndAudience(t *testing.T) {
	a := authenticator(t, withSecret)
	open := authenticator(t, func(c *Config) { c.Secret, c.Issuer, c.Audience = secret, "*", "*" })
	for name, tt := range map[string]struct {
		change map[string]any
		want   identity.Reason
		open   bool // accepted where every one is
	}{
		"other issuer":       {map[string]any{"iss": "https://issuer/"}, identity.Issuer, true},
		"no issuer":          {map[string]any{"iss": nil}, identity.Claims, true},
		"issuer is a list":   {map[string]any{"iss": []string{"https://issuer"}}, identity.Claims, true},
		"other audience":     {map[string]any{"aud": "other"}, identity.Audience, true},
		"other audiences":    {map[string]any{"aud": []string{"a", "b"}}, identity.Audience, true},
		"no audience":        {map[string]any{"aud": nil}, identity.Claims, true},
		"empty audiences":    {map[string]any{"aud": []string{}}, identity.Claims, true},
		"audience is a star": {map[string]any{"aud": "*"}, identity.Audience, true},
	} {
		t.Run(name, func(t *testing.T) {
			token := sign(t, jwt.SigningMethodHS256, secret, claims(tt.change), nil)
			wantReason(t, a, token, tt.want)
			if tt.open {
				wantUser(t, open, token, "user1")
			}
		})
	}
	wantUser(t, a, sign(t, jwt.SigningMethodHS256, secret, claims(map[string]any{"aud": []string{"x", "fraiseql"}}), nil), "user1")
}

func TestConfigurationProblemsAreReportedTogether(t *testing.T) {
	weak := []byte("-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n")
	for name, tt := range map[string]struct {
		c    Config
		want []string
	}{
		"nothing":        {Config{}, []string{"exactly one", "issuer", "audience"}},
		"two keys":       {Config{Secret: secret, JWKSURL: "https://x/", Issuer: "i", Audience: "a"}, []string{"exactly one"}},
		"short secret":   {Config{Secret: secret[:31], Issuer: "i"}, []string{"31 bytes", "audience"}},
		"RS with secret": {Config{Secret: secret, Issuer: "i", Audience: "a", Algorithms: []string{"RS256"}}, []string{"RS256"}},
		"none":           {Config{Secret: secret, Issuer: "i", Audience: "a", Algorithms: []string{"none"}}, []string{"none"}},
		"HS with key":    {Config{PublicKey: publicPEM(t, &keys().rsa.PublicKey), Issuer: "i", Audience: "a", Algorithms: []string{"RS256", "HS256"}}, []string{"HS256"}},
		"no algorithms":  {Config{Secret: secret, Issuer: "i", Audience: "a", Algorithms: []string{}}, []string{"empty"}},
		"not PEM":        {Config{PublicKey: secret, Issuer: "i", Audience: "a"}, []string{"PEM"}},
		"bad PEM":        {Config{PublicKey: weak, Issuer: "i", Audience: "a"}, []string{"valid public key"}},
		"two PEM blocks": {Config{PublicKey: append(publicPEM(t, &keys().rsa.PublicKey), publicPEM(t, &keys().p256.PublicKey)...), Issuer: "i", Audience: "a"}, []string{"more than one"}},
		"plain http":     {Config{JWKSURL: "http://example.com/keys", Issuer: "i", Audience: "a"}, []string{"https"}},
		"a file":         {Config{JWKSURL: "file:///etc/passwd", Issuer: "i", Audience: "a"}, []string{"JWKS URL"}},
		"user in URL":    {Config{JWKSURL: "https://u:p@example.com/", Issuer: "i", Audience: "a"}, []string{"no user"}},
	} {
		_, err := New(tt.c)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want …%s…", name, err, want)
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	k := keys()
	for _, bm := range []struct {
		name   string
		method jwt.SigningMethod
		key    any
		config func(*Config)
	}{
		{"HS256", jwt.SigningMethodHS256, secret, withSecret},
		{"RS256", jwt.SigningMethodRS256, k.rsa, func(c *Config) { c.PublicKey = publicPEM(b, &k.rsa.PublicKey) }},
		{"ES256", jwt.SigningMethodES256, k.p256, func(c *Config) { c.PublicKey = publicPEM(b, &k.p256.PublicKey) }},
		{"EdDSA", jwt.SigningMethodEdDSA, k.ed, func(c *Config) { c.PublicKey = publicPEM(b, k.ed.Public()) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			a := authenticator(b, bm.config)
			token := sign(b, bm.method, bm.key, claims(nil), nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
