package gql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

const overlapSDL = `
interface N { n: N! a(x: Int): Int b: Int l: [Int] u: U s: ID }
type A implements N { n: N! a(x: Int): Int b: Int l: [Int] u: U s: ID f: Int g: Int! h: A k: ID }
type B implements N { n: N! a(x: Int): Int b: Int l: [Int] u: U s: ID f: Int g: Int h: B k: Int }
union U = A | B
type Subscription { n: N }
`

// randomSelection writes a selection on N, U, A or B that takes keys from a small set, so that they meet.
func randomSelection(rnd *rand.Rand, on string, depth int) string {
	var b strings.Builder
	for range 1 + rnd.IntN(3) {
		key := []string{"", "", "p: ", "q: "}[rnd.IntN(4)]
		leaves := []string{"a", "a(x: 1)", "a(x: 2)", "b", "l", "s", "__typename"}
		objects := []string{"n", "u"}
		if on == "A" || on == "B" {
			leaves, objects = append(leaves, "f", "g", "k"), append(objects, "h")
		}
		if on == "U" {
			leaves, objects = []string{"__typename"}, nil
		}
		switch n := rnd.IntN(6); {
		case depth > 0 && n < 2 && len(objects) > 0:
			field := objects[rnd.IntN(len(objects))]
			inner := map[string]string{"n": "N", "u": "U", "h": on}[field]
			fmt.Fprintf(&b, "%s%s { %s } ", key, field, randomSelection(rnd, inner, depth-1))
		case depth > 0 && n < 4:
			inner := []string{"A", "B", "N", "U"}[rnd.IntN(4)]
			if (on == "A" && inner == "B") || (on == "B" && inner == "A") {
				inner = "N"
			}
			fmt.Fprintf(&b, "... on %s { %s } ", inner, randomSelection(rnd, inner, depth-1))
		default:
			b.WriteString(key + leaves[rnd.IntN(len(leaves))] + " ")
		}
	}
	return b.String()
}

// TestOverlapsAgainstPairs compares the verdicts with those of the usual comparison of all pairs.
func TestOverlapsAgainstPairs(t *testing.T) {
	s := mustLoad(t, overlapSDL)
	rnd := rand.New(rand.NewPCG(3, 4))
	conflicts := 0
	for range 10_000 {
		text := "subscription { n { " + randomSelection(rnd, "N", 3) + "} }"
		doc, err := parser.ParseQuery(&ast.Source{Input: text})
		if err != nil {
			t.Fatal(err)
		}
		if errs := s.validate(doc); len(errs) > 0 {
			t.Fatalf("%s: %v", text, errs)
		}
		want := run(s.ast, doc, []core.Rule{rules.OverlappingFieldsCanBeMergedRule})
		got, ok := s.checkOverlaps(doc, 100_000)
		if !ok || (len(got) > 0) != (len(want) > 0) {
			t.Fatalf("%s\npairs: %v\nwe: %v %v", text, want, got, ok)
		}
		if len(want) > 0 {
			conflicts++
		}
	}
	if conflicts < 1000 || conflicts > 9_000 {
		t.Errorf("%d documents of 10,000 conflict: they say little", conflicts)
	}
	t.Logf("%d conflicts", conflicts)
}

// TestTypenameIsNotNull: __typename has the shape of String!.
func TestTypenameIsNotNull(t *testing.T) {
	for field, message := range map[string]string{
		"String!": "",
		"String":  `Fields "label" conflict because they return conflicting types "String" and "String!". Use different aliases on the fields to fetch both if this was intentional.`,
	} {
		s := mustLoad(t, "union Actor = User | Bot type User { name: "+field+" } type Bot { id: ID } type Subscription { actor: Actor }")
		_, errs := s.Parse(`subscription { actor { ... on User { label: name } ... on Bot { label: __typename } } }`, Limits{})
		if got := fmt.Sprint(errs); message == "" && len(errs) > 0 || message != "" && (len(errs) != 1 || errs[0].Message != message) {
			t.Errorf("%s: %s", field, got)
		}
	}
}

// TestOverlapBudget: interfaces and objects that alternate multiply what must be merged, and are refused.
func TestOverlapBudget(t *testing.T) {
	s := mustLoad(t, overlapSDL)
	selection := "b"
	for i := range 18 {
		selection = fmt.Sprintf("n { %s } ... on A { n { a%d: b } } ... on B { n { b%d: b } }", selection, i, i)
	}
	_, errs := s.Parse("subscription { n { "+selection+" } }", Limits{})
	if len(errs) != 1 || errs[0].Code != code.LimitExceeded {
		t.Errorf("%v", errs)
	}
}
