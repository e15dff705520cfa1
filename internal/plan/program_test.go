package plan_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
)

// manyTypes is a schema whose interface has so many types.
func manyTypes(n int) string {
	var b strings.Builder
	b.WriteString("type Subscription { node: Node }\ninterface Node { id: ID! next: Node }\n")
	for i := range n {
		fmt.Fprintf(&b, "type T%d implements Node { id: ID! next: Node own%d: Int }\n", i, i)
	}
	return b.String()
}

// TestInterfacesDoNotMultiply compiles selections that would be types^depth objects if equal parts were not
// compiled once.
func TestInterfacesDoNotMultiply(t *testing.T) {
	s := mustSchema(t, manyTypes(12))
	document := "subscription { node { " + strings.Repeat("id next { ... on T3 { own3 } ", 18) + "id" + strings.Repeat(" }", 18) + " } }"
	b := mustBind(t, mustCompile(t, s, document), "", 0)
	data := `{"__typename":"T1","id":1,"next":{"__typename":"T3","own3":7,"id":2,"next":null}}`
	got := string(b.AppendPayload(nil, mustTape(t, data), jsontape.Root))
	if want := `{"data":{"node":{"id":"1","next":{"own3":7,"id":"2","next":null}}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestProgramsAreBounded compiles a selection whose every level differs for every type.
func TestProgramsAreBounded(t *testing.T) {
	s := mustSchema(t, manyTypes(40))
	var level func(depth int) string
	level = func(depth int) string {
		if depth == 0 {
			return "id"
		}
		var b strings.Builder
		for i := range 6 {
			fmt.Fprintf(&b, "... on T%d { next { %s } } ", i, level(depth-1))
		}
		return b.String() + "next { id " + strings.Repeat("x: id ", depth) + "}"
	}
	doc, errs := s.Parse("subscription { node { "+level(4)+" } }", gql.Limits{Bytes: 1 << 20, Tokens: 1 << 20, Depth: 100, Aliases: 1 << 20})
	if len(errs) > 0 {
		t.Fatal(errs[0])
	}
	op, opErr := doc.Operation("")
	if opErr != nil {
		t.Fatal(opErr)
	}
	_, err := plan.Compile(op, plan.Options{})
	if err != nil && err.(*gql.Error).Code != "LIMIT_EXCEEDED" {
		t.Fatal(err)
	}
	t.Logf("Compile: %v", err)
}

// TestManyFields selects more members than one scan looks for.
func TestManyFields(t *testing.T) {
	var sdl, selection, data, want strings.Builder
	for i := range 150 {
		fmt.Fprintf(&sdl, "f%d: Int! ", i)
		fmt.Fprintf(&selection, "f%d a%d: f%d ", i, i, i)
		fmt.Fprintf(&data, `,"f%d":%d`, i, i)
		fmt.Fprintf(&want, `,"f%d":%d,"a%d":%d`, i, i, i, i)
	}
	s := mustSchema(t, "type Subscription { wide: Wide } type Wide { "+sdl.String()+"}")
	doc, errs := s.Parse("subscription { wide { "+selection.String()+"} }", gql.Limits{Aliases: 1000})
	if len(errs) > 0 {
		t.Fatal(errs[0])
	}
	p, err := plan.Compile(doc.Operations[0], plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := mustBind(t, p, "", 0)
	tape, buf := mustTape(t, "{"+data.String()[1:]+"}"), make([]byte, 0, 1<<14)
	if got := string(b.AppendPayload(buf, tape, jsontape.Root)) + "}"; got != `{"data":{"wide":{`+want.String()[1:]+`}}}` {
		t.Errorf("got %s", got)
	}
	if n := testing.AllocsPerRun(10, func() { b.AppendPayload(buf, tape, jsontape.Root) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFieldErrorsAreBounded checks that one event cannot make a message many times its size.
func TestFieldErrorsAreBounded(t *testing.T) {
	s := mustSchema(t, shopSDL)
	data := `{"tags":["a"],"grid":[[` + strings.TrimSuffix(strings.Repeat(`"x",`, 5000), ",") + `]]}`
	got := payload(t, s, `subscription { order { grid } }`, "", data)
	if n := strings.Count(got, `"message"`); n != 100 {
		t.Errorf("%d errors, want 100", n)
	}
	if !strings.HasPrefix(got, `{"data":{"order":{"grid":[[null,null,`) {
		t.Errorf("got %.60s", got)
	}
}

func TestProjectionIsShared(t *testing.T) {
	s := mustSchema(t, filterSDL)
	p := mustCompile(t, s, `subscription($id: ID, $a: Boolean = true) { order(id: $id) { id total @include(if: $a) } }`)
	one, two, three := mustBind(t, p, `{"id":1}`, 0), mustBind(t, p, `{"id":2}`, 0), mustBind(t, p, `{"a":false}`, 0)
	if one.Projection != two.Projection || one.Projection == three.Projection {
		t.Error("projections are shared by other plans than those that differ in arguments only")
	}
}

// TestNumbersKeepTheirDigits: integers beyond 2^53 are exact.
func TestNumbersKeepTheirDigits(t *testing.T) {
	s := mustSchema(t, shopSDL)
	got := payload(t, s, `subscription { order { id extra } }`, "", `{"id":12345678901234567890,"extra":98765432109876543210.0100}`)
	if want := `{"data":{"order":{"id":"12345678901234567890","extra":98765432109876543210.0100}}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestInvalidNestedInput: what the standard makes a field error at execution is one here.
func TestInvalidNestedInput(t *testing.T) {
	s := mustSchema(t, `type Subscription { a: A } type A { b(x: Int! = 1): Int n(x: Int! = 1): Int! c: A }`)
	for _, c := range []struct{ document, want string }{
		{`subscription($v: Int = 1) { a { b(x: $v) } }`, `{"data":{"a":{"b":null}},"errors":[{"message":"The arguments of A.b are not valid: a variable is null where it may not be.","path":["a","b"],"extensions":{"code":"BAD_USER_INPUT"}}]}`},
		{`subscription($v: Int = 1) { a { c { n(x: $v) } } }`, `{"data":{"a":{"c":null}},"errors":[{"message":"The arguments of A.n are not valid: a variable is null where it may not be.","path":["a","c","n"],"extensions":{"code":"BAD_USER_INPUT"}}]}`},
		{`subscription($v: Boolean = true) { a { c { b @skip(if: $v) } } }`, `{"data":{"a":{"c":null}},"errors":[{"message":"A condition of @skip or @include in the selection is null.","path":["a","c"],"extensions":{"code":"BAD_USER_INPUT"}}]}`},
	} {
		if got := payload(t, s, c.document, `{"v":null}`, `{"b":1,"n":1,"c":{"n":1,"b":2}}`); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.document, got, c.want)
		}
	}
}

// TestBindConcurrently binds and projects one plan from several goroutines, with more variants than it keeps.
func TestBindConcurrently(t *testing.T) {
	s := mustSchema(t, shopSDL)
	var definitions, fields strings.Builder
	for i := range 7 {
		fmt.Fprintf(&definitions, "$v%d: Boolean! ", i)
		fmt.Fprintf(&fields, "a%d: count @include(if: $v%d) ", i, i)
	}
	p := mustCompile(t, s, `subscription(`+definitions.String()+`) { order { `+fields.String()+`} }`)
	tape := mustTape(t, `{"count":7}`)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 128 {
				var values, want []string
				for i := range 7 {
					values = append(values, fmt.Sprintf(`"v%d":%v`, i, n>>i&1 == 1))
					if n>>i&1 == 1 {
						want = append(want, fmt.Sprintf(`"a%d":7`, i))
					}
				}
				b := mustBind(t, p, "{"+strings.Join(values, ",")+"}", 0)
				if got := string(b.AppendPayload(nil, tape, jsontape.Root)); got != `{"data":{"order":{`+strings.Join(want, ",")+`}}` {
					t.Errorf("variant %b gives %s", n, got)
				}
			}
		})
	}
	wg.Wait()
}
