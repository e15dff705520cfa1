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
