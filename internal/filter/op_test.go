package filter_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

func TestNamesOfOperators(t *testing.T) {
	snake := map[string]string{
		"notIn": "not_in", "notContains": "not_contains", "startsWith": "starts_with", "endsWith": "ends_with", "containsAny": "contains_any",
	}
	n := 0
	for _, where := range []string{
		"eq", "ne", "gt", "gte", "lt", "lte", "in", "notIn", "contains", "notContains", "startsWith", "endsWith", "exists", "between", "containsAny",
	} {
		op, ok := filter.ParseWhereName(where)
		if !ok || op != filter.Op(n) || op.WhereName() != where {
			t.Errorf("%s is %v, %v", where, op, ok)
		}
		if name := snake[where]; name != "" {
			if other, ok := filter.ParseWhereName(name); !ok || other != op {
				t.Errorf("%s is %v, %v", name, other, ok)
			}
		}
		if again, ok := filter.ParseOp(op.String()); !ok || again != op {
			t.Errorf("%v is %v, %v", op, again, ok)
		}
		n++
	}
	for _, name := range []string{"", "eq ", "Eq", "EQ", "notin", "not_In", "like", "and"} {
		if op, ok := filter.ParseWhereName(name); ok {
			t.Errorf("%q is %v", name, op)
		}
	}
	for _, name := range []string{"", "eq", "NOTIN", "LIKE"} {
		if op, ok := filter.ParseOp(name); ok {
			t.Errorf("%q is %v", name, op)
		}
	}
}

func TestCheck(t *testing.T) {
	all := []scalar.Kind{scalar.Custom, scalar.Int, scalar.Float, scalar.String, scalar.ID, scalar.Boolean, scalar.Enum}
	ordered := []scalar.Kind{scalar.Int, scalar.Float, scalar.String, scalar.ID}
	for _, c := range []struct {
		ops   []filter.Op
		list  bool
		kinds []scalar.Kind
		why   string
	}{
		{[]filter.Op{filter.EQ, filter.NE, filter.Contains, filter.NotContains}, false, all, ""},
		{[]filter.Op{filter.IN, filter.NotIn, filter.ContainsAny}, true, all, ""},
		{[]filter.Op{filter.GT, filter.GTE, filter.LT, filter.LTE}, false, ordered, " needs values with an order: Int, Float, String or ID"},
		{[]filter.Op{filter.Between}, true, ordered, " needs values with an order: Int, Float, String or ID"},
		{[]filter.Op{filter.StartsWith, filter.EndsWith}, false, []scalar.Kind{scalar.String, scalar.ID}, " needs a String or ID"},
		{[]filter.Op{filter.Exists}, false, []scalar.Kind{scalar.Boolean}, " needs a Boolean"},
	} {
		for _, op := range c.ops {
			if op.TakesList() != c.list {
				t.Errorf("%v takes a list: %v", op, op.TakesList())
			}
			depth, other, why := 0, 1, " needs an argument that is a single value; IN or CONTAINS_ANY take a list"
			if c.list {
				depth, other, why = 1, 0, " needs an argument that is a list"
			}
			for _, kind := range all {
				want := op.String() + c.why
				for _, good := range c.kinds {
					if kind == good {
						want = ""
					}
				}
				checkText(t, op.Check(depth, kind), want)
				checkText(t, op.Check(other, kind), op.String()+why)
				checkText(t, op.Check(2, kind), op.String()+" cannot take a list of lists")
			}
		}
	}
}

func checkText(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("Check says %q, want %q", got, want)
	}
}
