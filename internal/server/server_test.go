package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/metrics"
)

// recorder is a Publisher that keeps what it is given.
type recorder struct {
	mu     sync.Mutex
	events []event.Event
	fail   error // returned instead
	after  int   // accepted before the failure
}

func (r *recorder) Publish(_ context.Context, events ...event.Event) (bus.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return bus.Receipt{Accepted: r.after}, r.fail
	}
	r.events = append(r.events, events...)
	return bus.Receipt{Accepted: len(events)}, nil
}

func (r *recorder) taken() []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}

// fixture is a server on a real socket.
type fixture struct {
	*Server
	url, adminURL string
	bus           *recorder
	log           *logBuffer
	stop          context.CancelFunc
	done          chan error
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func page(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plain(w, 200, text) })
}

func create(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s, err := New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// start runs a server; change may alter its configuration and options.
func start(t *testing.T, change func(*config.Config, *Options)) *fixture {
	t.Helper()
	cfg := &config.Config{Preset: "production"}
	cfg.WithDefaults()
	cfg.Listen, cfg.Drain.Window = "127.0.0.1:0", 20*time.Millisecond
	f := &fixture{bus: &recorder{}, log: &logBuffer{}, done: make(chan error, 1)}
	opts := Options{
		Config: cfg, Publisher: f.bus, Metrics: metrics.New("test"), Logger: NewLogger(f.log, cfg.Log),
		GraphQL: page("graphql"), Page: page("page"), GraphQLPage: page("graphql page"),
		Drain: func(context.Context, time.Duration) error { return nil },
	}
	if change != nil {
		change(cfg, &opts)
	}
	f.Server = create(t, opts)
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	f.url, f.adminURL = "http://"+f.Addr(), "http://"+f.AdminAddr()
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background())
	go func() { f.done <- f.Serve(ctx) }()
	t.Cleanup(func() {
		f.stop()
		<-f.done
	})
	return f
}

// answered is an HTTP answer read to its end.
type answered struct {
	status int
	header http.Header
	body   string
}

// send does one request; headers are name, value pairs, Host included.
func send(t *testing.T, method, url, body string, headers ...string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{res.StatusCode, res.Header, string(text)}
}

func dev(c *config.Config, _ *Options) { c.Dev = true }

func TestRoutes(t *testing.T) {
	devServer := start(t, dev)
	prod := start(t, func(c *config.Config, _ *Options) {
		c.Admin = config.Admin{Listen: "127.0.0.1:0", Pprof: true}
	})
	for _, c := range []struct {
		method, url string
		headers     []string
		status      int
		body        string
	}{
		{"GET", devServer.url + "/", nil, 200, "page"},
		{"POST", devServer.url + "/", nil, 405, "GET, HEAD only"},
		{"GET", devServer.url + "/graphql", []string{"Accept", "text/html,*/*;q=0.8"}, 200, "graphql page"},
		{"GET", devServer.url + "/graphql?query={a}", []string{"Accept", "text/html"}, 200, "graphql"},
		{"GET", devServer.url + "/graphql", []string{"Accept", "text/event-stream"}, 200, "graphql"},
		{"POST", devServer.url + "/graphql", []string{"Accept", "text/html"}, 200, "graphql"},
		{"GET", devServer.url + "/metrics", nil, 200, "fraiseql_ready 1"},
		{"GET", devServer.url + "/nothing", nil, 404, "nothing here"},
		{"GET", prod.url + "/", nil, 404, "nothing here"},
		{"GET", prod.url + "/graphql", []string{"Accept", "text/html"}, 200, "graphql"},
		{"GET", prod.url + "/metrics", nil, 404, "nothing here"},
		{"GET", prod.url + "/debug/pprof/", nil, 404, "nothing here"},
		{"GET", prod.url + "/healthz", nil, 200, "ok\n"},
		{"GET", prod.url + "/readyz", nil, 200, "ready\n"},
		{"HEAD", prod.url + "/readyz", nil, 200, ""},
		{"POST", prod.url + "/readyz", nil, 405, "GET, HEAD only"},
		{"GET", prod.adminURL + "/metrics", nil, 200, "fraiseql_ready 1"},
		{"GET", prod.adminURL + "/readyz", nil, 200, "ready\n"},
		{"GET", prod.adminURL + "/debug/pprof/", nil, 200, "goroutine"},
		{"GET", prod.adminURL + "/graphql", nil, 404, "nothing here"},
		{"POST", prod.adminURL + "/events", nil, 404, "nothing here"},
	} {
		got := send(t, c.method, c.url, "", c.headers...)
		if got.status != c.status || !strings.Contains(got.body, c.body) {
			t.Errorf("%s %s %q = %d %.200q, want %d %q", c.method, c.url, c.headers, got.status, got.body, c.status, c.body)
		}
	}
}

