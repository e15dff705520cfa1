package plan_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// whereMaker makes random filters over OrderWhere and events that often match.
type whereMaker struct{ rnd *rand.Rand }

func (m whereMaker) one(of ...any) any { return of[m.rnd.IntN(len(of))] }

func (m whereMaker) id() any   { return m.one("1", "2", 1, 2, "x") }
func (m whereMaker) text() any { return m.one("Rome", "Ulm", "Ro", "", "me") }
func (m whereMaker) int() any  { return m.rnd.IntN(4) }

func (m whereMaker) list(value func() any) []any {
	out := []any{}
	for range m.rnd.IntN(4) {
		out = append(out, value())
	}
	return out
}

func (m whereMaker) filter(depth int) map[string]any {
	out := map[string]any{}
	for range m.rnd.IntN(3) {
		n := m.rnd.IntN(8)
		if depth == 0 {
			n = m.rnd.IntN(5)
		}
		switch n {
		case 0:
			out["id"] = m.one(nil, map[string]any{"eq": m.id()}, map[string]any{"ne": m.id()}, map[string]any{"in": m.list(m.id)},
				map[string]any{"not_in": m.list(m.id)}, map[string]any{"exists": m.rnd.IntN(2) == 0}, map[string]any{"eq": m.id(), "ne": nil})
		case 1, 2:
			out["count"] = m.one(map[string]any{"eq": m.int()}, map[string]any{"gt": m.int(), "lte": m.int()}, map[string]any{"in": m.list(m.int)},
				map[string]any{"between": []any{m.int(), m.int()}}, map[string]any{})
		case 3, 4:
			out["customer"] = map[string]any{m.one("city", "zip").(string): m.one(map[string]any{"eq": m.text()},
				map[string]any{"startsWith": m.text()}, map[string]any{"contains": m.text(), "ends_with": m.text()}, nil)}
		case 5, 6:
			list := []any{}
			for range m.rnd.IntN(3) {
				list = append(list, m.filter(depth-1))
			}
			out[m.one("and", "or").(string)] = list
		case 7:
			out["not"] = m.filter(depth - 1)
		}
	}
	return out
}

func (m whereMaker) event() map[string]any {
	out := map[string]any{}
	for name, value := range map[string]any{
		"id": m.one(m.id(), nil, true), "count": m.one(m.int(), nil, 2.0, "text"),
		"customer": m.one(nil, "c", map[string]any{}, map[string]any{"city": m.text(), "postcode": m.text()}, map[string]any{"city": 5, "zip": "Rome"}),
	} {
		if m.rnd.IntN(5) > 0 {
			out[name] = value
		}
	}
	return out
}

// holds evaluates a filter on decoded JSON, as docs/reference/directives.md words it.
func holds(where map[string]any, data any, leaf func(path string, ops map[string]any, value any) bool, path string) bool {
	for name, value := range where {
		if value == nil {
			continue
		}
		ok := true
		switch name {
		case "and":
			for _, w := range value.([]any) {
				ok = ok && holds(w.(map[string]any), data, leaf, path)
			}
		case "or":
			ok = slices.ContainsFunc(value.([]any), func(w any) bool { return holds(w.(map[string]any), data, leaf, path) })
		case "not":
			ok = !holds(value.(map[string]any), data, leaf, path)
		default:
			member := name
			if path == "customer" && name == "zip" {
				member = "postcode"
			}
			object, _ := data.(map[string]any)
			if name == "customer" {
				ok = holds(value.(map[string]any), object[member], leaf, "customer")
			} else {
				ok = leaf(name, value.(map[string]any), object[member])
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// leafHolds evaluates the operators of one leaf. Values are coerced as results first: "" and false for none.
func leafHolds(name string, ops map[string]any, value any) bool {
	text, present := "", false
	switch v := value.(type) {
	case string:
		text, present = v, name != "count"
	case float64:
		text, present = fmt.Sprint(v), true
	case bool:
		text, present = fmt.Sprint(v), name != "id" && name != "count"
		if name == "count" {
			text, present = map[bool]string{true: "1", false: "0"}[v], true
		}
	}
	number := 0
	if _, err := fmt.Sscan(text, &number); err != nil && name == "count" {
		present = false
	}
	among := func(list any) bool {
		return slices.ContainsFunc(list.([]any), func(c any) bool { return present && fmt.Sprint(c) == text })
	}
	for op, c := range ops {
		if c == nil {
			continue
		}
		ok := false
		switch op {
		case "eq":
			ok = present && fmt.Sprint(c) == text
		case "ne":
			ok = !present || fmt.Sprint(c) != text
		case "in":
			ok = among(c)
		case "not_in":
			ok = !among(c)
		case "exists":
			ok = (value != nil) == c.(bool)
		case "gt":
			ok = present && number > c.(int)
		case "lte":
			ok = present && number <= c.(int)
		case "between":
			ok = present && number >= c.([]any)[0].(int) && number <= c.([]any)[1].(int)
		case "startsWith":
			ok = present && strings.HasPrefix(text, c.(string))
		case "ends_with":
			ok = present && strings.HasSuffix(text, c.(string))
		case "contains":
			ok = present && strings.Contains(text, c.(string))
		}
		if !ok {
			return false
		}
	}
	return true
}

// TestWhereAgreesWithOracle compares keys and predicates of random filters with an evaluation on decoded JSON.
func TestWhereAgreesWithOracle(t *testing.T) {
	p := mustCompile(t, mustSchema(t, filterSDL), `subscription($w: OrderWhere) { order(where: $w, size: null) { id } }`)
	m := whereMaker{rand.New(rand.NewPCG(7, 11))}
	matched := 0
	for range 3000 {
		where := m.filter(3)
		variables, err := json.Marshal(map[string]any{"w": where})
		if err != nil {
			t.Fatal(err)
		}
		b := mustBind(t, p, string(variables), 0)
		for range 5 {
			data, err := json.Marshal(m.event())
			if err != nil {
				t.Fatal(err)
			}
			var decoded any
			if err := json.Unmarshal(data, &decoded); err != nil {
				t.Fatal(err)
			}
			want := holds(where, decoded, leafHolds, "")
			if got := admits(t, b, string(data)); got != want {
				t.Fatalf("%s on %s: %v, want %v", variables, data, got, want)
			}
			if want {
				matched++
			}
		}
	}
	if matched < 1000 || matched > 14_000 {
		t.Errorf("%d of 15,000 match: the cases are too tame", matched)
	}
}
