package introspect

import "github.com/fraiseql/fraiseql-go/internal/gql"

// object is a value of one of the types of introspection.
type object interface {
	// typename is the object's type.
	typename() string
	// resolve returns a field's value: nil, string, bool, []string, object or list.
	resolve(name string, args *arguments) any
}

type list []object

// optional is s, or nil for an empty one: descriptions and reasons.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

type queryRoot struct{ schema *gql.Schema }

func (q *queryRoot) typename() string { return q.schema.Query.Name }

func (q *queryRoot) resolve(name string, args *arguments) any {
	if name == "__schema" {
		return schemaObject{q.schema}
	}
	return typeOrNil(q.schema.Types[args.text("name")])
}

// typeOrNil avoids an object that holds no type.
func typeOrNil(t *gql.Type) any {
	if t == nil {
		return nil
	}
	return typeObject{t}
}

type schemaObject struct{ schema *gql.Schema }

func (schemaObject) typename() string { return "__Schema" }

func (s schemaObject) resolve(name string, _ *arguments) any {
	switch name {
	case "description":
		return optional(s.schema.Description)
	case "types":
		return typesOf(s.schema.Order)
	case "queryType":
		return typeOrNil(s.schema.Query)
	case "mutationType":
		return typeOrNil(s.schema.Mutation)
	case "subscriptionType":
		return typeOrNil(s.schema.Subscription)
	case "directives":
		out := make(list, len(s.schema.Directives))
		for i, d := range s.schema.Directives {
			out[i] = directiveObject{d}
		}
		return out
	}
	return nil
}

func typesOf(types []*gql.Type) list {
	out := make(list, len(types))
	for i, t := range types {
		out[i] = typeObject{t}
	}
	return out
}

var kindNames = [...]string{
	gql.ScalarType: "SCALAR", gql.ObjectType: "OBJECT", gql.InterfaceType: "INTERFACE",
	gql.UnionType: "UNION", gql.EnumType: "ENUM", gql.InputType: "INPUT_OBJECT",
}

// typeObject is a named type.
type typeObject struct{ *gql.Type }

func (typeObject) typename() string { return "__Type" }

func (t typeObject) resolve(name string, args *arguments) any {
	hasFields := t.Kind == gql.ObjectType || t.Kind == gql.InterfaceType
	switch name {
	case "kind":
		return kindNames[t.Kind]
	case "name":
		return t.Name
	case "description":
		return optional(t.Description)
	case "specifiedByURL":
		return optional(t.SpecifiedBy)
	case "fields":
		if hasFields {
			return fieldsOf(t.Fields, args.flag("includeDeprecated"))
		}
	case "interfaces":
		if hasFields {
			return typesOf(t.Interfaces)
		}
	case "possibleTypes":
		if t.Kind == gql.InterfaceType || t.Kind == gql.UnionType {
			return typesOf(t.Possible)
		}
	case "enumValues":
		if t.Kind == gql.EnumType {
			return membersOf(t.EnumValues, args.flag("includeDeprecated"))
		}
	case "inputFields":
		if t.Kind == gql.InputType {
			return inputsOf(t.Inputs, args.flag("includeDeprecated"))
		}
	case "isOneOf":
		if t.Kind == gql.InputType {
			return t.OneOf
		}
	}
	return nil
}

// refObject is a type with wrappers; bare leaves out the outer non-null mark.
type refObject struct {
	ref  *gql.TypeRef
	bare bool
}

func refOf(ref *gql.TypeRef, bare bool) object {
	if ref.Named != nil && (bare || !ref.NonNull) {
		return typeObject{ref.Named}
	}
	return refObject{ref, bare}
}

func (refObject) typename() string { return "__Type" }

func (r refObject) resolve(name string, _ *arguments) any {
	nonNull := r.ref.NonNull && !r.bare
	switch name {
	case "kind":
		if nonNull {
			return "NON_NULL"
		}
		return "LIST"
	case "ofType":
		if nonNull {
			return refOf(r.ref, true)
		}
		return refOf(r.ref.Elem, false)
	}
	return nil
}

type fieldObject struct{ *gql.Field }

func fieldsOf(fields []*gql.Field, deprecated bool) list {
	out := list{}
	for _, f := range fields {
		if deprecated || f.Deprecated == nil {
			out = append(out, fieldObject{f})
		}
	}
	return out
}

func (fieldObject) typename() string { return "__Field" }

func (f fieldObject) resolve(name string, args *arguments) any {
	switch name {
	case "name":
		return f.Name
	case "description":
		return optional(f.Description)
	case "args":
		return inputsOf(f.Args, args.flag("includeDeprecated"))
	case "type":
		return refOf(f.Type, false)
	}
	return deprecation(name, f.Deprecated)
}

// deprecation resolves isDeprecated and deprecationReason.
func deprecation(name string, d *gql.Deprecation) any {
	switch {
	case name == "isDeprecated":
		return d != nil
	case name == "deprecationReason" && d != nil:
		return d.Reason
	}
	return nil
}

type inputObject struct{ *gql.Argument }

func inputsOf(args []*gql.Argument, deprecated bool) list {
	out := list{}
	for _, a := range args {
		if deprecated || a.Deprecated == nil {
			out = append(out, inputObject{a})
		}
	}
	return out
}

func (inputObject) typename() string { return "__InputValue" }

func (a inputObject) resolve(name string, _ *arguments) any {
	switch name {
	case "name":
		return a.Name
	case "description":
		return optional(a.Description)
	case "type":
		return refOf(a.Type, false)
	case "defaultValue":
		if a.HasDefault {
			return a.DefaultText
		}
		return nil
	}
	return deprecation(name, a.Deprecated)
}

type memberObject struct{ *gql.EnumMember }

func membersOf(members []*gql.EnumMember, deprecated bool) list {
	out := list{}
	for _, m := range members {
		if deprecated || m.Deprecated == nil {
			out = append(out, memberObject{m})
		}
	}
	return out
}

func (memberObject) typename() string { return "__EnumValue" }

func (m memberObject) resolve(name string, _ *arguments) any {
	switch name {
	case "name":
		return m.Name
	case "description":
		return optional(m.Description)
	}
	return deprecation(name, m.Deprecated)
}

type directiveObject struct{ *gql.Directive }

func (directiveObject) typename() string { return "__Directive" }

func (d directiveObject) resolve(name string, args *arguments) any {
	switch name {
	case "name":
		return d.Name
	case "description":
		return optional(d.Description)
	case "isRepeatable":
		return d.Repeatable
	case "locations":
		return d.Locations
	case "args":
		return inputsOf(d.Args, args.flag("includeDeprecated"))
	}
	return nil
}
