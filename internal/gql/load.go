package gql

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

var generations atomic.Uint64

// LoadSchema reads SDL, checks it and our directives, and reports every problem at once: first those of
// syntax, then those of the type system, then those of our directives' meaning, each stage in source order.
func LoadSchema(sources []SchemaSource, opt SchemaOptions) (*Schema, []*SchemaError) {
	l := &loader{opt: opt, uses: map[any][]use{}, broken: map[any]bool{}, alias: map[string]string{}, refused: map[string]bool{}}
	doc := l.parse(sources)
	if l.failed() {
		return nil, l.sorted()
	}
	l.readLinks(doc)
	l.takeDirectives(doc)
	l.hideEnums(doc)
	before := len(l.errs)
	l.checkStructure(doc)
	if len(l.errs) > before {
		return nil, l.sorted()
	}
	l.supplyQuery(doc)
	tree, err := validator.ValidateSchemaDocument(withPrelude(doc))
	if err != nil {
		l.addParserError(err)
		return nil, l.sorted()
	}
	l.checkImplementations(tree)
	s := l.build(tree, doc)
	l.resolve(s)
	if l.failed() {
		return nil, l.sorted()
	}
	s.indexMembers()
	return s, nil
}

// loader carries one LoadSchema.
type loader struct {
	opt    SchemaOptions
	errs   []*SchemaError
	schema *Schema
	// uses holds our directives, taken out of the document: by *ast.FieldDefinition, *ast.ArgumentDefinition
	// or the name of a type.
	uses map[any][]use
	// broken marks elements with a directive of ours that could not be read: nothing more is said about them.
	broken map[any]bool
	// alias maps names that @link imported to ours.
	alias map[string]string
	// refused holds the names of Federation's @policy.
	refused   map[string]bool
	federated *ast.SchemaDocument // see federation
	// emptyQuery is set when the SDL has no query root.
	emptyQuery string
	order      map[string]int // of sources
	// pending holds the default values, coerced once every type exists.
	pending      map[*Argument]*pendingDefault
	pendingOrder []*Argument
}

func (l *loader) failed() bool { return len(l.errs) > 0 }

func (l *loader) errorAt(p *ast.Position, message string) {
	l.errs = append(l.errs, &SchemaError{Position: positionOf(p), Message: message})
}

