package gql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// ownDirectives is the list of docs/reference/directives.md.
const ownDirectives = `
directive @source(channel: String, types: [String!]) on FIELD_DEFINITION
directive @match(path: String, op: MatchOp = EQ) on ARGUMENT_DEFINITION
directive @where on ARGUMENT_DEFINITION
directive @owner(path: String!) on FIELD_DEFINITION
directive @tenant(path: String!) on FIELD_DEFINITION
directive @from(path: String!) on FIELD_DEFINITION
directive @delivery(overflow: Overflow = CLOSE, key: String, maxMessages: Int, maxBytes: Int) on FIELD_DEFINITION
directive @unscoped on ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @requiresScopes(scopes: [[String!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @requiresRole(roles: [String!]!, deny: Deny = REFUSE) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
enum MatchOp { EQ NE GT GTE LT LTE IN NOT_IN CONTAINS NOT_CONTAINS STARTS_WITH ENDS_WITH EXISTS BETWEEN CONTAINS_ANY }
enum Overflow { CLOSE DROP_OLDEST DROP_NEWEST LATEST }
enum Deny { REFUSE MASK }
`

// own is the parsed form of ownDirectives.
var own = sync.OnceValue(func() (o struct {
	directives map[string]*ast.DirectiveDefinition
	enums      map[string]*ast.Definition
}) {
	doc, err := parser.ParseSchema(&ast.Source{Name: "fraiseql.graphql", Input: ownDirectives})
	if err != nil {
		panic("gql: own directives do not parse: " + err.Error())
	}
	o.directives = map[string]*ast.DirectiveDefinition{}
	for _, d := range doc.Directives {
		o.directives[d.Name] = d
	}
	o.enums = map[string]*ast.Definition{}
	for _, d := range doc.Definitions {
		o.enums[d.Name] = d
	}
	return o
})

// use is one of our directives where it stands, its arguments checked and defaults applied.
type use struct {
	name string
	pos  *ast.Position
	args map[string]*ast.Value
}

func (u *use) text(name string) string {
	if v := u.args[name]; v != nil && v.Kind != ast.NullValue {
		return v.Raw
	}
	return ""
}

func (u *use) has(name string) bool {
	v := u.args[name]
	return v != nil && v.Kind != ast.NullValue
}

// list returns a list of strings; a single string is a list of one.
func (u *use) list(name string) []string { return stringsOf(u.args[name]) }

func stringsOf(v *ast.Value) []string {
	if v == nil || v.Kind == ast.NullValue {
		return nil
	}
	if v.Kind != ast.ListValue {
		return []string{v.Raw}
	}
	out := make([]string, len(v.Children))
	for i, c := range v.Children {
		out[i] = c.Value.Raw
	}
	return out
}

// taken returns the use of one of our directives on an element, or nil.
func (l *loader) taken(on any, name string) *use {
	for i := range l.uses[on] {
		if l.uses[on][i].name == name {
			return &l.uses[on][i]
		}
	}
	return nil
}

// takeDirectives moves our directives out of the document, definitions and uses, and checks both. The parser
// then never sees them, and neither does introspection.
func (l *loader) takeDirectives(doc *ast.SchemaDocument) {
	kept := doc.Directives[:0]
	for _, def := range doc.Directives {
		if name := l.ownName(def.Name); name != "" {
			l.checkCompatible(def, own().directives[name], doc)
			continue
		}
		l.takeArguments(def.Arguments)
		kept = append(kept, def)
	}
	doc.Directives = kept
	for _, def := range slices.Concat(doc.Schema, doc.SchemaExtension) {
		l.take(&def.Directives, ast.LocationSchema, nil)
	}
	for _, def := range slices.Concat(doc.Definitions, doc.Extensions) {
		l.take(&def.Directives, ast.DirectiveLocation(def.Kind), def.Name)
		for _, f := range def.Fields {
			loc := ast.LocationFieldDefinition
			if def.Kind == ast.InputObject {
				loc = ast.LocationInputFieldDefinition
			}
			l.take(&f.Directives, loc, f)
			l.takeArguments(f.Arguments)
		}
		for _, v := range def.EnumValues {
			l.take(&v.Directives, ast.LocationEnumValue, v)
		}
	}
}

func (l *loader) takeArguments(args ast.ArgumentDefinitionList) {
	for _, a := range args {
		l.take(&a.Directives, ast.LocationArgumentDefinition, a)
	}
}

