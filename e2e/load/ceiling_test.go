package load

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const (
	ceilingBytes = 160 << 20
	// ceilingMargin is what the process may use beyond its ceiling: what one request is made into, and what the collector
	// has not given back yet.
	ceilingMargin = 64 << 20
	// a client is owed at most two such events, less than what makes it slow
	heldBytes = 100_000
	fatBytes  = 200_000
)

// ceilingSDL has one field whose clients are owed less than makes them slow, and one whose clients may be owed anything.
const ceilingSDL = `
type Subscription {
  held(kind: Int): Tick @delivery(overflow: DROP_NEWEST, maxMessages: 1)
  fat(kind: Int): Tick @delivery(maxMessages: 100000, maxBytes: 134217728)
  good: Tick
}
type Tick { kind: Int n: Int pad: String }
`

// serveBelow starts a server with a ceiling, with TLS if it is for clients over HTTP/2.
func serveBelow(t *testing.T, as *deafness) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ceiling.graphql")
	if err := os.WriteFile(file, []byte(ceilingSDL), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--dev", "--schema", file, "--set", "limits.ping_interval=0s", "--set", "limits.init_timeout=1m",
		"--set", fmt.Sprintf("limits.memory=%d", ceilingBytes), "--set", "limits.publish_memory=32MiB", "--set", "limits.connection_queue_bytes=134217728"}
	s := &server{t: t}
	if as.args != nil {
		args = append(args, as.args(s)...)
	}
	if !as.tls {
		s.Server = testkit.Serve(t, args...)
		return s
	}
	cert := testkit.NewCertificate(t, t.TempDir(), 1)
	s.Server, s.tls = testkit.ServeTLS(t, cert, args...), &tls.Config{RootCAs: cert.Pool, NextProtos: []string{"http/1.1"}}
	return s
}

// offer publishes and returns the status of the answer, which is 202 or says that memory is short.
func (s *server) offer(events string) int {
	s.t.Helper()
	res, err := s.Client().Post(s.URL("/events"), "application/x-ndjson", strings.NewReader(events))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	short := res.StatusCode == http.StatusTooManyRequests && res.Header.Get("Retry-After") != "" && strings.Contains(string(text), `"RATE_LIMITED"`)
	if res.StatusCode != http.StatusAccepted && !short {
		s.t.Fatalf("POST /events: %s: %s", res.Status, text)
	}
	return res.StatusCode
}

// below fails when the process uses more than it may.
func (s *server) below() {
	s.t.Helper()
	if rss := s.metrics()["process_resident_memory_bytes"]; rss > ceilingBytes+ceilingMargin {
		s.t.Fatalf("the process has %.1f MB, its ceiling is %d MB", rss/(1<<20), ceilingBytes>>20)
	}
}

func eventOf(field string, kind, size int) string {
	return fmt.Sprintf(`{"channel":"%s","type":"t","data":{"kind":%d,"n":1,"pad":"%s"}}`+"\n", field, kind, strings.Repeat("x", size))
}

// TestMemoryCeiling has clients that do not read fill the process, each with less than makes a client slow: it refuses new
// work, goes on for who is there, stays below its ceiling however often it is tried, and takes everything again once they are
// gone.
func TestMemoryCeiling(t *testing.T) {
	for _, as := range deafnesses[:3] { // callbacks are posted again a few times only
		t.Run(as.name, func(t *testing.T) { memoryCeiling(t, &as) })
	}
}

