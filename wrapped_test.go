package fraiseql

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// bare is the writer of a middleware that hides what it wraps.
type bare struct{ w http.ResponseWriter }

func (b bare) Header() http.Header         { return b.w.Header() }
func (b bare) Write(p []byte) (int, error) { return b.w.Write(p) }
func (b bare) WriteHeader(status int)      { b.w.WriteHeader(status) }

// wrapped is one that does not.
type wrapped struct{ bare }

func (w wrapped) Unwrap() http.ResponseWriter { return w.w }

// Behind a middleware that hides Flush and Hijack a stream is refused with a text, and the log says why.
func TestWrappedResponses(t *testing.T) {
	var log bytes.Buffer
	e, err := New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h, err := e.Handler(HandlerConfig{Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bare" {
			h.ServeHTTP(bare{w}, r)
			return
		}
		h.ServeHTTP(wrapped{bare{w}}, r)
	}))
	defer server.Close()
	defer func() {
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: graphql-transport-ws"}
	for _, headers := range [][]string{{"Accept: text/event-stream"}, {"Accept: multipart/mixed"}, upgrade} {
		want := http.StatusOK
		if len(headers) > 1 {
			want = http.StatusSwitchingProtocols
		}
		if status, _ := askAt(t, server.URL+"/wrapped", headers...); status != want {
			t.Errorf("wrapped: %d, want %d", status, want)
		}
		log.Reset()
		status, body := askAt(t, server.URL+"/bare", headers...)
		if status != http.StatusInternalServerError || !strings.Contains(body, "Unwrap") || !strings.Contains(log.String(), "Unwrap") {
			t.Errorf("bare: %d %s, logged %q", status, body, log.String())
		}
	}
	if status, _ := askAt(t, server.URL+"/bare", "Accept: application/json"); status != http.StatusOK {
		t.Errorf("an answer that is no stream: %d", status)
	}
}

// askAt returns the status of a subscription by GET, and the body of an error.
func askAt(t *testing.T, url string, headers ...string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"?query=subscription{a}", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range headers {
		name, value, _ := strings.Cut(one, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Errorf("%q: %v", headers, err)
		return 0, ""
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusInternalServerError {
		return res.StatusCode, ""
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(text)
}