// take moves our directives from a list to uses[on].
func (l *loader) take(list *ast.DirectiveList, loc ast.DirectiveLocation, on any) {
	var kept ast.DirectiveList
	for _, d := range *list {
		if l.refused[d.Name] {
			l.errorAt(d.Position, fmt.Sprintf("@%s is refused: nothing here could enforce it", d.Name))
			continue
		}
		name := l.ownName(d.Name)
		if name == "" {
			kept = append(kept, d)
			continue
		}
		def := own().directives[name]
		if !slices.Contains(def.Locations, loc) {
			l.errorAt(d.Position, fmt.Sprintf("@%s may not stand on %s; it stands on %s", d.Name, locationText(loc), locationTexts(def.Locations)))
			continue
		}
		if l.taken(on, name) != nil {
			l.errorAt(d.Position, fmt.Sprintf("@%s stands here twice", d.Name))
			continue
		}
		if args, ok := l.directiveArguments(d, def); ok {
			l.uses[on] = append(l.uses[on], use{name: name, pos: d.Position, args: args})
		} else {
			l.broken[on] = true
		}
	}
	*list = kept
}

func locationText(loc ast.DirectiveLocation) string {
	switch loc {
	case ast.LocationSchema:
		return "a schema"
	case ast.LocationFieldDefinition:
		return "a field"
	case ast.LocationArgumentDefinition:
		return "an argument"
	case ast.LocationInputFieldDefinition:
		return "a member of an input object"
	case ast.LocationInputObject:
		return "an input object"
	case ast.LocationEnumValue:
		return "an enum value"
	case ast.LocationUnion:
		return "a union"
	case ast.LocationScalar:
		return "a scalar"
	case ast.LocationEnum:
		return "an enum"
	case ast.LocationInterface:
		return "an interface"
	}
	return "an object type"
}

func locationTexts(locs []ast.DirectiveLocation) string {
	texts := make([]string, len(locs))
	for i, loc := range locs {
		texts[i] = locationText(loc)
	}
	return strings.Join(texts, ", ")
}

// directiveArguments checks the arguments of a use against the definition and applies defaults.
func (l *loader) directiveArguments(d *ast.Directive, def *ast.DirectiveDefinition) (map[string]*ast.Value, bool) {
	args, ok := map[string]*ast.Value{}, true
	for _, a := range d.Arguments {
		argDef := def.Arguments.ForName(a.Name)
		switch {
		case argDef == nil:
			l.errorAt(a.Position, fmt.Sprintf("@%s has no argument %s%s", d.Name, a.Name, argumentHint(a.Name, def)))
			ok = false
		case args[a.Name] != nil:
			l.errorAt(a.Position, fmt.Sprintf("@%s gives argument %s twice", d.Name, a.Name))
			ok = false
		case !constFits(a.Value, argDef.Type):
			l.errorAt(a.Position, fmt.Sprintf("argument %s of @%s must be %s, not %s%s", a.Name, d.Name, argDef.Type, a.Value, valueHint(a.Value, argDef.Type)))
			ok = false
		default:
			args[a.Name] = a.Value
		}
	}
	for _, argDef := range def.Arguments {
		switch {
		case args[argDef.Name] != nil:
		case argDef.DefaultValue != nil:
			args[argDef.Name] = argDef.DefaultValue
		case argDef.Type.NonNull && d.Arguments.ForName(argDef.Name) == nil:
			l.errorAt(d.Position, fmt.Sprintf("@%s needs argument %s", d.Name, argDef.Name))
			ok = false
		}
	}
	return args, ok
}

// argumentHint says which arguments a directive has.
func argumentHint(name string, def *ast.DirectiveDefinition) string {
	if len(def.Arguments) == 0 {
		return "; it takes none"
	}
	names := make([]string, len(def.Arguments))
	for i, a := range def.Arguments {
		names[i] = a.Name
	}
	return "; it takes " + strings.Join(names, ", ") + "." + didYouMean("", name, names)
}

// valueHint says which values an enum of ours has, "" for other types.
func valueHint(v *ast.Value, t *ast.Type) string {
	enum := own().enums[t.NamedType]
	if enum == nil {
		return ""
	}
	names := make([]string, len(enum.EnumValues))
	for i, e := range enum.EnumValues {
		names[i] = e.Name
	}
	return "; its values are " + strings.Join(names, ", ") + "." + didYouMean("the enum value", v.Raw, names)
}

