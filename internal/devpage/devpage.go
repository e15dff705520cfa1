// Package devpage serves the page that a browser sees at the GraphQL endpoint under --dev: a subscribe box with
// live results, over graphql-transport-ws. It is one document without any external asset. Page builds further
// pages with the same look and the same client; the demo uses it.
package devpage

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html"
	"net/http"
	"strconv"
	"strings"
)

var (
	//go:embed assets/base.css
	baseStyle string
	//go:embed assets/client.js
	clientScript string
	//go:embed assets/subscribe.html
	subscribeBody string
	//go:embed assets/subscribe.css
	subscribeStyle string
	//go:embed assets/subscribe.js
	subscribeScript string
)

// Page is one self-contained HTML document: its parts are put inline, after the common style and the
// GraphQLClient class of assets/client.js, and allowed by their hash in the Content-Security-Policy.
type Page struct {
	Title string // plain text
	Body  string // HTML without scripts, styles or event handler attributes
	Style string // CSS
	// Script is JavaScript that runs after the body was read. It must not contain a closing script tag.
	Script string
}

// Handler serves the subscribe page. It connects its WebSocket to the address that it was served from.
func Handler() http.Handler {
	return Page{
		Title:  "FraiseQL subscriptions",
		Body:   subscribeBody,
		Style:  subscribeStyle,
		Script: subscribeScript,
	}.Handler()
}

// Handler renders the page once and serves it for GET and HEAD.
func (p Page) Handler() http.Handler {
	style, script := baseStyle+p.Style, clientScript+p.Script
	var doc strings.Builder
	doc.WriteString("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
	doc.WriteString("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
	doc.WriteString("<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n")
	doc.WriteString("<title>" + html.EscapeString(p.Title) + "</title>\n")
	doc.WriteString("<style>" + style + "</style>\n</head>\n<body>\n")
	doc.WriteString(p.Body)
	doc.WriteString("<script>" + script + "</script>\n</body>\n</html>\n")
	return &rendered{
		plain:  []byte(doc.String()),
		zipped: compressed(doc.String()),
		policy: contentSecurityPolicy(style, script),
	}
}

// contentSecurityPolicy allows the two inline parts by their hash, connections to the page's own host, and
// nothing else.
func contentSecurityPolicy(style, script string) string {
	return "default-src 'none'; style-src '" + hashSource(style) + "'; script-src '" + hashSource(script) +
		"'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// hashSource is the CSP source expression for an inline text.
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// compressed returns the gzip form of a page.
func compressed(text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	// A bytes.Buffer takes every write.
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return out.Bytes()
}

// rendered serves the bytes of a page. Immutable.
type rendered struct {
	plain, zipped []byte
	policy        string
}

// ServeHTTP answers GET and HEAD with the page, any other method with 405.
func (p *rendered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body := p.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = p.zipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cache-Control", "no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept-Encoding")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		// The client may be gone; nobody is left to tell.
		_, _ = w.Write(body)
	}
}
