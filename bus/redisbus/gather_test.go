package redisbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestPublishersThatGiveUp publishes from many goroutines at once, which share pipelines, while some of them give up in
// the middle of a call: they alone get an error, and everybody's events come in order.
func TestPublishersThatGiveUp(t *testing.T) {
	const publishers, each = 16, 150
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr)
	c := newCollector("orders0")
	attach(t, b, c)
	var wait sync.WaitGroup
	for p := range publishers {
		wait.Go(func() {
			channel := fmt.Sprintf("orders%d", p)
			for n := 1; n <= each; n++ {
				if p%4 == 3 { // no timer hits a given moment: over all calls, many
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%10)*50*time.Microsecond)
					if r, err := b.Publish(ctx, []bus.Message{numbered(channel, n), numbered(channel, n+1), numbered(channel, n+2)}); err != nil && (!errors.Is(err, context.DeadlineExceeded) || r.Accepted == 3) {
						t.Errorf("%d accepted, %v", r.Accepted, err)
					}
					cancel()
					continue
				}
				if _, err := b.Publish(t.Context(), []bus.Message{numbered(channel, n)}); err != nil {
					t.Errorf("a publisher that has not given up: %v", err)
				}
			}
		})
	}
	wait.Wait()
	c.last(t, each)
	c.wantAll(t, 1, each)
}
