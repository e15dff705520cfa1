package plan

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
)

func compiled(t testing.TB, text string) *Plan {
	t.Helper()
	doc, errs := gql.Schemaless().Parse(text, gql.Limits{Bytes: 1 << 20})
	if len(errs) > 0 {
		t.Fatalf("Parse: %v", errs[0])
	}
	op, opErr := doc.Operation("")
	if opErr != nil {
		t.Fatal(opErr)
	}
	p, err := Compile(op, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCache(t *testing.T) {
	const text = `subscription { users(id: "a,b") { id name } }`
	c, p := NewCache(0), compiled(t, text)
	if _, ok := c.Get(1, text, ""); ok {
		t.Error("an empty cache has a plan")
	}
	if got := c.Put(1, text, "", p); got != p {
		t.Error("Put gives another plan")
	}
	if got, ok := c.Get(1, text, ""); !ok || got != p {
		t.Error("the plan is not found")
	}
	if _, ok := c.Get(2, text, ""); ok {
		t.Error("found for another schema")
	}
	if _, ok := c.Get(1, text, "Op"); ok {
		t.Error("found for another operation")
	}
	spaced := "# comment\n" + strings.ReplaceAll(text, " ", " ,\n ")
	if _, ok := c.Find(1, strings.Replace(spaced, "a,b", "a ,b", 1), ""); ok {
		t.Error("found for another string")
	}
	if _, ok := c.Get(1, spaced, ""); ok {
		t.Error("found before it was seen")
	}
	if got, ok := c.Find(1, spaced, ""); !ok || got != p {
		t.Error("not found by its tokens")
	}
	if got, ok := c.Get(1, spaced, ""); !ok || got != p {
		t.Error("not remembered")
	}
	if got := c.Put(1, spaced, "", compiled(t, text)); got != p {
		t.Error("equal tokens have two plans")
	}
}

func TestCacheIsBounded(t *testing.T) {
	const limit = 1 << 20
	c := NewCache(limit)
	hot := `subscription { hot { id } }`
	c.Put(1, hot, "", compiled(t, hot))
	for i := range 2000 {
		text := fmt.Sprintf(`subscription { ch%d { id } }`, i)
		c.Put(1, text, "", compiled(t, text))
		if n := c.Bytes(); n > limit {
			t.Fatalf("%d bytes after %d documents", n, i)
		}
		if _, ok := c.Get(1, hot, ""); !ok {
			t.Fatalf("what is in use left after %d documents", i)
		}
	}
	if _, ok := c.Get(1, `subscription { ch0 { id } }`, ""); ok {
		t.Error("the oldest plan is still there")
	}
	large := `subscription { large(x: "` + strings.Repeat("x", limit/16) + `") { id } }`
	if p := compiled(t, large); c.Put(1, large, "", p) != p {
		t.Error("Put gives another plan")
	}
	if _, ok := c.Get(1, large, ""); ok {
		t.Error("a plan larger than the cache stays")
	}
}

// A bound that is lowered holds at once.
func TestCacheSetBytes(t *testing.T) {
	c := NewCache(0)
	for i := range 200 {
		text := fmt.Sprintf("subscription S%d { a }", i)
		c.Put(1, text, "", compiled(t, text))
	}
	before := c.Bytes()
	c.SetBytes(before / 4)
	if now := c.Bytes(); now == 0 || now > before/4 {
		t.Errorf("%d bytes of %d", now, before/4)
	}
	c.SetBytes(0)
	text := "subscription Again { a }"
	c.Put(1, text, "", compiled(t, text))
	if _, ok := c.Get(1, text, ""); !ok {
		t.Error("nothing enters any more")
	}
}

func TestCacheConcurrently(t *testing.T) {
	c := NewCache(200 << 10)
	var plans [8]*Plan
	var texts [8]string
	for i := range plans {
		texts[i] = fmt.Sprintf(`subscription { ch%d { id } }`, i)
		plans[i] = compiled(t, texts[i])
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				k := (i*7 + g) % len(plans)
				p, ok := c.Get(1, texts[k], "")
				if !ok {
					p, ok = c.Find(1, texts[k]+strings.Repeat(" ", i%50), "")
				}
				if !ok {
					p = c.Put(1, texts[k], "", plans[k])
				}
				if p != plans[k] {
					t.Errorf("another document's plan")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestCacheGetAllocatesNothing(t *testing.T) {
	const text = `subscription OnOrder($id: ID!) { order(id: $id) { id total } }`
	c := NewCache(0)
	c.Put(1, text, "OnOrder", compiled(t, text))
	if n := testing.AllocsPerRun(100, func() { c.Get(1, text, "OnOrder") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNormalise(t *testing.T) {
	for _, group := range [][]string{
		{`{a b}`, `{ a b }`, "{a,b}", "{a#x\nb}", "\ufeff{a\tb\r\n}", "{a b}#", "{a#{\r b}"},
		{`{a(x:1 y:-2)}`, `{a ( x : 1 , y : -2 ) }`},
		{`{...F a...G}`, `{ ... F a ... G }`},
		{`{a(x:"b c" y:"")}`, `{ a (x: "b c", y: "") }`},
		{`{a(x:"\"#" y:"""b " \""" """)}`, `{ a(x: "\"#", y: """b " \""" """) }`},
	} {
		want, ok := normalise(group[0])
		if !ok {
			t.Errorf("normalise(%s) fails", group[0])
		}
		for _, text := range group {
			if got, _ := normalise(text); got != want {
				t.Errorf("normalise(%s) = %s, want %s", text, got, want)
			}
		}
	}
	for _, pair := range [][2]string{
		{`{a b}`, `{ab}`}, {`{a(x:1 2)}`, `{a(x:12)}`}, {`{a(x:0 xF)}`, `{a(x:0xF)}`}, {`{a(x:"b c")}`, `{a(x:"b  c")}`},
		{`{a(x:["" "b"])}`, `{a(x:["""b"])}`}, {`{a(x:1 ... b)}`, `{a(x:1...b)}`}, {`{a(x:"#b")}`, `{a(x:"")}`}, {`{é}`, `{è}`},
	} {
		a, aOK := normalise(pair[0])
		b, bOK := normalise(pair[1])
		if a == b && aOK && bOK {
			t.Errorf("%s and %s are both %s", pair[0], pair[1], a)
		}
	}
	for _, text := range []string{`{a(x:")}`, `{a(x:"""b"")}`, "{a(x:\"b\n\")}"} {
		if got, ok := normalise(text); ok {
			t.Errorf("normalise(%s) = %s", text, got)
		}
	}
}

func BenchmarkCacheGet(b *testing.B) {
	const text = `subscription OnOrder($id: ID!) { order(id: $id) { id total status customer { name city } items { sku quantity price } createdAt updatedAt } }`
	c := NewCache(0)
	c.Put(1, text, "", compiled(b, text))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.Get(1, text, ""); !ok {
			b.Fatal("not found")
		}
	}
}
