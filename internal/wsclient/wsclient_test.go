package wsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDelivers(t *testing.T) {
	s := newServer(t, script{func(p *peer) {
		if got := p.http.Header.Get("Sec-WebSocket-Protocol"); got != subprotocol {
			t.Errorf("subprotocol %q", got)
		}
		if got := p.http.Header.Get("X-Test"); got != "1" {
			t.Errorf("header %q", got)
		}
		init := p.expect("connection_init")
		if want := `{"a":1,"authorization":"Bearer secret"}`; string(init.Payload) != want {
			t.Errorf("connection_init with %s, want %s", init.Payload, want)
		}
		p.send(`{"type":"ping","payload":{"x":1}}`)
		if pong := p.expect("pong"); string(pong.Payload) != `{"x":1}` {
			t.Errorf("pong with %s", pong.Payload)
		}
		p.send(`{"type":"pong"}`)
		p.send(`{"type":"connection_ack","payload":{}}`)
		m := p.expect("subscribe")
		if want := `{"query":"subscription S { n }","operationName":"S","variables":{"v":1},"extensions":{"drops":true}}`; string(m.Payload) != want || m.ID != "1" {
			t.Errorf("subscribe %s with %s, want %s", m.ID, m.Payload, want)
		}
		p.next(1)
		p.send(`{"type":"ping"}`)
		p.expect("pong")
		p.send(`{"type":"pong"}`)
		p.send(`{"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"m"}]}}`)
		p.complete()
		if code := p.wait(); code != 1000 {
			t.Errorf("the client closed with %d", code)
		}
	}})
	cfg := s.config()
	cfg.Token, cfg.InitPayload, cfg.Header = "secret", map[string]any{"a": 1, "authorization": "x"}, http.Header{"X-Test": {"1"}}
	cfg.Query, cfg.OperationName, cfg.Variables, cfg.Extensions = "subscription S { n }", "S", json.RawMessage(`{"v":1}`), map[string]any{"drops": true}
	connected := 0
	cfg.Connected = func() { connected++ }
	results, err := collect(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`{"data":{"n":1}}`, `{"data":null,"errors":[{"message":"m"}]}`}, results); diff != "" || connected != 1 {
		t.Errorf("connected %d times; %s", connected, diff)
	}
}

// TestCloses goes through the codes of closes: the client comes back, or ends with the code.
func TestCloses(t *testing.T) {
	for code, retried := range map[int]bool{
		1001: true, 1012: true, 1013: true, 1014: true,
		1002: false, 1003: false, 1007: false, 1008: false, 1009: false, 1010: false, 1011: false,
		4400: false, 4401: false, 4406: false, 4409: false, 4429: false, 4500: false, 4004: false, 4005: false,
		4403: true, 4408: true, 4504: true, 4290: true, 3000: true, 4999: true,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			if Retryable(code) != retried {
				t.Fatalf("Retryable(%d) = %v", code, !retried)
			}
			s := newServer(t, script{
				func(p *peer) { p.open(); p.next(1); p.close(code, "because") },
				func(p *peer) { p.open(); p.next(2); p.complete(); p.wait() },
			})
			cfg := s.config()
			var why error
			cfg.Retry = func(err error, _ time.Duration) { why = err }
			results, err := collect(t, cfg)
			var closed *CloseError
			if !retried {
				if !errors.As(err, &closed) || closed.Code != code || closed.Reason != "because" || s.count() != 1 || len(results) != 1 {
					t.Errorf("%d connections, results %q, error %v", s.count(), results, err)
				}
				return
			}
			if err != nil || s.count() != 2 || len(results) != 2 || !errors.As(why, &closed) || closed.Code != code {
				t.Errorf("%d connections, results %q, error %v, retried for %v", s.count(), results, err, why)
			}
		})
	}
}

func TestNormalCloseEndsWithoutError(t *testing.T) {
	s := newServer(t, script{func(p *peer) { p.open(); p.next(1); p.close(1000, "bye") }})
	results, err := collect(t, s.config())
	if err != nil || len(results) != 1 || s.count() != 1 {
		t.Errorf("%d connections, results %q, error %v", s.count(), results, err)
	}
}

// TestBreaks has connections end without a close frame, at every stage.
func TestBreaks(t *testing.T) {
	s := newServer(t, script{
		func(p *peer) {},
		func(p *peer) { p.expect("connection_init") },
		func(p *peer) { p.expect("connection_init"); p.close(4408, "Connection initialisation timeout") },
		func(p *peer) { p.open() },
		func(p *peer) { p.open(); p.next(1); p.conn.CloseNow() },
		func(p *peer) { p.open(); p.next(2); p.complete(); p.wait() },
	})
	results, err := collect(t, s.config())
	if diff := cmp.Diff([]string{`{"data":{"n":1}}`, `{"data":{"n":2}}`}, results); diff != "" || err != nil || s.count() != 6 {
		t.Errorf("%d connections, error %v\n%s", s.count(), err, diff)
	}
}

