package fraiseql_test

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

// BenchmarkSetSchema puts another schema under 10,000 live subscriptions: of one group, and each with variables of its own.
// While it runs a channel's publishers wait for one group at a time.
func BenchmarkSetSchema(b *testing.B) {
	const subscriptions = 10_000
	for name, groups := range map[string]int{"groups=1": 1, "groups=10000": subscriptions} {
		b.Run(name, func(b *testing.B) {
			e := withSchema(b, versioned(0))
			for i := range subscriptions {
				if _, err := e.Register(b.Context(), fraiseql.Registration{
					ConnectionID: fmt.Sprint(i), SubscriptionID: "s", Query: `subscription($r: ID) { message(room: $r) { n v } }`, Variables: fmt.Appendf(nil, `{"r":"%d"}`, i%groups),
				}); err != nil {
					b.Fatal(err)
				}
			}
			version := 0
			for b.Loop() {
				version++
				setSchema(b, e, versioned(version), subscriptions, 0)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscriptions), "ns/subscription")
		})
	}
}
