package origin

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzJudge takes any Origin and Host for a request: a page is the host's own only if it names it.
func FuzzJudge(f *testing.F) {
	for _, c := range [][2]string{
		{"https://app.example.com", "app.example.com"}, {"http://a:80", "A"}, {"null", "null"}, {"https://a.example@b", "b"}, {"http://[::1]:4000", "[::1]:4000"},
		{"http://", ""}, {"https://a/../b", "b"}, {"http://a\t", "a"}, {"//a", "a"}, {"http://a%00b", "a"}, {"http://%80", "\x83"},
		{"https://%61pp.example.com", "x"}, {"http://:80", ""},
	} {
		f.Add(c[0], c[1])
	}
	app, bad := Parse([]string{"https://app.example.com"})
	if bad != nil {
		f.Fatal(bad)
	}
	f.Fuzz(func(t *testing.T, from, host string) {
		r := &http.Request{Host: host, Header: http.Header{"Origin": {from}}}
		bare := strings.ToLower(host)
		for _, port := range []string{":80", ":443"} {
			bare = strings.TrimSuffix(bare, port)
		}
		switch verdict := app.Judge(r); verdict {
		case Own:
			if lower := strings.ToLower(from); !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") || !strings.Contains(lower, bare) || bare == "" {
				t.Fatalf("%q is the own page of %q", from, host)
			}
		case Listed:
			if lower := strings.ToLower(from); !strings.HasPrefix(lower, "https://") || !strings.Contains(lower, "app.example.com") {
				t.Fatalf("%q is listed", from)
			}
		case Foreign:
		default:
			t.Fatalf("%q for %q: %d", from, host, verdict)
		}
	})
}
