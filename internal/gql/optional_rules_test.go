package gql

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// optionalRules are graphql-js's two rules that are not part of the standard's validation: servers may add
// them. Parse does not apply them (introspection is refused when it is executed, deprecated parts may be
// used); they are written here on the same walk so that their vectors are judged too.
var optionalRules = map[string]core.Rule{
	"NoSchemaIntrospectionCustom": {Name: "NoSchemaIntrospectionCustom", RuleFunc: func(o *core.Events, add core.AddErrFunc) {
		o.OnField(func(_ *core.Walker, f *ast.Field) {
			if f.Definition != nil && f.Name != "__typename" && strings.HasPrefix(f.Definition.Type.Name(), "__") {
				add(core.Message("introspection of %q", f.Name), core.At(f.Position))
			}
		})
	}},
	"NoDeprecatedCustom": {Name: "NoDeprecatedCustom", RuleFunc: func(o *core.Events, add core.AddErrFunc) {
		report := func(list ast.DirectiveList, what string, at *ast.Position) {
			if deprecation(list) != nil {
				add(core.Message("%s is deprecated", what), core.At(at))
			}
		}
		arguments := func(defs ast.ArgumentDefinitionList, args ast.ArgumentList) {
			for _, a := range args {
				if def := defs.ForName(a.Name); def != nil {
					report(def.Directives, a.Name, a.Position)
				}
			}
		}
		o.OnField(func(_ *core.Walker, f *ast.Field) {
			if f.Definition != nil {
				report(f.Definition.Directives, f.Name, f.Position)
				arguments(f.Definition.Arguments, f.Arguments)
			}
		})
		o.OnDirective(func(_ *core.Walker, d *ast.Directive) {
			if d.Definition != nil {
				arguments(d.Definition.Arguments, d.Arguments)
			}
		})
		o.OnValue(func(_ *core.Walker, v *ast.Value) {
			if v.Definition == nil {
				return
			}
			if v.Kind == ast.EnumValue {
				if def := v.Definition.EnumValues.ForName(v.Raw); def != nil {
					report(def.Directives, v.Raw, v.Position)
				}
			}
			for _, c := range v.Children {
				if def := v.Definition.Fields.ForName(c.Name); def != nil && v.Kind == ast.ObjectValue {
					report(def.Directives, c.Name, c.Position)
				}
			}
		})
	}},
}
