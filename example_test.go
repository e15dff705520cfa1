package fraiseql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fraiseql/fraiseql-go"
)

// A subscription that is pulled: register, publish, next.
func Example() {
	ctx := context.Background()
	e, err := fraiseql.New(fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "orders.graphql", Text: `
		type Subscription { orderChanged(id: ID!): Order @source(channel: "orders") }
		type Order { id: ID! status: String }`}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close(ctx)
	s, err := e.Register(ctx, fraiseql.Registration{
		ConnectionID: "conn1", SubscriptionID: "sub1",
		Query: `subscription($id: ID!) { orderChanged(id: $id) { status } }`, Variables: []byte(`{"id": "7"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := e.Publish(ctx,
		fraiseql.Event{Channel: "orders", Type: "changed", Data: []byte(`{"id": 7, "status": "paid"}`)},
		fraiseql.Event{Channel: "orders", Type: "changed", Data: []byte(`{"id": 8, "status": "open"}`)})
	fmt.Println(receipt.Accepted, receipt.Delivered, err)
	message, err := s.Receive(ctx)
	fmt.Println(string(message), err)
	// Output:
	// 2 1 <nil>
	// {"id":"sub1","type":"next","payload":{"data":{"orderChanged":{"status":"paid"}}}} <nil>
}

// A resolver computes the value of a root field, once for all subscriptions that are equal.
func ExampleResolver() {
	ctx := context.Background()
	e, err := fraiseql.New(fraiseql.Config{
		Schema: []fraiseql.SchemaSource{{Text: `
			type Subscription { greeting(name: String!): String @source(channel: "people") }
			type Person { name: String }`}},
		Resolvers: map[string]fraiseql.Resolver{},
	})
	fmt.Println(e == nil, strings.Contains(err.Error(), "needs a resolver"))

	e, err = fraiseql.New(fraiseql.Config{
		Schema: []fraiseql.SchemaSource{{Text: `
			type Subscription { greeting(name: String @match(path: "name")): String @source(channel: "people") }`}},
		Resolvers: map[string]fraiseql.Resolver{"greeting": {
			Resolve: func(_ context.Context, ev *fraiseql.Event, _ json.RawMessage, _ *fraiseql.ResolverContext) (any, error) {
				var who struct{ Name string }
				if err := json.Unmarshal(ev.Data, &who); err != nil {
					return nil, err
				}
				return "Hello, " + who.Name, nil
			},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close(ctx)
	s, err := e.Register(ctx, fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: `subscription { greeting }`})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := e.Publish(ctx, fraiseql.Event{Channel: "people", Type: "came", Data: []byte(`{"name": "Ada"}`)}); err != nil {
		fmt.Println(err)
		return
	}
	message, err := s.Receive(ctx)
	fmt.Println(string(message), err)
	// Output:
	// true true
	// {"id":"s","type":"next","payload":{"data":{"greeting":"Hello, Ada"}}} <nil>
}

// A host that owns the WebSocket: messages of the client go in, what is to be sent comes out.
func ExampleEngine_Sessions() {
	ctx := context.Background()
	e, err := fraiseql.New(fraiseql.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close(ctx)
	sessions, err := e.Sessions(fraiseql.HandlerConfig{Anonymous: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	woken := make(chan struct{}, 1)
	s, err := sessions.Open(fraiseql.SessionRequest{RemoteAddr: "192.0.2.1:5000"}, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	if err != nil { // ErrTooManyConnections, for example
		fmt.Println(err)
		return
	}
	defer s.Close()
	s.Receive([]byte(`{"type":"connection_init"}`))
	<-woken
	out, more := s.Take(nil, 64<<10)
	for _, o := range out {
		fmt.Println(string(o.Data), o.Kind == fraiseql.OutgoingClose, more)
	}
	// Output:
	// {"type":"connection_ack"} false false
}

// A reader that sleeps until there is something to read.
func ExampleSubscription_Notify() {
	ctx := context.Background()
	e, err := fraiseql.New(fraiseql.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close(ctx)
	s, err := e.Register(ctx, fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: `subscription { orders { id } }`})
	if err != nil {
		fmt.Println(err)
		return
	}
	news := make(chan struct{}, 1)
	fmt.Println(s.Notify(func() { news <- struct{}{} }))
	if _, err := e.Publish(ctx, fraiseql.Event{Channel: "orders", Type: "changed", Data: []byte(`{"id": 7}`)}); err != nil {
		fmt.Println(err)
		return
	}
	<-news
	fmt.Println(s.Notify(func() {})) // a message waits: there is nothing to sleep for
	message, _, err := s.Next(nil)
	fmt.Println(string(message), err)
	// Output:
	// true
	// false
	// {"id":"s","type":"next","payload":{"data":{"orders":{"id":7}}}} <nil>
}
