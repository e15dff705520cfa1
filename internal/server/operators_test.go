package server

import (
	"net"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// The operators' listener answers no web page: none of another origin, and, where it listens on this machine only, none
// that has rebound its own name to a loopback address. Scrapers, probes and browsers of operators get through.
func TestOperatorsAnswerNoPages(t *testing.T) {
	const token = "operators-token-0001"
	s := assemble(t, config.Source{}, withJWT+"admin: {listen: 127.0.0.1:0, token: "+token+", pprof: true}\n")
	_, port, err := net.SplitHostPort(s.AdminAddr())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		status  int
		headers []string
	}{
		{"a scraper", 200, nil},
		{"by name", 200, []string{"Host", "localhost:" + port}},
		{"by IPv6", 200, []string{"Host", "[::1]:" + port}},
		{"a probe by its pod's address", 200, []string{"Host", "10.1.2.3:" + port}},
		{"a browser's address line", 200, []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}},
		{"a page of ours", 200, []string{"Origin", "http://" + s.AdminAddr(), "Sec-Fetch-Site", "same-origin"}},
		{"a name that was rebound", 403, []string{"Host", "evil.example:" + port}},
		{"a name that was rebound, with its Origin", 403, []string{"Host", "evil.example:" + port, "Origin", "http://evil.example:" + port}},
		{"a name that looks like ours", 403, []string{"Host", "localhost.evil.example:" + port}},
		{"a name that begins like an address", 403, []string{"Host", "127.0.0.1.evil.example"}},
		{"another page", 403, []string{"Origin", "https://evil.example"}},
		{"a page of the application", 403, []string{"Origin", "https://app.example"}},
		{"a page without an origin", 403, []string{"Origin", "null"}},
		{"an image in another page", 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{"a page on another port", 403, []string{"Sec-Fetch-Site", "same-site"}},
	} {
		for _, path := range []string{"/metrics", "/healthz", "/debug/pprof/cmdline"} {
			if got := send(t, "GET", "http://"+s.AdminAddr()+path, "", tt.headers...); got.status != tt.status {
				t.Errorf("%s, %s: %d, want %d", path, tt.name, got.status, tt.status)
			}
		}
		want := tt.status
		if want == 200 {
			want = 202
		}
		got := send(t, "POST", "http://"+s.AdminAddr()+"/revocations", `{"user_id":"nobody","tenant_id":"t1"}`, append([]string{"Authorization", "Bearer " + token, "Content-Type", js}, tt.headers...)...)
		if got.status != want {
			t.Errorf("/revocations, %s: %d %s, want %d", tt.name, got.status, got.body, want)
		}
	}
	if !s.counts(`fraiseql_connections_refused_total{reason="origin"}`) {
		t.Error("refusals are not counted")
	}
	// One that listens to every address is called by whatever name leads there.
	s = assemble(t, config.Source{}, withJWT+"admin.listen: 0.0.0.0:0\n")
	_, port, _ = net.SplitHostPort(s.AdminAddr())
	for status, headers := range map[int][]string{200: {"Host", "metrics.monitoring.svc:9090"}, 403: {"Host", "metrics.example", "Origin", "https://evil.example"}} {
		if got := send(t, "GET", "http://127.0.0.1:"+port+"/metrics", "", headers...); got.status != status {
			t.Errorf("on every address, %v: %d", headers, got.status)
		}
	}
}
