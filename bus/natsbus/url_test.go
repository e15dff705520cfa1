package natsbus

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

func TestURLs(t *testing.T) {
	for rawURL, want := range map[string]config{
		"nats://h":                   {servers: []string{"nats://h:4222"}},
		"nats://h:1/":                {servers: []string{"nats://h:1"}},
		"tls://a:1,b,[::1],[::1]:5":  {servers: []string{"tls://a:1", "tls://b:4222", "tls://[::1]:4222", "tls://[::1]:5"}},
		"nats://u:p%40%3A@h":         {servers: []string{"nats://h:4222"}, user: "u", password: "p@:"},
		"nats://u:p@ss@h":            {servers: []string{"nats://h:4222"}, user: "u", password: "p@ss"},
		"nats://tok%2Fen@h":          {servers: []string{"nats://h:4222"}, token: "tok/en"},
		"nats://h?creds=a&prefix=b":  {servers: []string{"nats://h:4222"}, creds: "a", prefix: "b", stream: "b"},
		"nats://h?prefix=a.b":        {servers: []string{"nats://h:4222"}, prefix: "a.b", stream: "a_b"},
		"nats://h?prefix=a&stream=S": {servers: []string{"nats://h:4222"}, prefix: "a", stream: "S"},
		"nats://h?mode=core":         {servers: []string{"nats://h:4222"}, core: true},
		"nats://h?mode=jetstream&replicas=3&maxbytes=2GiB&maxage=36h": {
			servers: []string{"nats://h:4222"}, replicas: 3, maxBytes: 2 << 30, maxAge: 36 * time.Hour,
		},
		"tls://h?tls_ca=a&tls_cert=b&tls_key=c&nkey=d": {servers: []string{"tls://h:4222"}, caFile: "a", certFile: "b", keyFile: "c", nkey: "d"},
	} {
		if want.prefix == "" {
			want.prefix, want.stream = "fraiseql", "fraiseql"
		}
		got, err := parseURL(rawURL)
		if !slices.Equal(got.servers, want.servers) {
			t.Errorf("%s: servers %v", rawURL, got.servers)
		}
		got.servers, want.servers = nil, nil
		if err != nil || !equalConfigs(got, want) {
			t.Errorf("%s: %+v, %v", rawURL, got, err)
		}
	}
}

// equalConfigs compares all but the servers.
func equalConfigs(a, b config) bool {
	return a.user == b.user && a.password == b.password && a.token == b.token && a.nkey == b.nkey && a.creds == b.creds && a.caFile == b.caFile &&
		a.certFile == b.certFile && a.keyFile == b.keyFile && a.core == b.core && a.prefix == b.prefix && a.stream == b.stream &&
		a.replicas == b.replicas && a.maxBytes == b.maxBytes && a.maxAge == b.maxAge
}

func TestBadURLs(t *testing.T) {
	for rawURL, want := range map[string]string{
		"":                                         "must begin with nats:// or tls://",
		"http://h":                                 "must begin with nats:// or tls://",
		"nats://":                                  "server 1 of 1: want host or host:port",
		"nats://h:0":                               "server 1 of 1",
		"nats://a,b:99999":                         "server 2 of 2",
		"nats://a,,b":                              "server 2 of 3",
		"nats://::1":                               "server 1 of 1",
		"nats://h/stream":                          "has a path",
		"nats://s3cret#@h":                         "must not have a #",
		"nats://s3cret%zz@h":                       "user or password: a %",
		"nats://:s3cret@h":                         "user: is empty",
		"nats://u:s3cret@h?x":                      `unknown parameter "x"`,
		"nats://h?=":                               `unknown parameter ""`,
		"nats://h?a;b":                             "are not name=value",
		"nats://h?prefix=a&prefix=b":               "parameter prefix: is there 2 times",
		"nats://h?prefix=":                         "parameter prefix: must have 1 to 64",
		"nats://h?prefix=.a":                       "parameter prefix: must have 1 to 64",
		"nats://h?prefix=a..b":                     "parameter prefix: must have 1 to 64",
		"nats://h?prefix=a*":                       "parameter prefix: may have letters",
		"nats://h?prefix=%24JS":                    "parameter prefix: may have letters",
		"nats://h?stream=a.b":                      "parameter stream: may have letters",
		"nats://h?replicas=2":                      "parameter replicas: must be 1, 3 or 5",
		"nats://h?replicas=x":                      "parameter replicas: must be 1, 3 or 5",
		"nats://h?maxbytes=1":                      "parameter maxbytes: must be",
		"nats://h?maxbytes=-1GiB":                  "parameter maxbytes: must be",
		"nats://h?maxbytes=9999999TiB":             "parameter maxbytes: must be",
		"nats://h?maxage=1ms":                      "parameter maxage: must be",
		"nats://h?maxage=forever":                  "parameter maxage: must be",
		"nats://h?mode=queue":                      "parameter mode: must be",
		"nats://h?mode=core&maxage=1h":             "parameter mode: core keeps nothing",
		"nats://h?creds=":                          "parameter creds: must be the path",
		"nats://h?creds=/nowhere/c":                "parameter creds: the file cannot be read",
		"tls://h?tls_ca=/nowhere/c":                "parameter tls_ca: the file cannot be read",
		"nats://u:s3cret@h?creds=a":                "more than one of user",
		"nats://s3cret@h?nkey=a":                   "more than one of user",
		"tls://h?tls_cert=a":                       "one needs the other",
		"nats://h?tls_ca=a":                        "write tls:// instead",
		"nats://h?store=a":                         "parameter store: is for nats://embedded only",
		"nats://" + strings.Repeat("h,", 64) + "h": "names 65 servers",
	} {
		err := Check(rawURL)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%.60s: %v, want %q", rawURL, err, want)
		}
		if b, opened := Open(rawURL, bus.Options{}); opened == nil || b != nil {
			t.Errorf("%.60s: opened: %v", rawURL, opened)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("nats://u:p@a:1,b?prefix=x&maxbytes=1GiB&maxage=1h&replicas=3")
	f.Add("tls://token@[::1]:4222/?mode=core")
	f.Fuzz(func(t *testing.T, rawURL string) {
		c, err := parseURL(rawURL)
		if err == nil && (len(c.servers) == 0 || c.prefix == "" || c.stream == "" || strings.ContainsAny(c.prefix+c.stream, " *>%$")) {
			t.Errorf("%q: %+v", rawURL, c)
		}
	})
}
