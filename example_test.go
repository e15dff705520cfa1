package fraiseql_test

import (
	"context"
	"fmt"

	"github.com/fraiseql/fraiseql-go"
)

// A subscription without a transport: its messages are taken one by one.
func Example() {
	ctx := context.Background()
	engine, err := fraiseql.New(fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "schema.graphql", Text: `
		type Order { id: ID! total: Float! }
		type Subscription {
			orders(minTotal: Float @match(path: "total", op: GTE)): Order! @source(channel: "orders")
		}`}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = engine.Close(ctx) }()

	subscription, err := engine.Register(ctx, fraiseql.Registration{
		ConnectionID: "c", SubscriptionID: "large", Query: `subscription { orders(minTotal: 100) { id } }`,
		Identity: fraiseql.Identity{UserID: "anne", TenantID: "acme"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ev := range []fraiseql.Event{
		{Channel: "orders", Type: "placed", TenantID: "acme", Data: []byte(`{"id":"1","total":20}`)},
		{Channel: "orders", Type: "placed", TenantID: "acme", Data: []byte(`{"id":"2","total":250}`)},
		{Channel: "orders", Type: "placed", TenantID: "globex", Data: []byte(`{"id":"3","total":900}`)},
	} {
		if _, err := engine.Publish(ctx, ev); err != nil {
			fmt.Println(err)
		}
	}
	for {
		message, ok, err := subscription.Next(nil)
		if err != nil || !ok {
			break
		}
		fmt.Println(string(message))
	}
	// Output: {"id":"large","type":"next","payload":{"data":{"orders":{"id":"2"}}}}
}
