package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/policy"
)

const claimSDL = `
type Subscription {
  order(userId: ID, tenant_id: Int, USER_ID: [ID!] @match(path: "user_id", op: IN),
    notMine: ID @match(path: "x"), TenantID: ID @match(path: "t", op: NE), tenantId: ID @match(path: "ts", op: CONTAINS),
    open_user_id: ID @match(path: "u"), free: ID @match(path: "u") , user__id: ID @unscoped @match(path: "u"),
    where: OrderWhere @where, wide: OrderWhere @where @unscoped): Order
}
type Order { userId: ID tenant_id: Int id(userId: ID, by: By): ID }
input By { deep: [By!] tenantId: ID free: ID userId: ID @unscoped data: JSON }
input OrderWhere { userId: Ops customer: Nested meta: JSONOps open: JSONOps @unscoped and: [OrderWhere!] not: OrderWhere tenantId: Ops @unscoped }
input Nested { tenant_id: Ops }
input Ops { eq: ID ne: ID in: [ID!] }
input JSONOps { eq: JSON ne: JSON in: [JSON!] notIn: [JSON!] }
scalar JSON
`

func claimText(claims []policy.Claim) string {
	var out []string
	for _, c := range claims {
		kind := "user"
		if c.Tenant {
			kind = "tenant"
		}
		text := fmt.Sprintf("%s:%s=%s", kind, c.Name, strings.Join(c.Values, "|"))
		if c.Invalid {
			text += "!"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestClaims(t *testing.T) {
	s := mustSchema(t, claimSDL)
	for _, c := range []struct{ document, variables, want string }{
		{`subscription { order { id } }`, "", ""},
		{`subscription { order(userId: 5, tenant_id: 7) { id } }`, "", "user:userId=5 tenant:tenant_id=7"},
		{`subscription($u: ID) { order(userId: $u) { id } }`, `{"u":"x"}`, "user:userId=x"},
		{`subscription($u: ID) { order(userId: $u) { id } }`, `{"u":null}`, ""},
		{`subscription($u: ID) { order(userId: $u) { id } }`, ``, ""},
		{`subscription($u: ID = "d") { order(userId: $u) { id } }`, ``, "user:userId=d"},
		{`subscription { order(USER_ID: ["a", "b"]) { id } }`, "", "user:USER_ID=a|b"},
		{`subscription { order(notMine: 1, free: 2, open_user_id: 3, user__id: 4) { id } }`, "", ""},
		{`subscription { order(TenantID: "t") { id } }`, "", "tenant:TenantID=!"},
		{`subscription { order(tenantId: "t") { id } }`, "", "tenant:tenantId=t"},
		{`subscription { order { id(userId: "nested") } }`, "", "user:userId=nested"},
		{`subscription { order { id(by: {deep: [{tenantId: 1}, {free: 1, deep: {tenantId: 2}}], userId: 9}) } }`, "", "tenant:tenantId=1 tenant:tenantId=2"},
		{`subscription($d: JSON) { order { id(by: {data: $d}) } }`, `{"d":[{"user_id":1.5}]}`, "user:user_id=!"},
		{`subscription { order(where: {userId: {eq: 1}}) { id } }`, "", "user:userId=1"},
		{`subscription { order(where: {userId: {in: [1, 2]}}) { id } }`, "", "user:userId=1|2"},
		{`subscription { order(where: {userId: {ne: 1}}) { id } }`, "", "user:userId=!"},
		{`subscription { order(where: {userId: {eq: 1, ne: null}}) { id } }`, "", "user:userId=1"},
		{`subscription { order(where: {userId: {}, not: {}}) { id } }`, "", ""},
		{`subscription { order(where: {not: {and: [{userId: {eq: 1}}]}}) { id } }`, "", "user:userId=!"},
		{`subscription { order(where: {and: [{customer: {tenant_id: {eq: 1}}}], tenantId: {ne: 1}}) { id } }`, "", "tenant:tenant_id=1"},
		{`subscription { order(wide: {userId: {ne: 1}}) { id } }`, "", ""},
		{`subscription { order(where: {meta: {eq: {user_id: "u"}}}) { id } }`, "", "user:user_id=u"},
		{`subscription { order(where: {and: [{meta: {in: [{a: [{tenantID: 1}]}, {userId: null}]}}]}) { id } }`, "", "tenant:tenantID=1"},
		{`subscription($m: JSON) { order(where: {meta: {ne: $m}}) { id } }`, `{"m":{"user\u005fid":"u"}}`, "user:user_id=u!"},
		{`subscription { order(where: {meta: {notIn: [{userId: 1}]}}) { id } }`, "", "user:userId=1!"},
		{`subscription { order(where: {not: {meta: {eq: {userId: 1}}}}) { id } }`, "", "user:userId=1!"},
		{`subscription { order(where: {open: {eq: {userId: 1}}}) { id } }`, "", ""},
	} {
		p := mustCompile(t, s, c.document)
		if got := claimText(p.Claims(nil, mustVariables(t, p, c.variables), nil)); got != c.want {
			t.Errorf("%s %s: claims %q, want %q", c.document, c.variables, got, c.want)
		}
	}
}

func TestClaimsWithoutSchema(t *testing.T) {
	s := mustSchema(t, "")
	for _, c := range []struct{ document, variables, want string }{
		{`subscription { users(userId: 5, filter: {tenant_id: "x"}) { id } }`, "", "user:userId=5 tenant:tenant_id=x"},
		{`subscription($userId: ID) { users(id: $userId) { id } }`, `{"userId":"u"}`, "user:userId=u"},
		{`subscription($x: F) { users(id: $x) { id } }`, `{"x":[{"Tenant_Id":true}]}`, "tenant:Tenant_Id=! tenant:Tenant_Id=!"},
		{`subscription($userId: ID) { users(id: $userId) { id } }`, ``, ""},
	} {
		p := mustCompile(t, s, c.document)
		if got := claimText(p.Claims(nil, mustVariables(t, p, c.variables), nil)); got != c.want {
			t.Errorf("%s %s: claims %q, want %q", c.document, c.variables, got, c.want)
		}
	}
}

// TestClaimsOfUndefinedVariables: without a schema, a variable claims whether or not the document defines it.
func TestClaimsOfUndefinedVariables(t *testing.T) {
	sent := mustTape(t, `{"user_id":"other","x":{"tenantId":7}}`)
	p := mustCompile(t, mustSchema(t, ""), `subscription { users { id } }`)
	if got, want := claimText(p.Claims(nil, nil, sent)), "user:user_id=other tenant:tenantId=7"; got != want {
		t.Errorf("claims %q, want %q", got, want)
	}
	p = mustCompile(t, mustSchema(t, claimSDL), `subscription { order { id } }`)
	if got := claimText(p.Claims(nil, nil, sent)); got != "" {
		t.Errorf("claims %q with a schema, want none", got)
	}
}

func TestClaimNamesAreReplaceable(t *testing.T) {
	op := mustOperation(t, mustSchema(t, claimSDL), `subscription { order(free: "f", userId: "u", notMine: "n") { id } }`)
	p, err := plan.Compile(op, plan.Options{Scope: policy.ScopeNames{User: []string{"free"}, Tenant: []string{"not_mine"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := claimText(p.Claims(nil, mustVariables(t, p, ""), nil)), "tenant:notMine=n user:free=f"; got != want {
		t.Errorf("claims %q, want %q", got, want)
	}
}

const accessSDL = `
type Subscription {
  order(id: ID, secret: String, hidden: String, city: String @match(path: "customer.city"), loose: Int @match(path: "not.in.type"), where: W @where): Order
  node: Node
  any: Any
  vip: Order @requiresRole(roles: ["vip"])
}
interface Node { id: ID! label: String @authenticated }
type Order implements Node {
  id: ID!
  label: String
  secret: String @requiresScopes(scopes: [["a", "b"], ["c"]])
  hidden: String @requiresRole(roles: ["admin"], deny: MASK)
  both: String @authenticated @requiresRole(roles: ["admin"], deny: MASK)
  customer: Customer
  money: Money
}
type Customer implements Node @authenticated { id: ID! label: String @requiresRole(roles: ["staff"], deny: MASK) city: String }
type Ghost implements Node @requiresRole(roles: ["ghost"], deny: MASK) { id: ID label: String }
union Any = Order | Customer
scalar Money @requiresRole(roles: ["bank"])
input W { hidden: Ops customer: CW or: [W!] }
input CW { city: Ops }
input Ops { eq: String ne: String }
`

func requirementText(reqs []policy.Requirement) string {
	var out []string
	for _, r := range reqs {
		text := r.Coordinate
		if r.Authenticated {
			text += "+user"
		}
		if len(r.Scopes) > 0 {
			text += fmt.Sprint(r.Scopes)
		}
		if len(r.Roles) > 0 {
			text += fmt.Sprint(r.Roles)
		}
		if r.MaskBit >= 0 {
			text += fmt.Sprintf("#%d", r.MaskBit)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestRequirements(t *testing.T) {
	s := mustSchema(t, strings.Replace(accessSDL, "type Ghost implements Node", "type Ghost", 1))
	for _, c := range []struct{ document, variables, want string }{
		{`subscription { order { id } }`, "", ""},
		{`subscription { vip { id } }`, "", "Subscription.vip[[vip]]"},
		{`subscription { order { ...F } } fragment F on Order { secret @include(if: false) ... { hidden } }`, "", "Order.secret[[[a b] [c]]] Order.hidden[[admin]]#0"},
		{`subscription { order { both hidden money } }`, "", "Order.both+user Order.both[[admin]]#0 Order.hidden[[admin]]#1 Money[[bank]]"},
		{`subscription { order { customer { id } } }`, "", "Customer+user"},
		{`subscription { node { id } }`, "", "Customer+user"},
		{`subscription { node { label } }`, "", "Node.label+user Customer+user Customer.label[[staff]]#0"},
		{`subscription { any { ... on Order { id } } }`, "", ""},
		{`subscription { any { ... on Customer { city } } }`, "", "Customer+user"},
		{`subscription { order(id: 1, loose: 2) { id } }`, "", ""},
		{`subscription { order(secret: "x") { id } }`, "", "Order.secret[[[a b] [c]]]"},
		{`subscription { order(secret: null, hidden: null) { id } }`, "", ""},
		{`subscription { order(hidden: "x") { id } }`, "", "Order.hidden[[admin]]"},
		{`subscription { order(hidden: "x") { hidden } }`, "", "Order.hidden[[admin]]#0 Order.hidden[[admin]]"},
		{`subscription { order(city: "x") { id } }`, "", "Customer+user"},
		{`subscription($w: W) { order(where: $w) { id } }`, `{"w":{}}`, ""},
		{`subscription($w: W) { order(where: $w) { id } }`, `{"w":{"or":[{"hidden":{"ne":"x"}}]}}`, "Order.hidden[[admin]]"},
		{`subscription($w: W) { order(where: $w) { id } }`, `{"w":{"customer":{"city":{"eq":"x"}}}}`, "Customer+user"},
	} {
		p := mustCompile(t, s, c.document)
		if got := requirementText(p.Requirements(mustVariables(t, p, c.variables))); got != c.want {
			t.Errorf("%s %s: requirements %q, want %q", c.document, c.variables, got, c.want)
		}
	}
}

// TestMask checks that what the caller may not read is null, wherever it was selected.
func TestMask(t *testing.T) {
	s := mustSchema(t, strings.NewReplacer("interface Node { id: ID! ", "interface Node { id: ID ").Replace(accessSDL))
	anna := &identity.Identity{UserID: "anna"}
	for _, c := range []struct{ document, data, want string }{
		{`subscription { order { id hidden both a: hidden } }`, `{"id":1,"hidden":"x","both":"y"}`, `{"data":{"order":{"id":"1","hidden":null,"both":null,"a":null}}}`},
		{`subscription { node { label } }`, `{"__typename":"Customer","label":"x"}`, `{"data":{"node":{"label":null}}}`},
		{`subscription { node { label } }`, `{"__typename":"Order","label":"x"}`, `{"data":{"node":{"label":"x"}}}`},
		{`subscription { node { id label __typename } }`, `{"__typename":"Ghost","id":1,"label":"x"}`, `{"data":{"node":{"id":null,"label":null,"__typename":"Ghost"}}}`},
		{`subscription { any { ... on Node { label } } }`, `{"__typename":"Customer","label":"x"}`, `{"data":{"any":{"label":null}}}`},
	} {
		p := mustCompile(t, s, c.document)
		vars := mustVariables(t, p, "")
		mask, refusal := policy.AdmitRole(p.Requirements(vars), anna)
		if refusal != nil {
			t.Fatalf("%s: %v", c.document, refusal)
		}
		b := mustBind(t, p, "", mask)
		got := string(b.AppendPayload(nil, mustTape(t, c.data), jsontape.Root)) + "}"
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.document, got, c.want)
		}
		again := mustBind(t, p, "", mask)
		if again := string(again.AppendPayload(nil, mustTape(t, c.data), jsontape.Root)) + "}"; again != got {
			t.Errorf("%s: the second binding gives %s", c.document, again)
		}
	}
}

// TestFilteringByAMaskedFieldIsRefused is the sentence of docs/reference/directives.md: who may not read may not filter.
func TestFilteringByAMaskedFieldIsRefused(t *testing.T) {
	s := mustSchema(t, strings.Replace(accessSDL, "type Ghost implements Node", "type Ghost", 1))
	for _, document := range []string{
		`subscription { order(hidden: "x") { id } }`,
		`subscription { order(where: {hidden: {eq: "x"}}) { id } }`,
		`subscription { order(where: {or: [{}, {hidden: {ne: "x"}}]}) { id } }`,
	} {
		p := mustCompile(t, s, document)
		for roles, refused := range map[string]bool{"user": true, "admin": false} {
			_, refusal := policy.AdmitRole(p.Requirements(nil), &identity.Identity{UserID: "u", Roles: []string{roles}})
			if (refusal != nil) != refused {
				t.Errorf("%s as %s: refusal %v, want %v", document, roles, refusal, refused)
			}
		}
	}
}

func TestMasksBeyond64Refuse(t *testing.T) {
	var sdl, selection strings.Builder
	for i := range 70 {
		fmt.Fprintf(&sdl, "f%d: Int @requiresRole(roles: [\"r\"], deny: MASK) ", i)
		fmt.Fprintf(&selection, "f%d ", i)
	}
	s := mustSchema(t, `type Subscription { wide: Wide } type Wide { `+sdl.String()+`}`)
	reqs := mustCompile(t, s, `subscription { wide { `+selection.String()+`} }`).Requirements(nil)
	refusals := slices.DeleteFunc(slices.Clone(reqs), func(r policy.Requirement) bool { return r.MaskBit >= 0 })
	if len(reqs) != 70 || len(refusals) != 6 {
		t.Errorf("%d requirements, %d of them refusals, want 70 and 6", len(reqs), len(refusals))
	}
}

func TestMaskOfTheRoot(t *testing.T) {
	s := mustSchema(t, `type Subscription { a: A @requiresRole(roles: ["r"], deny: MASK) } type A { id: ID! }`)
	p := mustCompile(t, s, `subscription { b: a { id } }`)
	mask, refusal := policy.AdmitRole(p.Requirements(nil), &identity.Identity{UserID: "u"})
	if refusal != nil {
		t.Fatal(refusal)
	}
	got := string(mustBind(t, p, "", mask).AppendPayload(nil, mustTape(t, `{"id":1}`), jsontape.Root))
	if want := `{"data":{"b":null}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
