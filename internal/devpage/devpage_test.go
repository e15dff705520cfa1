package devpage

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// get asks a handler for the page.
func get(h http.Handler, method, encoding string) *http.Response {
	r := httptest.NewRequest(method, "/graphql", nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// text returns the body of a response.
func text(t *testing.T, r io.Reader) string {
	t.Helper()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestPolicyAllowsExactlyTheInlineParts hashes what stands in the page and looks for it in the header.
func TestPolicyAllowsExactlyTheInlineParts(t *testing.T) {
	res := get(Handler(), http.MethodGet, "")
	page, policy := text(t, res.Body), res.Header.Get("Content-Security-Policy")
	for _, tag := range []string{"style", "script"} {
		parts := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(page, -1)
		if len(parts) != 1 {
			t.Fatalf("%d inline <%s>, want 1", len(parts), tag)
		}
		sum := sha256.Sum256([]byte(parts[0][1]))
		want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy is too wide: %s", policy)
	}
}

// TestPageLoadsNothingElse looks for addresses of other hosts and for attributes that the policy forbids.
func TestPageLoadsNothingElse(t *testing.T) {
	page := text(t, get(Handler(), http.MethodGet, "").Body)
	for _, forbidden := range []string{`https?://`, `<script [^>]*src`, `<link [^>]*href="[^d]`, `\son[a-z]+="`, `\sstyle="`, `@import`, `url\(`} {
		if found := regexp.MustCompile(forbidden).FindString(page); found != "" {
			t.Errorf("page contains %q", found)
		}
	}
}

// TestMethodsAndEncodings checks what the handler answers.
func TestMethodsAndEncodings(t *testing.T) {
	h := Handler()
	plain := text(t, get(h, http.MethodGet, "br").Body)
	zipped := get(h, http.MethodGet, "gzip, br")
	if got := zipped.Header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("Content-Encoding %q, want gzip", got)
	}
	r, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text(t, r) != plain {
		t.Error("the compressed page differs from the plain one")
	}
	head := get(h, http.MethodHead, "")
	if body := text(t, head.Body); head.StatusCode != http.StatusOK || body != "" {
		t.Errorf("HEAD: status %d, %d bytes", head.StatusCode, len(body))
	}
	post := get(h, http.MethodPost, "")
	if post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", post.StatusCode, post.Header.Get("Allow"))
	}
}

// TestTitleIsEscaped checks the one part of a page that is plain text.
func TestTitleIsEscaped(t *testing.T) {
	page := text(t, get(Page{Title: "a < b & c"}.Handler(), http.MethodGet, "").Body)
	if !strings.Contains(page, "<title>a &lt; b &amp; c</title>") {
		t.Error("title is not escaped")
	}
}
