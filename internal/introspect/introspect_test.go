package introspect

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

const sdl = `
"""The shop"""
schema { subscription: S }
directive @mine(a: Int = 1, b: String @deprecated(reason: "old")) repeatable on FIELD
enum Deny { YES NO }
"a colour" enum Color { RED "go" GREEN @deprecated(reason: "use RED") }
scalar Date @specifiedBy(url: "https://example.com/date")
interface Node { id: ID! }
type User implements Node @authenticated { id: ID! tags(first: Int = 3, old: Int @deprecated): [String!]! color: Color deny: Deny gone: Date @deprecated }
type Bot implements Node { id: ID! }
union Actor = User | Bot
input Pick @oneOf { a: ID b: String }
type S { actors(id: ID @match(path: "x"), pick: Pick2 @where): Actor @source(channel: "a") @delivery(overflow: DROP_OLDEST) }
input Pick2 { id: F }
input F { eq: ID = "x\"y" in: [ID!] }
`

func load(t testing.TB, text string) *gql.Schema {
	t.Helper()
	s, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "s.graphql", Text: text}}, gql.SchemaOptions{})
	if len(errs) > 0 {
		t.Fatal(errs[0])
	}
	return s
}

// ask executes a query that must be valid.
func ask(t testing.TB, s *gql.Schema, query, variables string, opt Options) (string, []*gql.Error) {
	t.Helper()
	doc, errs := s.Parse(query, gql.Limits{})
	if len(errs) > 0 {
		t.Fatalf("%s: %s", query, errs[0].Message)
	}
	op, err := doc.Operation("")
	if err != nil {
		t.Fatal(err)
	}
	var in, vars jsontape.Tape
	if err := in.Parse([]byte(variables), jsontape.Limits{}); err != nil {
		t.Fatal(err)
	}
	coerced, errs := op.CoerceVariables(nil, &in, jsontape.Root)
	if len(errs) > 0 {
		t.Fatal(errs[0].Message)
	}
	if err := vars.Parse(coerced, jsontape.Limits{}); err != nil {
		t.Fatal(err)
	}
	out, errs := Execute(op, &vars, opt)
	return string(out), errs
}

func TestExecute(t *testing.T) {
	s := load(t, sdl)
	for _, c := range []struct{ query, variables, want string }{
		{`{__typename}`, `{}`, `{"data":{"__typename":"Query"}}`},
		{`query($n: String!) { t: __type(name: $n) { name k: kind isOneOf inputFields { name type { name } } } }`, `{"n": "Pick"}`,
			`{"data":{"t":{"name":"Pick","k":"INPUT_OBJECT","isOneOf":true,"inputFields":[{"name":"a","type":{"name":"ID"}},{"name":"b","type":{"name":"String"}}]}}}`},
		{`{__type(name: "Nobody") { name }}`, `{}`, `{"data":{"__type":null}}`},
		{`query($d: Boolean = true, $no: Boolean!) { __type(name: "User") { fields(includeDeprecated: $d) { name @skip(if: $no) } ...F } }
			fragment F on __Type { fields(includeDeprecated: $d) { deprecationReason } interfaces { name } }`, `{"no": true}`,
			`{"data":{"__type":{"fields":[{"deprecationReason":null},{"deprecationReason":null},{"deprecationReason":null},{"deprecationReason":null},` +
				`{"deprecationReason":"No longer supported"}],"interfaces":[{"name":"Node"}]}}}`},
		{`{__type(name: "Date") { specifiedByURL description }}`, `{}`, `{"data":{"__type":{"specifiedByURL":"https://example.com/date","description":null}}}`},
		{`{__type(name: "User") { fields { name type { kind name ofType { kind ofType { kind ofType { name } } } } args { name defaultValue } } }}`, `{}`,
			`{"data":{"__type":{"fields":[{"name":"id","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"SCALAR","ofType":null}},"args":[]},` +
				`{"name":"tags","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"LIST","ofType":{"kind":"NON_NULL","ofType":{"name":"String"}}}},"args":[{"name":"first","defaultValue":"3"}]},` +
				`{"name":"color","type":{"kind":"ENUM","name":"Color","ofType":null},"args":[]},{"name":"deny","type":{"kind":"ENUM","name":"Deny","ofType":null},"args":[]}]}}}`},
		{`{__type(name: "F") { inputFields { defaultValue } }}`, `{}`, `{"data":{"__type":{"inputFields":[{"defaultValue":"\"x\\\"y\""},{"defaultValue":null}]}}}`},
		{`{__schema { queryType { fields { name } } description mutationType { name } subscriptionType { name } }}`, `{}`,
			`{"data":{"__schema":{"queryType":{"fields":[]},"description":"The shop","mutationType":null,"subscriptionType":{"name":"S"}}}}`},
		{`{__schema { directives { name isRepeatable locations args(includeDeprecated: true) { name defaultValue isDeprecated } } }}`, `{}`, ""},
	} {
		got, errs := ask(t, s, c.query, c.variables, Options{Allowed: true})
		if len(errs) > 0 {
			t.Fatalf("%s: %s", c.query, errs[0].Message)
		}
		if c.want != "" && got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.query, got, c.want)
		}
		var tape jsontape.Tape
		if err := tape.Parse([]byte(got), jsontape.Limits{}); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

