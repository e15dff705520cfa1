package gql

// OperationKind is query, mutation or subscription.
type OperationKind uint8

const (
	Query OperationKind = iota
	Mutation
	Subscription
)

// Document is a parsed and valid document. Immutable, shared by every subscription that uses it.
type Document struct {
	Text       string
	Schema     *Schema
	Operations []*Operation
}

// Operation is one operation of a document. Fragment spreads are resolved: Selections hold pointers into the
// document's fragments, which never recurse.
type Operation struct {
	Kind       OperationKind
	Name       string
	Root       *Type // nil for a schema-less subscription or mutation
	Variables  []*Variable
	Selections []Selection
	Document   *Document
	Position   Position
}

// Variable is a variable definition.
type Variable struct {
	Name       string
	Type       *TypeRef
	HasDefault bool
	Default    []byte // JSON text, coerced
	Position   Position
}

// Selection is a field or a fragment (inline or by name); exactly one is set.
type Selection struct {
	Field    *FieldSelection
	Fragment *FragmentSelection
	// Conditions are the @skip and @include that stand on it; all must allow.
	Conditions []Condition
}

// Condition is @skip(if:) or @include(if:).
type Condition struct {
	Variable string // empty: Value holds the literal
	Value    bool
	Skip     bool // @skip: selected when false
}

// FieldSelection selects one field. Field is nil for __typename, and without a schema.
type FieldSelection struct {
	ResponseKey string
	Name        string
	Field       *Field
	Args        []ArgumentValue
	Selections  []Selection // empty for leaves
	Position    Position
}

// FragmentSelection is a fragment with its type condition (nil: none).
type FragmentSelection struct {
	// Name is the fragment's, empty for an inline one. Within one selection set only the first spread of a
	// fragment counts.
	Name string
	// TypeName is the condition's name, empty for none; On is nil without a schema.
	TypeName   string
	On         *Type
	Selections []Selection
}

// ArgumentValue is an argument as written: a literal or variables anywhere inside.
type ArgumentValue struct {
	Name     string
	Argument *Argument // nil without a schema
	Value    Value
	Position Position
}

// ValueKind is the kind of a literal.
type ValueKind uint8

const (
	VariableValue ValueKind = iota
	NullValue
	IntValue
	FloatValue
	StringValue
	BooleanValue
	EnumValue
	ListValue
	ObjectValue
)

// Value is a literal of a document.
type Value struct {
	Kind     ValueKind
	Text     string // variable name, number text, string content, enum name, true or false
	List     []Value
	Fields   []ObjectField
	Location Location
}

// member returns the value of a member of an object literal, or nil.
func (v *Value) member(name string) *Value {
	for i := range v.Fields {
		if v.Fields[i].Name == name {
			return &v.Fields[i].Value
		}
	}
	return nil
}

// ObjectField is a member of an object literal.
type ObjectField struct {
	Name  string
	Value Value
}
