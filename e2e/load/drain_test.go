package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const (
	drainRooms  = 100
	drainEvents = 36 // of each room, one every half second
	drainAfter  = 8  // of them, the node is told to end
	drainWindow = 10 * time.Second
	drainConfig = `
schema: load.graphql
auth.anonymous: true
security.isolation: strict
publish.tokens: [{token: load-publish-token-1, broadcast: true}]
drain.window: 10s
limits: {ping_interval: 0s, init_timeout: 1m}
`
)

// drained is a run: one node that drains, one that takes its clients, Redis between them.
type drained struct {
	t           *testing.T
	first, then string       // addresses
	stopped     atomic.Int64 // when the node was told to end, in ns
	clients     []drainClient
	live        atomic.Int64 // that have got all events
}

// drainClient is one client; it is used by one goroutine.
type drainClient struct {
	n      int // the newest event
	cursor string
	closed time.Duration // since the node was told to end
	back   time.Duration // from the close to the first message of the other node
	code   int

	lost, repeated, unrecovered, refused int
}

// TestDrain ends a node under clients that resume on another: all are told to come back, over the whole window, and none
// misses an event or gets one twice. FRAISEQL_DRAIN_CONNECTIONS=10000 is the run whose result is in bench/results;
// FRAISEQL_DRAIN_RESULT names the file that it is written to.
func TestDrain(t *testing.T) {
	connections := 500
	if text := os.Getenv("FRAISEQL_DRAIN_CONNECTIONS"); text != "" {
		var err error
		if connections, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	redis := testkit.StartRedis(t, testkit.RedisOptions{})
	dir := t.TempDir()
	for name, text := range map[string]string{"load.graphql": sdl, "fraiseql.yaml": drainConfig} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--config", filepath.Join(dir, "fraiseql.yaml"), "--bus", "redis://" + "127.0.0.1:" + redis.Port()}
	first, then := testkit.Serve(t, args...), testkit.Serve(t, args...)
	d := &drained{t: t, first: first.Addr, then: then.Addr, clients: make([]drainClient, connections)}
	sockets := make([]*client, connections)
	if err := inParallel(connections, func(i int) (err error) {
		sockets[i], err = d.begin(first.Addr, i)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	stop := make(chan struct{})
	for i := range sockets {
		running.Go(func() { d.follow(i, sockets[i], stop) })
	}
	exit := d.publish(first, then)
	d.awaitAll(stop)
	running.Wait()
	d.report(exit)
}

// begin connects and subscribes, from the cursor of the client if it has one, and reads what says where it stands.
func (d *drained) begin(addr string, i int) (*client, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	resume := "true"
	if cursor := d.clients[i].cursor; cursor != "" {
		resume = strconv.Quote(cursor)
	}
	query := fmt.Sprintf("subscription { closing(kind: %d) { n } }", i%drainRooms)
	if err = c.subscribe(query, `,"extensions":{"resume":`+resume+`}`); err == nil {
		_, err = d.read(c, i)
	}
	if err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

// drainMessage is what a client reads.
type drainMessage struct {
	Type    string
	Payload struct {
		Data       *struct{ Closing struct{ N int } }
		Extensions struct {
			Cursor    string
			Recovered *bool
		}
	}
}

// read takes one message; closed says that it was a close.
func (d *drained) read(c *client, i int) (closed bool, err error) {
	opcode, payload, err := c.receive(nil)
	if err != nil {
		return false, err
	}
	me := &d.clients[i]
	if opcode == 8 {
		me.code = closeCode(payload)
		return true, nil
	}
	var m drainMessage
	if err := json.Unmarshal(payload, &m); err != nil || m.Type != "next" {
		return false, fmt.Errorf("%s: %w", payload, err)
	}
	me.cursor = m.Payload.Extensions.Cursor
	if r := m.Payload.Extensions.Recovered; r != nil && !*r {
		me.unrecovered++
	}
	if m.Payload.Data == nil {
		return false, nil
	}
	switch n := m.Payload.Data.Closing.N; {
	case n <= me.n:
		me.repeated++
	default:
		me.lost += n - me.n - 1
		if me.n = n; n == drainEvents {
			d.live.Add(1)
		}
	}
	return false, nil
}

// follow reads until stop, and goes on at the other node once the first has closed.
func (d *drained) follow(i int, c *client, stop chan struct{}) {
	defer func() { c.abort() }()
	ended := make(chan struct{})
	defer close(ended)
	go func(c *client) {
		select {
		case <-stop:
			_ = c.SetReadDeadline(time.Now())
		case <-ended:
		}
	}(c)
	for me := &d.clients[i]; ; {
		closed, err := d.read(c, i)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && me.n == drainEvents:
			return
		case err != nil:
			d.t.Errorf("client %d: %v", i, err)
			return
		case !closed:
			continue
		}
		at := time.Now()
		me.closed = time.Duration(at.UnixNano() - d.stopped.Load())
		c.abort()
		if c = d.comeBack(i, stop); c == nil {
			return
		}
		me.back = time.Since(at)
		d.until(c, i, stop)
		return
	}
}

// comeBack tries until the other node takes the client.
func (d *drained) comeBack(i int, stop chan struct{}) *client {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := d.begin(d.then, i)
		if err == nil {
			return c
		}
		d.clients[i].refused++
		select {
		case <-tick.C:
		case <-stop:
			d.t.Errorf("client %d: %v", i, err)
			return nil
		}
	}
}

// until reads until all events are there.
func (d *drained) until(c *client, i int, stop chan struct{}) {
	for d.clients[i].n < drainEvents {
		if closed, err := d.read(c, i); err != nil || closed {
			d.t.Errorf("client %d at the other node: closed %v, %v", i, closed, err)
			return
		}
	}
	<-stop
}

// publish sends an event to each room twice a second, through the node that stays, and ends the other one meanwhile.
func (d *drained) publish(first, then *testkit.Server) (exit int) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var ending sync.WaitGroup
	for n := 1; n <= drainEvents; n++ {
		if n == drainAfter {
			d.stopped.Store(time.Now().UnixNano())
			ending.Go(func() { exit = first.Terminate() })
		}
		var batch []byte
		for room := range drainRooms {
			batch = fmt.Appendf(batch, `{"channel":"closing","type":"t","broadcast":true,"data":{"kind":%d,"n":%d}}`+"\n", room, n)
		}
		req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, then.URL("/events"), bytes.NewReader(batch))
		if err != nil {
			d.t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/x-ndjson"}, "Authorization": {"Bearer load-publish-token-1"}}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		_ = res.Body.Close() // nothing in it is needed
		if res.StatusCode != http.StatusAccepted {
			d.t.Fatalf("publish: %s", res.Status)
		}
		<-tick.C
	}
	ending.Wait()
	return exit
}

// awaitAll waits until every client has everything, and stops them.
func (d *drained) awaitAll(stop chan struct{}) {
	defer close(stop)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); d.live.Load() < int64(len(d.clients)); {
		select {
		case <-tick.C:
		case <-end:
			d.t.Errorf("%d of %d clients have all events", d.live.Load(), len(d.clients))
			return
		}
	}
}

