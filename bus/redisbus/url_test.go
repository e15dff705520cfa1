package redisbus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

func TestURLs(t *testing.T) {
	for rawURL, check := range map[string]func(c *config) bool{
		"redis://localhost": func(c *config) bool {
			return c.topology == single && c.addrs[0] == "localhost:6379" && c.tls == nil && c.prefix == "fraiseql" && c.maxLen == 10_000 && c.maxAge == 24*time.Hour && !c.pubsub && c.db == 0
		},
		"redis://:p%40ss@h:1/5": func(c *config) bool { return c.user == "" && c.password == "p@ss" && c.addrs[0] == "h:1" && c.db == 5 },
		"rediss://u:p:q@[::1]:7/0?skip_verify=true&prefix=a:b": func(c *config) bool {
			return c.user == "u" && c.password == "p:q" && c.addrs[0] == "[::1]:7" && c.tls.InsecureSkipVerify && c.prefix == "a:b"
		},
		"redis://[::1]": func(c *config) bool { return c.addrs[0] == "[::1]:6379" },
		"unix://u:p@/run/redis%20x.sock?db=3": func(c *config) bool {
			return c.unix && c.addrs[0] == "/run/redis x.sock" && c.db == 3 && c.user == "u"
		},
		"redis+sentinel://u:p@h1,h2:5/mymaster/2?sentinel_user=s&sentinel_password=t%26": func(c *config) bool {
			return c.topology == sentinel && c.addrs[0] == "h1:26379" && c.addrs[1] == "h2:5" && c.master == "mymaster" && c.db == 2 && c.sentinelUser == "s" && c.sentinelPassword == "t&"
		},
		"rediss+cluster://h1,h2:5": func(c *config) bool { return c.topology == cluster && len(c.addrs) == 2 && c.tls != nil },
		"redis://h?maxlen=50&maxage=90s&partitions=8&group=g&claim=1s&mode=streams": func(c *config) bool {
			return c.maxLen == 50 && c.trimExactly && c.maxAge == 90*time.Second && c.partitions == 8 && c.group == "g" && c.claim == time.Second && !c.pubsub
		},
		"redis://h?mode=pubsub": func(c *config) bool { return c.pubsub },
	} {
		c, err := parseURL(rawURL)
		if err != nil {
			t.Errorf("%s: %v", rawURL, err)
		} else if !check(c) {
			t.Errorf("%s: %+v", rawURL, c)
		}
	}
}

// TestBadURLs checks that what is wrong is named, and that nothing of a password is, wherever it ended up.
func TestBadURLs(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(pem, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2"
	for rawURL, text := range map[string]string{
		"":                                       "must be a URL",
		"http://h":                               "scheme must be",
		"redis://":                               "host 1: is empty",
		"redis://a,b":                            "redis+sentinel:// or redis+cluster://",
		"redis://h:x":                            "port",
		"redis://h:0":                            "port",
		"redis://u:" + secret + "@[bad":          "[IPv6]:port",
		"redis://u:" + secret + "@[bad]:1":       "[IPv6]:port",
		"redis://u:" + secret + "@[]:1":          "is empty",
		"redis://u:" + secret + "@bad]":          "no host has",
		"redis://u:" + secret + "@a b":           "no host has",
		"redis://u:" + secret + "@a%20b:1":       "no host has",
		"redis+cluster://h,[::1":                 "host:port",
		"redis://h:1:2":                          "host:port",
		"redis://h/x":                            "database",
		"redis://h/1/2":                          "database",
		"unix://h/p":                             "no host",
		"unix://":                                "path",
		"redis+sentinel://h":                     "name of the master",
		"redis+cluster://h/1":                    "no databases",
		"redis://h?nope=1":                       "unknown parameter nope",
		"redis://h?No%20pe=1":                    "unknown",
		"redis://h?prefix=a&prefix=b":            "prefix: is given twice",
		"redis://h?prefix={}":                    "parameter prefix",
		"redis://h?prefix=":                      "parameter prefix",
		"redis://h?prefix=%zz":                   "parameter prefix",
		"redis://h?mode=x":                       "parameter mode",
		"redis://h?maxlen=0":                     "parameter maxlen",
		"redis://h?maxage=1":                     "parameter maxage",
		"redis://h?partitions=1025":              "parameter partitions",
		"redis://h?claim=1ms":                    "parameter claim",
		"redis://h?group=a%20b":                  "parameter group",
		"redis://h?db=1":                         "parameter db",
		"redis://h?ca=/x":                        "rediss://",
		"rediss://h?ca=/nowhere":                 "cannot be read",
		"rediss://h?ca=" + pem:                   "no certificate",
		"redis://h?skip_verify=1":                "rediss://",
		"rediss://h?skip_verify=x":               "true or false",
		"redis://h?sentinel_user=x":              "redis+sentinel://",
		"redis://h?mode=pubsub&maxlen=5&group=g": "parameter group",
		"redis://u:" + secret + "/x@h":           "percent-encoded",
		"redis://u:" + secret + "?x@h":           "percent-encoded",
		"redis://u:" + secret + "#x@h":           "percent-encoded",
		"redis://u:" + secret + "%zz@h":          "percent-encoded",
		"redis://u:" + secret + "@x@h":           "percent-encoded",
		"redis://u:" + secret:                    "port",
		"redis+sentinel://h/m?sentinel_password=%zz" + secret: "parameter sentinel_password",
	} {
		err := Check(rawURL)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want …%s…", rawURL, err, text)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the password: %v", rawURL, err)
		}
		if _, err := Open(rawURL, bus.Options{}); err == nil {
			t.Errorf("%s: opened", rawURL)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("redis://u:p@h:1/2?prefix=a&maxlen=3")
	f.Add("redis+sentinel://h1,h2/m/1?sentinel_password=x")
	f.Add("unix:///a?db=1")
	f.Fuzz(func(t *testing.T, rawURL string) {
		c, err := parseURL(rawURL)
		if err == nil && (len(c.addrs) == 0 || !prefixes().MatchString(c.prefix) || c.maxLen < 1 || c.partitions < 0 || c.partitions > maxPartitions) {
			t.Fatalf("%q reads as %+v", rawURL, c)
		}
	})
}