func TestOperationError(t *testing.T) {
	s := newServer(t, script{func(p *peer) {
		p.open()
		p.send(`{"id":"1","type":"error","payload":[{"message":"no such field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`)
		p.wait()
	}})
	_, err := collect(t, s.config())
	var refused *OperationError
	if !errors.As(err, &refused) || refused.Error() != "subscription refused: no such field (GRAPHQL_VALIDATION_FAILED)" || s.count() != 1 {
		t.Errorf("%d connections, error %v", s.count(), err)
	}
	for text, want := range map[string]string{
		`[{"message":"m"}]`: "subscription refused: m",
		`[{"message":"m","extensions":{"code":"C"}},{"message":"n"}]`:                                                                          "subscription refused: m (C); n",
		`[{"message":"m","locations":[{"line":2,"column":7},{"line":3,"column":1}],"extensions":{"code":"C"}},{"message":"n","locations":[]}]`: "subscription refused: line 2, column 7: m (C); n",
		`[]`:  "subscription refused: []",
		`"x"`: `subscription refused: "x"`,
	} {
		if got := (&OperationError{Errors: json.RawMessage(text)}).Error(); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestProtocolErrors(t *testing.T) {
	for name, step := range map[string]func(p *peer){
		"binary":                func(p *peer) { p.open(); _ = p.conn.Write(p.ctx, 2, []byte("{}")) },
		"no JSON":               func(p *peer) { p.open(); p.send("nonsense") },
		"unknown type":          func(p *peer) { p.open(); p.send(`{"id":"1","type":"data"}`) },
		"unknown operation":     func(p *peer) { p.open(); p.send(`{"id":"2","type":"next","payload":{}}`) },
		"next before ack":       func(p *peer) { p.expect("connection_init"); p.send(`{"id":"1","type":"next"}`) },
		"longer than the bound": func(p *peer) { p.open(); p.send(`{"id":"1","type":"next","payload":{"data":"%01000d"}}`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, script{func(p *peer) { step(p); p.wait() }})
			cfg := s.config()
			cfg.MessageBytes = 500
			_, err := collect(t, cfg)
			var problem *ProtocolError
			if !errors.As(err, &problem) || s.count() != 1 {
				t.Errorf("%d connections, error %v", s.count(), err)
			}
		})
	}
}

func TestHandshakeStatus(t *testing.T) {
	for status, retried := range map[int]bool{400: false, 401: false, 403: false, 404: false, 200: false, 429: true, 500: true, 503: true} {
		count := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			count++
			w.WriteHeader(status)
		}))
		_, err := collect(t, Config{URL: s.URL + "/graphql", BackoffBase: time.Millisecond, BackoffMax: time.Millisecond, Attempts: 3})
		s.Close()
		var refused *HandshakeError
		if want := map[bool]int{true: 3, false: 1}[retried]; !errors.As(err, &refused) || refused.Status != status || count != want {
			t.Errorf("status %d: %d attempts, want %d, error %v", status, count, want, err)
		}
	}
}

// TestHandshakeReason tells what the server says of its refusal, as far as it may stand in a terminal.
func TestHandshakeReason(t *testing.T) {
	const refused = "the server refused the WebSocket handshake with HTTP status 403 Forbidden"
	for _, c := range []struct{ kind, body, want string }{
		{"application/json", `{"errors":[{"code":"FORBIDDEN","message":"pages of this origin may not connect; add it to ` + "`origins`" + `"}]}`, refused + ": pages of this origin may not connect; add it to `origins`"},
		{"application/json; charset=utf-8", `{"errors":[{"message":"a\u001b[31m\nb"},{"message":"ü"}]}`, refused + ": a [31m b; ü"},
		{"application/json", `{"error":1}`, refused + `: {"error":1}`},
		{"text/plain; charset=utf-8", "no\x1b[2J\xff\x00 entry\n", refused + ": no [2J entry"},
		{"text/html", "<html>no</html>", refused},
		{"", "", refused},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(403)
			_, _ = io.WriteString(w, c.body)
		}))
		_, err := collect(t, Config{URL: s.URL, Attempts: 1})
		s.Close()
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %q: %v, want %s", c.kind, c.body, err, c.want)
		}
	}
}

