package jsontape_test

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// TestSelectAgreesWithMember compares the one scan with look-ups of each name.
func TestSelectAgreesWithMember(t *testing.T) {
	texts := []string{
		`{}`, `[]`, `"id"`, `null`, `{"id":1}`, `{"id":1,"id":2,"total":3}`,
		`{"i\u0064":1,"total":{"id":5},"aXb":1,"aYb":2,"aZb":3,"":4}`,
	}
	names := []string{"id", "total", "aXb", "aYb", "", "missing"}
	for i := len(names); i < jsontape.MaxNameSet; i++ {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	set := jsontape.MakeNameSet(names)
	for _, text := range texts {
		tape := parse(t, text)
		found := make([]jsontape.Ref, len(names)+1)
		tape.Select(jsontape.Root, &set, found)
		for i, name := range names {
			if want := tape.Member(jsontape.Root, name); found[i] != want {
				t.Errorf("%s: %q is at %d, want %d", text, name, found[i], want)
			}
		}
	}
}

// TestPairAgreesWithMember compares the scan for two names with look-ups of each.
func TestPairAgreesWithMember(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `null`, `{"a":1}`, `{"b":1}`, `{"b":{"a":5},"a":2}`, `{"a":1,"a":2,"b":3,"c":4,"b":[]}`, `{"\u0061":1,"\u0062":2}`,
	} {
		tape := parse(t, text)
		a, b := tape.PairNamed(jsontape.Root, jsontape.MakeName("a"), jsontape.MakeName("b"))
		if a != tape.Member(jsontape.Root, "a") || b != tape.Member(jsontape.Root, "b") {
			t.Errorf("%s: %d and %d", text, a, b)
		}
	}
}
