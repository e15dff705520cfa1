package gql

import (
	"fmt"
	"sort"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// build turns the parser's schema into ours.
func (l *loader) build(tree *ast.Schema, doc *ast.SchemaDocument) *Schema {
	if l.emptyQuery != "" {
		q := tree.Types[l.emptyQuery]
		q.Fields = validator.QueryIntrospectionFields()
	}
	s := &Schema{
		Generation:  generations.Add(1),
		Description: tree.Description,
		Types:       make(map[string]*Type, len(tree.Types)),
		loaded: loaded{
			ast: tree, refs: map[*ast.Type]*TypeRef{}, meta: map[string]*Field{}, snakeCase: l.opt.SnakeCase,
			hints: hints{hidden: l.opt.HideSuggestions},
		},
	}
	l.schema = s
	dropUnusedScalars(tree)
	for _, def := range definitionOrder(tree, doc) {
		t := &Type{
			Name: def.Name, Description: def.Description, Kind: kinds[def.Kind], Position: positionOf(def.Position),
			Introspection: strings.HasPrefix(def.Name, "__"),
		}
		s.Types[def.Name] = t
		s.Order = append(s.Order, t)
	}
	for _, t := range s.Order {
		l.buildType(t, tree.Types[t.Name], tree)
	}
	s.Query, s.Mutation, s.Subscription = s.root(tree.Query), s.root(tree.Mutation), s.root(tree.Subscription)
	for _, f := range validator.QueryIntrospectionFields() {
		s.meta[f.Name] = l.buildField(f, s.Query)
	}
	l.coerceDefaults()
	l.buildDirectives(tree, doc)
	return s
}

var kinds = map[ast.DefinitionKind]TypeKind{
	ast.Scalar: ScalarType, ast.Object: ObjectType, ast.Interface: InterfaceType,
	ast.Union: UnionType, ast.Enum: EnumType, ast.InputObject: InputType,
}

func (s *Schema) root(def *ast.Definition) *Type {
	if def == nil {
		return nil
	}
	return s.Types[def.Name]
}

// definitionOrder lists the definitions as the SDL does, then those that only extensions made, then the
// standard's.
func definitionOrder(tree *ast.Schema, doc *ast.SchemaDocument) []*ast.Definition {
	var out []*ast.Definition
	seen := map[string]bool{}
	add := func(def *ast.Definition) {
		if def != nil && !seen[def.Name] {
			seen[def.Name] = true
			out = append(out, def)
		}
	}
	for _, def := range doc.Definitions {
		add(def)
	}
	for _, ext := range doc.Extensions {
		add(tree.Types[ext.Name])
	}
	names := make([]string, 0, len(tree.Types))
	for name := range tree.Types {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		add(tree.Types[name])
	}
	return out
}

// dropUnusedScalars removes the standard's scalars that nothing refers to: a schema has only those that it
// uses (https://spec.graphql.org, "Built-in Scalars").
func dropUnusedScalars(tree *ast.Schema) {
	used := map[string]bool{}
	arguments := func(list ast.ArgumentDefinitionList) {
		for _, a := range list {
			used[a.Type.Name()] = true
		}
	}
	for _, def := range tree.Types {
		for _, f := range def.Fields {
			used[f.Type.Name()] = true
			arguments(f.Arguments)
		}
	}
	for _, d := range tree.Directives {
		arguments(d.Arguments)
	}
	for _, name := range []string{"Int", "Float", "ID"} {
		if !used[name] {
			delete(tree.Types, name)
		}
	}
}

func (l *loader) buildType(t *Type, def *ast.Definition, tree *ast.Schema) {
	s := l.schema
	switch t.Kind {
	case ScalarType:
		t.Leaf = builtinLeaf(t.Name)
		if d := def.Directives.ForName("specifiedBy"); d != nil {
			if url := d.Arguments.ForName("url"); url != nil {
				t.SpecifiedBy = url.Value.Raw
			}
		}
	case EnumType:
		t.Leaf = scalar.Leaf{Kind: scalar.Enum, Names: make(map[string]struct{}, len(def.EnumValues))}
		for _, v := range def.EnumValues {
			t.Leaf.Names[v.Name] = struct{}{}
			t.EnumValues = append(t.EnumValues, &EnumMember{
				Name: v.Name, Description: v.Description, Deprecated: deprecation(v.Directives),
			})
		}
	case InputType:
		t.OneOf = def.Directives.ForName("oneOf") != nil
		t.inputs = make(map[string]*Argument, len(def.Fields))
		for _, f := range def.Fields {
			a := l.buildInput(f)
			t.Inputs = append(t.Inputs, a)
			t.inputs[a.Name] = a
		}
	case ObjectType, InterfaceType:
		t.fields = make(map[string]*Field, len(def.Fields))
		for _, f := range def.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue // __schema and __type of the query root
			}
			field := l.buildField(f, t)
			t.Fields = append(t.Fields, field)
			t.fields[f.Name] = field
		}
		for _, name := range def.Interfaces {
			t.Interfaces = append(t.Interfaces, s.Types[name])
		}
	}
	l.buildPossible(t, tree)
	t.Access = l.accessOf(t.Name)
}

