package carrier

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

func TestBadURLs(t *testing.T) {
	for rawURL, want := range map[string]string{
		"":                             "must be a URL",
		"redis":                        "must be a URL",
		"://x":                         "must be a URL",
		"kafka://x":                    "unknown bus kafka://",
		"s3cret pass://x":              "unknown bus …://",
		"memory://x":                   "takes no host",
		"memory://?a=b":                "takes no host",
		"memory://?buffer=":            "parameter buffer: must be a number of bytes",
		"memory://?buffer=1.5MiB":      "parameter buffer: must be a number of bytes",
		"memory://?buffer=17GiB":       "parameter buffer: must be a number of bytes",
		"memory://?buffer=%zz":         "parameter buffer: must be a number of bytes",
		"memory://?publish_timeout=5":  "parameter publish_timeout: must be a time",
		"memory://?publish_timeout=0s": "parameter publish_timeout: must be a time",
		"nats://embedded?store=x":      "no NATS server",
		"nats://u:p@embedded?store=x":  "no NATS server",
	} {
		if find("nats") == nil && strings.HasPrefix(rawURL, "nats") {
			want = "unknown bus"
		}
		var o Opener
		if err := o.Check(rawURL); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check %q: %v, want %q", rawURL, err, want)
		}
		if _, err := o.Open(rawURL, bus.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %q: %v, want %q", rawURL, err, want)
		}
	}
}

func TestCommonParametersAreTakenOff(t *testing.T) {
	for rawURL, want := range map[string]parsed{
		"memory://?buffer=16MiB":                                {rest: "memory://", buffer: 16 << 20},
		"memory://?buffer=16&publish_timeout=250ms&a=b%20c&d&e": {rest: "memory://?a=b%20c&d&e", buffer: 16, timeout: 250 * time.Millisecond},
		"memory://u:p%40@h/x?a=":                                {rest: "memory://u:p%40@h/x?a="},
	} {
		got, err := new(Opener).parse(rawURL)
		got.adapter = nil
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", rawURL, got, err)
		}
	}
}

func TestOpenMemory(t *testing.T) {
	for _, rawURL := range []string{"memory://", "memory://?buffer=1KiB"} {
		b, err := new(Opener).Open(rawURL, bus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if name := bus.Describe(b).Name; name != "memory" {
			t.Errorf("%q is %s", rawURL, name)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
