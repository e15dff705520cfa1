package loadgen

import (
	"math/bits"
	"time"
)

// histogram counts durations in microseconds with a relative error below 1/64: each power of two is cut into
// 64 equal parts, as in HdrHistogram. Values up to 2⁴⁰ µs.
type histogram struct {
	counts   [histogramSize]uint64
	n        uint64
	sum      uint64
	min, max uint64
}

const (
	subBits       = 6
	subCount      = 1 << subBits
	histogramSize = (40 - subBits + 1) * subCount
)

// bucket returns the index of a value: values below 64 have their own, later ones share.
func bucket(v uint64) int {
	if v < subCount {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return min((shift+1)<<subBits+int(v>>shift)-subCount, histogramSize-1)
}

// upper returns the largest value of a bucket.
func upper(i int) uint64 {
	if i < subCount {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return uint64(i&(subCount-1)+subCount+1)<<shift - 1
}

func (h *histogram) record(d time.Duration) {
	v := uint64(max(d.Microseconds(), 0))
	h.counts[bucket(v)]++
	if h.n == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.n++
	h.sum += v
}

func (h *histogram) merge(o *histogram) {
	if o.n == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	if h.n == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.n += o.n
	h.sum += o.sum
}

// quantile returns the value that a fraction q of all values does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.n)+0.999999), 1)
	for i, c := range h.counts {
		if c >= rank {
			return time.Duration(max(h.min, min(upper(i), h.max))) * time.Microsecond
		}
		rank -= c
	}
	return time.Duration(h.max) * time.Microsecond
}

func (h *histogram) mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum/h.n) * time.Microsecond
}