// buildPossible fills Possible: the objects that values of the type can be.
func (l *loader) buildPossible(t *Type, tree *ast.Schema) {
	if t.Kind == ObjectType {
		t.Possible = []*Type{t}
		return
	}
	for _, def := range tree.PossibleTypes[t.Name] {
		if p := l.schema.Types[def.Name]; p != nil && p.Kind == ObjectType {
			t.Possible = append(t.Possible, p)
			p.abstract = true
		}
	}
}

func builtinLeaf(name string) scalar.Leaf {
	switch name {
	case "Int":
		return scalar.Leaf{Kind: scalar.Int}
	case "Float":
		return scalar.Leaf{Kind: scalar.Float}
	case "String":
		return scalar.Leaf{Kind: scalar.String}
	case "ID":
		return scalar.Leaf{Kind: scalar.ID}
	case "Boolean":
		return scalar.Leaf{Kind: scalar.Boolean}
	}
	return scalar.Leaf{Kind: scalar.Custom}
}

func deprecation(list ast.DirectiveList) *Deprecation {
	d := list.ForName("deprecated")
	if d == nil {
		return nil
	}
	if reason := d.Arguments.ForName("reason"); reason != nil && reason.Value.Kind != ast.NullValue {
		return &Deprecation{Reason: reason.Value.Raw}
	}
	return &Deprecation{Reason: "No longer supported"}
}

func (l *loader) buildField(def *ast.FieldDefinition, parent *Type) *Field {
	f := &Field{
		Name: def.Name, Description: def.Description, Deprecated: deprecation(def.Directives),
		Parent: parent, Type: l.ref(def.Type), Position: positionOf(def.Position),
		From: l.memberName(def.Name), Access: l.accessOf(def),
	}
	for _, a := range def.Arguments {
		f.Args = append(f.Args, l.buildArgument(a))
	}
	l.resolveFrom(f, def)
	return f
}

func (l *loader) buildArgument(def *ast.ArgumentDefinition) *Argument {
	a := &Argument{
		Name: def.Name, Description: def.Description, Deprecated: deprecation(def.Directives),
		Type: l.ref(def.Type), Position: positionOf(def.Position), Unscoped: l.taken(def, "unscoped") != nil,
	}
	l.noteDefault(a, def.DefaultValue)
	return a
}

func (l *loader) buildInput(def *ast.FieldDefinition) *Argument {
	a := &Argument{
		Name: def.Name, Description: def.Description, Deprecated: deprecation(def.Directives),
		Type: l.ref(def.Type), Position: positionOf(def.Position), Unscoped: l.taken(def, "unscoped") != nil,
	}
	l.noteDefault(a, def.DefaultValue)
	return a
}

// ref converts a type reference; the rules of validation find it again by the parser's pointer.
func (l *loader) ref(t *ast.Type) *TypeRef {
	r := l.schema.newRef(t)
	for at, ref := t, r; at != nil; at, ref = at.Elem, ref.Elem {
		l.schema.refs[at] = ref
	}
	return r
}

// newRef converts a type reference, nil if its named type does not exist.
func (s *Schema) newRef(t *ast.Type) *TypeRef {
	if t.Elem != nil {
		elem := s.newRef(t.Elem)
		if elem == nil {
			return nil
		}
		return &TypeRef{NonNull: t.NonNull, Elem: elem}
	}
	named := s.Types[t.NamedType]
	if named == nil {
		return nil
	}
	return &TypeRef{NonNull: t.NonNull, Named: named}
}

