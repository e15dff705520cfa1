package policy

import "github.com/fraiseql/fraiseql-go/event"

// Isolated applies isolation strict to an audience whose addresses are complete, those of a field's @tenant
// path included: an event that is for no particular tenant reaches nobody unless it is a broadcast.
func (a Audience) Isolated(ev *event.Event) Audience {
	if a.Nobody || a.Tenant != "" || ev.Broadcast {
		return a
	}
	return a.nobody(Tenant, reasonNoTenant)
}