func memoryCeiling(t *testing.T, as *deafness) {
	s := serveBelow(t, as)
	g := gather(t, s, 10, "subscription { good { n } }")
	const deaf = 900
	leave := as.subscribe(t, s, deaf, "held")
	before := s.subscriber("subscription { held(kind: -1) { n } }")
	s.equals("fraiseql_subscriptions", deaf+11)
	refused := fill(s, deaf)
	if refused == 0 {
		t.Fatal("nothing was refused")
	}
	if m := s.metrics(); m[`fraiseql_limited_total{limit="memory"}`] == 0 || m[`fraiseql_limited_total{limit="memory_slowest"}`] != 0 {
		t.Errorf("counted: %v refused, %v closed", m[`fraiseql_limited_total{limit="memory"}`], m[`fraiseql_limited_total{limit="memory_slowest"}`])
	}
	s.refuses("a new connection", func(int) bool {
		c, err := s.dial()
		if err == nil {
			c.abort()
		}
		return err != nil && strings.Contains(err.Error(), "503")
	})
	s.refuses("a new subscription", func(try int) bool {
		return strings.Contains(before.ask(t, fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":{"query":"subscription { good { pad } }"}}`, try)), "RATE_LIMITED")
	})
	for i := range 200 {
		if s.offer(eventOf("held", i, heldBytes)) != http.StatusAccepted {
			refused++
		}
		if i%20 == 0 {
			s.below()
		}
	}
	m := s.metrics()
	if m["fraiseql_queue_bytes"] < ceilingBytes/5 {
		t.Errorf("%.0f bytes are said to wait: beside that the bus remembers 64 MiB", m["fraiseql_queue_bytes"])
	}
	t.Logf("%d refused, %.0f MB wait, %.0f MB in all", refused, m["fraiseql_queue_bytes"]/(1<<20), m["process_resident_memory_bytes"]/(1<<20))
	leave()
	s.recovers()
	late := s.subscriber("subscription { good { n } }")
	if got := late.ask(t, ""); got != "" {
		t.Errorf("a subscription after they are gone: %s", got)
	}
	arrived := g.expect(1)
	s.publish([]byte(`{"channel":"good","type":"t","data":{"n":1}}`))
	g.wait(arrived)
	if _, text, err := late.receive(nil); err != nil || string(text) != `{"id":"s","type":"next","payload":{"data":{"good":{"n":1}}}}` {
		t.Errorf("after they are gone: %s, %v", text, err)
	}
}

// subscriber connects a client that subscribes.
func (s *server) subscriber(query string) *client {
	s.t.Helper()
	c, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.abort)
	if err := c.subscribe(query, ""); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// refuses waits until something is refused, and publishes meanwhile: memory that is not in use any more may have been collected.
func (s *server) refuses(what string, refused func(try int) bool) {
	s.t.Helper()
	end := time.Now().Add(patience)
	for try := 0; !refused(try); try++ {
		if time.Now().After(end) {
			s.t.Fatalf("%s is not refused within %v", what, patience)
		}
		s.offer(eventOf("held", try%100, heldBytes))
	}
}

// ask sends a message, if any, and a ping, and returns what came before the pong.
func (c *client) ask(t *testing.T, text string) (got string) {
	t.Helper()
	var out []byte
	if text != "" {
		out = frame(text)
	}
	if _, err := c.Write(append(out, frame(`{"type":"ping"}`)...)); err != nil {
		t.Fatal(err)
	}
	for {
		_, answer, err := c.receive(nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(answer), `"pong"`) {
			return got
		}
		got += string(answer)
	}
}

// fill offers each client that does not read some events, until the server has refused ten, and returns how many it has.
func fill(s *server, clients int) (refused int) {
	s.t.Helper()
	for range 10 {
		for kind := range clients {
			if s.offer(eventOf("held", kind, heldBytes)) != http.StatusAccepted {
				refused++
			}
			if kind%50 == 0 {
				s.below()
			}
			if refused == 10 {
				return refused
			}
		}
	}
	return refused
}

// recovers waits until events are taken again.
func (s *server) recovers() {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); s.offer(eventOf("none", 0, heldBytes)) != http.StatusAccepted; {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("no event is taken within %v", patience)
		}
	}
}

// TestSlowestMakeRoom has a few clients that do not read be owed twice what the process may have: those are closed
// that are owed most, and who reads gets everything that was accepted.
func TestSlowestMakeRoom(t *testing.T) {
	for _, as := range deafnesses {
		t.Run(as.name, func(t *testing.T) { slowestMakeRoom(t, &as) })
	}
}

func slowestMakeRoom(t *testing.T, as *deafness) {
	s := serveBelow(t, as)
	g := gather(t, s, 10, "subscription { good { n } }")
	const fat = 20
	as.subscribe(t, s, fat, "fat")
	s.equals("fraiseql_subscriptions", fat+10)
	refused, n := 0, 0
	for sent := 0; sent < 2*ceilingBytes; {
		kind := n % fat
		for s.offer(eventOf("fat", kind, fatBytes)) != http.StatusAccepted {
			refused++
			s.recovers()
		}
		sent += fatBytes
		n++
		arrived := g.expect(1)
		good := fmt.Sprintf(`{"channel":"good","type":"t","data":{"n":%d}}`, n)
		for s.offer(good) != http.StatusAccepted {
			refused++
			s.recovers()
		}
		g.wait(arrived)
		if n%50 == 0 {
			s.below()
		}
	}
	m := s.metrics()
	closed := m[`fraiseql_limited_total{limit="memory_slowest"}`]
	t.Logf("%d events, %d refused, %v closed, %.0f MB", n, refused, closed, m["process_resident_memory_bytes"]/(1<<20))
	if closed == 0 || closed > fat {
		t.Errorf("%v were closed to make room", closed)
	}
	s.equals(`fraiseql_connections_closed_total{code="4290"}`, int(closed)) // they do not read the end: given up after five seconds
	s.equals("fraiseql_connections", 10+fat-int(closed))
}
