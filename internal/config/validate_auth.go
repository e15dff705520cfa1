package config

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/auth/jwtauth"
)

// algorithms by family of key.
var (
	secretAlgorithms = []string{"HS256", "HS384", "HS512"}
	publicAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// tokenKeys verify tokens.
var tokenKeys = []string{"auth.jwt.secret", "auth.jwt.secret_file", "auth.jwt.public_key_file", "auth.jwt.jwks_url"}

const minSecret, minToken = 32, 16

func (v *check) jwt() {
	j := &v.Config.Auth.JWT
	given := []string{}
	for _, p := range tokenKeys {
		if v.set(p) {
			given = append(given, p)
		}
	}
	if len(given) == 0 {
		if !v.authBroken() {
			v.orphans()
		}
		return
	}
	if len(given) > 1 && !v.bad["auth.jwt.secret_file"] {
		v.fail(given[1], "can't be combined with %s; tokens are verified with one kind of key", given[0])
	}
	if j.Secret != "" && len(j.Secret) < minSecret {
		v.fail(given[0], "has %d bytes; at least %d are needed (try: openssl rand -base64 48)", len(j.Secret), minSecret)
	}
	if j.PublicKeyFile != "" {
		const path = "auth.jwt.public_key_file"
		if text, err := os.ReadFile(j.PublicKeyFile); err != nil {
			v.fail(path, "cannot read %s", j.PublicKeyFile)
		} else if err := jwtauth.CheckPublicKey(text); err != nil {
			v.fail(path, "%s: %s", j.PublicKeyFile, err)
		}
	}
	v.jwks()
	for _, p := range []struct{ path, value string }{{"auth.jwt.issuer", j.Issuer}, {"auth.jwt.audience", j.Audience}} {
		if p.value == "" {
			v.fail(p.path, "must be set, so that tokens made for others are refused; \"*\" accepts any")
		}
	}
	v.algorithms(given[0])
	if strings.ContainsAny(j.Cookie, " \t;,=\"") {
		v.fail("auth.jwt.cookie", "%q is not the name of a cookie", j.Cookie)
	}
	if j.Leeway > 5*time.Minute {
		v.fail("auth.jwt.leeway", "%s is more than 5m", j.Leeway)
	}
}

// orphans reports settings of tokens without a key to verify them.
func (v *check) orphans() {
	for i := range keys {
		if p := keys[i].Path; strings.HasPrefix(p, "auth.jwt.") && v.set(p) {
			v.fail(p, "has no effect without auth.jwt.secret, auth.jwt.secret_file, auth.jwt.public_key_file or auth.jwt.jwks_url")
		}
	}
}

func (v *check) jwks() {
	raw := v.Config.Auth.JWT.JWKSURL
	if raw == "" {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		v.fail("auth.jwt.jwks_url", "must be an https URL")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.fail("auth.jwt.jwks_url", "must be https: keys fetched over plain http can be replaced on the way")
	}
}

func (v *check) algorithms(key string) {
	j := &v.Config.Auth.JWT
	family, name := publicAlgorithms, "a public key"
	if strings.HasPrefix(key, "auth.jwt.secret") {
		family, name = secretAlgorithms, "a shared secret"
	}
	if v.set("auth.jwt.algorithms") && len(j.Algorithms) == 0 {
		v.fail("auth.jwt.algorithms", "is empty; leave it out for those of the key's family")
	}
	for i, a := range j.Algorithms {
		if !slices.Contains(family, a) {
			v.fail(fmt.Sprintf("auth.jwt.algorithms[%d]", i), "%q can't be used with %s; possible: %s", a, name, strings.Join(family, ", "))
		}
	}
	if len(j.Algorithms) == 0 && name == "a shared secret" {
		j.Algorithms = secretAlgorithms
	}
}

// open refuses a server that would be open, or closed to everybody.
func (v *check) open() {
	c := &v.Config
	if c.Auth.JWT.Configured() || v.authBroken() || v.jwtMeant() {
		return
	}
	switch {
	case c.Auth.Anonymous:
		if !c.Dev && !v.set("security.isolation") {
			v.warn("security.isolation", "anonymous clients have no tenant: with isolation strict only broadcasts reach them; set security.isolation: addressed to change that")
		}
	case c.Dev:
		v.fail("auth.anonymous", "is false and no token key is configured: nobody could connect; set auth.jwt.* or leave it out")
	default:
		v.fail("auth", "no authentication is configured. Set one of\n"+
			"    auth.jwt.jwks_url, auth.jwt.public_key_file or auth.jwt.secret_file, with auth.jwt.issuer and auth.jwt.audience\n"+
			"    auth.anonymous: true    to admit everybody without credentials\n"+
			"  or start with --dev on your own machine")
	}
}

// jwtMeant reports whether a key for tokens was given, be it one that is refused.
func (v *check) jwtMeant() bool { return slices.ContainsFunc(tokenKeys, v.set) }

// authBroken reports whether a key of auth could not be read, or was misspelt: what it should have said is not known.
func (v *check) authBroken() bool {
	for p := range v.bad {
		if meant := meantBy(p); meant == "auth" || strings.HasPrefix(meant, "auth.") {
			return true
		}
	}
	return false
}

func (v *check) tokens() {
	c := &v.Config
	if v.set("publish.tokens") && len(c.Publish.Tokens) == 0 && !v.bad["publish.tokens"] {
		v.fail("publish.tokens", "is empty; list a token or leave the key out")
	}
	for i := range c.Publish.Tokens {
		v.token(i, &c.Publish.Tokens[i])
	}
	if c.Publish.Rate > 0 && len(c.Publish.Tokens) == 0 {
		v.fail("publish.rate", "has no effect without publish.tokens")
	}
	if len(c.Publish.Tokens) == 0 && !c.Dev && !v.builtin && c.Bus == "memory://" {
		v.warn("publish.tokens", "none: nobody can publish, and bus memory:// has no other source of events")
	}
}

// admin judges the operators' token.
func (v *check) admin() {
	a := &v.Config.Admin
	path := "admin.token"
	if a.TokenFile != "" {
		path = "admin.token_file"
	}
	if v.bad["admin.token"] || v.bad["admin.token_file"] {
		return
	}
	if v.set("admin.token") || a.Token != "" {
		v.credential(path, a.Token)
		if a.Listen == "" {
			v.fail(path, "needs admin.listen")
		}
	}
	for i := range v.Config.Publish.Tokens {
		if a.Token != "" && v.Config.Publish.Tokens[i].Token == a.Token {
			v.fail(path, "is the same as publish.tokens[%d]: whoever publishes could revoke", i)
		}
	}
	if v.Config.Auth.MaxTokenLife <= 0 {
		v.fail("auth.max_token_life", "must be more than 0")
	}
}

// credential judges a secret that travels in a header.
func (v *check) credential(path, text string) {
	switch {
	case len(text) < minToken:
		v.fail(path, "has %d bytes; at least %d are needed (try: openssl rand -hex 24)", len(text), minToken)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		v.fail(path, "must consist of printable ASCII characters without spaces, as it travels in a header")
	}
}

func (v *check) token(i int, t *Token) {
	at := func(member string) string { return fmt.Sprintf("publish.tokens[%d]%s", i, member) }
	switch {
	case v.bad[at("")] || v.bad[at(".token_file")] || v.bad[at(".token")]:
	case t.Token == "":
		v.fail(at(""), "needs token or token_file")
	default:
		v.credential(at(".token"), t.Token)
	}
	for j := range i {
		if t.Token != "" && v.Config.Publish.Tokens[j].Token == t.Token {
			v.fail(at(".token"), "is the same as publish.tokens[%d]", j)
		}
	}
	if t.Channels != nil && len(t.Channels) == 0 {
		v.fail(at(".channels"), "is empty: the token could publish nothing; leave it out for every channel")
	}
	for j, ch := range t.Channels {
		if problem := pattern(ch); problem != "" {
			v.fail(at(fmt.Sprintf(".channels[%d]", j)), "%q %s", ch, problem)
		}
	}
	if t.Tenants != nil && len(t.Tenants) == 0 {
		v.fail(at(".tenants"), "is empty: the token could publish nothing; leave it out for every tenant")
	}
	if t.Tenants != nil && t.Broadcast {
		v.fail(at(".broadcast"), "contradicts tenants: a broadcast reaches every tenant")
	}
}

func (v *check) security() {
	s := &v.Config.Security
	for _, l := range []struct {
		path  string
		names []string
	}{{"security.scope.user", s.ScopeUser}, {"security.scope.tenant", s.ScopeTenant}} {
		if v.set(l.path) && len(l.names) == 0 {
			v.fail(l.path, "is empty: check 1 would compare nothing; use @unscoped on the arguments that are exempt")
		}
		for i, name := range l.names {
			if name == "" || strings.ContainsFunc(name, func(r rune) bool {
				return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
			}) {
				v.fail(fmt.Sprintf("%s[%d]", l.path, i), "%q is not the name of an argument", name)
			}
		}
	}
	for _, u := range s.ScopeUser {
		for _, t := range s.ScopeTenant {
			if fold(u) == fold(t) {
				v.fail("security.scope.tenant", "%q is in security.scope.user too", t)
			}
		}
	}
}

func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// zeroMeans are the limits whose 0 has a meaning.
var zeroMeans = []string{
	"limits.connections", "limits.connections_per_ip", "limits.connections_per_user", "limits.connections_per_tenant", "limits.connect_rate",
	"limits.http_connections", "limits.subscriptions_per_connection", "limits.subscriptions_per_user", "limits.subscriptions_per_tenant",
	"limits.fields_per_user", "limits.subscribe_rate", "limits.subscribe_burst", "limits.publish_rate", "limits.publish_burst",
	"limits.ping_interval", "limits.memory",
}

func (v *check) limits() {
	l := &v.Config.Limits
	for i := range keys {
		k := &keys[i]
		if !strings.HasPrefix(k.Path, "limits.") || slices.Contains(zeroMeans, k.Path) {
			continue
		}
		zero := false
		switch p := k.field(&v.Config).(type) {
		case *int:
			zero = *p == 0
		case *time.Duration:
			zero = *p == 0
		}
		if zero {
			v.fail(k.Path, "must be more than 0")
		}
	}
	if l.PublishBytes > 16<<20 {
		v.fail("limits.publish_bytes", "can be at most 16MiB")
	}
	if l.PublishMemory < l.PublishBytes {
		v.fail("limits.publish_memory", "is less than limits.publish_bytes: a request of that size could never be taken")
	}
	if l.PublishEvents > 10_000 {
		v.fail("limits.publish_events", "can be at most 10000")
	}
	if l.SubscribeBurst > 0 && l.SubscribeRate == 0 {
		v.fail("limits.subscribe_burst", "is set without limits.subscribe_rate")
	}
	if l.PublishBurst > 0 && l.PublishRate == 0 {
		v.fail("limits.publish_burst", "is set without limits.publish_rate")
	}
	if l.EventDepth > 1000 {
		v.fail("limits.event_depth", "can be at most 1000")
	}
	if l.QueueBytes > 1<<30 { // as fraiseql.Limits
		v.fail("limits.queue_bytes", "can be at most 1GiB")
	}
	v.within("event_bytes", l.EventBytes, "publish_bytes", l.PublishBytes, "no such event could be published")
	v.within("document_bytes", l.DocumentBytes, "message_bytes", l.MessageBytes, "no such document could be sent")
	v.within("queue_bytes", l.QueueBytes, "connection_queue_bytes", l.ConnectionQueueBytes, "a queue could never be full")
	v.nested()
}

// within refuses a bound that is beyond another, which may not have been chosen: whichever was is named.
func (v *check) within(part string, n int, whole string, most int, why string) {
	part, whole = "limits."+part, "limits."+whole
	switch {
	case n <= most:
	case v.set(whole) && !v.set(part):
		v.fail(whole, "is less than %s, %s: %s; lower that too", part, showBytes(n), why)
	default:
		v.fail(part, "is more than %s, %s: %s", whole, showBytes(most), why)
	}
}

// nested refuses bounds of a part that are beyond those of the whole, if one of them was chosen.
func (v *check) nested() {
	l := &v.Config.Limits
	for _, c := range []struct {
		part  string
		n     int
		whole string
		most  int
	}{
		{"connections_per_ip", l.ConnectionsPerIP, "connections", l.Connections},
		{"connections_per_user", l.ConnectionsPerUser, "connections", l.Connections},
		{"connections_per_tenant", l.ConnectionsPerTenant, "connections", l.Connections},
		{"connections_per_user", l.ConnectionsPerUser, "connections_per_tenant", l.ConnectionsPerTenant},
		{"subscriptions_per_connection", l.SubscriptionsPerConnection, "subscriptions_per_user", l.SubscriptionsPerUser},
		{"subscriptions_per_user", l.SubscriptionsPerUser, "subscriptions_per_tenant", l.SubscriptionsPerTenant},
		{"document_fields", l.DocumentFields, "fields_per_user", l.FieldsPerUser},
		{"document_fields", l.DocumentFields, "document_tokens", l.DocumentTokens},
	} {
		if part := "limits." + c.part; v.set(part) && c.most > 0 && c.n > c.most {
			v.fail(part, "is more than limits.%s, %d: it could never be reached", c.whole, c.most)
		}
	}
	if m := l.Memory; m > 0 && m < leastMemory {
		v.fail("limits.memory", "is less than %s: the server needs as much when it is idle", showBytes(leastMemory))
	} else if m > 0 && m < l.PublishMemory {
		v.warn("limits.memory", "is less than limits.publish_memory: the bodies of publishers alone could reach it")
	}
}

// leastMemory is the smallest ceiling that leaves room for work.
const leastMemory = 32 << 20
