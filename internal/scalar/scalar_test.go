package scalar_test

import (
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// tester is what *testing.T, *testing.B and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func parse(t tester, text string) *jsontape.Tape {
	t.Helper()
	var tape jsontape.Tape
	if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return &tape
}
