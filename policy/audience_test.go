package policy

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

var (
	absent  = Address{}
	invalid = Address{Found: Invalid}
)

func at(s string) Address { return AddressOf(s) }

func TestAddress(t *testing.T) {
	both := Rules{RowTenant: true, RowUser: true}
	strict := Rules{Strict: true, RowTenant: true, RowUser: true}
	off := Rules{}
	for _, tt := range []struct {
		name         string
		rules        Rules
		event        event.Event
		tenant, user Address
		want         Audience // only Nobody, Denied, Tenant and User are compared
	}{
		{"nothing", both, event.Event{}, absent, absent, Audience{}},
		{"nothing, strict", strict, event.Event{}, absent, absent, Audience{Nobody: true, Denied: Tenant}},
		{"a user alone, strict", strict, event.Event{UserID: "u"}, absent, absent, Audience{Nobody: true, Denied: Tenant}},
		{"a tenant, strict", strict, event.Event{TenantID: "t"}, absent, absent, Audience{Tenant: "t"}},
		{"a tenant in data, strict", strict, event.Event{}, at("t"), absent, Audience{Tenant: "t"}},
		{"a tenant in data, strict, filter off", Rules{Strict: true}, event.Event{}, at("t"), absent, Audience{Nobody: true, Denied: Tenant}},
		{"broadcast", both, event.Event{Broadcast: true}, absent, absent, Audience{}},
		{"broadcast, strict", strict, event.Event{Broadcast: true}, absent, absent, Audience{}},
		{"broadcast with a tenant in data", both, event.Event{Broadcast: true}, at("t"), absent, Audience{Nobody: true, Denied: Tenant}},
		{"broadcast with a user in data", both, event.Event{Broadcast: true}, absent, at("u"), Audience{Nobody: true, Denied: Row}},
		{"broadcast with a tenant in data, filter off", off, event.Event{Broadcast: true}, at("t"), at("u"), Audience{}},
		{"broadcast with a tenant, from a bus", both, event.Event{Broadcast: true, TenantID: "t"}, absent, absent, Audience{Nobody: true, Denied: Tenant}},
		{"envelope", both, event.Event{TenantID: "t", UserID: "u"}, absent, absent, Audience{Tenant: "t", User: "u"}},
		{"data", both, event.Event{}, at("t"), at("u"), Audience{Tenant: "t", User: "u"}},
		{"data, filter off", off, event.Event{}, at("t"), at("u"), Audience{}},
		{"both alike", both, event.Event{TenantID: "t", UserID: "u"}, at("t"), at("u"), Audience{Tenant: "t", User: "u"}},
		{"tenants differ", both, event.Event{TenantID: "t"}, at("T"), absent, Audience{Nobody: true, Denied: Tenant}},
		{"users differ", both, event.Event{UserID: "u"}, absent, at("v"), Audience{Nobody: true, Denied: Row}},
		{"tenants differ, filter off", off, event.Event{TenantID: "t"}, at("x"), absent, Audience{Tenant: "t"}},
		{"tenant invalid", both, event.Event{}, invalid, absent, Audience{Nobody: true, Denied: Tenant}},
		{"tenant invalid beside the envelope's", both, event.Event{TenantID: "t"}, invalid, absent, Audience{Nobody: true, Denied: Tenant}},
		{"tenant invalid, filter off", off, event.Event{}, invalid, invalid, Audience{}},
		{"user invalid", both, event.Event{TenantID: "t"}, absent, invalid, Audience{Nobody: true, Denied: Row}},
		{"a value without text", both, event.Event{}, Address{Found: Value}, absent, Audience{Nobody: true, Denied: Tenant}},
		{"an unknown kind", both, event.Event{}, Address{Found: 9, Text: "t"}, absent, Audience{Nobody: true, Denied: Tenant}},
	} {
		got := tt.rules.Address(&tt.event, tt.tenant, tt.user)
		if got.Nobody != tt.want.Nobody || got.Denied != tt.want.Denied || got.Tenant != tt.want.Tenant || got.User != tt.want.User {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		if got.Nobody != (got.Reason != "") {
			t.Errorf("%s: nobody %v, reason %q", tt.name, got.Nobody, got.Reason)
		}
		if got.Nobody != (got.ReasonMember() != "") {
			t.Errorf("%s: nobody %v, member %q of reason %q", tt.name, got.Nobody, got.ReasonMember(), got.Reason)
		}
	}
}

func TestNarrowing(t *testing.T) {
	everybody, acme, u := Audience{}, Audience{Tenant: "acme"}, Audience{User: "u"}
	list := []string{"u", "v"}
	for _, tt := range []struct {
		name    string
		a       Audience
		allowed []identity.Identity
		denied  []identity.Identity
	}{
		{"@tenant", everybody.WithTenant(at("acme")), []identity.Identity{{TenantID: "acme"}}, []identity.Identity{{}, {TenantID: "x"}}},
		{"@tenant as the envelope", acme.WithTenant(at("acme")), []identity.Identity{{TenantID: "acme"}}, []identity.Identity{{}}},
		{"@tenant against the envelope", acme.WithTenant(at("x")), nil, []identity.Identity{{TenantID: "acme"}, {TenantID: "x"}}},
		{"@tenant missing", acme.WithTenant(absent), nil, []identity.Identity{{TenantID: "acme"}, {}}},
		{"@tenant invalid", everybody.WithTenant(invalid), nil, []identity.Identity{{TenantID: "acme"}, {}}},
		{"@tenant empty", everybody.WithTenant(Address{Found: Value}), nil, []identity.Identity{{}}},
		{"@owner", everybody.WithOwner(at("u")), []identity.Identity{{UserID: "u"}}, []identity.Identity{{}, {UserID: "v"}}},
		{"@owner as the envelope", u.WithOwner(at("u")), []identity.Identity{{UserID: "u"}}, []identity.Identity{{UserID: "v"}}},
		{"@owner against the envelope", u.WithOwner(at("v")), nil, []identity.Identity{{UserID: "u"}, {UserID: "v"}}},
		{"@owner missing", everybody.WithOwner(absent), nil, []identity.Identity{{}, {UserID: "u"}}},
		{"@owner invalid", u.WithOwner(invalid), nil, []identity.Identity{{}, {UserID: "u"}}},
		{"@owner list", everybody.WithOwners(list), []identity.Identity{{UserID: "u"}, {UserID: "v"}}, []identity.Identity{{}, {UserID: "w"}}},
		{"@owner list with the envelope's", u.WithOwners(list), []identity.Identity{{UserID: "u"}}, []identity.Identity{{UserID: "v"}, {}}},
		{"@owner list without the envelope's", u.WithOwners([]string{"v"}), nil, []identity.Identity{{UserID: "u"}, {UserID: "v"}}},
		{"@owner empty list", everybody.WithOwners(nil), nil, []identity.Identity{{}, {UserID: "u"}}},
		{"@owner list of an empty text", everybody.WithOwners([]string{""}), nil, []identity.Identity{{}, {UserID: "u"}}},
		{"@owner two lists", everybody.WithOwners(list).WithOwners(list), nil, []identity.Identity{{UserID: "u"}}},
		{"@owner list, then one of it", everybody.WithOwners(list).WithOwner(at("v")), []identity.Identity{{UserID: "v"}}, []identity.Identity{{UserID: "u"}}},
		{"nobody stays nobody", invalidAudience().WithTenant(at("t")).WithOwner(at("u")).WithOwners(list), nil, []identity.Identity{{}, {TenantID: "t", UserID: "u"}}},
	} {
		for _, id := range tt.allowed {
			if check, ok := tt.a.Admits(&id); !ok {
				t.Errorf("%s: %+v denied by %s", tt.name, id, check)
			}
		}
		for _, id := range tt.denied {
			if _, ok := tt.a.Admits(&id); ok {
				t.Errorf("%s: %+v admitted", tt.name, id)
			}
		}
		if tt.a.Nobody && (tt.a.AnyUser() || tt.a.AnyTenant()) {
			t.Errorf("%s: nobody, and anybody", tt.name)
		}
	}
}

func invalidAudience() Audience {
	r := Rules{RowTenant: true}
	return r.Address(&event.Event{}, invalid, absent)
}

func TestIsolated(t *testing.T) {
	addressed := Rules{}
	for name, tt := range map[string]struct {
		event  event.Event
		tenant Address // at @tenant; absent: no such path
		nobody bool
	}{
		"nothing":              {event.Event{}, absent, true},
		"user":                 {event.Event{UserID: "u"}, absent, true},
		"tenant":               {event.Event{TenantID: "t"}, absent, false},
		"broadcast":            {event.Event{Broadcast: true}, absent, false},
		"tenant at the path":   {event.Event{}, at("t"), false},
		"another tenant there": {event.Event{TenantID: "t"}, at("x"), true},
	} {
		a := addressed.Address(&tt.event, absent, absent)
		if tt.tenant != absent {
			a = a.WithTenant(tt.tenant)
		}
		if got := a.Isolated(&tt.event); got.Nobody != tt.nobody {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestFederationAllows is the whole table over two values.
func TestFederationAllows(t *testing.T) {
	values := []string{"", "a", "b"}
	for _, ef := range values {
		for _, es := range values {
			for _, f := range values {
				for _, s := range values {
					want := federationRule(ef, es, f, s)
					if got := FederationAllows(ef, es, f, s); got != want {
						t.Errorf("event (%q, %q), identity (%q, %q): %v", ef, es, f, s, got)
					}
				}
			}
		}
	}
}

// federationRule is the sentence of docs/security.md.
func federationRule(ef, es, f, s string) bool {
	type pair struct{ event, id string }
	eventHas, idHas, shared := false, false, 0
	for _, p := range []pair{{ef, f}, {es, s}} {
		eventHas = eventHas || p.event != ""
		idHas = idHas || p.id != ""
		if p.event != "" && p.id != "" {
			if p.event != p.id {
				return false
			}
			shared++
		}
	}
	if !eventHas && !idHas {
		return true
	}
	return eventHas && idHas && shared > 0
}

// TestAudienceAgreesWithTheContract draws rules, events, fields and identities, and decides each check from its
// sentence alone: all addresses that apply must equal the identity's, and absent equals nothing.
func TestAudienceAgreesWithTheContract(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "a", "b"})
	found := rapid.SampledFrom([]Address{absent, at("a"), at("b"), invalid})
	rapid.Check(t, func(t *rapid.T) {
		rules := Rules{Strict: rapid.Bool().Draw(t, "strict"), RowTenant: rapid.Bool().Draw(t, "row tenant"), RowUser: rapid.Bool().Draw(t, "row user")}
		ev := event.Event{TenantID: word.Draw(t, "tenant"), UserID: word.Draw(t, "user"), FederationID: word.Draw(t, "fed"), ServiceName: word.Draw(t, "svc"), Broadcast: rapid.Bool().Draw(t, "broadcast")}
		rowTenant, rowUser := found.Draw(t, "data.tenant_id"), found.Draw(t, "data.user_id")
		id := identity.Identity{TenantID: word.Draw(t, "my tenant"), UserID: word.Draw(t, "my user"), FederationID: word.Draw(t, "my fed"), ServiceName: word.Draw(t, "my svc")}

		a := rules.Address(&ev, rowTenant, rowUser)
		tenants, users := []Address{}, []Address{}
		if ev.TenantID != "" {
			tenants = append(tenants, at(ev.TenantID))
		}
		if ev.UserID != "" {
			users = append(users, at(ev.UserID))
		}
		if rules.RowTenant && rowTenant != absent {
			tenants = append(tenants, rowTenant)
		}
		if rules.RowUser && rowUser != absent {
			users = append(users, rowUser)
		}
		want := !(ev.Broadcast && len(tenants)+len(users) > 0) && !(rules.Strict && !ev.Broadcast && len(tenants) == 0)
		if rapid.Bool().Draw(t, "@tenant") {
			path := found.Draw(t, "at @tenant")
			tenants, a = append(tenants, path), a.WithTenant(path)
		}
		if rapid.Bool().Draw(t, "@owner") {
			path := found.Draw(t, "at @owner")
			users, a = append(users, path), a.WithOwner(path)
		}
		for _, x := range tenants {
			want = want && x.Found == Value && x.Text == id.TenantID
		}
		for _, x := range users {
			want = want && x.Found == Value && x.Text == id.UserID
		}
		want = want && federationRule(ev.FederationID, ev.ServiceName, id.FederationID, id.ServiceName)
		if check, got := a.Admits(&id); got != want {
			t.Fatalf("%+v: admitted %v (check %s), want %v", a, got, check, want)
		}
	})
}

func TestNilIdentityIsNobody(t *testing.T) {
	a := Audience{Tenant: "t"}
	if _, ok := a.Admits(nil); ok {
		t.Error("admitted")
	}
	a = Audience{}
	if _, ok := a.Admits(nil); !ok {
		t.Error("an event for everybody is denied")
	}
}

func TestAudienceDoesNotAllocate(t *testing.T) {
	rules := Rules{Strict: true, RowTenant: true, RowUser: true}
	ev := event.Event{TenantID: "t"}
	id := identity.Identity{TenantID: "t", UserID: "u"}
	owners := []string{"v", "u"}
	if n := testing.AllocsPerRun(100, func() {
		a := rules.Address(&ev, at("t"), absent).WithTenant(at("t")).WithOwners(owners).Isolated(&ev)
		if _, ok := a.Admits(&id); !ok {
			t.Error("denied")
		}
		if b := rules.Address(&ev, invalid, absent); !b.Nobody {
			t.Error("admitted")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAudience(b *testing.B) {
	rules := Rules{Strict: true, RowTenant: true}
	ev := event.Event{TenantID: "t"}
	b.ReportAllocs()
	for b.Loop() {
		if a := rules.Address(&ev, absent, absent).WithOwner(at("u")); a.Nobody {
			b.Fatal(a.Reason)
		}
	}
}

// TestAddressed: the short way says what the long one does.
func TestAddressed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "a", "b"})
		ev := event.Event{
			TenantID: text.Draw(t, "tenant"), UserID: text.Draw(t, "user"),
			FederationID: text.Draw(t, "federation"), ServiceName: text.Draw(t, "service"),
		}
		rules := Rules{RowTenant: rapid.Bool().Draw(t, "row tenant"), RowUser: rapid.Bool().Draw(t, "row user")}
		got, want := Addressed(&ev), rules.Address(&ev, absent, absent)
		if got.Nobody || want.Nobody || got.Tenant != want.Tenant || got.User != want.User || got.Users != nil ||
			got.FederationID != want.FederationID || got.ServiceName != want.ServiceName {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}
