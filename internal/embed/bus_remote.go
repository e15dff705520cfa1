//go:build linux && !fqmemory

package embed

import (
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/carrier"
)

// openRemote returns a bus outside of the process.
func openRemote(rawURL string, options bus.Options) (bus.Bus, error) {
	made, err := new(carrier.Opener).Open(rawURL, options)
	if err != nil {
		return nil, bad("bus.url", err.Error())
	}
	return made, nil
}