// memberName applies the naming rule to a name of the schema.
func (l *loader) memberName(name string) string {
	if !l.opt.SnakeCase {
		return name
	}
	return snakeCase(name)
}

// snakeCase turns orderId into order_id and HTTPCode2 into http_code2.
func snakeCase(name string) string {
	upper := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	out := make([]byte, 0, len(name)+4)
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !upper(c) {
			out = append(out, c)
			continue
		}
		afterWord := i > 0 && name[i-1] != '_' && !upper(name[i-1])
		endsAcronym := i > 0 && upper(name[i-1]) && i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
		if afterWord || endsAcronym {
			out = append(out, '_')
		}
		out = append(out, c+'a'-'A')
	}
	return string(out)
}

func (l *loader) buildDirectives(tree *ast.Schema, doc *ast.SchemaDocument) {
	names := make([]string, 0, len(tree.Directives))
	for name := range tree.Directives {
		names = append(names, name)
	}
	rank := map[string]int{}
	for i, name := range []string{"include", "skip", "deprecated", "specifiedBy", "oneOf"} {
		rank[name] = i - 100
	}
	for i, d := range doc.Directives {
		if _, ok := rank[d.Name]; !ok {
			rank[d.Name] = i
		}
	}
	sort.Slice(names, func(i, j int) bool { return rank[names[i]] < rank[names[j]] })
	for _, name := range names {
		def := tree.Directives[name]
		d := &Directive{Name: name, Description: def.Description, Repeatable: def.IsRepeatable}
		for _, loc := range def.Locations {
			d.Locations = append(d.Locations, string(loc))
		}
		for _, a := range def.Arguments {
			d.Args = append(d.Args, l.buildArgument(a))
		}
		l.schema.Directives = append(l.schema.Directives, d)
	}
	l.coerceDefaults()
}

// pendingDefault is a default value that has not been coerced yet.
type pendingDefault struct {
	value *ast.Value
	state uint8 // 0 waiting, 1 under way, 2 done
}

func (l *loader) noteDefault(a *Argument, v *ast.Value) {
	if v == nil {
		return
	}
	a.HasDefault = true
	converted := convertValue(v)
	a.DefaultText = literalText(&converted)
	if l.pending == nil {
		l.pending = map[*Argument]*pendingDefault{}
	}
	l.pending[a] = &pendingDefault{value: v}
	l.pendingOrder = append(l.pendingOrder, a)
}

// coerceDefaults coerces every default once all input types exist: a default may rest on others.
func (l *loader) coerceDefaults() {
	for _, a := range l.pendingOrder {
		l.coerceDefault(a)
	}
	l.pendingOrder = nil
}

func (l *loader) coerceDefault(a *Argument) {
	p := l.pending[a]
	if p == nil || p.state == 2 {
		return
	}
	if p.state == 1 {
		l.errorAt(p.value.Position, fmt.Sprintf("the default of %s rests on itself", a.Name))
		return
	}
	p.state = 1
	defer func() { p.state = 2 }()
	before := len(l.errs)
	value := convertValue(p.value)
	l.coerceInnerDefaults(&value, a.Type)
	if len(l.errs) > before {
		return
	}
	check := literalCheck{static: true, report: func(path []any, _ *Value, message string) {
		l.errorAt(p.value.Position, fmt.Sprintf("default of %s%s: %s", a.Name, pathText(path), message))
	}}
	check.literal(nil, &value, a.Type)
	if out, ok := appendLiteral(nil, &value, a.Type, nil); ok {
		a.Default = out
	} else if len(l.errs) == before {
		l.errorAt(p.value.Position, fmt.Sprintf("default of %s is not of type %s", a.Name, a.Type))
	}
}

// coerceInnerDefaults coerces the defaults of input members that a default value leaves out.
func (l *loader) coerceInnerDefaults(v *Value, t *TypeRef) {
	if t.Elem != nil {
		if v.Kind != ListValue {
			l.coerceInnerDefaults(v, t.Elem)
			return
		}
		for i := range v.List {
			l.coerceInnerDefaults(&v.List[i], t.Elem)
		}
		return
	}
	if t.Named.Kind != InputType || v.Kind != ObjectValue {
		return
	}
	for _, in := range t.Named.Inputs {
		if f := v.member(in.Name); f != nil {
			l.coerceInnerDefaults(f, in.Type)
		} else {
			l.coerceDefault(in)
		}
	}
}
