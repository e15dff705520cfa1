//go:build linux && fqmemory

package embed

// A build with this tag serves no clients: it has neither HTTP nor the protocols, and loads in half of the time
// (docs/adr/0022).
type (
	doors   struct{}
	clients struct{}
)

func (*doors) init()          {}
func (*clients) init()        {}
func (*clients) end(*Library) {}
func (*clients) wait()        {}
