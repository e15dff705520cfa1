// Command embed is a Go service with the engine inside: orders are placed over HTTP, and every subscriber sees the
// orders of its own tenant. It needs no server besides itself.
//
//	go run ./examples/embed
//	FRAISEQL_TOKEN=key-of-acme fraiseql subscribe --url http://127.0.0.1:8080 'subscription { orderPlaced { id item } }'
//	curl -H 'Authorization: Bearer key-of-acme' -d '{"item":"tea","quantity":2}' http://127.0.0.1:8080/orders
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/identity"
)

const schema = `
type Order {
  id: ID!
  item: String!
  quantity: Int!
}

type Stock {
  item: String!
  left: Int!
}

type Subscription {
  "Orders of the caller's tenant, all or those of one item."
  orderPlaced(item: String): Order! @source(channel: "orders", types: ["order.placed"])

  "What is left of an item, after each order of it; computed by a resolver."
  stock(item: String!): Stock! @source(channel: "orders", types: ["order.placed"])
}
`

func main() {
	s, err := newService()
	if err != nil {
		log.Fatal(err)
	}
	log.Print("subscribe at ws://127.0.0.1:8080/graphql, place orders at http://127.0.0.1:8080/orders")
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: s.handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// service owns the orders and the engine that tells of them.
type service struct {
	engine  *fraiseql.Engine
	handler http.Handler

	mu    sync.Mutex
	last  int
	stock map[string]int
}

// newService builds the engine with a schema and a resolver, and the handlers over it.
func newService() (*service, error) {
	s := &service{stock: map[string]int{"tea": 100, "coffee": 50}}
	engine, err := fraiseql.New(fraiseql.Config{
		Schema:    []fraiseql.SchemaSource{{Name: "orders.graphql", Text: schema}},
		Security:  fraiseql.Security{Isolation: fraiseql.IsolationStrict},
		Resolvers: map[string]fraiseql.Resolver{"stock": {Resolve: s.resolveStock}},
	})
	if err != nil {
		return nil, err
	}
	s.engine = engine
	graphql, err := engine.Handler(fraiseql.HandlerConfig{Authenticator: keys{}})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/graphql", graphql)
	mux.HandleFunc("POST /orders", s.placeOrder)
	s.handler = mux
	return s, nil
}

// resolveStock answers Subscription.stock for an event: once for all subscribers of a tenant with the same item.
// The argument has filtered already, so the event is an order of that item.
func (s *service) resolveStock(_ context.Context, ev *fraiseql.Event, _ json.RawMessage, _ *fraiseql.ResolverContext) (any, error) {
	var order struct{ Item string }
	if err := json.Unmarshal(ev.Data, &order); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]any{"item": order.Item, "left": s.stock[order.Item]}, nil
}

// placeOrder takes an order and publishes it for the caller's tenant.
func (s *service) placeOrder(w http.ResponseWriter, r *http.Request) {
	who, err := keys{}.Authenticate(r.Context(), identity.Credentials{Authorization: r.Header.Get("Authorization")})
	if err != nil {
		http.Error(w, "unknown key", http.StatusUnauthorized)
		return
	}
	var order struct {
		ID       string `json:"id"`
		Item     string `json:"item"`
		Quantity int    `json:"quantity"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&order); err != nil {
		http.Error(w, "the body is not an order", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.last++
	order.ID = strconv.Itoa(s.last)
	s.stock[order.Item] -= order.Quantity
	s.mu.Unlock()
	data, err := json.Marshal(order)
	if err == nil {
		_, err = s.engine.Publish(r.Context(), fraiseql.Event{
			Channel: "orders", Type: "order.placed", ID: order.ID, TenantID: who.TenantID, Data: data,
		})
	}
	if err != nil {
		log.Print("publish: ", err)
		http.Error(w, "the order could not be announced", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintln(w, order.ID)
}

// keys admits two fixed API keys. A real service looks them up, or uses package auth/jwtauth.
type keys struct{}

var errUnknownKey = errors.New("unknown key")

// Authenticate implements identity.Authenticator.
func (keys) Authenticate(_ context.Context, c identity.Credentials) (*identity.Identity, error) {
	token, err := c.Bearer()
	if err != nil {
		return nil, err
	}
	tenant, ok := strings.CutPrefix(token, "key-of-")
	if !ok || tenant != "acme" && tenant != "globex" {
		return nil, errUnknownKey
	}
	return &identity.Identity{UserID: "shop", TenantID: tenant}, nil
}
