package plan_test

import (
	"fmt"
	"strings"
	"testing"
)

const belowSDL = `
scalar JSON
type Subscription {
  team(lead: JSON, member: JSON @match(path: "members", op: CONTAINS), others: JSON @match(path: "members", op: NOT_CONTAINS),
    leads: [JSON!] @match(path: "lead", op: IN), notLead: JSON @match(path: "lead", op: NE), led: Boolean @match(path: "lead", op: EXISTS),
    home: JSON @match(path: "lead.home"), text: String @match(path: "lead", op: CONTAINS), city: String @match(path: "lead.home.city"),
    raw: JSON, unknown: JSON @match(path: "nowhere.else"), w: W @where): Team
  node(lead: JSON): Node
  any(boss: JSON): Any
}
interface Node { lead: Person }
type Team implements Node { lead: Person members: [Person!] raw: JSON }
type Firm implements Node { lead: Person }
union Any = Firm | Shop
type Shop { boss: Being }
interface Being { name: String @authenticated }
type Robot implements Being @requiresRole(roles: ["tech"]) { name: String }
type Person { salary: Int @requiresRole(roles: ["hr"]) home: Home friends: [Person!] code: Code @from(path: "c") }
type Home { street: String @requiresRole(roles: ["post"], deny: MASK) city: String }
scalar Code @authenticated
input W { lead: P or: [W!] not: W }
input P { home: J salary: J }
input J { eq: JSON ne: JSON contains: JSON in: [JSON!] exists: Boolean }
`

// TestComparingWholeObjects: what compares an object compares what is in it, so it needs what all of that needs.
func TestComparingWholeObjects(t *testing.T) {
	s := mustSchema(t, belowSDL+`
extend type Subscription { whole(w: V @where): Team } input V { lead: J members: J and: [V!] }`)
	const person = "Person.salary[[hr]] Home.street[[post]] Code+user"
	for _, c := range []struct{ root, want string }{
		{`team(lead: {salary: 1})`, person},
		{`team(leads: [{salary: 1}])`, person},
		{`team(notLead: {salary: 1})`, person},
		{`team(member: {salary: 1})`, person},
		{`team(others: {salary: 1})`, person},
		{`team(text: "x")`, person},
		{`team(led: true)`, ""},
		{`team(home: {street: "x"})`, "Home.street[[post]]"},
		{`team(city: "x")`, ""},
		{`team(raw: {salary: 1})`, ""},
		{`team(unknown: {salary: 1})`, ""},
		{`team(lead: null)`, ""},
		{`team(w: {lead: {home: {eq: {}}}})`, "Home.street[[post]]"},
		{`team(w: {or: [{}, {not: {lead: {home: {ne: {}}}}}]})`, "Home.street[[post]]"},
		{`team(w: {lead: {home: {exists: true}}})`, ""},
		{`team(w: {lead: {home: {exists: true, in: [{}]}}})`, "Home.street[[post]]"},
		{`team(w: {lead: {home: {eq: null}}})`, ""},
		{`team(w: {lead: {salary: {eq: 1}}})`, "Person.salary[[hr]]"},
		{`whole(w: {lead: {eq: {salary: 1}}})`, person},
		{`whole(w: {members: {contains: {salary: 1}}})`, person},
		{`whole(w: {members: {exists: true}, and: [{members: {exists: false}}]})`, ""},
		{`node(lead: {salary: 1})`, person},
		{`any(boss: {name: "x"})`, "Being.name+user Robot[[tech]]"},
	} {
		p := mustCompile(t, s, "subscription { "+c.root+" { __typename } }")
		if got := requirementText(p.Requirements(nil)); got != c.want {
			t.Errorf("%s: requirements %q, want %q", c.root, got, c.want)
		}
	}
}