// TestAttempts counts successive failures only.
func TestAttempts(t *testing.T) {
	s := newServer(t, script{
		func(p *peer) { p.close(1013, "busy") },
		func(p *peer) { p.open(); p.close(1012, "restart") },
		func(p *peer) { p.close(1013, "busy") },
		func(p *peer) { p.close(1013, "busy") },
	})
	cfg := s.config()
	cfg.Attempts = 2
	_, err := collect(t, cfg)
	var closed *CloseError
	if !errors.As(err, &closed) || closed.Code != 1013 || s.count() != 3 {
		t.Errorf("%d connections, error %v", s.count(), err)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	waits := 0
	_, err = collect(t, Config{URL: "ws://" + address, Attempts: 3, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond,
		Retry: func(error, time.Duration) { waits++ }})
	if err == nil || waits != 2 {
		t.Errorf("%d waits, error %v", waits, err)
	}
}

func TestFinalCodesOfTheCaller(t *testing.T) {
	s := newServer(t, script{func(p *peer) { p.expect("connection_init"); p.close(4403, "Forbidden") }})
	cfg := s.config()
	cfg.Final = []int{4403}
	_, err := collect(t, cfg)
	if err == nil || err.Error() != "connection closed by the server with code 4403: Forbidden" || s.count() != 1 {
		t.Errorf("%d connections, error %v", s.count(), err)
	}
}

// TestResume sends the last cursor after a reconnect.
func TestResume(t *testing.T) {
	var asked []any
	step := func(last func(p *peer)) func(p *peer) {
		return func(p *peer) { asked = append(asked, p.open().Extensions["resume"]); last(p) }
	}
	s := newServer(t, script{
		step(func(p *peer) {
			p.send(`{"id":"1","type":"next","payload":{"data":null,"extensions":{"cursor":"c1"}}}`)
			p.send(`{"id":"1","type":"next","payload":{"data":{"n":1},"extensions":{"cursor":"c2"}}}`)
			p.close(1012, "")
		}),
		step(func(p *peer) { p.close(1012, "") }),
		step(func(p *peer) { p.complete(); p.wait() }),
	})
	cfg := s.config()
	cfg.Resume = true
	if _, err := collect(t, cfg); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{true, "c2", "c2"}, asked); diff != "" {
		t.Error(diff)
	}
}

// TestHandlerEnds has the caller's function end the subscription: the server gets complete and a normal close.
func TestHandlerEnds(t *testing.T) {
	completed := make(chan string, 1)
	s := newServer(t, script{func(p *peer) {
		p.open()
		p.next(1)
		completed <- p.read().Type
		p.wait()
	}})
	enough := errors.New("enough")
	err := Run(t.Context(), s.config(), func(json.RawMessage) error { return enough })
	if err != enough || <-completed != "complete" {
		t.Errorf("error %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	s := newServer(t, script{func(p *peer) { p.open(); p.next(1); p.wait() }})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	err := Run(ctx, s.config(), func(json.RawMessage) error { cancel(why); return nil })
	if !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	// While it waits for the next attempt.
	s = newServer(t, script{func(p *peer) { p.close(1012, "") }})
	cfg := s.config()
	cfg.BackoffBase, cfg.BackoffMax = time.Hour, time.Hour
	ctx, cancel = context.WithCancelCause(t.Context())
	cfg.Retry = func(error, time.Duration) { cancel(why) }
	if err := Run(ctx, cfg, nil); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// TestSilentServer is given up, before and after the acknowledgement.
func TestSilentServer(t *testing.T) {
	s := newServer(t, script{
		func(p *peer) { p.wait() },
		func(p *peer) {
			p.open()
			p.expect("ping")
			p.wait()
		},
		func(p *peer) { p.open(); p.complete(); p.wait() },
	})
	cfg := s.config()
	cfg.KeepAlive, cfg.ConnectTimeout = 50*time.Millisecond, time.Second
	var why []string
	cfg.Retry = func(err error, _ time.Duration) { why = append(why, err.Error()) }
	_, err := collect(t, cfg)
	if err != nil || s.count() != 3 || len(why) != 2 || why[1] != "the server is silent" {
		t.Errorf("%d connections, error %v, retried for %q", s.count(), err, why)
	}
}

func TestURLs(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:4000", "ftp://x", "ws://", "http://[::1", "ws:///graphql"} {
		if err := Run(t.Context(), Config{URL: address}, nil); err == nil || !strings.Contains(err.Error(), "url") {
			t.Errorf("%q: error %v", address, err)
		}
	}
}

func TestJitter(t *testing.T) {
	for n, limit := range map[int]time.Duration{0: 10, 1: 20, 5: 320, 6: 500, 40: 500, 63: 500} {
		largest := time.Duration(0)
		for range 2000 {
			d := jitter(10, 500, n)
			if d < 0 || d > limit {
				t.Fatalf("attempt %d: wait %d, limit %d", n, d, limit)
			}
			largest = max(largest, d)
		}
		if largest < limit*8/10 {
			t.Errorf("attempt %d: never waits longer than %d of %d", n, largest, limit)
		}
	}
}