// drainResult is one run, as bench/results keeps it.
type drainResult struct {
	When                 string         `json:"when"`
	Go                   string         `json:"go"`
	CPUs                 int            `json:"cpus"`
	Bus                  string         `json:"bus"`
	Connections          int            `json:"connections"`
	WindowMS             int64          `json:"window_ms"`
	EventsPerConnection  int            `json:"events_per_connection"`
	Deliveries           int            `json:"deliveries"`
	Lost                 int            `json:"lost"`
	Repeated             int            `json:"repeated"`
	NotRecovered         int            `json:"not_recovered"`
	RefusedReconnects    int            `json:"refused_reconnects"`
	Codes                map[string]int `json:"close_codes"`
	ClosesPer500MS       []int          `json:"closes_per_500ms"`
	FirstCloseMS         int64          `json:"first_close_ms"`
	LastCloseMS          int64          `json:"last_close_ms"`
	FurthestFromUniform  float64        `json:"furthest_from_uniform"` // Kolmogorov and Smirnov's distance
	BackMedianMS         float64        `json:"back_ms_p50"`
	Back99MS             float64        `json:"back_ms_p99"`
	BackMostMS           float64        `json:"back_ms_max"`
	ExitCodeOfTheDrained int            `json:"exit_code"`
}

func (d *drained) report(exit int) {
	r := drainResult{
		When: time.Now().UTC().Format(time.RFC3339), Go: runtime.Version(), CPUs: runtime.NumCPU(), Bus: "redis", Connections: len(d.clients), WindowMS: drainWindow.Milliseconds(),
		EventsPerConnection: drainEvents, Deliveries: drainEvents * len(d.clients), Codes: map[string]int{}, ClosesPer500MS: make([]int, 2*drainWindow/time.Second), ExitCodeOfTheDrained: exit,
	}
	var closes, backs []time.Duration
	for i := range d.clients {
		c := &d.clients[i]
		r.Lost, r.Repeated, r.NotRecovered, r.RefusedReconnects = r.Lost+c.lost+drainEvents-c.n, r.Repeated+c.repeated, r.NotRecovered+c.unrecovered, r.RefusedReconnects+c.refused
		r.Codes[strconv.Itoa(c.code)]++
		r.ClosesPer500MS[min(int(c.closed/(500*time.Millisecond)), len(r.ClosesPer500MS)-1)]++
		closes, backs = append(closes, c.closed), append(backs, c.back)
	}
	slices.Sort(closes)
	slices.Sort(backs)
	for i, at := range closes {
		is, uniform := float64(i+1)/float64(len(closes)), min(1, float64(at)/float64(drainWindow))
		r.FurthestFromUniform = max(r.FurthestFromUniform, is-uniform, uniform-is)
	}
	ms := func(at time.Duration) float64 { return float64(at.Microseconds()) / 1000 }
	r.FirstCloseMS, r.LastCloseMS = closes[0].Milliseconds(), closes[len(closes)-1].Milliseconds()
	r.BackMedianMS, r.Back99MS, r.BackMostMS = ms(backs[len(backs)/2]), ms(backs[len(backs)*99/100]), ms(backs[len(backs)-1])
	text, err := json.Marshal(r)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Logf("%s", text)
	if r.Lost+r.Repeated+r.NotRecovered > 0 || exit != 0 || r.Codes["1012"] != len(d.clients) {
		d.t.Error("events were lost or repeated, or clients were not told to come back")
	}
	if file := os.Getenv("FRAISEQL_DRAIN_RESULT"); file != "" {
		d.write(file, text)
	}
}

func (d *drained) write(file string, line []byte) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.t.Error(err)
	}
}
