package filter_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/filter"
)

func TestParseWhereName(t *testing.T) {
	for name, want := range map[string]string{
		"eq": "eq", "notIn": "notIn", "not_in": "notIn", "contains_any": "containsAny", "containsAny": "containsAny",
		"starts_with": "startsWith", "not_contains": "notContains",
		"": "", "not_": "", "notin": "", "not_In": "", "_not_in": "", "not_in_": "", "contains_an": "", "EQ": "",
	} {
		op, ok := filter.ParseWhereName(name)
		if ok != (want != "") || ok && op.WhereName() != want {
			t.Errorf("%q: %v, %v, want %q", name, op, ok, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { filter.ParseWhereName("contains_any"); filter.ParseWhereName("other") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