// TestFragmentsOfTheRoot: a fragment on what the query root implements or is a member of applies to it.
func TestFragmentsOfTheRoot(t *testing.T) {
	s := load(t, `interface Node { id: ID } type Query implements Node { id: ID } type Bot { id: ID } union Any = Query | Bot union Other = Bot | User
type User implements Node { id: ID } type Subscription { node: Node }`)
	const query = `{ ... on Node { a: __typename ... on Any { b: __typename } ... on User { c: __typename } } ...F } fragment F on Any { ... on Bot { d: __typename } e: __typename }`
	got, errs := ask(t, s, query, `{}`, Options{})
	if want := `{"data":{"a":"Query","b":"Query","e":"Query"}}`; got != want || len(errs) > 0 {
		t.Errorf("got %s %v, want %s", got, errs, want)
	}
	if got, errs := ask(t, s, `{ ... on Node { id } }`, `{}`, Options{}); len(errs) != 1 || errs[0].Code != code.ValidationFailed {
		t.Errorf("got %s %v", got, errs)
	}
}

// TestNullConditions: a default lets a variable that may be null stand there, but null is no value for it.
func TestNullConditions(t *testing.T) {
	s := load(t, sdl)
	for query, want := range map[string]string{
		`query($v: Boolean = true) { __typename @include(if: $v) }`:                                               "@include(if:)",
		`query($v: Boolean = true) { __typename @skip(if: $v) }`:                                                  "@skip(if:)",
		`query($v: Boolean = true) { __schema { queryType { a: name @include(if: $v) b: name @skip(if: $v) } } }`: "@include(if:)",
	} {
		out, errs := ask(t, s, query, `{"v":null}`, Options{Allowed: true})
		message := `Argument "` + want + `" has invalid value: Expected variable "$v" provided to non-null type "Boolean!" not to be null.`
		if len(errs) != 1 || errs[0].Code != code.BadUserInput || errs[0].Message != message || out != "" {
			t.Errorf("%s: %s %v", query, out, errs)
		}
	}
}

// TestBlockStrings: descriptions and reasons are without the indentation that their lines have in common, the first not
// counted.
func TestBlockStrings(t *testing.T) {
	s := load(t, "\"\"\"An order.\n    More about it.\n      - more\n    \"\"\"\ntype T { a: Int\n  @deprecated(reason: \"\"\"Old.\n  Use b.\"\"\") }\ntype Subscription { t: T }")
	got, errs := ask(t, s, `{__type(name: "T") { description fields(includeDeprecated: true) { deprecationReason } }}`, `{}`, Options{Allowed: true})
	if want := `{"data":{"__type":{"description":"An order.\nMore about it.\n  - more","fields":[{"deprecationReason":"Old.\nUse b."}]}}}`; got != want || len(errs) > 0 {
		t.Errorf("got  %s %v\nwant %s", got, errs, want)
	}
}

// TestLocationsOfTheStandard: those of September 2025.
func TestLocationsOfTheStandard(t *testing.T) {
	got, errs := ask(t, load(t, sdl), `{ __schema { directives { name locations } } __type(name: "__DirectiveLocation") { enumValues { name } } }`, `{}`, Options{Allowed: true})
	if len(errs) > 0 || strings.Contains(got, "DIRECTIVE_DEFINITION") ||
		!strings.Contains(got, `{"name":"deprecated","locations":["FIELD_DEFINITION","ARGUMENT_DEFINITION","INPUT_FIELD_DEFINITION","ENUM_VALUE"]}`) {
		t.Errorf("%s %v", got, errs)
	}
}

// TestOursDoNotShow looks for our directives and enums in everything that introspection tells.
func TestOursDoNotShow(t *testing.T) {
	s := load(t, sdl+`enum MatchOp { EQ NE } directive @owner(path: String!) on FIELD_DEFINITION`)
	got, errs := ask(t, s, `{__schema { types { name } directives { name } }}`, `{}`, Options{Allowed: true})
	if len(errs) > 0 {
		t.Fatal(errs[0].Message)
	}
	for _, name := range []string{"source", "match", "where", "owner", "tenant", "from", "delivery", "unscoped", "authenticated",
		"requiresScopes", "requiresRole", "MatchOp", "Overflow", "defer"} {
		if strings.Contains(got, `"`+name+`"`) {
			t.Errorf("%s shows: %s", name, got)
		}
	}
	for _, name := range []string{"mine", "skip", "include", "deprecated", "specifiedBy", "oneOf", "Deny", "Int", "__Schema"} {
		if !strings.Contains(got, `"`+name+`"`) {
			t.Errorf("%s does not show", name)
		}
	}
	if strings.Contains(got, `"Float"`) {
		t.Error("a scalar that nothing uses shows")
	}
}

func TestRefusals(t *testing.T) {
	typed := load(t, `type Query { now: Int } type T { a: Int } type Mutation { a: Int } type Subscription { t: T }`)
	for _, c := range []struct {
		schema *gql.Schema
		query  string
		opt    Options
		code   string
	}{
		{typed, `{__schema { description }}`, Options{}, code.Forbidden},
		{typed, `{a: __type(name: "T") { name } __typename}`, Options{}, code.Forbidden},
		{typed, `{now}`, Options{Allowed: true}, code.ValidationFailed},
		{typed, `mutation {a}`, Options{Allowed: true}, code.ValidationFailed},
		{typed, `{__schema { types { name } }}`, Options{Allowed: true, Bytes: 100}, code.LimitExceeded},
		{gql.Schemaless(), `{__schema { types { name } }}`, Options{Allowed: true}, code.Forbidden},
	} {
		out, errs := ask(t, c.schema, c.query, `{}`, c.opt)
		if len(errs) == 0 || errs[0].Code != c.code || len(errs[0].Locations) == 0 || errs[0].Message == "" || out != "" {
			t.Errorf("%s: %s %+v", c.query, out, errs)
		}
	}
	for _, s := range []*gql.Schema{typed, gql.Schemaless()} {
		if out, errs := ask(t, s, `{x: __typename}`, `{}`, Options{}); out != `{"data":{"x":"Query"}}` {
			t.Errorf("%s %v", out, errs)
		}
	}
}
