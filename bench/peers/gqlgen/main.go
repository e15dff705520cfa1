// Command gqlgen serves subscriptions with gqlgen and its WebSocket transport, as its documentation sets them up.
// The generated code is made by `go tool gqlgen generate`.
package main

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"

	"peer/gqlgen/generated"
	"peer/source"
)

type resolver struct {
	broadcast source.Broadcast[*generated.Tick]
}

func (r *resolver) Query() generated.QueryResolver               { return r }
func (r *resolver) Subscription() generated.SubscriptionResolver { return r }
func (r *resolver) Ok(context.Context) (*bool, error)            { return nil, nil }

// Tick is the events of a room, or those whose room lies in a range.
func (r *resolver) Tick(ctx context.Context, room, from, to *int) (<-chan *generated.Tick, error) {
	return r.broadcast.Subscribe(ctx, room, from, to), nil
}

func main() {
	log.SetFlags(0)
	r := &resolver{}
	server := handler.New(generated.NewExecutableSchema(generated.Config{Resolvers: r}))
	server.AddTransport(transport.Websocket{KeepAlivePingInterval: 30 * time.Second})
	http.Handle("/graphql", server)
	log.Fatal(source.Serve(nil, func(e source.Event) {
		r.broadcast.Publish(e.Room, &generated.Tick{Room: e.Room, Seq: e.Seq, Sent: e.Sent, Sum: e.Sum, Pad: e.Pad})
	}, "github.com/99designs/gqlgen", "github.com/coder/websocket"))
}
