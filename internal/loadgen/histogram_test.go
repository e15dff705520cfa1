package loadgen

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	last := -1
	for v := uint64(0); v < 1<<22; v += 1 + v/500 {
		i := bucket(v)
		if i < last || i > last+1 && v < 1<<12 {
			t.Fatalf("value %d has bucket %d after %d", v, i, last)
		}
		if u := upper(i); u < v || u > v+v/64+1 {
			t.Fatalf("value %d is counted up to %d", v, u)
		}
		last = i
	}
	if i := bucket(1 << 62); i != histogramSize-1 {
		t.Errorf("the largest value has bucket %d", i)
	}
}

// TestQuantiles compares with a sorted list, over two merged histograms.
func TestQuantiles(t *testing.T) {
	var parts [2]histogram
	var values []int
	for i := range 20_000 {
		v := int(rand.ExpFloat64() * 3000)
		values = append(values, v)
		parts[i%2].record(time.Duration(v) * time.Microsecond)
	}
	var h histogram
	h.merge(&parts[0])
	h.merge(&parts[1])
	h.merge(&histogram{})
	slices.Sort(values)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := float64(values[max(int(q*float64(len(values))+0.999)-1, 0)])
		got := float64(h.quantile(q).Microseconds())
		if got < want || got > want*1.02+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.min != uint64(values[0]) || h.max != uint64(values[len(values)-1]) || h.n != 20_000 {
		t.Errorf("min %d, max %d, n %d", h.min, h.max, h.n)
	}
	if (&histogram{}).quantile(0.5) != 0 || (&histogram{}).mean() != 0 {
		t.Error("an empty histogram has values")
	}
}
