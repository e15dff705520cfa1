package callback

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// leaving is an engine that says who has left.
type leaving struct {
	session.Engine
	left chan *identity.Identity
}

func (e *leaving) Left(who *identity.Identity) { e.left <- who }

// script is a router that answers as it is told, and 204 afterwards. hang: it does not answer before the client is gone.
type script struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int
	got     []string // actions
	delay   time.Duration
}

const hang = -1

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct{ Action string }
	status := http.StatusNoContent
	if json.NewDecoder(r.Body).Decode(&m) != nil {
		status = http.StatusBadRequest
	}
	s.mu.Lock()
	s.got = append(s.got, m.Action)
	if len(s.answers) > 0 {
		status, s.answers = s.answers[0], s.answers[1:]
	}
	s.mu.Unlock()
	<-time.After(s.delay)
	if status == hang {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Location", s.URL+"/elsewhere")
	w.WriteHeader(status)
}

func (s *script) actions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// stand is a handler with one stream to a router that has a script.
type stand struct {
	router *script
	engine *leaving
	stream *Stream
	sub    *hub.Subscription
	who    *identity.Identity
}

func stage(t *testing.T, interval time.Duration, answers ...int) *stand {
	t.Helper()
	router := &script{answers: answers}
	router.Server = httptest.NewServer(router)
	t.Cleanup(router.Close)
	engine := &leaving{left: make(chan *identity.Identity, 1)}
	host := session.NewHost(session.HostConfig{Engine: engine})
	t.Cleanup(host.Close)
	timeout := time.Minute
	if slices.Contains(answers, hang) {
		timeout = 20 * time.Millisecond
	}
	h, err := New(Config{
		Host: host, URLs: []string{router.URL + "/*"}, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Timeout: timeout, Pause: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	s := newStream(h, ask{router.URL + "/one", "one", "v", interval})
	if no := h.enter(s); no != nil {
		t.Fatal(no)
	}
	d := &stand{router, engine, s, &hub.Subscription{}, &identity.Identity{UserID: "u"}}
	d.sub.Init(s.Outbound(), &queue.Policy{Messages: 100, Bytes: 1 << 20}, nil, false)
	return d
}

// run begins a stream without an opening check and waits until it has ended by itself.
func (d *stand) run(t *testing.T) {
	t.Helper()
	d.stream.sub = d.sub
	d.stream.who.Store(d.who)
	d.stream.Begin()
	select {
	case who := <-d.engine.left:
		if who != d.who || d.stream.h.Connections() != 0 || !d.sub.Ended() {
			t.Errorf("at the end: %v has left, %d streams, subscription ended: %v", who, d.stream.h.Connections(), d.sub.Ended())
		}
	case <-time.After(time.Minute):
		t.Fatalf("it goes on after %v", d.router.actions())
	}
}

// A subscription opens only with 204 for its first check, whatever else the router says, and in time.
func TestOpeningCheck(t *testing.T) {
	for _, status := range []int{200, 202, 205, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503, hang} {
		d := stage(t, 0, status)
		if err := d.stream.Confirm(t.Context(), d.sub, d.who); err == nil || strings.Contains(err.Error(), d.router.URL) {
			t.Errorf("%d: %v", status, err)
		}
		d.stream.Abandon()
		if got := d.router.actions(); status != hang && !slices.Equal(got, []string{"check"}) { // once, and no redirect is followed
			t.Errorf("%d: the router was sent %v", status, got)
		}
		if n := d.stream.h.Connections(); n != 0 || !d.sub.Ended() {
			t.Errorf("%d: %d streams are left", status, n)
		}
	}
	d := stage(t, 0, 204)
	if err := d.stream.Confirm(t.Context(), d.sub, d.who); err != nil {
		t.Errorf("204: %v", err)
	}
	d.stream.Abandon()
}

// A check that the router answers by 404, or by what it will say again, ends the subscription without another word;
// what may pass ends it after five in a row.
func TestRunningChecks(t *testing.T) {
	for _, status := range []int{404, 400, 401, 403, 410, 301} {
		d := stage(t, time.Millisecond, 204, 204, status)
		d.run(t)
		if got := d.router.actions(); !slices.Equal(got, []string{"check", "check", "check"}) {
			t.Errorf("%d: the router was sent %v", status, got)
		}
	}
	d := stage(t, time.Millisecond, 503, 500, 429, 408, 204, 502, 503, 504, 425, 200, 503, 503, 503, 503, 503)
	d.run(t)
	if got := d.router.actions(); len(got) != 15 {
		t.Errorf("checks that failed: %d were sent, want 15", len(got))
	}
}

// A result is posted five times at most; 404 ends the subscription at once. Neither is followed by complete.
func TestPostsThatFail(t *testing.T) {
	for _, tt := range []struct {
		answers []int
		posts   int
	}{
		{[]int{404}, 1}, {[]int{400}, 1}, {[]int{307}, 1}, {[]int{503, 404}, 2}, {[]int{503, 500, 429, 408, 502}, 5},
		{[]int{503, 503, 503, 503, 202, 404}, 6}, {[]int{200, 202, 204, 404}, 4},
	} {
		d := stage(t, 0, tt.answers...)
		for range 10 {
			d.sub.Enqueue(&queue.Message{Payload: []byte(`{"data":{}`)})
		}
		d.run(t)
		if got := d.router.actions(); len(got) != tt.posts || slices.ContainsFunc(got, func(a string) bool { return a != "next" }) {
			t.Errorf("%v: the router was sent %v", tt.answers, got)
		}
	}
}

// Credentials that end while results wait end the subscription between two of them.
func TestExpiryBehindResults(t *testing.T) {
	d := stage(t, 0)
	d.router.delay = 50 * time.Millisecond
	d.who.ExpiresAt = time.Now().Add(200 * time.Millisecond)
	for range 90 {
		d.sub.Enqueue(&queue.Message{Payload: []byte(`{"data":{}`)})
	}
	d.run(t)
	if got := d.router.actions(); len(got) > 20 || got[len(got)-1] != "complete" {
		t.Errorf("the router was sent %v", got)
	}
}

// The end is one complete behind what waits, and no message comes after it.
func TestEndBehindResults(t *testing.T) {
	d := stage(t, 0)
	for range 3 {
		d.sub.Enqueue(&queue.Message{Payload: []byte(`{"data":{}`)})
	}
	d.sub.End(nil)
	d.run(t)
	if got := strings.Join(d.router.actions(), " "); got != "next next next complete" {
		t.Errorf("the router was sent %s", got)
	}
}
