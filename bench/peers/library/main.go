// Command library is the engine in a Go program that takes events as the other systems do: as lines of JSON on a
// connection. What arrives in one read is one batch. Beside fraiseql it shows what HTTP costs there.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"

	"github.com/fraiseql/fraiseql-go"
)

const schema = `type Subscription {
  tick(room: Int, from: Int @match(path: "room", op: GTE), to: Int @match(path: "room", op: LTE)): Tick!
}

type Tick { room: Int! seq: Int! sent: Int! sum: Int! pad: String! }
`

func main() {
	log.SetFlags(0)
	engine, err := fraiseql.New(fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "tick.graphql", Text: schema}}})
	check(err)
	handler, err := engine.Handler(fraiseql.HandlerConfig{Anonymous: true, ReleaseMemory: true})
	check(err)
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	events, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	text, err := json.Marshal(map[string]any{
		"url": "http://" + clients.Addr().String() + "/graphql", "publish_url": "tcp://" + events.Addr().String(),
		"versions": map[string]string{"go": runtime.Version()},
	})
	check(err)
	fmt.Printf("%s\n", text)
	go func() {
		for {
			c, err := events.Accept()
			check(err)
			go read(engine, c)
		}
	}()
	mux := http.NewServeMux()
	mux.Handle("/graphql", handler)
	log.Fatal(http.Serve(clients, mux))
}

// read publishes what comes on a connection.
func read(engine *fraiseql.Engine, c net.Conn) {
	defer c.Close()
	batch := engine.Batch()
	buf, rest := make([]byte, 1<<20), 0
	for {
		n, err := c.Read(buf[rest:])
		if err != nil {
			return
		}
		all := buf[:rest+n]
		for {
			line, after, found := bytes.Cut(all, []byte("\n"))
			if !found {
				break
			}
			all = after
			add(batch, line)
		}
		rest = copy(buf, all)
		if batch.Len() > 0 {
			_, err := batch.Publish(context.Background())
			check(err)
		}
	}
}

// add adds the event of a line. Events keep their data.
func add(batch *fraiseql.Batch, line []byte) {
	_, data, found := bytes.Cut(line, []byte(`"data":`))
	if !found {
		return
	}
	e := batch.Add()
	e.Channel, e.Type, e.Data = "tick", "bench", bytes.Clone(bytes.TrimSuffix(data, []byte("}")))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
