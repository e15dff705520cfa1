package policy

import (
	"slices"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// Found is what stood at a path of an event's data.
type Found uint8

const (
	Absent  Found = iota // no such member
	Value                // a non-empty string, or an integer as its decimal text
	Invalid              // null, an empty string, or any other type: addresses nobody
)

// Address is one value that says whom an event is for. The zero value is absent.
type Address struct {
	Found Found
	Text  string // set exactly with Value; need not outlive the Audience
}

// AddressOf returns the address of a value that is absent when empty, as those of an envelope are.
func AddressOf(text string) Address {
	if text == "" {
		return Address{}
	}
	return Address{Found: Value, Text: text}
}

// Rules are the settings of docs/security.md that decide an event's audience. The zero value is isolation
// addressed without a row filter.
type Rules struct {
	// Strict: an event without a tenant reaches nobody unless it is a broadcast.
	Strict bool
	// RowTenant and RowUser: the members tenant_id and user_id of data address an event whose envelope has
	// none of that kind.
	RowTenant, RowUser bool
}

// Members of data that the row filter reads.
const (
	RowTenantMember = "tenant_id"
	RowUserMember   = "user_id"
)

// Audience is who may see an event by checks 2 and 3: the keys that the index is asked for. It is a value
// without references of its own; making and narrowing one does not allocate.
type Audience struct {
	// Nobody may see it; Denied is the check that counts them.
	Nobody bool
	Denied Check
	// Reason is why there is nobody, safe to show to the publisher; empty otherwise.
	Reason string
	// Tenant is the only tenant that may see it; empty: every tenant, and those without one.
	Tenant string
	// User is the only user that may see it, or if empty and Users is not, any one of Users; both empty:
	// every user, and those without one.
	User  string
	Users []string
	// FederationID and ServiceName are the envelope's, for FederationAllows.
	FederationID, ServiceName string
}

// The reasons are constants: an event that is denied costs no allocation.
const (
	reasonNoTenant        = "the event has no tenant, so nobody could see it: set tenant_id, or broadcast: true if it is meant for everybody"
	reasonTenantInvalid   = "data.tenant_id must be a non-empty string or an integer without fraction and exponent, since the row filter reads it"
	reasonUserInvalid     = "data.user_id must be a non-empty string or an integer without fraction and exponent, since the row filter reads it"
	reasonTenantDiffers   = "data.tenant_id differs from the tenant_id of the envelope"
	reasonUserDiffers     = "data.user_id differs from the user_id of the envelope"
	reasonBroadcastTenant = "the event is a broadcast, but the row filter finds data.tenant_id"
	reasonBroadcastUser   = "the event is a broadcast, but the row filter finds data.user_id"
	reasonTenantPath      = "the value at the @tenant path is missing, invalid, or another tenant's"
	reasonOwnerPath       = "the value at the @owner path is missing, invalid, or another user's"
)

// Address decides checks 2 and 3 as far as the event itself says: the addresses of the envelope, and those
// that the row filter finds in data (rowTenant and rowUser; ignored where the filter is off). A publishing
// door refuses an event with Nobody set (422, Reason); an event from a bus is dropped and counted.
func (r *Rules) Address(ev *event.Event, rowTenant, rowUser Address) Audience {
	a := Audience{FederationID: ev.FederationID, ServiceName: ev.ServiceName}
	if !r.RowTenant {
		rowTenant = Address{}
	}
	if !r.RowUser {
		rowUser = Address{}
	}
	var why string
	if a.Tenant, why = join(ev.TenantID, rowTenant, reasonTenantInvalid, reasonTenantDiffers); why != "" {
		return a.nobody(Tenant, why)
	}
	if a.User, why = join(ev.UserID, rowUser, reasonUserInvalid, reasonUserDiffers); why != "" {
		return a.nobody(Row, why)
	}
	switch {
	case ev.Broadcast && a.Tenant != "":
		return a.nobody(Tenant, reasonBroadcastTenant)
	case ev.Broadcast && a.User != "":
		return a.nobody(Row, reasonBroadcastUser)
	case r.Strict && !ev.Broadcast && a.Tenant == "":
		return a.nobody(Tenant, reasonNoTenant)
	}
	return a
}

// ReasonMember is the member that Reason is about: of the envelope, or a path into data; empty without a Reason.
func (a Audience) ReasonMember() string {
	switch a.Reason {
	case reasonNoTenant, reasonTenantDiffers:
		return "tenant_id"
	case reasonUserDiffers:
		return "user_id"
	case reasonTenantInvalid:
		return "data." + RowTenantMember
	case reasonUserInvalid:
		return "data." + RowUserMember
	case reasonBroadcastTenant, reasonBroadcastUser:
		return "broadcast"
	}
	return ""
}

// Addressed is what Rules.Address says, without Strict, of an event that is not a broadcast where data holds no
// addresses: who the envelope names, or everybody.
func Addressed(ev *event.Event) Audience {
	return Audience{Tenant: ev.TenantID, User: ev.UserID, FederationID: ev.FederationID, ServiceName: ev.ServiceName}
}

// join returns the one address that envelope and data agree on, or why there is none.
func join(envelope string, data Address, invalid, differs string) (text, why string) {
	switch data.Found {
	case Absent:
		return envelope, ""
	case Value:
		if data.Text == "" {
			return "", invalid
		}
		if envelope != "" && envelope != data.Text {
			return "", differs
		}
		return data.Text, ""
	}
	return "", invalid
}

func (a Audience) nobody(c Check, reason string) Audience {
	return Audience{Nobody: true, Denied: c, Reason: reason, FederationID: a.FederationID, ServiceName: a.ServiceName}
}

// WithTenant narrows the audience to the tenant at a field's @tenant path.
func (a Audience) WithTenant(at Address) Audience {
	if a.Nobody {
		return a
	}
	if at.Found != Value || at.Text == "" || a.Tenant != "" && a.Tenant != at.Text {
		return a.nobody(Tenant, reasonTenantPath)
	}
	a.Tenant = at.Text
	return a
}

// WithOwner narrows the audience to the user at a field's @owner path.
func (a Audience) WithOwner(at Address) Audience {
	if a.Nobody {
		return a
	}
	if at.Found != Value || at.Text == "" || !a.AllowsUser(at.Text) {
		return a.nobody(Row, reasonOwnerPath)
	}
	a.User, a.Users = at.Text, nil
	return a
}

// WithOwners narrows the audience to any one of the users in the list at a field's @owner path: its valid
// elements, the others left out by the caller. The list must not change while the audience is used. A field
// has at most one @owner; narrowing by a second list leaves nobody.
func (a Audience) WithOwners(users []string) Audience {
	if a.Nobody {
		return a
	}
	switch {
	case a.User != "":
		if !slices.Contains(users, a.User) {
			return a.nobody(Row, reasonOwnerPath)
		}
		return a
	case len(a.Users) > 0 || len(users) == 0:
		return a.nobody(Row, reasonOwnerPath)
	}
	a.Users = users
	return a
}

// AnyUser reports whether the audience is not bound to users.
func (a *Audience) AnyUser() bool { return !a.Nobody && a.User == "" && len(a.Users) == 0 }

// AnyTenant reports whether the audience is not bound to a tenant.
func (a *Audience) AnyTenant() bool { return !a.Nobody && a.Tenant == "" }

// AllowsTenant reports whether subscribers of a tenant (empty: without one) pass check 2.
func (a *Audience) AllowsTenant(tenant string) bool {
	return !a.Nobody && (a.Tenant == "" || a.Tenant == tenant)
}

// AllowsUser reports whether a user (empty: none) passes check 3.
func (a *Audience) AllowsUser(user string) bool {
	switch {
	case a.Nobody:
		return false
	case a.User != "":
		return a.User == user
	case len(a.Users) > 0:
		return user != "" && slices.Contains(a.Users, user)
	}
	return true
}

// Admits runs checks 2, 3 and 4 for one identity: what the index answers for many. When it denies, it names
// the first check that does. A nil identity is one that has nothing.
func (a *Audience) Admits(id *identity.Identity) (Check, bool) {
	if id == nil {
		id = &nobody
	}
	switch {
	case a.Nobody:
		return a.Denied, false
	case !a.AllowsTenant(id.TenantID):
		return Tenant, false
	case !a.AllowsUser(id.UserID):
		return Row, false
	case !FederationAllows(a.FederationID, a.ServiceName, id.FederationID, id.ServiceName):
		return Federation, false
	}
	return 0, true
}

// FederationAllows is check 4. Neither side has a federation or a service: passes. Only one side has any:
// denied. Else what is present on both must be equal, and at least one is.
func FederationAllows(eventFederation, eventService, idFederation, idService string) bool {
	eventHas := eventFederation != "" || eventService != ""
	idHas := idFederation != "" || idService != ""
	if !eventHas && !idHas {
		return true
	}
	common := false
	if eventFederation != "" && idFederation != "" {
		if eventFederation != idFederation {
			return false
		}
		common = true
	}
	if eventService != "" && idService != "" {
		if eventService != idService {
			return false
		}
		common = true
	}
	return common
}
