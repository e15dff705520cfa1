package gql

import (
	"fmt"
	"strings"
	"testing"
)

// hostile returns documents within the limits of size that make naive rules slow.
func hostile() map[string]string {
	docs := map[string]string{}
	wrap := func(s string) string { return "subscription { ticker {" + s + "} }" }
	docs["one key many times!"] = wrap(strings.Repeat("id ", 4900))
	docs["one key many times, below the limit"] = wrap(strings.Repeat("id ", 190))
	docs["objects under one key!"] = wrap(strings.Repeat("lines { sku count sku count sku count } ", 190))
	docs["big objects under one key!"] = wrap(strings.Repeat("customer { "+strings.Repeat("id ", 48)+"} ", 190))
	docs["many aliases of objects"] = wrap(numbered(190, "a%d: customer { "+strings.Repeat("id ", 40)+"} "))
	docs["many fields of one key under many aliases"] = wrap(numbered(48, "a%d: customer { "+strings.Repeat("id ", 195)+"} "))
	docs["pairs of pairs"] = wrap(strings.Repeat("lines { sku }", 100) + strings.Repeat("customer { id }", 99) + strings.Repeat("id", 1))
	docs["inline fragments"] = wrap(strings.Repeat("... { ", 900) + "id" + strings.Repeat("}", 900))
	docs["inline fragments side by side!"] = wrap(strings.Repeat("... on Order { id } ", 1900))
	var b strings.Builder
	b.WriteString("subscription { ticker { ...F0 } }")
	for i := range 70 {
		fmt.Fprintf(&b, "fragment F%d on Order { id ", i)
		for j := i + 1; j < 70; j++ {
			fmt.Fprintf(&b, "...F%d ", j)
		}
		b.WriteString("}")
	}
	docs["fragments that spread all later ones!"] = b.String()
	b.Reset()
	b.WriteString("subscription { ticker { ...F0 } }")
	for i := range 30 {
		fmt.Fprintf(&b, "fragment F%d on Order { ...F%d ...F%d } ", i, i+1, i+1)
	}
	b.WriteString("fragment F30 on Order { id }")
	docs["fragments that double!"] = b.String()
	b.Reset()
	b.WriteString("query { ...F0 }")
	for i := range 18 {
		fmt.Fprintf(&b, "fragment F%d on Query { a: __schema { ...T } b: __schema { ...T } ...F%d } ", i, i+1)
	}
	b.WriteString("fragment F18 on Query { __typename } fragment T on __Schema { types { name } }")
	docs["fragments of introspection"] = b.String()
	docs["fragments in a ring"] = "subscription { ticker { ...F0 } }" + numbered(1200, "fragment F%[1]d on Order { ...F%[2]d } ") + "fragment F1200 on Order { ...F0 }"
	docs["variables"] = "subscription(" + numbered(1900, "$v%d: Int ") + ") { ticker { id } }"
	docs["variables in use"] = "subscription(" + numbered(900, "$v%d: String! ") + ") { ticker(symbol: $v1) { " + numbered(190, "a%[1]d: id @include(if: $v%[1]d) ") + "} }"
	docs["unknown fields"] = wrap(numbered(4000, "idd%d "))
	docs["unknown arguments"] = "subscription { ticker(" + numbered(2000, "limitt%d: 1 ") + ") { id } }"
	docs["unknown directives"] = wrap("id " + numbered(3000, "@skipp%d "))
	docs["operations that share a fragment!"] = numbered(600, "subscription S%d { ticker { ...F } } ") + "fragment F on Order { " + numbered(180, "a%d: id ") + "}"
	docs["operations"] = numbered(900, "subscription S%d { ticker { id } } ")
	docs["nested lists!"] = "subscription { orders(ids: " + strings.Repeat("[", 990) + strings.Repeat("]", 990) + ") { id } }"
	docs["long list"] = "subscription { orders(ids: [" + strings.Repeat("1 ", 9000) + "]) { id } }"
	docs["wrong list"] = "subscription { orders(ids: [" + strings.Repeat("A ", 9000) + "]) { id } }"
	docs["object members"] = "subscription { orders(where: {" + numbered(2400, "totall%d: 1 ") + "}) { id } }"
	docs["comments!"] = strings.Repeat("#\n", 30_000) + "subscription { ticker { id } }"
	docs["long name"] = wrap(strings.Repeat("x", 60_000))
	docs["deep selection!"] = wrap(strings.Repeat("customer {", 4000) + strings.Repeat("}", 4000))
	return docs
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if strings.Contains(format, "[2]") {
			fmt.Fprintf(&b, format, i, i+1)
		} else {
			fmt.Fprintf(&b, format, i)
		}
	}
	return b.String()
}

// BenchmarkParseHostile is the price of the worst that a client can send within the limits.
func BenchmarkParseHostile(b *testing.B) {
	s := mustLoad(b, ordersSDL)
	for name, doc := range hostile() {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				s.Parse(doc, Limits{})
			}
		})
	}
}
