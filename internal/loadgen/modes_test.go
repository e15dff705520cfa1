package loadgen

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPairs subscribes and completes; a server that does not hear a complete, or refuses, is found out.
func TestPairs(t *testing.T) {
	for name, c := range map[string]struct {
		faults faults
		want   string // of the error
	}{
		"right":   {},
		"forgets": {faults{forgets: true}, "expected, not"},
		"refuses": {faults{refuse: true}, "no such field"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.faults)
			cfg := quick(s)
			cfg.Subscriptions, cfg.Pairs, cfg.Rooms = 1, 4, 3
			r, err := Run(t.Context(), cfg)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("%+v, %v", r, err)
				}
				return
			}
			if err != nil || r.Pairs == 0 || r.Pairs%4 != 0 || r.PairsPerSecond <= 0 || !strings.Contains(r.Text(), "subscribed and completed") {
				t.Fatalf("%+v, %v", r, err)
			}
		})
	}
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Subscriptions, cfg.Pairs, cfg.Protocol = 1, 4, SSE
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "pairs are measured over") {
		t.Error(err)
	}
}

// TestStorm breaks connections off and has them come back.
func TestStorm(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Storm = true
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil || r.Storm == nil || r.Storm.Seconds <= 0 || !strings.Contains(r.Text(), "all back") {
		t.Fatalf("%+v, %v", r, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.subscribers["bench"]); n != 12 { // this server never forgets
		t.Errorf("%d subscriptions over both times, want 12", n)
	}
}

// TestSpread gives each subscription a range of its own that holds the value of its room alone.
func TestSpread(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Rooms, cfg.Spread = 3, 100
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil {
		t.Fatal(r, err)
	}
	run := &run{cfg: &cfg}
	seen := map[string]bool{}
	for n := range 6 {
		var from, to int
		text := run.variables(n)
		if _, err := fmt.Sscanf(text, `{"from":%d,"to":%d}`, &from, &to); err != nil || seen[text] {
			t.Fatal(text, err)
		}
		seen[text] = true
		for room := range 3 {
			if in := room*100 >= from && room*100 <= to; in != (room == n%3) {
				t.Errorf("subscription %d, %s: room %d", n, text, room)
			}
		}
	}
	cfg.Spread = 2
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "ranges would overlap") {
		t.Error(err)
	}
}

// TestTenants has connections name their tenants, and events too.
func TestTenants(t *testing.T) {
	cfg := Config{URL: "http://127.0.0.1:1", TenantSecret: []byte("secret"), Subscriptions: 2}
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "one subscription") {
		t.Error(err)
	}
	cfg = cfg.withDefaults()
	cfg.Rooms, cfg.Subscriptions = 3, 1
	r := &run{cfg: &cfg, channels: []string{"a", "a", "a"}}
	if e := r.event(2, 1, time.Second); e.Tenant != "tenant2" {
		t.Errorf("%+v", e)
	}
	_, token, _ := strings.Cut(string(r.initMessage(5)), "Bearer ")
	parts := strings.Split(token, ".")
	if claims, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil || !strings.Contains(string(claims), `"sub":"user5","tenant_id":"tenant2"`) {
		t.Errorf("%s, %v", claims, err)
	}
}

// TestIdleAtOnce reads memory without waiting, and once more when it was quiet.
func TestIdleAtOnce(t *testing.T) {
	s := newServer(t, faults{})
	cfg := quick(s)
	cfg.Connections, cfg.Idle, cfg.Settle = 8, true, -1
	r, err := Run(t.Context(), cfg)
	if err != nil || r.Err() != nil {
		t.Fatal(r, err)
	}
	if n := len(r.Idle); n != 4 || !r.Idle[2].AtOnce || r.Idle[3].AtOnce || r.Idle[3].Connections != 8 {
		t.Errorf("%+v", r.Idle)
	}
	if got := fmt.Sprint(idleSteps(3), idleSteps(40), idleSteps(18_000)); got != "[3] [10 20 40] [2000 9000 18000]" {
		t.Error(got)
	}
}
