package gql

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// TestOperatorsCompile: what the loader accepts for an operator, the filter compiles.
func TestOperatorsCompile(t *testing.T) {
	types := map[string]*Type{}
	for _, name := range []string{"Int", "Float", "String", "ID", "Boolean", "Any"} {
		types[name] = &Type{Name: name, Leaf: builtinLeaf(name)}
	}
	types["E"] = &Type{Name: "E", Kind: EnumType, Leaf: scalar.Leaf{Kind: scalar.Enum, Names: map[string]struct{}{"A": {}}}}
	values := map[string]string{"Int": "1", "Float": "1.5", "String": `"a"`, "ID": `"a"`, "Boolean": "true", "Any": `{"a":1}`, "E": `"A"`}
	accepted := 0
	for op := filter.EQ; op <= filter.ContainsAny; op++ {
		for name, typ := range types {
			for _, list := range []bool{false, true} {
				ref, value := &TypeRef{Named: typ}, values[name]
				if list {
					ref, value = &TypeRef{Elem: ref}, "["+value+","+value+"]"
				}
				if operatorProblem(op, ref) != "" {
					continue
				}
				accepted++
				if _, err := filter.Compare([]string{"x"}, typ.Leaf, op, tapeOf(t, value), jsontape.Root); err != nil {
					t.Errorf("%s with %s: the loader accepts it, the filter says %v", op, ref, err)
				}
			}
		}
	}
	if accepted < 50 {
		t.Errorf("only %d combinations are accepted", accepted)
	}
}
