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
	} {
		synctest.Test(t, func(t *testing.T) {
			took := readToEnd(t, head+"\r\n\r\n")
			if took > bodyTimeout {
				t.Errorf("%s: open for %s", strings.SplitN(head, "\r\n", 2)[0], took)
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
	cfg := &config.Config{Preset: "production"}
	cfg.WithDefaults()
	opts := Options{Config: cfg, GraphQL: page("graphql"), Publisher: &recorder{}}
	withTokens(cfg, &opts)
	for _, c := range change {
		c(&opts)
	}
	s := create(t, opts)
	listener := &pipes{make(chan net.Conn), make(chan struct{})}
	h := s.http("main", s.Handler())
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
