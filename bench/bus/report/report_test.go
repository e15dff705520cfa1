package report

import "testing"

func TestAdded(t *testing.T) {
	for _, c := range []struct {
		name       string
		own, other []float64
		want       float64
	}{
		{"nothing was measured", nil, nil, 0},
		{"one piece that stood still decides nothing", []float64{2, 3, 90}, []float64{1, 1, 1}, 2},
		{"pairs, not percentiles of all", []float64{10, 1, 5}, []float64{9, 3, 4}, 1},
		{"a piece without another is left out", []float64{2, 3, 4}, []float64{1, 1}, 2},
	} {
		if got := Added(c.own, c.other); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
