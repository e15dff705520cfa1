package gql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// linkDirective is supplied to an SDL that uses @link (https://specs.apollo.dev/link/v1.0) without defining it.
const linkDirective = `
directive @link(url: String!, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA
scalar link__Import
enum link__Purpose { SECURITY EXECUTION }
`

// federationDirectives are those of Apollo Federation 2 that say nothing about who may see what. They are
// accepted when linked and have no effect here. @policy is missing on purpose: see refusedDirective.
const federationDirectives = `
directive @key(fields: federation__FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE
directive @requires(fields: federation__FieldSet!) on FIELD_DEFINITION
directive @provides(fields: federation__FieldSet!) on FIELD_DEFINITION
directive @external(reason: String) on OBJECT | FIELD_DEFINITION
directive @shareable repeatable on OBJECT | FIELD_DEFINITION
directive @override(from: String!, label: String) on FIELD_DEFINITION
directive @inaccessible on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION
directive @tag(name: String!) repeatable on FIELD_DEFINITION | INTERFACE | OBJECT | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION | SCHEMA
directive @extends on OBJECT | INTERFACE
directive @interfaceObject on OBJECT
directive @composeDirective(name: String!) repeatable on SCHEMA
scalar federation__FieldSet
`

// refusedDirective says who may see what by rules that only a router of Apollo's knows: it could not be enforced here.
const refusedDirective = "policy"

// federation returns the definitions of federationDirectives, made for this load: they become parts of its document.
func (l *loader) federation() *ast.SchemaDocument {
	if l.federated == nil {
		l.federated = mustParseSDL("federation.graphql", federationDirectives)
	}
	return l.federated
}

func mustParseSDL(name, text string) *ast.SchemaDocument {
	doc, err := parser.ParseSchema(&ast.Source{Name: name, Input: text, BuiltIn: true})
	if err != nil {
		panic("gql: " + name + ": " + err.Error())
	}
	return doc
}

// linkURL splits a link's URL: the last element but a version is the specification's name.
var linkURL = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:https?://)?(?:([^/]+)/)?(?:.*/)?([A-Za-z][\w-]*)(?:/v\d+(?:\.\d+)*)?/?$`)
})

// ownName returns the name of our directive that a name in the SDL stands for, or "".
func (l *loader) ownName(name string) string {
	if ours, ok := l.alias[name]; ok {
		return ours
	}
	if own().directives[name] != nil {
		return name
	}
	return ""
}

// readLinks applies the @link of the schema: names under which our directives are imported, definitions of
// Federation's, and errors where another specification's directive takes one of our names.
func (l *loader) readLinks(doc *ast.SchemaDocument) {
	linked := false
	for _, def := range slices.Concat(doc.Schema, doc.SchemaExtension) {
		for _, d := range def.Directives {
			if d.Name == "link" {
				linked = true
				l.readLink(d, doc)
			}
		}
	}
	if linked && doc.Directives.ForName("link") == nil {
		supply(doc, mustParseSDL("link.graphql", linkDirective))
	}
}

func (l *loader) readLink(d *ast.Directive, doc *ast.SchemaDocument) {
	url := d.Arguments.ForName("url")
	if url == nil || url.Value.Kind != ast.StringValue {
		return // a structural error later
	}
	m := linkURL().FindStringSubmatch(url.Value.Raw)
	if m == nil {
		l.errorAt(url.Position, "@link: the url names no specification")
		return
	}
	host, spec := m[1], m[2]
	prefix := spec
	if as := d.Arguments.ForName("as"); as != nil && as.Value.Kind == ast.StringValue {
		prefix = as.Value.Raw
	}
	fed := spec == "federation" && host == "specs.apollo.dev"
	provides := func(name string) bool { // one of ours, by this specification
		return own().directives[name] != nil && (spec == "fraiseql" || fed && (name == "authenticated" || name == "requiresScopes"))
	}
	for name := range own().directives {
		if provides(name) {
			l.alias[prefix+"__"+name] = name
		}
	}
	if fed {
		l.refused[prefix+"__"+refusedDirective] = true
		l.supplyFederation(doc, prefix)
	}
	imports := d.Arguments.ForName("import")
	if imports == nil {
		return
	}
	for _, c := range imports.Value.Children {
		name, as := importNames(c.Value)
		name, isDirective := strings.CutPrefix(name, "@")
		as = strings.TrimPrefix(as, "@")
		switch {
		case !isDirective:
		case provides(name):
			l.alias[as] = name
		case own().directives[as] != nil && doc.Directives.ForName(as) == nil:
			l.errorAt(c.Value.Position, fmt.Sprintf("@link imports a directive @%s that is not FraiseQL's: import it under another name", as))
		case fed && name == refusedDirective:
			l.refused[as] = true
		case fed:
			l.importFederation(doc, name, as)
		}
	}
}

// importNames reads an element of import: "@name" or {name: "@name", as: "@other"}.
func importNames(v *ast.Value) (name, as string) {
	if v.Kind != ast.ObjectValue {
		return v.Raw, v.Raw
	}
	if n := v.Children.ForName("name"); n != nil {
		name, as = n.Raw, n.Raw
	}
	if n := v.Children.ForName("as"); n != nil {
		as = n.Raw
	}
	return name, as
}

// supplyFederation defines Federation's directives under the link's prefix.
func (l *loader) supplyFederation(doc *ast.SchemaDocument, prefix string) {
	for _, d := range l.federation().Directives {
		l.importFederation(doc, d.Name, prefix+"__"+d.Name)
	}
	supply(doc, &ast.SchemaDocument{Definitions: l.federation().Definitions})
}

func (l *loader) importFederation(doc *ast.SchemaDocument, name, as string) {
	if d := l.federation().Directives.ForName(name); d != nil {
		renamed := *d
		renamed.Name = as
		supply(doc, &ast.SchemaDocument{Directives: ast.DirectiveDefinitionList{&renamed}})
	}
}

// supply adds definitions that the document does not have.
func supply(doc, more *ast.SchemaDocument) {
	for _, d := range more.Directives {
		if doc.Directives.ForName(d.Name) == nil {
			doc.Directives = append(doc.Directives, d)
		}
	}
	for _, d := range more.Definitions {
		if doc.Definitions.ForName(d.Name) == nil {
			doc.Definitions = append(doc.Definitions, d)
		}
	}
}
