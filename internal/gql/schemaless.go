package gql

import (
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
)

// untypedSchema is what the rules of validation need without a schema: the standard's scalars and directives
// for documents.
const untypedSchema = `
scalar Int scalar Float scalar String scalar ID scalar Boolean
directive @skip(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @include(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
`

var untypedTree = sync.OnceValue(func() *ast.Schema {
	doc := mustParseSDL("standard.graphql", untypedSchema)
	tree := &ast.Schema{Types: map[string]*ast.Definition{}, Directives: map[string]*ast.DirectiveDefinition{}}
	tree.AddTypes(doc.Definitions...)
	for _, d := range doc.Directives {
		tree.Directives[d.Name] = d
	}
	return tree
})

// Schemaless returns the schema that knows no types (docs/reference/directives.md, "Without a schema"): every root field exists,
// its name is the channel, arguments and selections are free. Only the standard's scalars have a meaning, in
// the definitions of variables; values of other type names are any JSON. It is one for the whole process.
func Schemaless() *Schema { return schemaless() }

var schemaless = sync.OnceValue(func() *Schema {
	s := &Schema{
		Generation: generations.Add(1), Schemaless: true, Types: map[string]*Type{},
		loaded: loaded{ast: untypedTree()},
	}
	for _, name := range []string{"Int", "Float", "String", "ID", "Boolean"} {
		s.Types[name] = &Type{Name: name, Leaf: builtinLeaf(name)}
		s.Order = append(s.Order, s.Types[name])
	}
	s.Query = &Type{Name: "Query", Kind: ObjectType}
	s.Query.Possible = []*Type{s.Query}
	return s
})
