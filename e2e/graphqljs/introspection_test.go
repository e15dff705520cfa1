package graphqljs

import (
	"bytes"
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/introspect"
	"github.com/fraiseql/fraiseql-go/internal/testkit/gqlgen"
	"github.com/fraiseql/fraiseql-go/internal/testkit/graphqljs"
)

const described = `
"""
The *shop*.
Two lines.
"""
schema { query: Query subscription: Subscription }
directive @mine(a: Int = 1, b: [In!] = [{ x: 1.5, e: B }], "c" c: String @deprecated(reason: "old")) repeatable on FIELD | QUERY
"a colour" enum E { A "the b" B @deprecated C @deprecated(reason: "no c") }
scalar Date @specifiedBy(url: "https://example.com/date")
"""The in.
    Indented
      as code."""
input In { "x" x: Float = 2 e: E = A list: [[ID!]!] = [["a", 1]] @deprecated(reason: """flat,
  and deep""") n: In }
input One @oneOf { a: ID b: In }
interface Node { id: ID! }
interface Named implements Node { id: ID! name(upper: Boolean = false, n: In = { x: 3 }): String }
type User implements Named & Node { id: ID! name(upper: Boolean = false, n: In = { x: 3 }): String friends(first: Int, one: One): [User!] born: Date @deprecated }
type Bot implements Node { id: ID! }
"who" union Actor = User | Bot
type Query { "a" a(x: Int! @deprecated(reason: "x") = 1): Actor @deprecated(reason: "b") }
type Subscription { actor: Actor named: Named }
extend type Bot { e: E }
extend enum E { D }
`

// TestIntrospectionEqualsGraphQLJS compares the answer to the standard introspection query. The order of types,
// which the standard leaves open, and the words with which the standard's own types describe themselves are
// not compared.
func TestIntrospectionEqualsGraphQLJS(t *testing.T) {
	oracle := graphqljs.Start(t)
	query := oracle.Ask(graphqljs.Request{Op: "introspection"}).Document
	sdls := []string{strings.ReplaceAll(described, `@deprecated(reason: "x") = 1`, `= 1 @deprecated(reason: "x")`)}
	for seed := range uint64(10) {
		// The standard leaves open whether a default that was written as a block string is shown as one.
		sdls = append(sdls, strings.NewReplacer(`"""block "text" """`, `"text"`, gqlgen.Block, `"text"`).Replace(gqlgen.New(seed).Schema().SDL))
	}
	for i, sdl := range sdls {
		answer := oracle.Ask(graphqljs.Request{Op: "query", SDL: sdl, Document: query})
		if len(answer.Errors) > 0 {
			t.Fatalf("schema %d: graphql-js: %v", i, answer.Errors)
		}
		s, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "s.graphql", Text: sdl}}, gql.SchemaOptions{})
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		doc, problems := s.Parse(query, gql.Limits{})
		if len(problems) > 0 {
			t.Fatal(problems[0].Message)
		}
		ours, problems := introspect.Execute(doc.Operations[0], nil, introspect.Options{Allowed: true})
		if len(problems) > 0 {
			t.Fatal(problems[0].Message)
		}
		if diff := cmp.Diff(normal(t, answer.Result), normal(t, ours)); diff != "" {
			t.Errorf("schema %d (-graphql-js +we):\n%s", i, diff)
		}
	}
}

// normal decodes a result, sorts what has no order and drops the standard's own descriptions, and the draft's location of
// @deprecated.
func normal(t *testing.T, text []byte) any {
	t.Helper()
	var result struct {
		Data struct {
			Schema map[string]any `json:"__schema"`
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&result); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	standard := []string{"Int", "Float", "String", "ID", "Boolean", "include", "skip", "deprecated", "specifiedBy", "oneOf"}
	for _, part := range []string{"types", "directives"} {
		list := result.Data.Schema[part].([]any)
		kept := list[:0]
		for _, item := range list {
			entry := item.(map[string]any)
			name := entry["name"].(string)
			if strings.HasPrefix(name, "__") {
				continue
			}
			if slices.Contains(standard, name) {
				delete(entry, "description")
				if name == "deprecated" {
					entry["locations"] = slices.DeleteFunc(entry["locations"].([]any), func(l any) bool { return l == "DIRECTIVE_DEFINITION" })
				}
				if args, ok := entry["args"].([]any); ok {
					for _, a := range args {
						delete(a.(map[string]any), "description")
					}
				}
			}
			if list, ok := entry["possibleTypes"].([]any); ok {
				sort.Slice(list, func(i, j int) bool {
					return list[i].(map[string]any)["name"].(string) < list[j].(map[string]any)["name"].(string)
				})
			}
			kept = append(kept, entry)
		}
		sort.Slice(kept, func(i, j int) bool {
			return kept[i].(map[string]any)["name"].(string) < kept[j].(map[string]any)["name"].(string)
		})
		result.Data.Schema[part] = kept
	}
	return result.Data.Schema
}
