package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are at most 1/64 wide, without allocating while it
// counts.
type histogram struct {
	counts [40 * 64]uint32
	n      uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(d)]++
	h.n++
	h.max = max(h.max, d)
}

// merge adds what another histogram counted.
func (h *histogram) merge(o *histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile is a duration that the share q of those counted do not exceed, within a bucket's width.
func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank, seen := uint64(q*float64(h.n-1)), uint64(0)
	for i, c := range h.counts {
		if seen += uint64(c); seen > rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// bucket is the index of a duration: 64 linear steps for each power of two nanoseconds.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 64 {
		return int(v)
	}
	shift := bits.Len64(v) - 7
	return min((shift+1)*64+int(v>>shift)-64, 40*64-1)
}

// upper is the largest duration of a bucket.
func upper(i int) time.Duration {
	if i < 64 {
		return time.Duration(i)
	}
	shift := i/64 - 1
	return time.Duration((uint64(i%64)+64+1)<<shift - 1)
}
