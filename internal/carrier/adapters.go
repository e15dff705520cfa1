package carrier

import (
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/natsbus"
	"github.com/fraiseql/fraiseql-go/bus/pgbus"
)

// adapters are the kinds of buses of this build.
var adapters = []adapter{
	{[]string{"memory"}, memory, checkMemory},
	{[]string{"postgres", "postgresql"}, postgres, pgbus.Check},
	{[]string{"nats", "tls"}, openNATS, natsbus.Check},
}

func postgres(rawURL string, o bus.Options) (bus.Bus, error) {
	b, err := pgbus.Open(rawURL, o)
	if err != nil {
		return nil, err // and no *Bus that is nil
	}
	return b, nil
}

func openNATS(rawURL string, o bus.Options) (bus.Bus, error) {
	b, err := natsbus.Open(rawURL, o)
	if err != nil {
		return nil, err
	}
	return b, nil
}
