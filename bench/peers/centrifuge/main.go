// Command centrifuge serves channels with centrifuge over its own protocol in JSON: not GraphQL, but the same
// deliveries without executing and encoding anything. A channel is a room.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"strconv"

	"github.com/centrifugal/centrifuge"

	"peer/source"
)

func main() {
	log.SetFlags(0)
	delay := flag.Duration("write-delay", 0, "how long messages gather before they are written")
	flag.Parse()
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}, WriteDelay: *delay}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	http.Handle("/graphql", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	log.Fatal(source.Serve(nil, func(e source.Event) {
		data, err := json.Marshal(e)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := node.Publish("tick:"+strconv.Itoa(e.Room), data); err != nil {
			log.Print(err)
		}
	}, "github.com/centrifugal/centrifuge"))
}