// constFits reports whether a constant is of a type of ownDirectives.
func constFits(v *ast.Value, t *ast.Type) bool {
	if v.Kind == ast.NullValue {
		return !t.NonNull
	}
	if t.Elem != nil {
		if v.Kind != ast.ListValue {
			return constFits(v, t.Elem)
		}
		for _, c := range v.Children {
			if !constFits(c.Value, t.Elem) {
				return false
			}
		}
		return true
	}
	switch t.NamedType {
	case "String":
		return v.Kind == ast.StringValue || v.Kind == ast.BlockValue
	case "Int":
		_, err := strconv.ParseInt(v.Raw, 10, 32)
		return v.Kind == ast.IntValue && err == nil
	}
	return v.Kind == ast.EnumValue && own().enums[t.NamedType].EnumValues.ForName(v.Raw) != nil
}

// checkCompatible says what makes a definition in the SDL other than ours.
func (l *loader) checkCompatible(def, ours *ast.DirectiveDefinition, doc *ast.SchemaDocument) {
	bad := func(p *ast.Position, format string, args ...any) {
		l.errorAt(p, fmt.Sprintf("directive @%s is not compatible with FraiseQL's: %s", def.Name, fmt.Sprintf(format, args...)))
	}
	if def.IsRepeatable {
		bad(def.Position, "it must not be repeatable")
	}
	for _, loc := range def.Locations {
		if !slices.Contains(ours.Locations, loc) {
			bad(def.Position, "it has no meaning on %s", loc)
		}
	}
	for _, a := range def.Arguments {
		theirs := ours.Arguments.ForName(a.Name)
		switch {
		case theirs == nil:
			bad(a.Position, "it has no argument %s", a.Name)
		case !sameShape(a.Type, theirs.Type, l.compatibleName(doc)):
			problem := enumProblem(doc.Definitions.ForName(a.Type.Name()), own().enums[theirs.Type.Name()])
			if problem == "" {
				problem = fmt.Sprintf("argument %s must be %s", a.Name, theirs.Type)
			}
			bad(a.Position, "%s", problem)
		case a.DefaultValue != nil && (theirs.DefaultValue == nil || a.DefaultValue.Raw != theirs.DefaultValue.Raw):
			bad(a.Position, "argument %s has another default", a.Name)
		}
	}
	for _, a := range ours.Arguments {
		if a.Type.NonNull && def.Arguments.ForName(a.Name) == nil {
			bad(def.Position, "argument %s is missing", a.Name)
		}
	}
}

// compatibleName compares named types: a scalar of the SDL may stand for String, an enum must have our values.
func (l *loader) compatibleName(doc *ast.SchemaDocument) func(theirs, ours string) bool {
	return func(theirs, ours string) bool {
		def := doc.Definitions.ForName(theirs)
		if enum := own().enums[ours]; enum != nil {
			return theirs == ours && enumProblem(def, enum) == ""
		}
		if theirs == ours {
			return true
		}
		return ours == "String" && def != nil && def.Kind == ast.Scalar
	}
}

// sameShape compares types but for their non-null marks.
func sameShape(a, b *ast.Type, sameName func(a, b string) bool) bool {
	if (a.Elem == nil) != (b.Elem == nil) {
		return false
	}
	if a.Elem != nil {
		return sameShape(a.Elem, b.Elem, sameName)
	}
	return sameName(a.NamedType, b.NamedType)
}

// enumProblem says what makes a definition of the name of an enum of ours another one, "" if nothing does. nil is no definition.
func enumProblem(def, enum *ast.Definition) string {
	if def == nil || enum == nil || def.Name != enum.Name {
		return ""
	}
	if def.Kind != ast.Enum {
		return def.Name + " must be an enum"
	}
	for _, v := range def.EnumValues {
		if enum.EnumValues.ForName(v.Name) == nil {
			return fmt.Sprintf("enum %s has the value %s, which is not one of FraiseQL's", def.Name, v.Name)
		}
	}
	return ""
}

// hideEnums drops definitions of our enums that nothing but our directives used.
func (l *loader) hideEnums(doc *ast.SchemaDocument) {
	used := map[string]bool{}
	for _, def := range slices.Concat(doc.Definitions, doc.Extensions) {
		for _, f := range def.Fields {
			used[f.Type.Name()] = true
			for _, a := range f.Arguments {
				used[a.Type.Name()] = true
			}
		}
	}
	for _, d := range doc.Directives {
		for _, a := range d.Arguments {
			used[a.Type.Name()] = true
		}
	}
	kept := doc.Definitions[:0]
	for _, def := range doc.Definitions {
		if enum := own().enums[def.Name]; enum != nil && !used[def.Name] && enumProblem(def, enum) == "" {
			continue
		}
		kept = append(kept, def)
	}
	doc.Definitions = kept
}
