package gqlgen

import (
	"encoding/json"
	"testing"
)

// TestCasesAreDeterministic also checks that variables and events are JSON objects.
func TestCasesAreDeterministic(t *testing.T) {
	a, b := New(7), New(7)
	for range 20 {
		sa, sb := a.Schema(), b.Schema()
		for range 10 {
			ca, cb := a.Case(sa), b.Case(sb)
			if ca != cb {
				t.Fatalf("the same seed gave\n%+v\nand\n%+v", ca, cb)
			}
			for _, text := range []string{ca.Variables, ca.Event} {
				var object map[string]any
				if err := json.Unmarshal([]byte(text), &object); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
		}
	}
}
