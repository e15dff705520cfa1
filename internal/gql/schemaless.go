package gql

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
)

// Schemaless returns the schema that knows no types (CONTRACT 4, "Without a schema"): every root field exists,
// its name is the channel, arguments and selections are free. Only the standard's scalars have a meaning, in
// the definitions of variables; values of other type names are any JSON.
func Schemaless() *Schema {
	tree, err := validator.ValidateSchemaDocument(withPrelude(&ast.SchemaDocument{}))
	if err != nil {
		panic("gql: the standard's own schema is not valid: " + err.Error())
	}
	s := &Schema{
		Generation: generations.Add(1), Schemaless: true, Types: map[string]*Type{},
		loaded: loaded{ast: &ast.Schema{
			Types: map[string]*ast.Definition{}, Directives: map[string]*ast.DirectiveDefinition{
				"skip": tree.Directives["skip"], "include": tree.Directives["include"],
			},
		}, refs: map[*ast.Type]*TypeRef{}},
	}
	for _, name := range []string{"Int", "Float", "String", "ID", "Boolean"} {
		s.Types[name] = &Type{Name: name, Leaf: builtinLeaf(name)}
		s.Order = append(s.Order, s.Types[name])
		s.ast.Types[name] = tree.Types[name]
	}
	s.Query = &Type{Name: "Query", Kind: ObjectType}
	s.Query.Possible = []*Type{s.Query}
	return s
}
