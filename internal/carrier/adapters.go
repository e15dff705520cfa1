package carrier

import (
	"strings"

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
	{
		[]string{"nats", "tls"},
		func(rawURL string, o bus.Options) (bus.Bus, error) { return As(natsbus.Open)(oneURL(rawURL), o) },
		func(rawURL string) error { return natsbus.Check(oneURL(rawURL)) },
	},
}

// oneURL makes one URL of several with commas between, as clients of NATS take them: nats://u:p@a,nats://u:p@b is
// nats://u:p@a,b. Credentials are those of the first; others stay where they are, and are refused.
func oneURL(rawURL string) string {
	list := strings.Split(rawURL, ",")
	scheme, rest, _ := strings.Cut(list[0], "://")
	user := ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user = rest[:at+1]
	}
	for i := 1; i < len(list); i++ {
		list[i] = strings.TrimPrefix(list[i], scheme+"://")
		if user != "" {
			list[i] = strings.TrimPrefix(list[i], user)
		}
	}
	return strings.Join(list, ",")
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
