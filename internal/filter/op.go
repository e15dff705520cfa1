package filter

import (
	"errors"

	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// Op is an operator of MatchOp (docs/reference/directives.md).
type Op uint8

const (
	EQ Op = iota
	NE
	GT
	GTE
	LT
	LTE
	IN
	NotIn
	Contains
	NotContains
	StartsWith
	EndsWith
	Exists
	Between
	ContainsAny
)

// ops tells of each operator its names and what carries it out.
var ops = [...]struct {
	match   string // value of enum MatchOp
	where   string // member of a @where input
	test    test
	negated bool
}{
	EQ:          {"EQ", "eq", testEqual, false},
	NE:          {"NE", "ne", testEqual, true},
	GT:          {"GT", "gt", testGreater, false},
	GTE:         {"GTE", "gte", testAtLeast, false},
	LT:          {"LT", "lt", testLess, false},
	LTE:         {"LTE", "lte", testAtMost, false},
	IN:          {"IN", "in", testIn, false},
	NotIn:       {"NOT_IN", "notIn", testIn, true},
	Contains:    {"CONTAINS", "contains", testContains, false},
	NotContains: {"NOT_CONTAINS", "notContains", testContains, true},
	StartsWith:  {"STARTS_WITH", "startsWith", testStart, false},
	EndsWith:    {"ENDS_WITH", "endsWith", testEnd, false},
	Exists:      {"EXISTS", "exists", testExists, false},
	Between:     {"BETWEEN", "between", testBetween, false},
	ContainsAny: {"CONTAINS_ANY", "containsAny", testContains, false},
}

func (op Op) test() (t test, negated bool) { return ops[op].test, ops[op].negated }

// String returns the operator's name in enum MatchOp.
func (op Op) String() string { return ops[op].match }

// WhereName returns the operator's name as a member of a @where input.
func (op Op) WhereName() string { return ops[op].where }

// WhereNames returns the operators' names as members of a @where input.
func WhereNames() []string {
	names := make([]string, len(ops))
	for i := range ops {
		names[i] = ops[i].where
	}
	return names
}

// ParseOp reads a value of enum MatchOp.
func ParseOp(name string) (op Op, ok bool) {
	for i := range ops {
		if ops[i].match == name {
			return Op(i), true
		}
	}
	return 0, false
}

// ParseWhereName reads a member name of a @where input, `notIn` or `not_in`. It allocates nothing: it is asked for
// each member of each filter that a client sends.
func ParseWhereName(name string) (op Op, ok bool) {
	for i := range ops {
		if ops[i].where == name || snakeCaseIs(ops[i].where, name) {
			return Op(i), true
		}
	}
	return 0, false
}

// snakeCaseIs reports whether name is the snake case of a camel-case name.
func snakeCaseIs(camel, name string) bool {
	at := 0
	for i := range len(camel) {
		c := camel[i]
		if c >= 'A' && c <= 'Z' {
			if at == len(name) || name[at] != '_' {
				return false
			}
			at++
			c |= 0x20
		}
		if at == len(name) || name[at] != c {
			return false
		}
		at++
	}
	return at == len(name)
}

// TakesList reports whether the operator's argument is a list.
func (op Op) TakesList() bool {
	return op == IN || op == NotIn || op == Between || op == ContainsAny
}

// Check says, for schema errors, why the operator cannot take an argument of a type: a list in depth
// brackets (0: none) of the leaf type. It returns nil where it can.
func (op Op) Check(depth int, leaf scalar.Kind) error {
	untyped := leaf == scalar.Untyped
	switch {
	case depth > 1:
		return errors.New(op.String() + " cannot take a list of lists")
	case op.TakesList() && depth == 0 && !untyped:
		return errors.New(op.String() + " needs an argument that is a list")
	case !op.TakesList() && depth > 0:
		return errors.New(op.String() + " needs an argument that is a single value; IN or CONTAINS_ANY take a list")
	}
	switch op {
	case GT, GTE, LT, LTE, Between:
		if !leaf.Ordered() {
			return errors.New(op.String() + " needs values with an order: Int, Float, String or ID")
		}
	case StartsWith, EndsWith:
		if leaf != scalar.String && leaf != scalar.ID {
			return errors.New(op.String() + " needs a String or ID")
		}
	case Exists:
		if leaf != scalar.Boolean && !untyped {
			return errors.New("EXISTS needs a Boolean")
		}
	}
	return nil
}
