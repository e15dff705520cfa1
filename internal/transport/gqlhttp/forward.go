package gqlhttp

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

const (
	peerTimeout = 5 * time.Second
	// peerConns bounds the connections to one node for what is answered once. Those of streams admit bounds.
	peerConns = 256
)

// forwarder hands requests to the node that their stream lives on. Where that is comes from a token that this node's
// own secret has signed, never from a client.
type forwarder struct {
	name string
	// Streams last: they must not take the connections of what is answered once.
	answers, streams *http.Transport

	mu     sync.Mutex
	open   map[*passage]struct{}
	closed bool
	wg     sync.WaitGroup
}

func (f *forwarder) init(name string) {
	f.name, f.open = name, make(map[*passage]struct{})
	f.answers, f.streams = newTransport(), newTransport()
	f.answers.MaxConnsPerHost = peerConns
}

func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: peerTimeout}).DialContext,
		TLSHandshakeTimeout: peerTimeout, ResponseHeaderTimeout: answerTimeout,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		DisableCompression: true,
	}
}

// enter counts a request in; ok is false once the handler is closed.
func (f *forwarder) enter(p *passage) (ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.open[p] = struct{}{}
	f.wg.Add(1)
	return true
}

func (f *forwarder) leave(p *passage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, p)
	f.wg.Done()
}

// ends returns what ends each request that is being forwarded; see passage.end.
func (f *forwarder) ends(linger time.Duration) []func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]func(), 0, len(f.open))
	for p := range f.open {
		list = append(list, func() { p.end(linger) })
	}
	return list
}

// shut ends what is being forwarded, and forwards nothing more.
func (f *forwarder) shut() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	for _, end := range f.ends(0) {
		end()
	}
}

func (f *forwarder) wait() {
	f.wg.Wait()
	f.answers.CloseIdleConnections()
	f.streams.CloseIdleConnections()
}

// serve forwards a request and its answer, stream or not. Host stays the client's, by which the other node judges the
// Origin.
func (f *forwarder) serve(x *exchange, t *token) {
	peer, err := url.Parse(t.address)
	if err != nil {
		x.refuse(internal())
		return
	}
	r, no := x.inHand()
	if no != nil {
		x.refuse(no)
		return
	}
	defer x.holds(r)()
	address, no := x.h.admit(x)
	if no != nil {
		x.refuse(no)
		return
	}
	defer x.h.leave(address, nil)
	ctx, cancel, transport := f.way(x)
	defer cancel()
	p := &passage{cancel, newFlow(x.w)}
	if !f.enter(p) {
		x.refuse(busy())
		return
	}
	defer f.leave(p)
	defer p.flow.done()
	if x.h.draining.Load() { // admitted before the drain began
		x.refuse(stopping())
		return
	}
	x.leavable(func() { p.end(flowLinger) }) // what waits for the client waits at the other node
	p.flow.within(0)                         // the answer may last
	f.proxy(x, peer, transport).ServeHTTP(patient{x.w, p.flow}, r.WithContext(ctx))
	p.flow.within(answerTimeout) // what is written once this returns: the head where there is no body, and the end
}

// proxy is what forwards the request of an exchange.
func (f *forwarder) proxy(x *exchange, peer *url.URL, transport *http.Transport) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = peer.Scheme, peer.Host
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			setScheme(r)
			r.Out.Header.Set(forwardedHeader, f.name)
		},
		ModifyResponse: func(res *http.Response) error {
			x.replaceHeader(res.Header)
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			x.refuse(&refusal{status: http.StatusServiceUnavailable, code: code.RateLimited, message: "the node of that stream is not in reach: reserve another one", retry: true})
		},
		ErrorLog: nobody,
	}
}

// wantsStream reports whether a request with a token or a name is for a stream.
func (x *exchange) wantsStream() bool { return x.accept.events && x.r.Method != http.MethodDelete }

// inHand is the request with its whole body in memory if it is answered once: a client that sends slowly must not take a
// connection to the other node from others meanwhile. What is for a stream is as it came.
func (x *exchange) inHand() (*http.Request, *refusal) {
	if x.wantsStream() || x.r.ContentLength == 0 {
		return x.r, nil
	}
	body, no := x.readBody(x.h.cfg.messageBytes(), "message_bytes")
	if no != nil {
		return nil, no
	}
	r := x.r.Clone(x.r.Context())
	r.TransferEncoding, r.ContentLength = nil, int64(len(body))
	r.Header.Del("Expect") // the client was told to go on
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r, nil
}

// holds accounts for the body of a request that is in hand, until forget is called.
func (x *exchange) holds(r *http.Request) (forget func()) {
	if !x.read {
		return func() {}
	}
	x.h.partial.Add(r.ContentLength)
	return func() { x.h.partial.Add(-r.ContentLength) }
}

// passage is a request that is being forwarded.
type passage struct {
	cancel context.CancelFunc
	flow   *flow
}

// end breaks the request off. A client that does not read has so much time to take what is being written.
func (p *passage) end(linger time.Duration) {
	p.cancel()
	p.flow.hurry(time.Now().Add(linger))
}

// patient is a response that bounds each write: nothing else ends one whose client does not read, as the node that has the
// stream sees only that this one does.
type patient struct {
	http.ResponseWriter
	flow *flow
}

func (w patient) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w patient) Write(p []byte) (int, error) {
	w.flow.within(answerTimeout)
	defer w.flow.within(0)
	return w.ResponseWriter.Write(p)
}

// FlushError is what an http.ResponseController calls.
func (w patient) FlushError() error {
	w.flow.within(answerTimeout)
	defer w.flow.within(0)
	return w.flow.control.Flush()
}

// way is how a request gets to another node. What asks for no stream has an end, also while all connections are taken.
func (f *forwarder) way(x *exchange) (context.Context, context.CancelFunc, *http.Transport) {
	if x.wantsStream() {
		ctx, cancel := context.WithCancel(x.r.Context())
		return ctx, cancel, f.streams
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), answerTimeout)
	return ctx, cancel, f.answers
}

// setScheme tells the other node what this one knows of the client's scheme. Where TLS ends before it, a proxy may have said.
func setScheme(r *httputil.ProxyRequest) {
	if r.In.TLS != nil {
		return
	}
	switch scheme := r.In.URL.Scheme; scheme {
	case "http", "https":
		r.Out.Header.Set("X-Forwarded-Proto", scheme)
	default:
		r.Out.Header.Del("X-Forwarded-Proto")
	}
}

// replaceHeader takes out what was set around this handler and around that of the other node: browsers refuse an answer with
// two Access-Control-Allow-Origin. What is a list by nature adds up.
func (x *exchange) replaceHeader(by http.Header) {
	for name := range by {
		if name != "Vary" && name != "Set-Cookie" {
			x.w.Header().Del(name)
		}
	}
}

// nobody takes what the proxy would log: the client is told, and addresses of clients are in it.
var nobody = log.New(io.Discard, "", 0)
