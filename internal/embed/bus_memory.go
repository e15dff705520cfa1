//go:build linux && fqmemory

package embed

import "github.com/fraiseql/fraiseql-go/bus"

// openRemote refuses: a build with this tag has no clients of buses outside of the process, and so a third less to load
// and to initialise.
func openRemote(string, bus.Options) (bus.Bus, error) {
	return nil, bad("bus.type", "this build of the library knows the bus of the process only")
}
