package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/identity"
)

func TestAdmitScope(t *testing.T) {
	alice := &identity.Identity{UserID: "alice", TenantID: "acme"}
	user := func(values ...string) Claim { return Claim{Name: "userId", Values: values} }
	tenant := func(values ...string) Claim { return Claim{Name: "tenant_id", Tenant: true, Values: values} }
	for _, tt := range []struct {
		name   string
		claims []Claim
		id     *identity.Identity
		want   string // part of the refusal; empty: admitted
	}{
		{"no claims", nil, alice, ""},
		{"no claims, nobody", nil, nil, ""},
		{"own user", []Claim{user("alice")}, alice, ""},
		{"own tenant", []Claim{tenant("acme")}, alice, ""},
		{"both, again and again", []Claim{user("alice", "alice"), tenant("acme"), user("alice")}, alice, ""},
		{"another user", []Claim{user("bob")}, alice, "userId must be your own user"},
		{"another tenant", []Claim{tenant("other")}, alice, "tenant_id must be your own tenant"},
		{"the tenant as user", []Claim{user("acme")}, alice, "userId"},
		{"the user as tenant", []Claim{tenant("alice")}, alice, "tenant_id"},
		{"one of two", []Claim{user("alice", "bob")}, alice, "userId"},
		{"the last of three", []Claim{user("alice"), tenant("acme"), tenant("x")}, alice, "tenant_id"},
		{"another case", []Claim{user("Alice")}, alice, "userId"},
		{"a space", []Claim{user("alice ")}, alice, "userId"},
		{"empty value", []Claim{user("")}, alice, "userId"},
		{"no value", []Claim{user()}, alice, "userId"},
		{"invalid", []Claim{{Name: "userId", Values: []string{"alice"}, Invalid: true}}, alice, "eq or in"},
		{"invalid tenant", []Claim{{Name: "tenantId", Tenant: true, Invalid: true}}, alice, "your own tenant"},
		{"nobody claims a user", []Claim{user("alice")}, nil, "userId"},
		{"nobody claims nothing", []Claim{user("")}, &identity.Identity{}, "userId"},
		{"no tenant", []Claim{tenant("acme")}, &identity.Identity{UserID: "acme"}, "tenant_id"},
		{"no user", []Claim{user("acme")}, &identity.Identity{TenantID: "acme"}, "userId"},
	} {
		r := AdmitScope(tt.claims, tt.id)
		switch {
		case tt.want == "" && r != nil:
			t.Errorf("%s: refused: %v", tt.name, r)
		case tt.want != "" && (r == nil || !strings.Contains(r.Message, tt.want) || r.Check != Scope || r.Code != CodeScopeMismatch):
			t.Errorf("%s: got %+v, want %q", tt.name, r, tt.want)
		}
	}
}

func TestScopeNames(t *testing.T) {
	var preset ScopeNames
	own := ScopeNames{User: []string{"owner_id", "by"}, Tenant: []string{"OrgID"}}
	for _, tt := range []struct {
		names          *ScopeNames
		name           string
		tenant, claims bool
	}{
		{&preset, "userId", false, true}, {&preset, "user_id", false, true}, {&preset, "USERID", false, true}, {&preset, "_user__Id_", false, true},
		{&preset, "tenantId", true, true}, {&preset, "TENANT_ID", true, true}, {&preset, "tenantid", true, true},
		{&preset, "user", false, false}, {&preset, "userIds", false, false}, {&preset, "authorUserId", false, false}, {&preset, "id", false, false}, {&preset, "", false, false}, {&preset, "_", false, false},
		{&own, "ownerId", false, true}, {&own, "BY", false, true}, {&own, "org_id", true, true}, {&own, "userId", false, false}, {&own, "tenantId", false, false},
	} {
		if tenant, claims := tt.names.Match(tt.name); tenant != tt.tenant || claims != tt.claims {
			t.Errorf("%q: tenant %v, claims %v", tt.name, tenant, claims)
		}
	}
}

