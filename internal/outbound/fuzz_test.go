package outbound

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzFind asks whether URLs that clients name for their callbacks may be called: what passes leads below the entry that lets it
// pass, also when it is read again by whoever serves it.
func FuzzFind(f *testing.F) {
	c, err := New(Config{URLs: []string{"https://router.example/callbacks/*", "https://router.example:8443/one?key=1"}})
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	for _, text := range []string{
		"https://router.example/callbacks/1", "https://ROUTER.example:443/callbacks/a/b", "https://router.example:/callbacks/a", "https://router.example:8443/one?key=1", "https://router.example/callbacks/../admin",
		"https://router.example/callbacks/%2e%2e/admin", "https://router.example/callbacks/a%2f..%2fb", `https://router.example/callbacks/\..\b`, "https://u:p@router.example/callbacks/1",
		"https://router.example@evil.example/callbacks/1", "https://router.example/callbacks/1#x", "https://router.example/callbacks/1?", "https://evil.example/callbacks/1", "//router.example/callbacks/1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, _, err := c.find(text)
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("%q: called as %q, which is no URL", text, u)
		}
		for _, u := range []*url.URL{u, again} {
			one := u.Port() == "8443" && u.Path == "/one" && u.RawQuery == "key=1"
			below := (u.Port() == "" || u.Port() == "443") && strings.HasPrefix(u.Path, "/callbacks/") && u.RawQuery == ""
			if u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "router.example") || u.User != nil || u.Fragment != "" || !one && !below || strings.Contains("/"+u.Path+"/", "/../") || strings.Contains(u.Path, `\`) {
				t.Fatalf("%q may be called, as %q", text, u)
			}
		}
	})
}
