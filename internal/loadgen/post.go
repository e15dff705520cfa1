package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// httpPublisher posts events as NDJSON. It writes its requests itself: a client of net/http hands each request to two
// other goroutines, which on few cores is a large part of the latency of a delivery, and is not the server's.
type httpPublisher struct {
	cfg  *Config
	url  *url.URL
	idle chan *posting // connections that nobody uses
}

// posting is a connection for requests, one after the other.
type posting struct {
	conn net.Conn
	in   *bufio.Reader
	body bytes.Buffer
	out  bytes.Buffer
}

// RefusedError is an answer of the server to published events other than 202.
type RefusedError struct {
	Status int // of HTTP
	text   string
}

// Error returns the status and what the server says.
func (e *RefusedError) Error() string { return e.text }

// newHTTPPublisher posts to the address; an empty one is /events of the server.
func newHTTPPublisher(cfg *Config, server *url.URL, address string) (*httpPublisher, error) {
	h := &httpPublisher{cfg: cfg, url: &url.URL{Scheme: "http", Host: server.Host, Path: "/events"}, idle: make(chan *posting, cfg.Publishers)}
	if address == "" {
		return h, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("publish URL %q: want http://host:port/path or tcp://host:port", address)
	}
	if u.Port() == "" {
		u.Host += ":80"
	}
	h.url = u
	return h, nil
}

func (h *httpPublisher) publish(ctx context.Context, events []Event) error {
	p, err := h.take(ctx)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	keep, err := p.post(ctx, h, events)
	if !keep {
		p.conn.Close()
		return err
	}
	select {
	case h.idle <- p:
	default:
		p.conn.Close()
	}
	return err
}

func (h *httpPublisher) take(ctx context.Context) (*posting, error) {
	select {
	case p := <-h.idle:
		return p, nil
	default:
	}
	dialer := net.Dialer{Timeout: h.cfg.ConnectTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", h.url.Host)
	if err != nil {
		return nil, err
	}
	return &posting{conn: conn, in: bufio.NewReader(conn)}, nil
}

// post makes one request. keep says that the connection may be used again.
func (p *posting) post(ctx context.Context, h *httpPublisher, events []Event) (keep bool, err error) {
	p.body.Reset()
	for i := range events {
		h.cfg.writeLine(&p.body, &events[i])
	}
	p.out.Reset()
	p.out.WriteString("POST " + h.url.RequestURI() + " HTTP/1.1\r\nHost: " + h.url.Host + "\r\nContent-Type: application/x-ndjson\r\n")
	if h.cfg.PublishToken != "" {
		p.out.WriteString("Authorization: Bearer " + h.cfg.PublishToken + "\r\n")
	}
	p.out.WriteString("Content-Length: " + strconv.Itoa(p.body.Len()) + "\r\n\r\n")
	p.out.Write(p.body.Bytes())
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := p.conn.Write(p.out.Bytes()); err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	response, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	if response.StatusCode != http.StatusAccepted {
		return false, &RefusedError{response.StatusCode, fmt.Sprintf("publish: HTTP status %s: %s", response.Status, bytes.TrimSpace(text))}
	}
	return !response.Close, nil
}

func (h *httpPublisher) close() {
	for {
		select {
		case p := <-h.idle:
			p.conn.Close()
		default:
			return
		}
	}
}
