package gqlhttp

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Streams that come and go while others publish, by every way out, leave nothing behind.
func TestChurn(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		const rounds, workers = 60, 16
		f := serve(t, o, nil)
		f.engine.policy.Overflow = queue.DropOldest
		stop := make(chan struct{})
		var publishing, clients sync.WaitGroup
		publishing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f.engine.publish("orders", `{"n":1}`)
					runtime.Gosched()
				}
			}
		})
		for w := range workers {
			clients.Go(func() {
				for i := range rounds {
					switch (w + i) % 4 {
					case 0:
						s := f.sse("orders")
						s.block()
						s.Close()
					case 1:
						f.open(post(parts, query("orders"))).Close()
					case 2: // leaves before the answer
						c := f.dial()
						c.send(post("text/event-stream", query("orders")))
						c.Close()
					default:
						token := f.reserve()
						f.expectStatus("an operation", http.StatusAccepted, post("", op("a", "orders"), token))
						s := f.open(get("/graphql", "Accept: text/event-stream", token))
						s.block()
						s.Close()
					}
				}
			})
		}
		clients.Wait()
		close(stop)
		publishing.Wait()
		f.gone()
		await(t, "every subscription has ended", func() bool { return f.engine.live("orders") == 0 })
		if n := f.poller.Stats().Open; n != 0 {
			t.Errorf("%d connections are open", n)
		}
		if n := len(f.handler.singles.list()); n != 0 {
			t.Errorf("%d single connections are kept", n)
		}
	})
}

// One client that does not read, many that do: theirs comes, whatever the stalled one does.
func TestOneStalls(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	f.engine.policy.Messages = 1 << 20
	f.engine.policy.Bytes = 64 << 20
	stalled := f.sse("orders")
	var good []*stream
	for range 20 {
		good = append(good, f.sse("orders"))
	}
	payload := `"` + strings.Repeat("x", 64<<10) + `"`
	for range 100 { // more than the socket of the stalled one holds
		if n := f.engine.publish("orders", payload); n != 21 {
			t.Fatalf("%d took it", n)
		}
		for _, s := range good {
			s.expect("event: next\ndata: {\"data\":" + payload + "}\n\n")
		}
	}
	for range 100 { // nothing is lost for the stalled one
		stalled.expect("event: next\ndata: {\"data\":" + payload + "}\n\n")
	}
}

// A client that sends its request byte by byte holds a goroutine for no longer than the server's timeouts.
func TestSlowRequest(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.BodyTimeout = 100 * time.Millisecond })
	for _, raw := range []string{post("text/event-stream", query("orders"), "Expect: 100-continue"), post("", query("{x}"))} {
		c := f.dial()
		head, body, _ := strings.Cut(raw, "\r\n\r\n")
		c.send(head + "\r\n\r\n")
		done := make(chan *http.Response, 1)
		go func() {
			for {
				res := c.answer()
				if res.StatusCode != http.StatusContinue {
					done <- res
					return
				}
			}
		}()
		tick := time.NewTicker(20 * time.Millisecond)
		var res *http.Response
		for i := 0; res == nil; i++ {
			select {
			case res = <-done:
			case <-tick.C:
				if i < len(body)-1 {
					_, _ = c.Write([]byte{body[i]}) // may be refused by now
				}
			}
		}
		tick.Stop()
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("%s", res.Status)
		}
	}
}
