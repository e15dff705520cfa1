package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

// pipes is a listener whose connections are pipes, so that time can be that of a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestBodiesThatNobodyReadsEnd: whoever announces a body and does not send it holds a connection for a bounded
// time, whatever the request is for.
func TestBodiesThatNobodyReadsEnd(t *testing.T) {
	for _, head := range []string{
		"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 1000",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked",
		"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000",
		"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000",
		"POST /events HTTP/1.1\r\nHost: x\r\nOrigin: http://elsewhere\r\nContent-Length: 1000",
		"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + anyToken + "\r\nContent-Type: text/plain\r\nContent-Length: 1000",
		rawPost + "Transfer-Encoding: chunked\r\n\r\n5\r\n[    ",
		rawPost + "Transfer-Encoding: chunked\r\n\r\n800\r\n" + strings.Repeat(" ", 0x800) + "\r\n1",
	} {
		synctest.Test(t, func(t *testing.T) {
			took := readToEnd(t, head+"\r\n\r\n", short)
			if took > bodyTimeout {
				t.Errorf("%s: open for %s", strings.SplitN(head, "\r\n", 2)[0], took)
			}
		})
	}
}

// short makes what may be published less than what some requests send.
func short(o *Options) { o.Config.Limits.PublishBytes = 1024 }

// TestOperatorsBodiesThatNobodyReadsEnd: so it is on the operators' listener.
func TestOperatorsBodiesThatNobodyReadsEnd(t *testing.T) {
	const post = "POST /revocations HTTP/1.1\r\nHost: localhost\r\n"
	for _, head := range []string{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000",
		post + "Content-Length: 1000",
		post + rawAuth + "Content-Length: 1000",
		post + strings.Replace(rawAuth, js, "text/plain", 1) + "Content-Length: 1000",
		post + rawAuth + "Content-Length: 1000\r\n\r\n{",
		post + rawAuth + "Transfer-Encoding: chunked\r\n\r\n8000\r\n" + strings.Repeat(" ", 0x8000) + "\r\n1",
	} {
		synctest.Test(t, func(t *testing.T) {
			took := readToEndOf(t, "admin", head+"\r\n\r\n", func(o *Options) {
				o.Config.Admin.Token = anyToken
				o.Revoke = func(context.Context, fraiseql.Revocation) error { t.Error("revoked"); return nil }
			})
			if took > bodyTimeout+time.Second { // net/http lets a client read its answer, a moment more
				t.Errorf("%q: open for %s", head, took)
			}
		})
	}
}

// TestRequestsWithoutBodyAreNotCut: the bound on bodies does not end what is streamed to a client.
func TestRequestsWithoutBodyAreNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				t.Error("cut")
			case <-time.After(time.Hour):
			}
			w.Header().Set("Connection", "close")
		})
		if took := readToEnd(t, "GET /graphql HTTP/1.1\r\nHost: x\r\n\r\n", func(o *Options) { o.GraphQL = slow }); took < time.Hour {
			t.Errorf("ended after %s", took)
		}
	})
}

// readToEnd sends a request to a server of its own and returns how long its connection was open.
func readToEnd(t *testing.T, request string, change ...func(*Options)) time.Duration {
	t.Helper()
	return readToEndOf(t, "main", request, change...)
}

// readToEndOf is readToEnd for a listener of the server.
func readToEndOf(t *testing.T, name, request string, change ...func(*Options)) time.Duration {
	t.Helper()
	cfg := &config.Config{Preset: "production"}
	cfg.WithDefaults()
	opts := Options{Config: cfg, GraphQL: page("graphql"), Publisher: &recorder{}}
	withTokens(cfg, &opts)
	for _, c := range change {
		c(&opts)
	}
	s := create(t, opts)
	listener := &pipes{make(chan net.Conn), make(chan struct{})}
	h := s.http(name, map[string]http.Handler{"main": s.Handler(), "admin": s.AdminHandler()}[name])
	done := make(chan error)
	go func() { done <- h.Serve(listener) }()
	client, conn := net.Pipe()
	listener.conns <- conn
	began := time.Now()
	if _, err := io.WriteString(client, request); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, client)
	took := time.Since(began)
	if err := h.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	<-done
	return took
}

// TestHeadsThatDoNotEnd: whoever does not finish the head of a request, or sends none at all, holds a connection for a bounded time.
func TestHeadsThatDoNotEnd(t *testing.T) {
	for _, head := range []string{"", "G", "GET /graphql HTTP/1.1\r\nHost: x\r\n", "GET /graphql HTTP/1.1\r\nHost: x\r\nX-Long: xxxxxxxxxxxxxxxx", "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			if took := readToEnd(t, head); took > headerTimeout {
				t.Errorf("%q: open for %s", head, took)
			}
		})
	}
}
