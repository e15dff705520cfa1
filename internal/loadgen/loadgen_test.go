package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// quick is a run of a fraction of a second.
func quick(s *server) Config {
	return Config{URL: s.URL + "/graphql", Connections: 3, Subscriptions: 2, Rate: 400, Duration: 200 * time.Millisecond,
		Warmup: 50 * time.Millisecond, DrainTimeout: 20 * time.Second}
}

const quickEvents = 100

func TestRun(t *testing.T) {
	for _, portable := range []bool{false, true} {
		for _, rooms := range []int{1, 4} {
			t.Run(fmt.Sprintf("portable=%v/rooms=%d", portable, rooms), func(t *testing.T) {
				s := newServer(t, faults{token: "secret", ping: true})
				cfg := quick(s)
				cfg.portable, cfg.Rooms, cfg.Publishers, cfg.Token = portable, rooms, min(rooms, 2), "secret"
				cfg.PayloadBytes = 70_000 // frames of every length
				if rooms > 1 {
					cfg.PayloadBytes = 10
				}
				r, err := Run(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				// Six subscriptions over four rooms: two rooms have two.
				want := uint64(quickEvents * 6 / rooms)
				if r.Err() != nil || r.Events != quickEvents || r.Deliveries != want || r.Measured == 0 || r.Measured >= want {
					t.Errorf("%v\n%s", r.Err(), r.Text())
				}
				if l := r.Latency; l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max || l.Min > l.P50 {
					t.Errorf("latencies %+v", l)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.pongs == 0 {
					t.Error("pings were not answered")
				}
			})
		}
	}
}

// TestFaults has a server do things wrong: each is noticed and counted.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		deliver func(s *subscriber, seq int, text string)
		want    func(r *Result) bool
		text    string
	}{
		"lost": {
			func(s *subscriber, seq int, text string) {
				if seq%10 != 5 {
					s.send(text)
				}
			},
			func(r *Result) bool { return r.Lost == 60 && r.Duplicates+r.OutOfOrder+r.Corrupt == 0 }, "60 lost",
		},
		"the last one is lost": {
			func(s *subscriber, seq int, text string) {
				if seq != quickEvents {
					s.send(text)
				}
			},
			func(r *Result) bool { return r.Lost == 6 }, "6 lost",
		},
		"duplicated": {
			func(s *subscriber, seq int, text string) {
				s.send(text)
				if seq == 7 || seq == 8 {
					s.send(text)
				}
			},
			func(r *Result) bool { return r.Duplicates == 12 && r.Lost+r.OutOfOrder+r.Corrupt == 0 }, "12 duplicated",
		},
		"out of order": {
			func(s *subscriber, seq int, text string) {
				switch {
				case seq == 20:
					s.held = text
				case seq == 23:
					s.send(text)
					s.send(s.held)
				default:
					s.send(text)
				}
			},
			func(r *Result) bool { return r.OutOfOrder == 6 && r.Lost+r.Duplicates+r.Corrupt == 0 }, "6 out of order",
		},
		"altered": {
			func(s *subscriber, seq int, text string) {
				if seq == 9 {
					text = strings.Replace(text, `"seq":9`, `"seq":90`, 1)
				}
				s.send(text)
			},
			func(r *Result) bool { return r.Corrupt == 6 && r.Lost == 6 }, "6 altered",
		},
		"the wrong room's": {
			func(s *subscriber, seq int, text string) {
				if seq == 9 {
					text = strings.Replace(text, `"room":0`, `"room":1`, 1)
				}
				s.send(text)
			},
			func(r *Result) bool { return r.Corrupt == 6 && r.Lost == 6 }, "6 altered",
		},
		"closed": {
			func(s *subscriber, seq int, text string) {
				if seq == 50 && s.id == "0" {
					go s.conn.Close(4290, "slow consumer")
					return
				}
				s.send(text)
			},
			func(r *Result) bool { return r.ClosedConnections == 3 && r.Lost > 0 }, "3 connections closed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, faults{deliver: c.deliver})
			cfg := quick(s)
			cfg.DrainTimeout = 500 * time.Millisecond
			r, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !c.want(r) || r.Err() == nil || !strings.Contains(r.Err().Error(), c.text) {
				t.Errorf("%v\n%s", r.Err(), r.Text())
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	wrong := func(c *Config) {}
	for name, c := range map[string]struct {
		faults faults
		change func(*Config)
		text   string
	}{
		"refused subscription": {faults{refuse: true}, wrong, "no such field"},
		"refused token":        {faults{token: "x"}, wrong, "code 4403 Forbidden"},
		"refused publish":      {faults{status: 401}, wrong, "HTTP status 401 Unauthorized"},
		"nothing delivered":    {faults{silent: true}, func(c *Config) { c.ConnectTimeout = 200 * time.Millisecond }, "only 0 of 6 subscriptions received"},
		"no endpoint":          {faults{}, func(c *Config) { c.URL = strings.Replace(c.URL, "graphql", "nothing", 1) }, "HTTP status 404"},
		"nobody listens":       {faults{}, func(c *Config) { c.URL = "ws://127.0.0.1:1/graphql" }, "refused"},
		"TLS":                  {faults{}, func(c *Config) { c.URL = "wss://127.0.0.1/graphql" }, "TLS is not measured"},
		"no scheme":            {faults{}, func(c *Config) { c.URL = "127.0.0.1/graphql" }, "want ws:// or http://"},
		"no host":              {faults{}, func(c *Config) { c.URL = "ws:///graphql" }, "the host is missing"},
		"too many rooms":       {faults{}, func(c *Config) { c.Rooms = 7 }, "every room needs one"},
		"too many publishers":  {faults{}, func(c *Config) { c.Publishers = 2 }, "belongs to one publisher"},
		"too long":             {faults{}, func(c *Config) { c.Duration = time.Hour }, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := quick(newServer(t, c.faults))
			c.change(&cfg)
			r, err := Run(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("result %v, error %v", r, err)
			}
		})
	}
}

// TestLines publishes on a connection instead of by HTTP.
func TestLines(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Rooms, cfg.Publishers, cfg.PublishURL = 2, 2, s.listen()
	if r, err := Run(t.Context(), cfg); err != nil || r.Err() != nil || r.Deliveries != quickEvents*3 {
		t.Errorf("%v, %+v", err, r)
	}
	cfg.PublishURL = "tcp://127.0.0.1:1"
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "publish: dial") {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestWindow publishes as fast as the server delivers, and never more than a few events ahead of it.
func TestWindow(t *testing.T) {
	for _, rooms := range []int{1, 4} {
		s := newServer(t, faults{})
		cfg := quick(s)
		cfg.Rooms, cfg.Window, cfg.Rate = rooms, 3, 1
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if r.Err() != nil || r.Events < 4 || r.Measured == 0 || r.Deliveries < uint64(r.Events*6/rooms-6) {
			t.Errorf("%d rooms: %v\n%s", rooms, r.Err(), r.Text())
		}
	}
	s := newServer(t, faults{deliver: func(*subscriber, int, string) {}})
	cfg := quick(s)
	cfg.Window, cfg.DrainTimeout = 3, time.Millisecond
	if r, err := Run(t.Context(), cfg); err != nil || r.Events != 3 || r.Lost != 18 {
		t.Errorf("nothing delivered: %v, %+v", err, r)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Duration = time.Minute
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg.Progress = func(text string) {
		if strings.HasPrefix(text, "publishing") {
			cancel(why)
		}
	}
	if _, err := Run(ctx, cfg); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// TestOwnPublisher replaces the HTTP requests, and measures this process as the server.
func TestOwnPublisher(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Publish = func(_ context.Context, events []Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range events {
			line, err := json.Marshal(map[string]any{"channel": e.Channel, "data": json.RawMessage(e.Data)})
			if err != nil {
				return err
			}
			s.publish(line)
		}
		return nil
	}
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if r.Server.PID != 0 && r.Server.PID != os.Getpid() {
		t.Errorf("the server is process %d, not %d", r.Server.PID, os.Getpid())
	}
	if r.Server.PID != 0 && r.Server.RSSKB < 1000 {
		t.Errorf("%d KB", r.Server.RSSKB)
	}
	for _, line := range []string{"connections", "deliveries", "latency", "generator CPU"} {
		if !strings.Contains(r.Text(), line) {
			t.Errorf("no %s in\n%s", line, r.Text())
		}
	}
}

// TestTick gathers events: fewer calls than events, and the latency shows it.
func TestTick(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Tick = 50 * time.Millisecond
	batches := 0
	cfg.Publish = func(_ context.Context, events []Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		batches++
		for _, e := range events {
			s.publish(fmt.Appendf(nil, `{"channel":%q,"data":%s}`, e.Channel, e.Data))
		}
		return nil
	}
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if batches >= quickEvents || r.Latency.Mean < 5000 {
		t.Errorf("%d calls, latencies %+v", batches, r.Latency)
	}
}

// TestStalled has connections that never read; the server ends the one of them that it is told to.
func TestStalled(t *testing.T) {
	s := newServer(t, faults{deliver: func(s *subscriber, seq int, text string) {
		switch {
		case s.number < 6:
			s.send(text)
		case s.number == 7 && seq == 50:
			s.conn.CloseNow()
		}
	}})
	cfg := quick(s)
	cfg.Stalled, cfg.Connections, cfg.Subscriptions = 2, 6, 1
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if r.Stalled != 2 || r.StalledClosed != 1 || !strings.Contains(r.Text(), "2, of which the server closed 1") {
		t.Error(r.Text())
	}
}

// TestChurn has connections come and go beside those that are measured.
func TestChurn(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Churn = 200
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if r.Churned < 10 || r.Churned > 500 || !strings.Contains(r.Text(), "churned") {
		t.Errorf("%d churned\n%s", r.Churned, r.Text())
	}
}

func TestIdle(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Connections, cfg.Idle, cfg.Settle = 8, true, time.Millisecond
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	if len(r.Idle) != 3 || r.Idle[0].Connections != 2 || r.Idle[2].Connections != 8 || !strings.Contains(r.Text(), "with 8 connections") {
		t.Errorf("steps %v\n%s", r.Idle, r.Text())
	}
	if got := slope([]IdleStep{{Connections: 100, RSSKB: 1000}, {Connections: 200, RSSKB: 1100}, {Connections: 400, RSSKB: 1600}}); got != 2 {
		t.Errorf("slope %v", got)
	}
	if got := slope([]IdleStep{{Connections: 100, RSSKB: 1000}}); got != 10 {
		t.Errorf("slope of one step %v", got)
	}
}
