package plan_test

import (
	"strings"
	"testing"
)

const comparisonSDL = `
type Subscription { order(where: W @where): Order }
type Order { id: ID }
input W { id: Ops or: [W!] not: W }
input Ops { eq: ID in: [ID!] ne: ID }
`

// TestComparisonsAreBounded: a message of 1 MiB could bring 40,000 comparisons, each to be evaluated per event.
func TestComparisonsAreBounded(t *testing.T) {
	p := mustCompile(t, mustSchema(t, comparisonSDL), `subscription($w: W) { order(where: $w) { id } }`)
	or := func(n int, one string) string {
		return `{"w":{"or":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}}`
	}
	for _, c := range []struct {
		variables string
		refused   bool
	}{
		{or(1000, `{"id":{"eq":"x"}}`), false},
		{or(1001, `{"id":{"eq":"x"}}`), true},
		{or(501, `{"not":{"id":{"eq":"x","ne":"y"}}}`), true},
		{`{"w":{"id":{"in":[` + strings.Repeat(`"x",`, 5000) + `"y"]}}}`, false},
	} {
		vars := mustVariables(t, p, c.variables)
		_, errs := p.Bind(vars, 0)
		if refused := len(errs) == 1 && errs[0].Code == "LIMIT_EXCEEDED"; refused != c.refused || len(errs) > 1 {
			t.Errorf("%.60s…: %v", c.variables, errs)
		}
		p.Requirements(vars)
	}
}
