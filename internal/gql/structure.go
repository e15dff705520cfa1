package gql

import "github.com/vektah/gqlparser/v2/ast"

// checkStructure reports what the parser would report one at a time.
func (l *loader) checkStructure(doc *ast.SchemaDocument) {}
