// Package outbound calls HTTP endpoints of others: addresses that a configuration names, or that a client names and
// a configuration allows. It is written against server-side request forgery: what is called must be on the list, the
// address that is dialled is judged after the name was resolved, at every dial, so that a name that is rebound to
// another address gains nothing; redirects are answers, no proxy is used, bodies are bounded.
//
// A Client is safe for concurrent use. Post blocks for Timeout at most.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Config says what may be called. Zero members mean the default in the comment.
type Config struct {
	// URLs that may be called: scheme://host[:port]/path, where a path that ends in /* stands for every path below
	// it. None: nothing may be called.
	URLs []string
	// Networks that may be dialled although they are no public ones: loopback, private and link-local addresses are
	// refused unless they lie in one of these.
	Networks []netip.Prefix
	// Timeout bounds one call, from the look-up of the name to the last byte of the answer; 5 s.
	Timeout time.Duration
	// AnswerBytes bounds the body of an answer; 64 KiB. A longer one is an error.
	AnswerBytes int
	// Connections bounds the open connections to one host; 64. Calls beyond it wait, within Timeout.
	Connections int
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
	// Resolver replaces the system's.
	Resolver *net.Resolver
}

func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.AnswerBytes <= 0 {
		c.AnswerBytes = 64 << 10
	}
	if c.Connections <= 0 {
		c.Connections = 64
	}
	return c
}

const (
	dialTimeout  = 3 * time.Second
	idleTimeout  = time.Minute
	idlePerHost  = 8
	idleTogether = 256
	headerBytes  = 32 << 10
)

var (
	// ErrNotAllowed: the URL is not on the list.
	ErrNotAllowed = errors.New("the URL is not allowed")
	// ErrAddress: the host's address is neither public nor in Networks.
	ErrAddress = errors.New("not a public address")
	// ErrTooLong: the answer has more than AnswerBytes.
	ErrTooLong = errors.New("the answer is too long")
)

// Client calls what its configuration allows.
type Client struct {
	allowed   []entry
	networks  []netip.Prefix
	timeout   time.Duration
	most      int
	http      http.Client
	transport *http.Transport
}

// New makes a client. The error names every entry of URLs that is none.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	allowed, err := parseEntries(cfg.URLs)
	if err != nil {
		return nil, err
	}
	c := &Client{allowed: allowed, networks: cfg.Networks, timeout: cfg.Timeout, most: cfg.AnswerBytes}
	dialer := &net.Dialer{Timeout: min(dialTimeout, cfg.Timeout), Resolver: cfg.Resolver, ControlContext: c.judgeDial}
	c.transport = &http.Transport{
		DialContext:            dialer.DialContext, // and no Proxy: it would be dialled instead
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		DisableCompression:     true, // nothing is inflated, so that AnswerBytes means what it says
		MaxResponseHeaderBytes: headerBytes,
		MaxConnsPerHost:        cfg.Connections,
		MaxIdleConnsPerHost:    idlePerHost,
		MaxIdleConns:           idleTogether,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    cfg.Timeout,
	}
	c.http = http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close closes idle connections. Calls that run are not cut; their contexts do that.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Answer is what an endpoint answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Check reports whether a URL may be called: nil, or an error with ErrNotAllowed in its chain that does not hold
// the URL. Its host is judged by Post.
func (c *Client) Check(rawURL string) error {
	_, _, err := c.find(rawURL)
	return err
}

// Post sends body with the headers to a URL and returns the answer, whatever its status. The text of an error never
// holds the URL, only the entry of the list that allowed it.
func (c *Client) Post(ctx context.Context, rawURL string, header http.Header, body []byte) (*Answer, error) {
	u, by, err := c.find(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("post to %s: %w", by, ErrNotAllowed)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("post to %s: %w", by, withoutURL(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer of %s: %w", by, err)
	case len(text) > c.most:
		return nil, fmt.Errorf("read the answer of %s: %w", by, ErrTooLong)
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: text}, nil
}

// withoutURL takes the text of the URL out of an error of net/http.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