// TestFilteringByAFieldOfAnInterface: a field of an interface reads what those of its objects read.
func TestFilteringByAFieldOfAnInterface(t *testing.T) {
	s := mustSchema(t, `
interface N { id: ID pay: Int @requiresRole(roles: ["hr"]) }
type A implements N { id: ID @from(path: "a") pay: Int @from(path: "wage") }
type B implements N { id: ID @from(path: "a") pay: Int @from(path: "wage") }
type C { x: JSON } type D { x: X } type X { id: ID @from(path: "k") } union U = C | D scalar JSON
input W { id: F } input V { x: W } input F { eq: ID }
type Subscription { n(pay: Int, id: ID, wage: Int @match(path: "wage"), w: W @where): N u(w: V @where): U }`)
	for _, c := range []struct{ root, needs, yes, no string }{
		{`n(id: 1)`, "", `{"__typename":"A","a":1}`, `{"__typename":"A","id":1}`},
		{`n(w: {id: {eq: 1}})`, "", `{"__typename":"B","a":1}`, `{"__typename":"B","id":1}`},
		{`n(pay: 1)`, "N.pay[[hr]]", `{"wage":1}`, `{"pay":1}`},
		{`n(wage: 1)`, "N.pay[[hr]]", `{"wage":1}`, `{"pay":1}`},
		{`u(w: {x: {id: {eq: 1}}})`, "", `{"x":{"k":1}}`, `{"x":{"id":1}}`},
	} {
		p := mustCompile(t, s, "subscription { "+c.root+" { __typename } }")
		if got := requirementText(p.Requirements(nil)); got != c.needs {
			t.Errorf("%s: requirements %q, want %q", c.root, got, c.needs)
		}
		if b := mustBind(t, p, "", 0); !admits(t, b, c.yes) || admits(t, b, c.no) {
			t.Errorf("%s: admits %v %s and %v %s", c.root, admits(t, b, c.yes), c.yes, admits(t, b, c.no), c.no)
		}
	}
}

// TestNeedsOfManyFilters: requirements of types that refer to each other are gathered once, however often a filter compares.
func TestNeedsOfManyFilters(t *testing.T) {
	const types = 100
	var sdl strings.Builder
	for i := range types {
		fmt.Fprintf(&sdl, "type T%d { secret: Int @authenticated", i)
		for j := range types {
			fmt.Fprintf(&sdl, " t%d: T%d", j, j)
		}
		sdl.WriteString(" }\n")
	}
	s := mustSchema(t, sdl.String()+`scalar JSON input W { t1: J or: [W!] } input J { eq: JSON } type Subscription { t(w: W @where): T0 }`)
	p := mustCompile(t, s, `subscription($w: W) { t(w: $w) { __typename } }`)
	vars := mustVariables(t, p, `{"w":{"or":[`+strings.Repeat(`{"t1":{"eq":{}}},`, 900)+`{}]}}`)
	if got := len(p.Requirements(vars)); got != types {
		t.Errorf("%d requirements, want %d", got, types)
	}
}

// TestClaimsOfComparedObjects: an operator that reaches others' events with the caller's own value is no claim of it within an object either.
func TestClaimsOfComparedObjects(t *testing.T) {
	s := mustSchema(t, `scalar JSON type T { meta: JSON }
type Subscription { t(meta: JSON, not: JSON @match(path: "meta", op: NE), none: [JSON!] @match(path: "meta", op: NOT_IN), any: [JSON!] @match(path: "meta", op: CONTAINS_ANY)): T }`)
	for _, c := range []struct{ root, want string }{
		{`t(meta: {userId: "u"})`, "user:userId=u"},
		{`t(any: [{userId: "u"}])`, "user:userId=u"},
		{`t(not: {userId: "u"})`, "user:userId=u!"},
		{`t(none: [{a: {tenantId: "t"}}])`, "tenant:tenantId=t!"},
	} {
		p := mustCompile(t, s, "subscription { "+c.root+" { meta } }")
		if got := claimText(p.Claims(nil, nil, nil)); got != c.want {
			t.Errorf("%s: claims %q, want %q", c.root, got, c.want)
		}
	}
}
