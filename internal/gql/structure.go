package gql

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
)

// checkStructure reports every problem of names, types and directives of the type system at once. The parser,
// which stops at the first, runs afterwards and judges what is left: interfaces and their implementations,
// cycles of input objects.
func (l *loader) checkStructure(doc *ast.SchemaDocument) {
	c := structure{loader: l, kinds: map[string]ast.DefinitionKind{}, directives: map[string]*ast.DirectiveDefinition{}, oneOfs: map[string]bool{}}
	for _, def := range standard().Definitions {
		c.kinds[def.Name] = def.Kind
		c.names = append(c.names, def.Name)
	}
	for _, def := range standard().Directives {
		c.directives[def.Name] = def
	}
	c.declare(doc)
	for _, def := range doc.Directives {
		c.arguments("@"+def.Name, def.Arguments)
	}
	for _, def := range slices.Concat(doc.Definitions, doc.Extensions) {
		c.oneOfs[def.Name] = c.oneOfs[def.Name] || def.Directives.ForName("oneOf") != nil
	}
	fields := map[string]map[string]bool{} // by type: extensions share it
	for _, def := range slices.Concat(doc.Definitions, doc.Extensions) {
		if fields[def.Name] == nil {
			fields[def.Name] = map[string]bool{}
		}
		c.definition(def, fields[def.Name])
	}
	c.roots(doc)
}

// standard is the standard's own definitions, to be read only.
var standard = sync.OnceValue(func() *ast.SchemaDocument { return withPrelude(&ast.SchemaDocument{}) })

type structure struct {
	*loader
	kinds      map[string]ast.DefinitionKind
	directives map[string]*ast.DirectiveDefinition
	names      []string        // of types, for suggestions
	oneOfs     map[string]bool // types with @oneOf, be it on an extension
}

func (c *structure) bad(p *ast.Position, format string, args ...any) {
	c.errorAt(p, fmt.Sprintf(format, args...))
}

// declare collects the names of types and directives and reports those that are taken.
func (c *structure) declare(doc *ast.SchemaDocument) {
	for _, def := range doc.Definitions {
		c.name(def.Position, def.Name, "type")
		if _, taken := c.kinds[def.Name]; taken {
			c.bad(def.Position, "There can be only one type named %q.", def.Name)
			continue
		}
		c.kinds[def.Name] = def.Kind
		c.names = append(c.names, def.Name)
	}
	for _, ext := range doc.Extensions {
		kind, known := c.kinds[ext.Name]
		switch {
		case !known: // as Federation's subgraphs do: the extension is the definition
			c.kinds[ext.Name] = ext.Kind
			c.names = append(c.names, ext.Name)
		case kind != ext.Kind:
			c.bad(ext.Position, "Cannot extend %s %q as %s.", kindText(kind), ext.Name, kindText(ext.Kind))
		}
	}
	sort.Strings(c.names)
	seen := map[string]bool{}
	for _, def := range doc.Directives {
		c.name(def.Position, def.Name, "directive")
		if seen[def.Name] {
			c.bad(def.Position, "There can be only one directive named \"@%s\".", def.Name)
		}
		seen[def.Name] = true
		c.directives[def.Name] = def
	}
	if len(doc.Schema) > 1 {
		c.bad(doc.Schema[1].Position, "Must provide only one schema definition.")
	}
}

func (c *structure) name(p *ast.Position, name, what string) {
	if strings.HasPrefix(name, "__") {
		c.bad(p, "The %s name %q must not begin with \"__\", which is reserved for introspection.", what, name)
	}
}

func kindText(k ast.DefinitionKind) string {
	switch k {
	case ast.Scalar:
		return "scalar"
	case ast.Interface:
		return "interface"
	case ast.Union:
		return "union"
	case ast.Enum:
		return "enum"
	case ast.InputObject:
		return "input object"
	}
	return "object type"
}

