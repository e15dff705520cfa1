package origin

import (
	"net/http"
	"slices"
	"testing"
)

func TestJudge(t *testing.T) {
	app, bad := Parse([]string{"https://App.example.com:443", "http://localhost:3000", "app://electron"})
	if bad != nil {
		t.Fatal(bad)
	}
	everyone, _ := Parse([]string{"*", "https://app.example.com"})
	for _, tt := range []struct {
		list    List
		host    string
		origins []string
		want    Verdict
	}{
		{app, "api.example.com", nil, Absent},
		{app, "api.example.com", []string{"https://api.example.com"}, Own},
		{app, "api.example.com:443", []string{"https://API.example.com"}, Own},
		{app, "api.example.com", []string{"http://api.example.com:80"}, Own},
		{app, "api.example.com", []string{"http://api.example.com:443"}, Foreign},
		{app, "api.example.com:8080", []string{"https://api.example.com"}, Foreign},
		{app, "api.example.com", []string{"https://app.example.com"}, Listed},
		{app, "api.example.com", []string{"https://app.example.com:443"}, Listed},
		{app, "api.example.com", []string{"http://app.example.com"}, Foreign},
		{app, "api.example.com", []string{"https://app.example.com.evil.org"}, Foreign},
		{app, "api.example.com", []string{"http://localhost:3000"}, Listed},
		{app, "api.example.com", []string{"http://localhost:3001"}, Foreign},
		{app, "api.example.com", []string{"https://app.example.com", "https://app.example.com"}, Foreign},
		{app, "api.example.com", []string{""}, Foreign},
		{app, "api.example.com", []string{"null"}, Foreign},
		{app, "", []string{"https://"}, Foreign},
		{app, "electron", []string{"app://electron"}, Listed},
		{List{}, "electron", []string{"app://electron"}, Foreign},
		{app, "api.example.com", []string{"%zz"}, Foreign},
		{List{}, "api.example.com", []string{"https://app.example.com"}, Foreign},
		{everyone, "api.example.com", []string{"https://evil.org"}, Anybody},
		{everyone, "api.example.com", []string{"null"}, Anybody},
		{everyone, "api.example.com", []string{"https://app.example.com"}, Listed},
		{everyone, "api.example.com", []string{"https://evil.org", "https://app.example.com"}, Foreign},
	} {
		r := &http.Request{Host: tt.host, Header: http.Header{"Origin": tt.origins}}
		if got := tt.list.Judge(r); got != tt.want {
			t.Errorf("%q at %s: %d, want %d", tt.origins, tt.host, got, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	_, bad := Parse([]string{"https://a.b", "*", "a.b", "https://a.b/", "https://", "https://a.b?x", "https://u@a.b", ":"})
	if !slices.Equal(bad, []string{"a.b", "https://a.b/", "https://", "https://a.b?x", "https://u@a.b", ":"}) {
		t.Errorf("%q", bad)
	}
}
