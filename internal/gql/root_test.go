package gql

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/testkit/gqlgen"
)

func TestSingleRootField(t *testing.T) {
	s := mustLoad(t, gqlgen.RootSDL)
	for _, c := range gqlgen.RootCases {
		doc, errs := s.Parse(c.Document, Limits{})
		if (doc != nil) != c.Valid {
			t.Errorf("%s: valid is %v, want %v: %v", c.Document, doc != nil, c.Valid, errs)
		}
	}
}

// TestMetaFieldsOfPayloads: __schema and __type are for queries, whatever the payload leads to.
func TestMetaFieldsOfPayloads(t *testing.T) {
	s := mustLoad(t, `type Query { a: Int } type P { query: Query } type Subscription { changed: P }`)
	for _, c := range []struct {
		document string
		at       Location // none: it is valid
	}{
		{`subscription { changed { query { a __typename } } }`, Location{}},
		{`{ ...F } fragment F on Query { __schema { description } }`, Location{}},
		{`subscription { changed { query { __schema { description } } } }`, Location{1, 34}},
		{`subscription { changed { query { ... { x: __type(name: "P") { name } } } } }`, Location{1, 40}},
		{`subscription { changed { query { ...F } } } fragment F on Query { __schema { description } }`, Location{1, 67}},
	} {
		doc, errs := s.Parse(c.document, Limits{})
		switch {
		case c.at == Location{}:
			if doc == nil {
				t.Errorf("%s: %v", c.document, errs)
			}
		case len(errs) != 1 || errs[0].Code != code.ValidationFailed || errs[0].Locations[0] != c.at:
			t.Errorf("%s: %v", c.document, errs)
		}
	}
}

// TestSchemalessDocuments: syntax, operations, variables, fragments and the root are checked, types are not.
func TestSchemalessDocuments(t *testing.T) {
	s := Schemaless()
	for _, c := range []struct {
		document string
		valid    bool
	}{
		{`subscription { users { id } }`, true},
		{`subscription { users }`, true},
		{`subscription { k: users(id: 1, tags: [A "b"], where: {x: {y: null}}) { id posts { ... on Post { id } } } }`, true},
		{`subscription($id: ID!, $x: Whatever, $l: [Int!] = [1]) { users(id: $id, x: $x, l: $l) { id } }`, true},
		{`subscription { ...F } fragment F on Anything { users { id } }`, true},
		{`subscription { users { ...F @skip(if: true) } } fragment F on User { a: id @include(if: false) b: id }`, true},
		{`subscription($v: Boolean!) { users { id @skip(if: $v) } }`, true},
		{`subscription A { a } subscription B { b }`, true},
		{`query { __typename }`, true},
		{`subscription { users { id } posts { id } }`, false},
		{`subscription { ... on X { users } ... on Y { posts } }`, false},
		{`subscription { __typename }`, false},
		{`subscription { users @skip(if: false) { id } }`, false},
		{`subscription { ...F @include(if: true) } fragment F on S { users }`, false},
		{`subscription($id: ID!) { users { id } }`, false},
		{`subscription { users(id: $id) { id } }`, false},
		{`subscription { users { ...F } } fragment F on U { id(x: $id) }`, false},
		{`subscription($a: ID, $a: ID) { users(id: $a) }`, false},
		{`subscription($a: Int = "x") { users(id: $a) }`, false},
		{`subscription($a: Int! = null) { users(id: $a) }`, false},
		{`subscription($a: String!) { users { id @skip(if: $a) } }`, false},
		{`subscription { users { id @nosuch } }`, false},
		{`subscription { users { id @skip } }`, false},
		{`subscription { users { id @skip(if: 1) } }`, false},
		{`subscription { users(a: 1, a: 2) }`, false},
		{`subscription { users(a: {b: 1, b: 2}) }`, false},
		{`subscription { users { ...F } }`, false},
		{`subscription { users { ...F } } fragment F on A { ...F }`, false},
		{`subscription { users } fragment F on A { id }`, false},
		{`subscription { users { ...F } } fragment F on A { a } fragment F on B { b }`, false},
		{`subscription { a } subscription { b }`, false},
		{`subscription A { a } subscription A { b }`, false},
		{`subscription { users { a: id a: name } }`, false},
		{`subscription { users(id: 1) { id } users(id: 2) { id } }`, false},
		{`subscription { users { a: id ... on A { a: id } ...F } } fragment F on B { a: id }`, true},
		{`subscription { users { ... on A { a: id } ...F } } fragment F on B { a: name }`, false},
		{`subscription { users { a { x } ...F } } fragment F on B { a { x: y } }`, false},
		{`subscription { users { a ...F } } fragment F on B { a { y } }`, false},
		{`subscription { users(id: 1, where: {a: [1]}) { id } users(where: {a: [1]}, id: 1) { name } }`, true},
		{`subscription { users { id `, false},
	} {
		doc, errs := s.Parse(c.document, Limits{})
		if (doc != nil) != c.valid {
			t.Errorf("%s: valid is %v, want %v: %v", c.document, doc != nil, c.valid, errs)
		}
	}
}
