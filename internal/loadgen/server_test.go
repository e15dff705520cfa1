package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// faults is what a server does wrong.
type faults struct {
	// deliver, if set, is called instead of sending text, the message of an event's seq, to a subscriber.
	deliver func(s *subscriber, seq int, text string)
	refuse  bool // subscribes are answered by error
	silent  bool // nothing is delivered
	token   string
	forgets bool // completes are not heard
	ping    bool // pings before each delivery
	status  int  // of POST /events
}

// server fans events out to the subscribers of a channel: the simplest one that is right.
type server struct {
	*httptest.Server
	t *testing.T
	faults

	mu          sync.Mutex
	subscribers map[string][]*subscriber
	pongs       int
}

type subscriber struct {
	conn *websocket.Conn
	id   string
	held string // by a fault
	// number counts the subscribers of a channel from 0.
	number int
}

func (s *subscriber) send(text string) {
	_ = s.conn.Write(context.Background(), websocket.MessageText, []byte(text))
}

func newServer(t *testing.T, f faults) *server {
	s := &server{t: t, faults: f, subscribers: map[string][]*subscriber{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/graphql", s.graphql)
	mux.HandleFunc("/events", s.events)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *server) graphql(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.CloseNow()
	for {
		_, text, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		var m struct {
			ID, Type string
			Payload  struct{ Query, Authorization string }
		}
		if err := json.Unmarshal(text, &m); err != nil {
			s.t.Errorf("%s: %v", text, err)
			return
		}
		switch m.Type {
		case "connection_init":
			if s.token != "" && m.Payload.Authorization != "Bearer "+s.token {
				_ = conn.Close(4403, "Forbidden")
				return
			}
			_ = conn.Write(context.Background(), websocket.MessageText, []byte(`{"type":"connection_ack"}`))
		case "subscribe":
			s.subscribe(&subscriber{conn: conn, id: m.ID}, m.Payload.Query)
		case "ping":
			_ = conn.Write(context.Background(), websocket.MessageText, []byte(`{"type":"pong"}`))
		case "complete":
			s.complete(conn, m.ID)
		case "pong":
			s.mu.Lock()
			s.pongs++
			s.mu.Unlock()
		}
	}
}

func (s *server) subscribe(sub *subscriber, query string) {
	channel := strings.Fields(query)[2]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		sub.send(fmt.Sprintf(`{"id":%q,"type":"error","payload":[{"message":"no such field"}]}`, sub.id))
		return
	}
	sub.number = len(s.subscribers[channel])
	s.subscribers[channel] = append(s.subscribers[channel], sub)
}

func (s *server) complete(conn *websocket.Conn, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel, list := range s.subscribers {
		if !s.forgets {
			s.subscribers[channel] = slices.DeleteFunc(list, func(sub *subscriber) bool { return sub.conn == conn && sub.id == id })
		}
	}
}

func (s *server) events(w http.ResponseWriter, r *http.Request) {
	if s.status != 0 {
		http.Error(w, `{"errors":[{"code":"UNAUTHENTICATED"}]}`, s.status)
		return
	}
	if got := r.Header.Get("Content-Type"); got != "application/x-ndjson" {
		s.t.Errorf("content type %q", got)
	}
	s.publishLines(r.Body)
	w.WriteHeader(http.StatusAccepted)
}

func (s *server) publishLines(from io.Reader) {
	lines := bufio.NewScanner(from)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		s.mu.Lock()
		s.publish(lines.Bytes())
		s.mu.Unlock()
	}
}

// listen takes lines from connections and returns where.
func (s *server) listen() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.publishLines(conn)
			conn.Close()
		}
	}()
	s.t.Cleanup(func() { listener.Close(); <-done })
	return "tcp://" + listener.Addr().String()
}

func (s *server) publish(line []byte) {
	var e struct {
		Channel string
		Data    json.RawMessage
	}
	var data struct{ Seq int }
	if err := json.Unmarshal(line, &e); err != nil {
		s.t.Errorf("%s: %v", line, err)
		return
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		s.t.Errorf("%s: %v", e.Data, err)
		return
	}
	if s.silent {
		return
	}
	for _, sub := range s.subscribers[e.Channel] {
		if s.ping {
			sub.send(`{"type":"ping"}`)
		}
		text := fmt.Sprintf(`{"id":%q,"type":"next","payload":{"data":{%q:%s}}}`, sub.id, e.Channel, bytes.TrimSpace(e.Data))
		if s.deliver != nil && data.Seq > 0 {
			s.deliver(sub, data.Seq, text)
		} else {
			sub.send(text)
		}
	}
}