// definition checks a type or an extension; fields are those that the type has so far.
func (c *structure) definition(def *ast.Definition, seen map[string]bool) {
	c.applied(def.Directives, ast.DirectiveLocation(def.Kind))
	for _, f := range def.Fields {
		coordinate := def.Name + "." + f.Name
		c.name(f.Position, f.Name, "field")
		if seen[f.Name] {
			c.bad(f.Position, "Field %q can only be defined once.", coordinate)
		}
		seen[f.Name] = true
		location := ast.LocationFieldDefinition
		if def.Kind == ast.InputObject {
			location = ast.LocationInputFieldDefinition
			c.inputType(f.Type, coordinate)
			c.oneOf(def, f)
			c.deprecatedInput("input field", coordinate, f.Type, f.DefaultValue, f.Directives)
		} else {
			c.outputType(f.Type, coordinate)
		}
		c.applied(f.Directives, location)
		c.arguments(coordinate, f.Arguments)
	}
	for _, v := range def.EnumValues {
		c.name(v.Position, v.Name, "enum value")
		if seen[v.Name] {
			c.bad(v.Position, "Enum value \"%s.%s\" can only be defined once.", def.Name, v.Name)
		}
		seen[v.Name] = true
		if v.Name == "true" || v.Name == "false" || v.Name == "null" {
			c.bad(v.Position, "Enum value %q is reserved.", v.Name)
		}
		c.applied(v.Directives, ast.LocationEnumValue)
	}
	for i, name := range def.Types {
		pos := def.Position
		if i < len(def.TypePositions) {
			pos = def.TypePositions[i]
		}
		c.ofKind(pos, name, ast.Object, "Union %s can only include object types", def.Name)
	}
	for _, name := range def.Interfaces {
		c.ofKind(def.Position, name, ast.Interface, "%s can only implement interfaces", def.Name)
	}
}

