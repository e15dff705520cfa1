package carrier

import (
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/natsbus"
	"github.com/fraiseql/fraiseql-go/bus/pgbus"
	"github.com/fraiseql/fraiseql-go/bus/redisbus"
)

// adapters are the kinds of buses of this build.
var adapters = []adapter{
	{[]string{"memory"}, memory, checkMemory},
	{
		[]string{"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"},
		As(redisbus.Open), redisbus.Check,
	},
	{[]string{"postgres", "postgresql"}, As(pgbus.Open), pgbus.Check},
	{[]string{"nats", "tls"}, As(natsbus.Open), natsbus.Check},
}

// As lets what an adapter opens be any bus, and none when there is an error.
func As[B bus.Bus](open func(rawURL string, o bus.Options) (B, error)) func(string, bus.Options) (bus.Bus, error) {
	return func(rawURL string, o bus.Options) (bus.Bus, error) {
		b, err := open(rawURL, o)
		if err != nil {
			return nil, err
		}
		return b, nil
	}
}
