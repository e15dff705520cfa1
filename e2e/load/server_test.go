package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// patience bounds each wait for something that must happen.
const patience = 40 * time.Second

// sdl has a field for each overflow policy, all with the same bounds and each with a channel of its own.
const sdl = `
type Subscription {
  closing(kind: Int): Tick @delivery(overflow: CLOSE, maxMessages: 16, maxBytes: 8388608)
  oldest(kind: Int): Tick @delivery(overflow: DROP_OLDEST, maxMessages: 16, maxBytes: 8388608)
  newest(kind: Int): Tick @delivery(overflow: DROP_NEWEST, maxMessages: 16, maxBytes: 8388608)
  latest(kind: Int): Tick @delivery(overflow: LATEST, key: "key", maxMessages: 16, maxBytes: 8388608)
}
type Tick { kind: Int seq: Int n: Int key: Int pad: String }
`

// maxMessages is that of sdl.
const maxMessages = 16

// server is a running command with its metrics.
type server struct {
	*testkit.Server
	t   *testing.T
	tls *tls.Config // nil: none
	// router is where callbacks go.
	router string
}

func serve(t *testing.T) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "load.graphql")
	if err := os.WriteFile(file, []byte(sdl), 0o600); err != nil {
		t.Fatal(err)
	}
	return &server{Server: testkit.Serve(t, "--dev", "--schema", file, "--set", "limits.ping_interval=0s", "--set", "limits.init_timeout=1m"), t: t}
}

// metrics returns every series by its name with labels.
func (s *server) metrics() map[string]float64 {
	s.t.Helper()
	res, err := s.Client().Get(s.URL("/metrics"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	series := map[string]float64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); ok && err == nil && !strings.HasPrefix(name, "#") {
			series[name] = value
		}
	}
	if err := lines.Err(); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("/metrics: %s, %v", res.Status, err)
	}
	return series
}

// await reads the metrics until they are as wanted.
func (s *server) await(what string, reached func(m map[string]float64) bool) map[string]float64 {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		m := s.metrics()
		if reached(m) {
			return m
		}
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("%s: not within %v\n%v", what, patience, m)
		}
	}
}

// equals waits for the value of one series.
func (s *server) equals(series string, want int) {
	s.t.Helper()
	s.await(fmt.Sprint(series, " = ", want), func(m map[string]float64) bool { return m[series] == float64(want) })
}

// publish sends NDJSON.
func (s *server) publish(events []byte) {
	s.t.Helper()
	res, err := s.Client().Post(s.URL("/events"), "application/x-ndjson", bytes.NewReader(events))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusAccepted {
		var answer bytes.Buffer
		_, _ = answer.ReadFrom(res.Body) // only for the message
		s.t.Fatalf("POST /events: %s: %s", res.Status, answer.Bytes())
	}
}
