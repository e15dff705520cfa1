package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write docs/reference/config.md")

// write puts a file into a fresh folder that also holds a schema, a secret and a key, and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"fraiseql.yaml": text,
		"s.graphql":     "type Subscription { a: Int }",
		"t.graphql":     "type T { a: Int }",
		"secret":        strings.Repeat("s", 40) + "\n",
		"short":         "short\n",
		"empty":         "",
		"key.pem":       "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAI8raWjEJ8FcbIa0KGYQRxfFNw8peVwXSN4IJHQ2R0C8=\n-----END PUBLIC KEY-----\n",
		"bus":           "redis://:p4ss@127.0.0.1:6379/0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "fraiseql.yaml")
}

const minimal = "schema: s.graphql\nauth.anonymous: true\n"

func TestLoadFile(t *testing.T) {
	file := write(t, `
schema: [s.graphql, t.graphql]
schema.naming: snake_case
listen: 0.0.0.0:8080
admin:
  listen: 127.0.0.1:9090
  pprof: true
origins: ["https://app.example.com"]
auth:
  jwt:
    secret_file: secret
    issuer: me
    audience: "*"
    leeway: 1m
    claims: {user: user.id}
publish:
  tokens:
    - {token: "${TOKEN}$$", channels: [orders, "orders.*"]}
    - {token_file: secret, tenants: [t1]}
limits.queue_bytes: 64KiB
`)
	r, err := Load(Source{File: file, Environ: []string{"TOKEN=0123456789abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Config
	dir := filepath.Dir(file)
	if diff := cmp.Diff(Schema{Files: []string{dir + "/s.graphql", dir + "/t.graphql"}, Naming: "snake_case"}, c.Schema); diff != "" {
		t.Error(diff)
	}
	wantJWT := JWT{
		Secret: strings.Repeat("s", 40), SecretFile: dir + "/secret", Algorithms: secretAlgorithms, Issuer: "me", Audience: "*",
		Leeway: time.Minute, Claims: Claims{User: "user.id", Tenant: "tenant_id", Roles: "roles", Scopes: "scope"},
	}
	if diff := cmp.Diff(wantJWT, c.Auth.JWT); diff != "" {
		t.Error(diff)
	}
	wantTokens := []Token{
		{Token: "0123456789abcdef$", Channels: []string{"orders", "orders.*"}},
		{Token: strings.Repeat("s", 40), TokenFile: dir + "/secret", Tenants: []string{"t1"}},
	}
	if diff := cmp.Diff(wantTokens, c.Publish.Tokens); diff != "" {
		t.Error(diff)
	}
	if c.Limits.QueueBytes != 64<<10 || c.Limits.QueueMessages != 1000 || !c.Admin.Pprof || c.Log.Format != "json" || c.Security.Isolation != "strict" || c.Security.RowFilter != "tenant" {
		t.Errorf("%+v", c)
	}
	if got := r.Places["admin.listen"].String(); got != file+":6" {
		t.Errorf("admin.listen comes from %s", got)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, minimal+"log.level: warn\nlog.format: text\nlisten: 127.0.0.1:1\nadmin.listen: 127.0.0.1:2\n")
	r, err := Load(Source{
		File:    file,
		Environ: []string{"FRAISEQL_LISTEN=127.0.0.1:3", "FRAISEQL_ADMIN_LISTEN=127.0.0.1:4", "FRAISEQL_ORIGINS=https://a.example, https://b.example", "FRAISEQL_BUS="},
		Flags:   map[string]string{"listen": "127.0.0.1:5"},
		Sets:    []string{"log.level=debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Config
	got := []any{c.Listen, c.Admin.Listen, c.Log.Level, c.Log.Format, c.Bus, c.Drain.Window, c.Origins}
	want := []any{"127.0.0.1:5", "127.0.0.1:4", "debug", "text", "memory://", 10 * time.Second, []string{"https://a.example", "https://b.example"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for path, place := range map[string]string{"listen": "--listen", "admin.listen": "FRAISEQL_ADMIN_LISTEN", "log.level": "--set log.level", "log.format": file + ":4", "bus": "default"} {
		if got := r.Places[path].String(); got != place {
			t.Errorf("%s comes from %s, want %s", path, got, place)
		}
	}
}

func TestPresets(t *testing.T) {
	for _, c := range []struct {
		name string
		src  Source
		want []any
	}{
		{"production", Source{Flags: map[string]string{"schema": "S"}, Sets: []string{"auth.anonymous=true"}}, []any{"production", 50000, "json", false, "strict", 4 << 20}},
		{"dev", Source{Dev: true, Flags: map[string]string{"schema": "S"}}, []any{"development", 0, "text", true, "addressed", 4 << 20}},
		{"dev with another preset", Source{Dev: true, Flags: map[string]string{"schema": "S", "preset": "high-throughput"}}, []any{"high-throughput", 0, "json", true, "addressed", 16 << 20}},
		{"dev without introspection", Source{Dev: true, Flags: map[string]string{"schema": "S", "introspection": "false"}}, []any{"development", 0, "text", false, "addressed", 4 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.src.Flags["schema"] = filepath.Join(filepath.Dir(write(t, "")), "s.graphql")
			r, err := Load(c.src)
			if err != nil {
				t.Fatal(err)
			}
			cfg := r.Config
			got := []any{cfg.Preset, cfg.Limits.Connections, cfg.Log.Format, cfg.Introspection, cfg.Security.Isolation, cfg.Limits.QueueBytes}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDevKeepsIsolationStrictWithTokens(t *testing.T) {
	file := write(t, "schema: s.graphql\nauth.jwt: {secret_file: secret, issuer: \"*\", audience: \"*\"}\n")
	r, err := Load(Source{File: file, Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Config.Security.Isolation != "strict" || !r.Config.Auth.Anonymous {
		t.Errorf("%+v %+v", r.Config.Security, r.Config.Auth)
	}
}

func TestWarnings(t *testing.T) {
	file := write(t, minimal)
	r, err := Load(Source{File: file, Environ: []string{"FRAISEQL_LISTN=x", "FRAISEQL_PORT_4000_TCP_ADDR=10.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"FRAISEQL_LISTN: unknown environment variable; did you mean FRAISEQL_LISTEN?",
		"security.isolation: anonymous clients have no tenant: with isolation strict only broadcasts reach them; set security.isolation: addressed to change that",
		"publish.tokens: none: nobody can publish, and bus memory:// has no other source of events",
	}
	got := []string{}
	for _, w := range r.Warnings {
		got = append(got, w.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPrintHidesSecretsAndReadsBack(t *testing.T) {
	file := write(t, minimal+`
bus_file: bus
hooks: {on_connect.url: "https://hooks.example/", secret: a-secret-of-hooks-that-is-long}
publish.tokens: [{token: 0123456789abcdef, channels: ["a*"], broadcast: true}, {token_file: secret}]
security.scope.user: [user_id, "owner"]
`)
	r, err := Load(Source{File: file, Environ: []string{"FRAISEQL_DRAIN_WINDOW=5m"}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, secret := range []string{"0123456789abcdef", strings.Repeat("s", 40), "p4ss", "a-secret-of-hooks"} {
		if strings.Contains(text, secret) {
			t.Errorf("the secret %q is printed:\n%s", secret, text)
		}
	}
	for _, line := range []string{`window: 5m `, "# FRAISEQL_DRAIN_WINDOW", "queue_bytes: 4MiB", "# default", `token: "***", channels: ["a*"], broadcast: true`} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	if err := yaml.Unmarshal([]byte(text), new(any)); err != nil {
		t.Errorf("what is printed is no YAML: %v\n%s", err, text)
	}
	again := write(t, strings.ReplaceAll(text, "***", "another-secret-16"))
	back, err := Load(Source{File: again})
	if err != nil {
		t.Fatalf("what was printed can't be read: %v\n%s", err, text)
	}
	a, b := r.Config, back.Config
	a.Publish.Tokens, b.Publish.Tokens = nil, nil
	a.Hooks.Secret, b.Hooks.Secret = "", ""
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
}

func TestPrintHidesTheBusPassword(t *testing.T) {
	for in, want := range map[string]string{
		"redis://u:p4ss@host:6379/0?x=y": "redis://***@host:6379/0?***",
		"memory://":                      "memory://",
		"https://id.example/jwks":        "https://id.example/jwks",
		"http://a:b":                     hidden,
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%s) = %s, want %s", in, got, want)
		}
	}
}

// TestExampleOfTheReference loads the file that the reference shows.
func TestExampleOfTheReference(t *testing.T) {
	_, rest, found := strings.Cut(referenceHead, "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the reference has no example")
	}
	text = strings.Replace(text, "schema.graphql", "s.graphql", 1)
	r, err := Load(Source{File: write(t, text), Environ: []string{"ORDERS_TOKEN=0123456789abcdef"}})
	if err != nil || len(r.Warnings) > 0 {
		t.Errorf("%v %v", err, r.Warnings)
	}
}

func TestTokensFromTheEnvironment(t *testing.T) {
	r, err := Load(Source{File: write(t, minimal), Environ: []string{`FRAISEQL_PUBLISH_TOKENS=[{token: 0123456789abcdef, channels: [a]}]`}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Token{{Token: "0123456789abcdef", Channels: []string{"a"}}}, r.Config.Publish.Tokens); diff != "" {
		t.Error(diff)
	}
}

func TestTable(t *testing.T) {
	env := map[string]string{}
	for _, k := range Keys() {
		if other := env[k.Env()]; other != "" {
			t.Errorf("%s and %s have the same environment variable", k.Path, other)
		}
		env[k.Env()] = k.Path
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: the doc %q is not a sentence", k.Path, k.Doc)
		}
		if k.Secret && k.Flag != "" {
			t.Errorf("%s is a secret and has a flag", k.Path)
		}
	}
}

func TestReference(t *testing.T) {
	var got bytes.Buffer
	if err := WriteReference(&got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "reference", "config.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s is not what the table generates; run go test ./internal/config -update\n%s", file, diff)
	}
}
