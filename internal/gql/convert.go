package gql

import "github.com/vektah/gqlparser/v2/ast"

// convert turns a valid document of the parser into ours.
func (s *Schema) convert(text string, doc *ast.QueryDocument) *Document {
	d := &Document{Text: text, Schema: s}
	c := converter{schema: s, doc: doc, fragments: map[string][]Selection{}}
	for _, op := range doc.Operations {
		o := &Operation{Name: op.Name, Document: d, Position: positionOf(op.Position)}
		root := s.Query
		switch op.Operation {
		case ast.Mutation:
			o.Kind, root = Mutation, s.Mutation
		case ast.Subscription:
			o.Kind, root = Subscription, s.Subscription
		}
		o.Root = root
		for _, v := range op.VariableDefinitions {
			o.Variables = append(o.Variables, c.variable(v))
		}
		o.Selections = c.selections(op.SelectionSet, root)
		d.Operations = append(d.Operations, o)
	}
	return d
}

type converter struct {
	schema    *Schema
	doc       *ast.QueryDocument
	fragments map[string][]Selection
}

func (c *converter) variable(v *ast.VariableDefinition) *Variable {
	out := &Variable{Name: v.Variable, Type: c.schema.variableType(v.Type), Position: positionOf(v.Position)}
	if v.DefaultValue != nil {
		value := convertValue(v.DefaultValue)
		if text, ok := appendLiteral(nil, &value, out.Type, nil); ok {
			out.HasDefault, out.Default = true, text
		}
	}
	return out
}

// variableType is newRef, where a name that a schema-less document made up is a type of any JSON.
func (s *Schema) variableType(t *ast.Type) *TypeRef {
	if t.Elem != nil {
		return &TypeRef{NonNull: t.NonNull, Elem: s.variableType(t.Elem)}
	}
	named := s.Types[t.NamedType]
	if named == nil {
		named = &Type{Name: t.NamedType, Leaf: builtinLeaf(t.NamedType)}
	}
	return &TypeRef{NonNull: t.NonNull, Named: named}
}

func (c *converter) selections(set ast.SelectionSet, parent *Type) []Selection {
	if len(set) == 0 {
		return nil
	}
	out := make([]Selection, len(set))
	for i, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			out[i] = Selection{Field: c.field(sel, parent), Conditions: conditions(sel.Directives)}
		case *ast.InlineFragment:
			on := parent
			if sel.TypeCondition != "" {
				on = c.schema.Types[sel.TypeCondition]
			}
			f := &FragmentSelection{TypeName: sel.TypeCondition, Selections: c.selections(sel.SelectionSet, on)}
			if sel.TypeCondition != "" {
				f.On = on
			}
			out[i] = Selection{Fragment: f, Conditions: conditions(sel.Directives)}
		case *ast.FragmentSpread:
			out[i] = Selection{Fragment: c.fragment(sel.Name), Conditions: conditions(sel.Directives)}
		}
	}
	return out
}

// fragment converts a fragment's selections once; every spread of it shares them.
func (c *converter) fragment(name string) *FragmentSelection {
	def := c.doc.Fragments.ForName(name)
	on := c.schema.Types[def.TypeCondition]
	set, done := c.fragments[name]
	if !done {
		set = c.selections(def.SelectionSet, on)
		c.fragments[name] = set
	}
	return &FragmentSelection{Name: name, TypeName: def.TypeCondition, On: on, Selections: set}
}

func (c *converter) field(f *ast.Field, parent *Type) *FieldSelection {
	out := &FieldSelection{ResponseKey: f.Alias, Name: f.Name, Position: positionOf(f.Position)}
	var inner *Type
	if parent != nil {
		if out.Field = parent.Field(f.Name); out.Field == nil && parent == c.schema.Query {
			out.Field = c.schema.meta[f.Name]
		}
	}
	if out.Field != nil {
		inner = out.Field.Type.Name()
	}
	for _, a := range f.Arguments {
		arg := ArgumentValue{Name: a.Name, Value: convertValue(a.Value), Position: positionOf(a.Position)}
		if out.Field != nil {
			arg.Argument = out.Field.Arg(a.Name)
		}
		out.Args = append(out.Args, arg)
	}
	out.Selections = c.selections(f.SelectionSet, inner)
	return out
}

// conditions reads @skip and @include; validation has checked their argument.
func conditions(list ast.DirectiveList) []Condition {
	var out []Condition
	for _, d := range list {
		if d.Name != "skip" && d.Name != "include" {
			continue
		}
		c := Condition{Skip: d.Name == "skip"}
		if v := d.Arguments.ForName("if"); v != nil {
			if v.Value.Kind == ast.Variable {
				c.Variable = v.Value.Raw
			} else {
				c.Value = v.Value.Raw == "true"
			}
		}
		out = append(out, c)
	}
	return out
}
