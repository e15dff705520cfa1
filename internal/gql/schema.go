// Package gql parses and validates GraphQL and owns the immutable schema and operation that the rest of the
// engine reads. It is the only importer of gqlparser; none of its types leave the package.
package gql

import (
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// TypeKind is the kind of a named type.
type TypeKind uint8

// The kinds, in the order in which the specification lists them.
const (
	ScalarType TypeKind = iota
	ObjectType
	InterfaceType
	UnionType
	EnumType
	InputType
)

// Position is a place in a source text; line and column count from 1.
type Position struct {
	Source string
	Line   int
	Column int
}

// Schema is a loaded schema with the directives of docs/reference/directives.md resolved. Immutable.
type Schema struct {
	// Generation differs between any two schemas loaded by a process.
	Generation  uint64
	Description string
	Types       map[string]*Type
	// Order holds the types in the order of the SDL, the standard's own ones last.
	Order        []*Type
	Query        *Type // never nil: an empty one is supplied
	Mutation     *Type
	Subscription *Type
	// Directives are those that introspection shows: the standard's and the SDL's own, never ours.
	Directives []*Directive
	// Schemaless is set for the schema that Schemaless returns: every root field exists, nothing is typed.
	Schemaless bool

	loaded // the parser's own form, for validation
}

// loaded is what Parse needs besides the types.
type loaded struct {
	ast       *ast.Schema
	refs      map[*ast.Type]*TypeRef
	meta      map[string]*Field // __schema and __type
	snakeCase bool
	hints     hints
}

// Type is a named type.
type Type struct {
	Name        string
	Description string
	Kind        TypeKind
	Fields      []*Field // objects and interfaces, in schema order
	Interfaces  []*Type
	Possible    []*Type // object types that an interface or union (or object: itself) can be
	Inputs      []*Argument
	OneOf       bool
	EnumValues  []*EnumMember
	SpecifiedBy string      // URL of @specifiedBy, empty if absent
	Leaf        scalar.Leaf // scalars and enums
	Access      Access      // of objects, interfaces, scalars, enums
	// Introspection marks the types of introspection itself (__Schema, __Type, …).
	Introspection bool
	Position      Position

	fields map[string]*Field
	inputs map[string]*Argument
	// abstract is set for an object that an interface or a union can be.
	abstract bool
	// Members are what the fields of an object type read, nil when there are more than a set holds.
	Members *jsontape.NameSet
}

// Field returns the field of that name, or nil.
func (t *Type) Field(name string) *Field { return t.fields[name] }

// Input returns the member of an input object of that name, or nil.
func (t *Type) Input(name string) *Argument { return t.inputs[name] }

// IsLeaf reports whether values of the type have no parts to select.
func (t *Type) IsLeaf() bool { return t.Kind == ScalarType || t.Kind == EnumType }

// TypeRef is a type with its wrappers. Exactly one of Elem and Named is set.
type TypeRef struct {
	NonNull bool
	Elem    *TypeRef // list of
	Named   *Type
}

// Name returns the named type inside all wrappers.
func (r *TypeRef) Name() *Type {
	for r.Elem != nil {
		r = r.Elem
	}
	return r.Named
}

// String returns the type as GraphQL writes it, like [Int!]!.
func (r *TypeRef) String() string {
	s := ""
	if r.Elem != nil {
		s = "[" + r.Elem.String() + "]"
	} else {
		s = r.Named.Name
	}
	if r.NonNull {
		s += "!"
	}
	return s
}

// Deprecation is a @deprecated that stands on an element.
type Deprecation struct{ Reason string }

// Field is a field of an object or interface.
type Field struct {
	Name        string
	Description string
	Deprecated  *Deprecation // nil: not deprecated
	Parent      *Type
	Type        *TypeRef
	Args        []*Argument
	From        string // member of data that it reads (@from, or naming rule, or Name)
	Slot        int    // of From in the parent's Members
	Access      Access
	Position    Position
	// Subscription roots only:
	Source   *Source
	Owner    []string // @owner path, nil if absent
	Tenant   []string // @tenant path, nil if absent
	Delivery *Delivery
}

// Arg returns the argument of that name, or nil.
func (f *Field) Arg(name string) *Argument {
	for _, a := range f.Args {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Source is where a root field's events come from.
type Source struct {
	Channel string
	Types   []string // empty: every type
}

// Overflow is what happens when a subscription's queue is full.
type Overflow uint8

// The policies of docs/delivery.md; close is the default.
const (
	OverflowClose Overflow = iota
	OverflowDropOldest
	OverflowDropNewest
	OverflowLatest
)

// Delivery is a field's @delivery; zero members mean the engine's defaults.
type Delivery struct {
	Overflow    Overflow
	Key         []string // path, for LATEST
	MaxMessages int
	MaxBytes    int
}

// Access is what a caller needs (check rbac of docs/security.md). The zero value is open. All parts must hold.
type Access struct {
	Authenticated bool
	Scopes        [][][]string // each @requiresScopes that applies: an OR of ANDs
	Roles         [][]string   // each @requiresRole that applies: any one of
	Mask          bool         // deny: MASK; it stands for Roles only, the other parts always refuse
}

// Open reports whether nothing is required.
func (a *Access) Open() bool { return !a.Authenticated && len(a.Scopes) == 0 && len(a.Roles) == 0 }

// Argument is an argument of a field or a member of an input object.
type Argument struct {
	Name        string
	Description string
	Deprecated  *Deprecation // nil: not deprecated
	Type        *TypeRef
	HasDefault  bool
	Default     []byte // JSON text of the coerced default value
	// DefaultText is the default as GraphQL writes it, for introspection.
	DefaultText string
	Unscoped    bool
	Position    Position
	// Subscription root arguments only (nil for arguments of other fields); exactly one is set there:
	Match *Match
	Where *Filter
}

// Required reports whether a value must be given.
func (a *Argument) Required() bool { return a.Type.NonNull && !a.HasDefault }

// Match is how an argument filters.
type Match struct {
	Path []string
	Op   filter.Op
	Leaf scalar.Leaf
}

// Filter is what an input object of a @where means where it stands: what its members name depends on what is filtered.
type Filter struct {
	Members map[string]FilterMember // by name
}

// FilterMember is a member of a filter. `and`, `or` and `not` have no Member; those with operators have no Filter.
type FilterMember struct {
	Input  *Argument
	Member string  // of data
	Filter *Filter // of what is combined or nested
}

// EnumMember is a value of an enum.
type EnumMember struct {
	Name        string
	Description string
	Deprecated  *Deprecation // nil: not deprecated
}

// Directive is a directive definition as introspection shows it.
type Directive struct {
	Name        string
	Description string
	Locations   []string
	Args        []*Argument
	Repeatable  bool
}
