package pgbus

import (
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

func TestURLs(t *testing.T) {
	s, err := parse("postgres://u:p%40@h:5433/db?schema=two&notify=off&max_lag=5s&retention=2h&pool=7&install=on&synchronous_commit=off&application_name=app&my.setting=1")
	if err != nil {
		t.Fatal(err)
	}
	if s.schema != "two" || s.notify || s.poll != 20*time.Millisecond || s.maxLag != 5*time.Second || s.retention != 2*time.Hour || s.pool != 7 || s.install != installAlways {
		t.Errorf("%+v", s)
	}
	c := s.server
	if c.Host != "h" || c.Port != 5433 || c.Database != "db" || c.User != "u" || c.Password != "p@" || c.RuntimeParams["synchronous_commit"] != "off" ||
		c.RuntimeParams["application_name"] != "app" || c.RuntimeParams["my.setting"] != "1" || len(c.RuntimeParams) != 3 {
		t.Errorf("%+v", c)
	}
	s, err = parse("host=h port=5433 dbname='d b' user=u password='it''s' prefix=two poll = 50ms notify='on' keepalives=1")
	if err != nil {
		s, err = parse(`host=h port=5433 dbname='d b' user=u password='it\'s' prefix=two poll = 50ms notify='on' keepalives=1`)
	}
	if err != nil {
		t.Fatal(err)
	}
	if c := s.server; s.schema != "two" || s.poll != 50*time.Millisecond || !s.notify || c.Host != "h" || c.Database != "d b" || c.Password != "it's" || c.RuntimeParams["keepalives"] != "" {
		t.Errorf("%+v %+v", s, c)
	}
	for _, good := range []string{
		"postgresql://h/db", "postgres://h", "postgresql:///db?host=/var/run/postgresql", "postgres://a,b:5433/db", "postgres://h/db?sslmode=disable&",
		"postgres://h/db?connect_timeout=3&target_session_attrs=primary", "postgresql:///?host=a%2Cb&port=5433&dbname=d+b&user=me&password=it%27s",
	} {
		if err := Check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestURLsThatAreWrong(t *testing.T) {
	for url, want := range map[string]string{
		"mysql://h/db":                   "scheme",
		"db":                             "want a URL",
		"postgres://u:hunter2@h:port/db": "invalid port",
		"postgres://u:hunter2@h/db?sslmode=maybe":           "sslmode is invalid",
		"postgres://u:hunter2@h/%zz":                        "parse",
		"postgres://u:hunter2@h/db?shema=x":                 "unknown parameter shema",
		"postgres://u:hunter2@h/db?schema=X":                "parameter schema: want small letters",
		"postgres://u:hunter2@h/db?schema=pg_x":             "parameter schema: names that begin with pg_",
		"postgres://h/db?schema=" + strings.Repeat("x", 49): "parameter schema: want at most 48",
		"postgres://h/db?schema=a&prefix=b":                 "schema and prefix",
		"postgres://h/db?poll=20":                           "parameter poll: want a duration from 1ms to 1m0s",
		"postgres://h/db?poll=1ms&poll=2ms":                 "parameter poll is there twice",
		"postgres://h/db?notify=maybe":                      "parameter notify: want on or off",
		"postgres://h/db?pool=0":                            "parameter pool: want a number from 1 to 100",
		"postgres://h/db?max_lag=never":                     "parameter max_lag: want a duration",
		"postgres://h/db?retention=1s":                      "parameter retention: want a duration from 1m0s",
		"postgres://h/db?schema=%zz":                        "parameter schema: invalid escape",
		"host=h password=hunter2 shema=x":                   "unknown parameter shema",
		"host=h password='hunter2":                          "parse",
		"postgres://u:hunter2@h/db?connect_timeout=abc":     "connect_timeout",
		"postgres://u:hun`: ter2@h:x/db":                    "parse",
	} {
		_, err := Open(url, bus.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") || !strings.HasPrefix(err.Error(), "postgresql: ") {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}