func TestReadiness(t *testing.T) {
	f := start(t, func(_ *config.Config, o *Options) { o.Ready = func() bool { return false } })
	if got := send(t, "GET", f.url+"/readyz", ""); got.status != 503 || got.body != "not ready\n" {
		t.Errorf("%d %q", got.status, got.body)
	}
	if got := send(t, "GET", f.url+"/healthz", ""); got.status != 200 {
		t.Errorf("%d %q", got.status, got.body)
	}
	f.logs(t, `"level":"WARN","msg":"listening, but not ready: the bus is not connected"`, `"readyz":503`)
}

// TestReadinessLater connects the bus a moment after the start, as a bus does that is there.
func TestReadinessLater(t *testing.T) {
	asked := 0
	f := start(t, func(_ *config.Config, o *Options) { o.Ready = func() bool { asked++; return asked > 3 } })
	f.logs(t, `"level":"INFO","msg":"ready"`)
}

// logs waits until a line of the log has all of the texts.
func (f *fixture) logs(t *testing.T, texts ...string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		for line := range strings.Lines(f.log.String()) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return
			}
		}
	}
	t.Fatalf("no line with %q in\n%s", texts, f.log)
}

func TestHostUnderDev(t *testing.T) {
	f := start(t, dev)
	anywhere := start(t, func(c *config.Config, _ *Options) { c.Dev, c.DevAnyAddress = true, true })
	prod := start(t, nil)
	for _, c := range []struct {
		url, host string
		status    int
	}{
		{f.url, "localhost:4000", 200}, {f.url, "127.0.0.1", 200}, {f.url, "[::1]:4000", 200}, {f.url, "LocalHost", 200}, {f.url, "a.localhost", 200},
		{f.url, "evil.example", 403}, {f.url, "evil.example:4000", 403}, {f.url, "localhost.evil.example", 403}, {f.url, "192.168.1.2", 403}, {f.url, "127.0.0.1.evil.example", 403},
		{anywhere.url, "192.168.1.2:4000", 200}, {anywhere.url, "evil.example", 403},
		{prod.url, "api.example", 200},
	} {
		if got := send(t, "GET", c.url+"/healthz", "", "Host", c.host); got.status != c.status {
			t.Errorf("Host %s = %d %s, want %d", c.host, got.status, got.body, c.status)
		}
	}
}

