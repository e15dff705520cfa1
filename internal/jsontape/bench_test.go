package jsontape_test

import (
	"encoding/json"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

func BenchmarkParse(b *testing.B) {
	src := []byte(event370)
	var tape jsontape.Tape
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if err := tape.Parse(src, jsontape.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStandardValid is what the standard library takes to check the same text, laying out nothing.
func BenchmarkStandardValid(b *testing.B) {
	src := []byte(event370)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if !json.Valid(src) {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkMember(b *testing.B) {
	tape := parse(b, event370)
	name := jsontape.MakeName("currency")
	b.ReportAllocs()
	for b.Loop() {
		if tape.MemberNamed(jsontape.Root, name) == jsontape.None {
			b.Fatal("missing")
		}
	}
}

func BenchmarkSelectFive(b *testing.B) {
	tape := parse(b, event370)
	set := jsontape.MakeNameSet([]string{"id", "status", "total", "currency", "customer"})
	var dst [5]jsontape.Ref
	b.ReportAllocs()
	for b.Loop() {
		tape.Select(jsontape.Root, &set, dst[:])
	}
	if dst[4] == jsontape.None {
		b.Fatal("missing")
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	plain, escaped := []byte(event370), []byte(` { "\u0069d" : "a\nb" , "v" : [ 1 , {} ] } `)
	var tape jsontape.Tape
	set := jsontape.MakeNameSet([]string{"id", "status", "v"})
	path := jsontape.MakeNames([]string{"customer", "city"})
	var dst [3]jsontape.Ref
	out := make([]byte, 0, 1024)
	for name, work := range map[string]func(){
		"Parse": func() {
			for _, src := range [][]byte{plain, escaped} {
				if err := tape.Parse(src, jsontape.Limits{}); err != nil {
					t.Error(err)
				}
			}
		},
		"Member":        func() { tape.Member(jsontape.Root, "id") },
		"LookupNames":   func() { tape.LookupNames(jsontape.Root, path) },
		"Select":        func() { tape.Select(jsontape.Root, &set, dst[:]) },
		"AppendCompact": func() { out = tape.AppendCompact(out[:0], jsontape.Root) },
		"AppendString":  func() { out = tape.AppendString(out[:0], tape.Member(jsontape.Root, "id")) },
		"StringIs":      func() { tape.StringIs(tape.Member(jsontape.Root, "id"), "a\nb") },
		"AppendQuoted":  func() { out = jsontape.AppendQuoted(out[:0], "a\nb\u00e9") },
		"Duplicate":     func() { tape.Duplicate(jsontape.Root) },
	} {
		work()
		if n := testing.AllocsPerRun(100, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
