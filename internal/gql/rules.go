package gql

import (
	"slices"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// typedRules are the rules of the standard that the parser's package has, but those that are ours: values,
// single root fields, and the merging of fields.
var typedRules = sync.OnceValue(func() []core.Rule {
	return append([]core.Rule{
		rules.FieldsOnCorrectTypeRule,
		rules.FragmentsOnCompositeTypesRule,
		rules.KnownArgumentNamesRule,
		rules.KnownRootTypeRule,
		rules.KnownTypeNamesRule,
		rules.MaxIntrospectionDepth,
		rules.PossibleFragmentSpreadsRule,
		rules.ScalarLeafsRule,
		rules.VariablesAreInputTypesRule,
	}, untypedRules()...)
})

// discreetRules are typedRules without suggestions.
var discreetRules = sync.OnceValue(func() []core.Rule {
	discreet := map[string]core.Rule{
		rules.FieldsOnCorrectTypeRule.Name: rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
		rules.KnownArgumentNamesRule.Name:  rules.KnownArgumentNamesRuleWithoutSuggestions,
		rules.KnownTypeNamesRule.Name:      rules.KnownTypeNamesRuleWithoutSuggestions,
	}
	list := slices.Clone(typedRules())
	for i := range list {
		if rule, ok := discreet[list[i].Name]; ok {
			list[i] = rule
		}
	}
	return list
})

// untypedRules are those that need no type system besides the standard's directives.
var untypedRules = sync.OnceValue(func() []core.Rule {
	return []core.Rule{
		rules.KnownDirectivesRule,
		rules.KnownFragmentNamesRule,
		rules.LoneAnonymousOperationRule,
		rules.NoFragmentCyclesRule,
		rules.NoUndefinedVariablesRule,
		rules.NoUnusedFragmentsRule,
		rules.NoUnusedVariablesRule,
		rules.ProvidedRequiredArgumentsRule,
		rules.UniqueArgumentNamesRule,
		rules.UniqueDirectivesPerLocationRule,
		rules.UniqueFragmentNamesRule,
		rules.UniqueInputFieldNamesRule,
		rules.UniqueOperationNamesRule,
		rules.UniqueVariableNamesRule,
		rules.VariablesInAllowedPositionRule,
	}
})

// validate runs every rule but the one about merging fields, which needs a document that keeps the others.
// Errors carry the name of their rule.
func (s *Schema) validate(doc *ast.QueryDocument) gqlerror.List {
	list := typedRules()
	switch {
	case s.Schemaless:
		list = untypedRules()
	case s.hints.hidden:
		list = discreetRules()
	}
	errs := run(s.ast, doc, append(list[:len(list):len(list)], s.valuesRule()))
	return append(append(errs, s.checkRoots(doc)...), s.checkMeta(doc)...)
}

// run walks the document once for a list of rules.
func run(schema *ast.Schema, doc *ast.QueryDocument, list []core.Rule) gqlerror.List {
	var errs gqlerror.List
	observers := &core.Events{}
	for _, rule := range list {
		rule.RuleFunc(observers, func(options ...core.ErrorOption) {
			if len(errs) > 4*maxErrors {
				return // duplicates are dropped later; this bounds the work
			}
			err := &gqlerror.Error{Rule: rule.Name}
			for _, option := range options {
				option(err)
			}
			errs = append(errs, err)
		})
	}
	validator.Walk(schema, doc, observers)
	return errs
}

// valuesRule checks literals against their types (https://spec.graphql.org, "Values of Correct Type"). The
// parser's own rule accepts an Int past 32 bits, an object for a scalar, and refuses long integers for ID.
func (s *Schema) valuesRule() core.Rule {
	return core.Rule{Name: "ValuesOfCorrectType", RuleFunc: func(observers *core.Events, addError core.AddErrFunc) {
		check := func(v *ast.Value, t *TypeRef) {
			if v == nil || t == nil || v.Kind == ast.Variable {
				return
			}
			value := convertValue(v)
			c := literalCheck{static: true, hints: s.hints, report: func(_ []any, at *Value, message string) {
				addError(core.Message("%s", message), core.At(&ast.Position{
					Line: at.Location.Line, Column: at.Location.Column, Src: v.Position.Src}))
			}}
			c.literal(nil, &value, t)
		}
		observers.OnVariable(func(_ *core.Walker, v *ast.VariableDefinition) {
			if v.DefaultValue != nil {
				if t := s.newRef(v.Type); t != nil && t.Name().isInput() {
					check(v.DefaultValue, t)
				}
			}
		})
		observers.OnField(func(_ *core.Walker, f *ast.Field) {
			if f.Definition == nil {
				return
			}
			for _, a := range f.Arguments {
				if def := f.Definition.Arguments.ForName(a.Name); def != nil {
					check(a.Value, s.typeOf(def.Type))
				}
			}
		})
		observers.OnDirective(func(_ *core.Walker, d *ast.Directive) {
			if d.Definition == nil {
				return
			}
			for _, a := range d.Arguments {
				if def := d.Definition.Arguments.ForName(a.Name); def != nil {
					check(a.Value, s.typeOf(def.Type))
				}
			}
		})
	}}
}

// typeOf finds the reference made for a type of the schema.
func (s *Schema) typeOf(t *ast.Type) *TypeRef {
	if ref := s.refs[t]; ref != nil {
		return ref
	}
	return s.newRef(t)
}

func (t *Type) isInput() bool {
	return t.Kind == ScalarType || t.Kind == EnumType || t.Kind == InputType
}