func TestOrigin(t *testing.T) {
	f := start(t, func(c *config.Config, _ *Options) {
		c.Origins = []string{"https://app.example", "http://localhost:3000"}
		c.Auth.JWT.Cookie = "session"
	})
	all := start(t, func(c *config.Config, _ *Options) { c.Origins = []string{"*"} })
	for _, c := range []struct {
		url, origin string
		status      int
	}{
		{f.url, f.url, 200}, {f.url, strings.ToUpper(f.url[:4]) + f.url[4:], 200}, {f.url, "https://app.example", 200}, {f.url, "https://app.example:443", 200}, {f.url, "HTTPS://APP.example", 200},
		{f.url, "http://localhost:3000", 200}, {f.url, "http://localhost:3001", 403}, {f.url, "http://app.example", 403}, {f.url, "https://evil.example", 403}, {f.url, "null", 403},
		{f.url, "https://app.example.evil.example", 403}, {f.url, "", 403}, {f.url, "chrome-extension://abc", 403}, {f.url, "%zz", 403},
		{all.url, "https://evil.example", 200}, {all.url, "null", 200},
	} {
		if got := send(t, "GET", c.url+"/graphql", "", "Origin", c.origin); got.status != c.status {
			t.Errorf("Origin %q = %d, want %d", c.origin, got.status, c.status)
		}
	}
	two := send(t, "GET", f.url+"/graphql", "", "Origin", f.url, "Origin", "https://evil.example")
	if two.status != 403 {
		t.Errorf("two origins: %d", two.status)
	}
	got := send(t, "OPTIONS", f.url+"/events", "", "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example" || got.header.Get("Access-Control-Allow-Credentials") != "true" || got.header.Get("Vary") != "Origin" {
		t.Errorf("preflight: %d %v", got.status, got.header)
	}
}

func TestDrain(t *testing.T) {
	inDrain, finish := make(chan struct{}), make(chan struct{})
	f := start(t, func(c *config.Config, o *Options) {
		c.Admin.Listen = "127.0.0.1:0"
		o.Drain = func(context.Context, time.Duration) error {
			close(inDrain)
			<-finish
			return nil
		}
	})
	end := sync.OnceFunc(func() { close(finish) })
	t.Cleanup(end)
	f.stop()
	<-inDrain
	if got := f.ready.Load(); got {
		t.Error("ready while draining")
	}
	for path, want := range map[string]answered{"/readyz": {status: 503, body: "not ready\n"}, "/healthz": {status: 200, body: "ok\n"}, "/metrics": {status: 200}} {
		got := send(t, "GET", f.adminURL+path, "")
		if got.status != want.status || want.body != "" && got.body != want.body {
			t.Errorf("operators are answered %d %q for %s while draining", got.status, got.body, path)
		}
	}
	end()
	if err := <-f.done; err != nil {
		t.Errorf("Serve = %v", err)
	}
	f.done <- nil
	for _, addr := range []string{f.Addr(), f.AdminAddr()} {
		if _, err := net.Dial("tcp", addr); err == nil {
			t.Errorf("still listening at %s after the drain", addr)
		}
	}
	if log := f.log.String(); !strings.Contains(log, `"msg":"draining"`) || !strings.Contains(log, `"msg":"stopped"`) {
		t.Errorf("log:\n%s", log)
	}
}

func TestForce(t *testing.T) {
	inDrain := make(chan struct{})
	f := start(t, func(c *config.Config, o *Options) {
		c.Drain.Window = time.Hour
		o.Drain = func(ctx context.Context, _ time.Duration) error {
			close(inDrain)
			<-ctx.Done()
			return ctx.Err()
		}
	})
	f.stop()
	<-inDrain
	f.Force()
	f.Force()
	if err := <-f.done; !errors.Is(err, ErrForced) {
		t.Errorf("Serve = %v", err)
	}
	f.done <- nil
}

func TestListenFails(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	cfg := &config.Config{}
	cfg.WithDefaults()
	cfg.Listen, cfg.Admin.Listen = "127.0.0.1:0", busy.Addr().String()
	s := create(t, Options{Config: cfg})
	if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "admin listener: listen tcp "+busy.Addr().String()) {
		t.Errorf("Listen = %v", err)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	f := start(t, func(_ *config.Config, o *Options) {
		o.GraphQL = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret detail") })
	})
	got := send(t, "GET", f.url+"/graphql", "")
	if got.status != 500 || strings.Contains(got.body, "secret") || !strings.Contains(got.body, "INTERNAL_SERVER_ERROR") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if !strings.Contains(f.log.String(), "panic in a handler") {
		t.Error("the panic is not logged")
	}
	if got := send(t, "GET", f.url+"/healthz", ""); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}
