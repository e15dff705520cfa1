// Command graph-gophers serves subscriptions with graph-gophers/graphql-go, which has no transport of its own: a minimal
// one for graphql-transport-ws is here.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"sync"

	"github.com/coder/websocket"
	"github.com/graph-gophers/graphql-go"

	"peer/source"
)

const schemaText = `
type Query { ok: Boolean }
type Subscription { tick(room: Int, from: Int, to: Int): Tick! }
type Tick { room: Int! seq: Int! sent: Int! sum: Int! pad: String! }
`

type tick struct {
	Room, Seq, Sent, Sum int32
	Pad                  string
}

type resolver struct {
	broadcast source.Broadcast[*tick]
}

func (r *resolver) Ok() *bool { return nil }

// Tick is the events of a room, or those whose room lies in a range.
func (r *resolver) Tick(ctx context.Context, args struct{ Room, From, To *int32 }) <-chan *tick {
	return r.broadcast.Subscribe(ctx, number(args.Room), number(args.From), number(args.To))
}

func number(n *int32) *int {
	if n == nil {
		return nil
	}
	i := int(*n)
	return &i
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

type request struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
}

// session is one connection.
type session struct {
	schema  *graphql.Schema
	conn    *websocket.Conn
	mu      sync.Mutex // guards running
	running map[string]context.CancelFunc
}

func (s *session) run(ctx context.Context) {
	for {
		_, text, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text, &m) != nil {
			return
		}
		switch m.Type {
		case "connection_init":
			s.send(ctx, message{Type: "connection_ack"})
		case "ping":
			s.send(ctx, message{Type: "pong"})
		case "subscribe":
			s.subscribe(ctx, m)
		case "complete":
			s.mu.Lock()
			if cancel := s.running[m.ID]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
		}
	}
}

func (s *session) subscribe(ctx context.Context, m message) {
	var r request
	if json.Unmarshal(m.Payload, &r) != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	results, err := s.schema.Subscribe(ctx, r.Query, r.OperationName, r.Variables)
	if err != nil {
		cancel()
		return
	}
	s.mu.Lock()
	s.running[m.ID] = cancel
	s.mu.Unlock()
	go func() {
		defer cancel()
		for result := range results {
			payload, err := json.Marshal(result)
			if err != nil || !s.send(ctx, message{ID: m.ID, Type: "next", Payload: payload}) {
				return
			}
		}
	}()
}

func (s *session) send(ctx context.Context, m message) bool {
	text, err := json.Marshal(m)
	return err == nil && s.conn.Write(ctx, websocket.MessageText, text) == nil
}

func main() {
	log.SetFlags(0)
	r := &resolver{}
	schema := graphql.MustParseSchema(schemaText, r, graphql.UseFieldResolvers())
	http.HandleFunc("/graphql", func(w http.ResponseWriter, request *http.Request) {
		conn, err := websocket.Accept(w, request, &websocket.AcceptOptions{Subprotocols: []string{"graphql-transport-ws"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		(&session{schema: schema, conn: conn, running: map[string]context.CancelFunc{}}).run(ctx)
	})
	log.Fatal(source.Serve(nil, func(e source.Event) {
		r.broadcast.Publish(e.Room, &tick{int32(e.Room), int32(e.Seq), int32(e.Sent), int32(e.Sum), e.Pad})
	}, "github.com/graph-gophers/graphql-go", "github.com/coder/websocket"))
}
