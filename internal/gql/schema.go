// Package gql parses and validates GraphQL and owns the immutable schema and operation that the rest of the
// engine reads. It is the only importer of gqlparser; none of its types leave the package.
package gql

import (
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// TypeKind is the kind of a named type.
type TypeKind uint8

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

// Schema is a loaded schema with the directives of CONTRACT 4 resolved. Immutable.
type Schema struct {
	// Generation differs between any two schemas loaded by a process.
	Generation   uint64
	Types        map[string]*Type
	Query        *Type // never nil: an empty one is supplied
	Mutation     *Type
	Subscription *Type
	// Schemaless is set for the schema that Schemaless returns: every root field exists, nothing is typed.
	Schemaless bool

	loaded // the parser's own form, for validation and introspection
}

// Type is a named type.
type Type struct {
	Name       string
	Kind       TypeKind
	Fields     []*Field // objects and interfaces, in schema order
	Interfaces []*Type
	Possible   []*Type // object types that an interface or union (or object: itself) can be
	Inputs     []*Argument
	OneOf      bool
	Leaf       scalar.Leaf // scalars and enums
	Access     Access      // of objects, interfaces, scalars, enums
	Position   Position
}

// Field returns the field of that name, or nil.
func (t *Type) Field(name string) *Field { return nil }

// TypeRef is a type with its wrappers. Exactly one of Elem and Named is set.
type TypeRef struct {
	NonNull bool
	Elem    *TypeRef // list of
	Named   *Type
}

// Field is a field of an object or interface.
type Field struct {
	Name     string
	Parent   *Type
	Type     *TypeRef
	Args     []*Argument
	From     string // member of data that it reads (@from, or naming rule, or Name)
	Access   Access
	Position Position
	// Subscription roots only:
	Source   *Source
	Owner    []string // @owner path, nil if absent
	Tenant   []string // @tenant path, nil if absent
	Delivery *Delivery
}

// Source is where a root field's events come from.
type Source struct {
	Channel string
	Types   []string // empty: every type
}

// Overflow is what happens when a subscription's queue is full.
type Overflow uint8

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

// Access is what a caller needs (CONTRACT 3, check 5). The zero value is open. All parts must hold.
type Access struct {
	Authenticated bool
	Scopes        [][][]string // each @requiresScopes that applies: an OR of ANDs
	Roles         [][]string   // each @requiresRole that applies: any one of
	Mask          bool         // deny: MASK
}

// Argument is an argument of a field or a member of an input object.
type Argument struct {
	Name       string
	Type       *TypeRef
	HasDefault bool
	Default    []byte // JSON text of the coerced default value
	Unscoped   bool
	Position   Position
	// Subscription root arguments only (nil for arguments of other fields); exactly one is set there:
	Match *Match
	Where *Where
}

// Match is how an argument filters.
type Match struct {
	Path []string
	Op   filter.Op
	Leaf scalar.Leaf
}

// Where marks an argument whose input object is a filter (@where): its members nest as the input type says.
type Where struct{}