func TestAdmitRole(t *testing.T) {
	admin := &identity.Identity{UserID: "a", Roles: []string{"admin", "audit"}, Scopes: []string{"r", "w"}}
	one := func(r Requirement) []Requirement {
		r.Coordinate, r.MaskBit = "Order.total", -1
		return []Requirement{r}
	}
	masked := func(bit int) Requirement {
		return Requirement{Coordinate: "Order.secret", Roles: [][]string{{"root"}}, MaskBit: bit}
	}
	for _, tt := range []struct {
		name string
		reqs []Requirement
		id   *identity.Identity
		mask Mask
		ok   bool
	}{
		{"nothing required", nil, nil, 0, true},
		{"an empty requirement", one(Requirement{}), nil, 0, true},
		{"a user", one(Requirement{Authenticated: true}), admin, 0, true},
		{"no user", one(Requirement{Authenticated: true}), &identity.Identity{Roles: []string{"admin"}}, 0, false},
		{"nobody", one(Requirement{Authenticated: true}), nil, 0, false},
		{"one role of two", one(Requirement{Roles: [][]string{{"root", "audit"}}}), admin, 0, true},
		{"no role of two", one(Requirement{Roles: [][]string{{"root", "Admin"}}}), admin, 0, false},
		{"each list of roles", one(Requirement{Roles: [][]string{{"admin"}, {"audit"}}}), admin, 0, true},
		{"one list of two", one(Requirement{Roles: [][]string{{"admin"}, {"root"}}}), admin, 0, false},
		{"roles of nobody", one(Requirement{Roles: [][]string{{"admin"}}}), nil, 0, false},
		{"an empty list of roles", one(Requirement{Roles: [][]string{{}}}), admin, 0, false},
		{"an empty role", one(Requirement{Roles: [][]string{{""}}}), &identity.Identity{Roles: []string{""}}, 0, false},
		{"all scopes", one(Requirement{Scopes: [][][]string{{{"r", "w"}}}}), admin, 0, true},
		{"some scopes", one(Requirement{Scopes: [][][]string{{{"r", "x"}}}}), admin, 0, false},
		{"the second alternative", one(Requirement{Scopes: [][][]string{{{"x"}, {"r", "w"}}}}), admin, 0, true},
		{"each directive", one(Requirement{Scopes: [][][]string{{{"r"}}, {{"w"}}}}), admin, 0, true},
		{"one directive of two", one(Requirement{Scopes: [][][]string{{{"r"}}, {{"x"}}}}), admin, 0, false},
		{"no alternative", one(Requirement{Scopes: [][][]string{{}}}), admin, 0, false},
		{"an empty alternative", one(Requirement{Scopes: [][][]string{{{}}}}), admin, 0, false},
		{"an empty scope", one(Requirement{Scopes: [][][]string{{{""}}}}), &identity.Identity{Scopes: []string{""}}, 0, false},
		{"scopes are not roles", one(Requirement{Scopes: [][][]string{{{"admin"}}}}), admin, 0, false},
		{"all parts", one(Requirement{Authenticated: true, Scopes: [][][]string{{{"r"}}}, Roles: [][]string{{"admin"}}}), admin, 0, true},
		{"all parts but one", one(Requirement{Authenticated: true, Scopes: [][][]string{{{"x"}}}, Roles: [][]string{{"admin"}}}), admin, 0, false},
		{"masks", []Requirement{masked(0), masked(5), masked(63)}, admin, 1 | 1<<5 | 1<<63, true},
		{"masks that are not needed", []Requirement{{Roles: [][]string{{"admin"}}, MaskBit: 3}, masked(4)}, admin, 1 << 4, true},
		{"a mask and a refusal", append(one(Requirement{Roles: [][]string{{"root"}}}), masked(1)), admin, 0, false},
		{"a bit beyond the mask", []Requirement{masked(64)}, admin, 0, false},
		{"a bit far below", []Requirement{masked(-7)}, admin, 0, false},
	} {
		mask, r := AdmitRole(tt.reqs, tt.id)
		if mask != tt.mask || (r == nil) != tt.ok {
			t.Errorf("%s: mask %b, refusal %v", tt.name, mask, r)
		}
		if r != nil && (r.Check != Role || r.Code != CodeForbidden || !strings.Contains(r.Error(), "Order.")) {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}

// TestAdmitRoleAgreesWithSets decides with sets what AdmitRole decides with loops.
func TestAdmitRoleAgreesWithSets(t *testing.T) {
	words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		id := &identity.Identity{Roles: words.Draw(t, "roles"), Scopes: words.Draw(t, "scopes"), UserID: rapid.SampledFrom([]string{"", "u"}).Draw(t, "user")}
		r := Requirement{
			Authenticated: rapid.Bool().Draw(t, "authenticated"), MaskBit: rapid.IntRange(-1, 63).Draw(t, "bit"),
			Roles: rapid.SliceOfN(words, 0, 2).Draw(t, "need roles"), Scopes: rapid.SliceOfN(rapid.SliceOfN(words, 0, 2), 0, 2).Draw(t, "need scopes"),
		}
		has := map[string]bool{}
		for _, role := range id.Roles {
			has["role "+role] = role != ""
		}
		for _, scope := range id.Scopes {
			has["scope "+scope] = scope != ""
		}
		want := !r.Authenticated || id.UserID != ""
		for _, list := range r.Roles {
			any := false
			for _, role := range list {
				any = any || has["role "+role]
			}
			want = want && any
		}
		for _, or := range r.Scopes {
			any := false
			for _, and := range or {
				all := len(and) > 0
				for _, scope := range and {
					all = all && has["scope "+scope]
				}
				any = any || all
			}
			want = want && any
		}
		mask, refusal := AdmitRole([]Requirement{r}, id)
		got := mask == 0 && refusal == nil
		if got != want {
			t.Fatalf("admitted %v, want %v", got, want)
		}
		if !want && (refusal != nil) != (r.MaskBit < 0) {
			t.Fatalf("bit %d: mask %b, refusal %v", r.MaskBit, mask, refusal)
		}
	})
}

func TestNamesOfChecks(t *testing.T) {
	var names []string
	for c := range Check(Checks) {
		names = append(names, c.String())
	}
	if got := strings.Join(names, " "); got != "scope tenant row federation rbac" {
		t.Errorf("got %s", got)
	}
	if Check(99).String() != "unknown" {
		t.Error("an unknown check has a name")
	}
}

func BenchmarkAdmitRole(b *testing.B) {
	id := &identity.Identity{UserID: "u", Roles: []string{"a", "b"}, Scopes: []string{"r", "w"}}
	reqs := []Requirement{
		{Authenticated: true, MaskBit: -1}, {Roles: [][]string{{"x", "b"}}, MaskBit: -1}, {Scopes: [][][]string{{{"x"}, {"r", "w"}}}, MaskBit: 3},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, r := AdmitRole(reqs, id); r != nil {
			b.Fatal(r)
		}
	}
}
