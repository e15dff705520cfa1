package testkit

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// RouterMessage is what a subgraph posts to a router.
type RouterMessage struct {
	Kind, Action, ID, Verifier string
	Payload, Errors            json.RawMessage
	Header                     http.Header `json:"-"`
}

// Router is a federation router as subgraphs see it that speak the HTTP callback protocol 1.0: it answers a check with
// 204, what it does not know with 404, and keeps what it is told. Its methods are safe for concurrent use.
type Router struct {
	// URL is where callbacks go; a subscription's own address is URL + id.
	URL string
	// Messages are those that were accepted, without checks, in the order of their arrival.
	Messages chan RouterMessage

	tb     testing.TB
	mu     sync.Mutex
	known  map[string]string // verifier by id
	checks map[string]int
	status []int         // answers to the next messages, instead
	held   chan struct{} // checks wait for its end
	waits  chan struct{} // 1 slot: a check waits
}

// NewRouter starts a router and ends it with the test.
func NewRouter(tb testing.TB) *Router {
	tb.Helper()
	r := &Router{tb: tb, Messages: make(chan RouterMessage, 10_000), known: map[string]string{}, checks: map[string]int{}}
	s := httptest.NewServer(r)
	tb.Cleanup(s.Close)
	r.URL = s.URL + "/callback/"
	return r
}

// Expect makes the router know a subscription and returns the extensions of its request.
func (r *Router) Expect(id, verifier string, interval time.Duration) map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[id] = verifier
	return map[string]any{"subscription": map[string]any{
		"callbackUrl": r.URL + id, "subscriptionId": id, "verifier": verifier, "heartbeatIntervalMs": interval.Milliseconds(),
	}}
}

// Forget makes the router answer 404 for a subscription.
func (r *Router) Forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, id)
}

// Answer makes the router answer the next messages with statuses, checks included.
func (r *Router) Answer(status ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// Hold makes checks wait until release is called. The channel has something once one waits.
func (r *Router) Hold() (waits <-chan struct{}, release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := make(chan struct{})
	r.held, r.waits = held, make(chan struct{}, 1)
	return r.waits, sync.OnceFunc(func() { close(held) })
}

// hold waits for release, if there was Hold.
func (r *Router) hold() {
	r.mu.Lock()
	held, waits := r.held, r.waits
	r.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case waits <- struct{}{}:
	default:
	}
	<-held
}

// Checks is how many checks of a subscription were answered.
func (r *Router) Checks(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.checks[id]
}

// Next returns the next message.
func (r *Router) Next() RouterMessage {
	r.tb.Helper()
	select {
	case m := <-r.Messages:
		return m
	case <-time.After(startTime):
		r.tb.Fatalf("the router was told nothing in %v", startTime)
		return RouterMessage{}
	}
}

// ServeHTTP takes what subgraphs post.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Subscription-Protocol", "callback/1.0")
	m := RouterMessage{Header: req.Header}
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil || req.Method != http.MethodPost || m.Kind != "subscription" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if m.Action == "check" {
		r.hold()
	}
	w.WriteHeader(r.take(m, strings.TrimPrefix(req.URL.Path, "/callback/")))
}

func (r *Router) take(m RouterMessage, at string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.status) > 0 {
		status := r.status[0]
		if r.status = r.status[1:]; status != 0 {
			return status
		}
	}
	verifier, known := r.known[m.ID]
	switch {
	case !known || at != m.ID:
		return http.StatusNotFound
	case verifier != m.Verifier:
		return http.StatusUnauthorized
	case m.Action == "check":
		r.checks[m.ID]++
		return http.StatusNoContent
	}
	if m.Action == "complete" {
		delete(r.known, m.ID)
	}
	r.Messages <- m
	return http.StatusAccepted
}