// sorted returns the problems in source order, each once: fields that share an input type share what is wrong with it.
func (l *loader) sorted() []*SchemaError {
	sort.SliceStable(l.errs, func(i, j int) bool {
		a, b := l.errs[i].Position, l.errs[j].Position
		if a.Source != b.Source {
			return l.order[a.Source] < l.order[b.Source]
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	seen := map[SchemaError]bool{}
	return slices.DeleteFunc(l.errs, func(e *SchemaError) bool {
		again := seen[*e]
		seen[*e] = true
		return again
	})
}

func positionOf(p *ast.Position) Position {
	if p == nil {
		return Position{}
	}
	pos := Position{Line: p.Line, Column: p.Column}
	if p.Src != nil {
		pos.Source = p.Src.Name
	}
	return pos
}

// parse reads every source, so that the syntax errors of all are reported.
func (l *loader) parse(sources []SchemaSource) *ast.SchemaDocument {
	l.order = make(map[string]int, len(sources))
	doc := &ast.SchemaDocument{}
	for i, src := range sources {
		l.order[src.Name] = i
		source := &ast.Source{Name: src.Name, Input: withoutBlocks(src.Text)}
		part, err := parser.ParseSchema(source)
		if err != nil {
			var ge *gqlerror.Error
			if errors.As(err, &ge) {
				err = lexerError(source, ge)
			}
			l.addParserError(err)
			continue
		}
		if at, message := lexicalProblem(src.Text); at >= 0 {
			where := locationAt(src.Text, at)
			l.errs = append(l.errs, &SchemaError{Position{src.Name, where.Line, where.Column}, message})
		}
		l.checkDraft(part)
		doc.Merge(part)
	}
	doc.Definitions = slices.DeleteFunc(doc.Definitions, func(def *ast.Definition) bool {
		return def.Kind == ast.Scalar && builtinLeaf(def.Name).Kind != scalar.Custom // said again: no harm
	})
	return doc
}

// checkDraft reports what the parser takes from a draft of the standard: directives on definitions of directives.
func (l *loader) checkDraft(doc *ast.SchemaDocument) {
	for _, def := range doc.Directives {
		if len(def.Directives) > 0 {
			l.errorAt(def.Directives[0].Position, fmt.Sprintf("Directive \"@%s\" may not be used on the definition of a directive.", def.Directives[0].Name))
		}
		if slices.Contains(def.Locations, ast.LocationDirectiveDefinition) {
			l.errorAt(def.Position, fmt.Sprintf("Directive \"@%s\": there is no location %s.", def.Name, ast.LocationDirectiveDefinition))
		}
	}
	for _, ext := range doc.DirectiveExtensions {
		l.errorAt(ext.Position, fmt.Sprintf("Directive \"@%s\" cannot be extended.", ext.Name))
	}
}

func (l *loader) addParserError(err error) {
	se := &SchemaError{Message: err.Error()}
	var ge *gqlerror.Error
	if errors.As(err, &ge) {
		se.Message = ge.Message
		if len(ge.Locations) > 0 {
			se.Position.Line, se.Position.Column = ge.Locations[0].Line, ge.Locations[0].Column
		}
		if file, ok := ge.Extensions["file"].(string); ok {
			se.Position.Source = file
		}
	}
	l.errs = append(l.errs, se)
}

// withPrelude puts the standard's own definitions, those of September 2025, before the document's. @defer and directives on
// definitions of directives are left out: they are drafts, and nothing here defers.
func withPrelude(doc *ast.SchemaDocument) *ast.SchemaDocument {
	full := validator.PreludeDocument()
	kept := full.Directives[:0]
	for _, d := range full.Directives {
		if d.Name == "defer" {
			continue
		}
		if reason := d.Arguments.ForName("reason"); d.Name == "deprecated" && reason != nil {
			reason.Type.NonNull = true
		}
		d.Locations = slices.DeleteFunc(d.Locations, func(loc ast.DirectiveLocation) bool { return loc == ast.LocationDirectiveDefinition })
		kept = append(kept, d)
	}
	full.Directives = kept
	locations := full.Definitions.ForName("__DirectiveLocation")
	locations.EnumValues = slices.DeleteFunc(locations.EnumValues, func(v *ast.EnumValueDefinition) bool {
		return v.Name == string(ast.LocationDirectiveDefinition)
	})
	full.Merge(doc)
	return full
}

// supplyQuery gives a schema without a query root an empty one (docs/reference/directives.md). The parser refuses objects
// without fields, so it gets one that build drops again.
func (l *loader) supplyQuery(doc *ast.SchemaDocument) {
	names := map[string]bool{}
	for _, d := range doc.Definitions {
		names[d.Name] = true
	}
	for _, d := range doc.Extensions {
		names[d.Name] = true
	}
	defs := append(append(ast.SchemaDefinitionList{}, doc.Schema...), doc.SchemaExtension...)
	for _, def := range defs {
		for _, root := range def.OperationTypes {
			if root.Operation == ast.Query {
				return
			}
		}
	}
	if names["Query"] && len(doc.Schema) == 0 {
		return
	}
	name := "Query"
	for names[name] {
		name += "_"
	}
	l.emptyQuery = name
	pos := &ast.Position{Src: &ast.Source{BuiltIn: true}}
	doc.Definitions = append(doc.Definitions, &ast.Definition{
		Kind: ast.Object, Name: name, Position: pos,
		Fields: ast.FieldList{{Name: "_empty", Type: ast.NamedType("Boolean", pos), Position: pos}},
	})
	if len(doc.Schema) > 0 {
		doc.SchemaExtension = append(doc.SchemaExtension, &ast.SchemaDefinition{
			Position: pos, OperationTypes: ast.OperationTypeDefinitionList{{Operation: ast.Query, Type: name, Position: pos}},
		})
	}
}
