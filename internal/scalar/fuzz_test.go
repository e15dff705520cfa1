package scalar_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// FuzzLeaf: whatever the value, a result is JSON that coerces to itself, and its key is the value's.
func FuzzLeaf(f *testing.F) {
	for _, text := range []string{`1`, `-0.0`, `1e400`, `"0x1f"`, `" 1e2 "`, `"\ud800"`, `[{"a":1,"\u0061":2}]`, `{"b":[1.50,"x"],"a":{}}`, `true`, `"RED"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var tape jsontape.Tape
		if tape.Parse(src, jsontape.Limits{}) != nil || tape.Kind(jsontape.Root) == jsontape.Null {
			return
		}
		kinds := append(leaves[:len(leaves):len(leaves)], leaves[0], leaves[0])
		kinds[6].Leaf, kinds[7].Leaf = scalar.Leaf{Kind: scalar.Custom}, scalar.Leaf{Kind: scalar.Untyped}
		for _, leaf := range kinds {
			out, ok := leaf.AppendResult(nil, &tape, jsontape.Root)
			k, hasKey := leaf.AppendKey(nil, &tape, jsontape.Root)
			if ok != hasKey {
				t.Fatalf("kind %d: %s has result %q and key %q", leaf.Kind, src, out, k)
			}
			if !ok {
				continue
			}
			if !json.Valid(out) || !utf8.Valid(out) {
				t.Fatalf("kind %d: the result of %s is %q", leaf.Kind, src, out)
			}
			if again := result(t, leaf.Leaf, parse(t, string(out))); again != string(out) {
				t.Fatalf("kind %d: the result of %s is %s, again %s", leaf.Kind, src, out, again)
			}
			if leaf.Kind == scalar.Float { // a double in the result, exact in the key
				continue
			}
			if again := key(t, leaf.Leaf, string(out)); again != string(k) {
				t.Fatalf("kind %d: the key of %s is %q, of its result %q", leaf.Kind, src, k, again)
			}
		}
	})
}