func (c *structure) ofKind(p *ast.Position, name string, want ast.DefinitionKind, format, owner string) {
	kind, known := c.kinds[name]
	switch {
	case !known:
		c.unknown(p, name)
	case kind != want:
		c.bad(p, "%s, %s is %s.", fmt.Sprintf(format, owner), name, article(kindText(kind)))
	}
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

func (c *structure) unknown(p *ast.Position, name string) {
	c.bad(p, "Unknown type %q.%s", name, didYouMean("", name, c.names))
}

// oneOf applies the rules of @oneOf to a member.
func (c *structure) oneOf(def *ast.Definition, f *ast.FieldDefinition) {
	if !c.oneOfs[def.Name] {
		return
	}
	if f.Type.NonNull {
		c.bad(f.Position, "OneOf input field %s.%s must be nullable.", def.Name, f.Name)
	}
	if f.DefaultValue != nil {
		c.bad(f.Position, "OneOf input field %s.%s cannot have a default value.", def.Name, f.Name)
	}
}

func (c *structure) inputType(t *ast.Type, where string) {
	kind, known := c.kinds[t.Name()]
	switch {
	case !known:
		c.unknown(typePosition(t), t.Name())
	case kind == ast.Object || kind == ast.Interface || kind == ast.Union:
		c.bad(typePosition(t), "The type of %s must be an input type, %s is %s.", where, t.Name(), article(kindText(kind)))
	}
}

func (c *structure) outputType(t *ast.Type, where string) {
	kind, known := c.kinds[t.Name()]
	switch {
	case !known:
		c.unknown(typePosition(t), t.Name())
	case kind == ast.InputObject:
		c.bad(typePosition(t), "The type of %s must be an output type, %s is an input object.", where, t.Name())
	}
}

func typePosition(t *ast.Type) *ast.Position {
	for t.Elem != nil {
		t = t.Elem
	}
	return t.Position
}

func (c *structure) arguments(owner string, args ast.ArgumentDefinitionList) {
	seen := map[string]bool{}
	for _, a := range args {
		where := fmt.Sprintf("%s(%s:)", owner, a.Name)
		c.name(a.Position, a.Name, "argument")
		if seen[a.Name] {
			c.bad(a.Position, "Argument %q can only be defined once.", where)
		}
		seen[a.Name] = true
		c.inputType(a.Type, where)
		c.applied(a.Directives, ast.LocationArgumentDefinition)
		c.deprecatedInput("argument", where, a.Type, a.DefaultValue, a.Directives)
	}
}

// deprecatedInput wants what must be given not to be deprecated.
func (c *structure) deprecatedInput(what, where string, t *ast.Type, byDefault *ast.Value, list ast.DirectiveList) {
	if d := list.ForName("deprecated"); d != nil && t.NonNull && byDefault == nil {
		c.bad(d.Position, "Required %s %s cannot be deprecated.", what, where)
	}
}

// applied checks the directives, not ours, that stand on an element.
func (c *structure) applied(list ast.DirectiveList, loc ast.DirectiveLocation) {
	seen := map[string]bool{}
	for _, d := range list {
		def := c.directives[d.Name]
		if def == nil {
			c.bad(d.Position, "Unknown directive \"@%s\".%s", d.Name, c.directiveHint(d.Name))
			continue
		}
		if !slices.Contains(def.Locations, loc) {
			c.bad(d.Position, "Directive \"@%s\" may not be used on %s.", d.Name, loc)
		}
		if seen[d.Name] && !def.IsRepeatable {
			c.bad(d.Position, "The directive \"@%s\" can only be used once at this location.", d.Name)
		}
		seen[d.Name] = true
		for _, a := range d.Arguments {
			switch want := def.Arguments.ForName(a.Name); {
			case want == nil:
				c.bad(a.Position, "Unknown argument %q on directive \"@%s\".", a.Name, d.Name)
			case (d.Name == "deprecated" || d.Name == "specifiedBy") && want.Type.NamedType == "String" && !constFits(a.Value, want.Type):
				c.bad(a.Position, "Argument \"@%s(%s:)\" must be %s, not %s.", d.Name, a.Name, want.Type, a.Value)
			}
		}
		for _, a := range def.Arguments {
			if a.Type.NonNull && a.DefaultValue == nil && d.Arguments.ForName(a.Name) == nil {
				c.bad(d.Position, "Argument \"@%s(%s:)\" of type \"%s\" is required, but it was not provided.", d.Name, a.Name, a.Type)
			}
		}
	}
}

// directiveHint suggests a directive, ours included.
func (c *structure) directiveHint(name string) string {
	names := make([]string, 0, len(c.directives))
	for n := range c.directives {
		names = append(names, "@"+n)
	}
	for n := range own().directives {
		names = append(names, "@"+n)
	}
	return didYouMean("", "@"+name, names)
}

// roots checks the schema definition and its extensions.
func (c *structure) roots(doc *ast.SchemaDocument) {
	seen := map[ast.Operation]bool{}
	of := map[string]ast.Operation{}
	for _, def := range slices.Concat(doc.Schema, doc.SchemaExtension) {
		c.applied(def.Directives, ast.LocationSchema)
		for _, root := range def.OperationTypes {
			if seen[root.Operation] {
				c.bad(root.Position, "There can be only one %s type in schema.", root.Operation)
			}
			seen[root.Operation] = true
			c.ofKind(root.Position, root.Type, ast.Object, "The %s root must be an object type", string(root.Operation))
			if other := of[root.Type]; other != "" && other != root.Operation {
				c.bad(root.Position, "All root types must be different, %q is that of %s and %s.", root.Type, other, root.Operation)
			}
			of[root.Type] = root.Operation
		}
	}
}

// checkImplementations wants the arguments of a field to have exactly the types that an interface gives them (the parser
// accepts others that are merely compatible), and no field to be deprecated that is not deprecated there.
func (l *loader) checkImplementations(tree *ast.Schema) {
	for _, def := range tree.Types {
		for _, name := range def.Interfaces {
			for _, want := range tree.Types[name].Fields {
				field := def.Fields.ForName(want.Name)
				if d := field.Directives.ForName("deprecated"); d != nil && want.Directives.ForName("deprecated") == nil {
					l.errorAt(d.Position, fmt.Sprintf("Interface field %s.%s is not deprecated, so implementation field %s.%s must not be deprecated.",
						name, want.Name, def.Name, want.Name))
				}
				for _, a := range want.Arguments {
					got := field.Arguments.ForName(a.Name)
					if got.Type.String() != a.Type.String() {
						l.errorAt(got.Position, fmt.Sprintf("Interface field argument %s.%s(%s:) expects type %s but %s.%s(%s:) is type %s.",
							name, want.Name, a.Name, a.Type, def.Name, want.Name, a.Name, got.Type))
					}
				}
			}
		}
	}
}
