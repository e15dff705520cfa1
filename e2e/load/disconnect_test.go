package load

import (
	"fmt"
	"testing"
)

const (
	waves    = 10
	atOnce   = 1000     // connections of a wave, all open at the same time
	slack    = 8        // file descriptors and goroutines: the metrics' own connection, a worker that idles
	maxKept  = 16 << 20 // bytes of memory that may be kept after all waves but the first
	question = "subscription($k: Int) { closing(kind: $k) { n } }"
)

// TestAbruptDisconnects breaks off 10,000 connections in every state: afterwards the server has as many file
// descriptors, goroutines and objects as before, and about as much memory.
func TestAbruptDisconnects(t *testing.T) {
	s := serve(t)
	start := s.metrics()
	var warm map[string]float64 // after the first wave, which makes what is kept for later
	for wave := range waves {
		s.wave(wave)
		m := s.await("everything is given back", func(m map[string]float64) bool {
			return m["fraiseql_connections"]+m["fraiseql_subscriptions"]+m["fraiseql_groups"]+m["fraiseql_channels"]+m["fraiseql_queue_bytes"] == 0 &&
				m["process_open_fds"] <= start["process_open_fds"]+slack && m["go_goroutines"] <= start["go_goroutines"]+slack
		})
		if wave == 0 {
			warm = m
		}
	}
	end := s.await("memory", func(m map[string]float64) bool {
		return m["process_resident_memory_bytes"] <= warm["process_resident_memory_bytes"]+maxKept
	})
	if n := end[`fraiseql_connections_opened_total{transport="websocket"}`]; n != waves*atOnce {
		t.Errorf("%v connections", n)
	}
	t.Logf("file descriptors %v → %v, goroutines %v → %v, memory %.1f → %.1f → %.1f MB", start["process_open_fds"], end["process_open_fds"], start["go_goroutines"], end["go_goroutines"],
		start["process_resident_memory_bytes"]/(1<<20), warm["process_resident_memory_bytes"]/(1<<20), end["process_resident_memory_bytes"]/(1<<20))
	if c, err := dial(s.Addr); err != nil {
		t.Error("afterwards:", err)
	} else {
		c.abort()
	}
}

// wave opens connections, publishes to those that subscribed, and breaks all of them off, half by a reset.
func (s *server) wave(number int) {
	s.t.Helper()
	clients := make([]*client, atOnce)
	err := inParallel(atOnce, func(i int) (err error) {
		if clients[i], err = dial(s.Addr); err != nil {
			return err
		}
		return clients[i].reach(i % 5)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.equals("fraiseql_subscriptions", atOnce/5*3)
	var batch []byte
	for n := range perRound {
		batch = fmt.Appendf(batch, `{"channel":"closing","type":"t","data":{"kind":%d,"n":%d}}`+"\n", number, n)
	}
	s.publish(batch)
	for i, c := range clients {
		if i%2 == 0 {
			c.abort()
		} else {
			_ = c.Close() // with what it has not read, this may be a reset too
		}
	}
}

// reach brings a connection into one of five states.
func (c *client) reach(state int) error {
	switch state {
	case 0: // upgraded
		return nil
	case 1: // half a frame
		_, err := c.Write(frame(`{"type":"connection_init"}`)[:9])
		return err
	case 2: // subscribed, and the half of a message
		if err := c.subscribe(question, ""); err != nil {
			return err
		}
		_, err := c.Write(frame(`{"id":"t","type":"subscribe","payload":{}}`)[:20])
		return err
	}
	return c.subscribe("subscription { closing { seq n } }", "")
}
