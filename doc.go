// Package fraiseql is a GraphQL subscriptions engine: events go in, each is matched against live
// subscriptions, checked for who may see it, cut down to the selected fields, serialised once per group of
// equal subscriptions and queued for every subscriber.
//
// New builds an Engine from a Config: a schema with the directives of docs/reference/directives.md, or none; a
// bus, by default one in memory; resolvers; limits. Engine.Handler is the http.Handler that clients connect to
// with graphql-transport-ws. Engine.Publish takes events:
//
//	import "github.com/fraiseql/fraiseql-go"
//
//	engine, err := fraiseql.New(fraiseql.Config{
//		Schema: []fraiseql.SchemaSource{{Name: "schema.graphql", Text: sdl}},
//	})
//	defer engine.Close(context.Background())
//	handler, err := engine.Handler(fraiseql.HandlerConfig{Authenticator: auth})
//	http.Handle("/graphql", handler)
//	receipt, err := engine.Publish(ctx, fraiseql.Event{
//		Channel: "orders", Type: "order.changed", TenantID: "acme", Data: data,
//	})
//
// A program that stops calls Engine.Drain, which refuses further clients and spreads the closes of those there are, each after
// what waits for it, then Engine.Close, which gives who is left a second and ends everything; alone it does for few clients.
// Both wait as long as their context lets them: not one that ends with the program.
//
// The module is had by go get github.com/fraiseql/fraiseql-go or, until a version is published, by a replace in go.mod
// onto a checkout.
//
// A host that owns the WebSockets itself hands their messages to a Session of Engine.Sessions and sends what it takes
// from there. Without a transport, Engine.Register makes subscriptions whose messages are pulled: Subscription.Next
// and Receive, Engine.Take for those of a whole connection; Registration.Arrived and Subscription.Notify say when.
//
// Concurrency: every method of Engine may be called by any number of goroutines. Events of one channel reach a
// subscription in the order in which the bus accepted them; channels run in parallel. No goroutine is held per
// subscription, nor, on Linux, per connection. docs/locks.md has the order of locks.
//
// Security: the five checks of docs/security.md run for every subscription and event and fail closed. A nil
// Authenticator admits nobody unless HandlerConfig.Anonymous says so.
//
// The package links no driver of a bus and no metrics library; both are given to it.
package fraiseql
