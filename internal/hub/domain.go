package hub

import (
	"sync"

	"github.com/fraiseql/fraiseql-go/identity"
)

// domain is what the members of a cell have in common: tenant and federation context. Interned per hub.
type domain struct {
	tenant, federationID, serviceName string
}

type domains struct {
	mu   sync.Mutex
	live map[domain]*internedDomain
}

type internedDomain struct {
	domain
	refs int
}

func (d *domains) init() { d.live = make(map[domain]*internedDomain) }

// take returns the interned domain of an identity; release gives it back.
func (d *domains) take(id *identity.Identity) *internedDomain {
	key := domain{id.TenantID, id.FederationID, id.ServiceName}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.live[key]
	if i == nil {
		i = &internedDomain{domain: key}
		d.live[key] = i
	}
	i.refs++
	return i
}

func (d *domains) release(i *internedDomain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i.refs--; i.refs == 0 {
		delete(d.live, i.domain)
	}
}
