package metrics

import "math/bits"

// Widths counts requests by how many parts they had: up to 1, 2, 4 and so on, and more than all that.
type Widths struct {
	Buckets [widthBuckets]uint64
	Sum     uint64 // parts
}

const widthBuckets = 10

// widthBound is the most parts that a request of the bucket has, but for the last bucket.
func widthBound(i int) int { return 1 << i }

// FanOut counts a request that was made into so many parts.
func (p *Pool) FanOut(parts int) {
	p.Parts += uint64(parts)
	p.Widths.Sum += uint64(parts)
	p.Widths.Buckets[min(bits.Len(uint(max(parts, 1)-1)), widthBuckets-1)]++
}

func (w *Widths) add(o *Widths) {
	for i, n := range o.Buckets {
		w.Buckets[i] += n
	}
	w.Sum += o.Sum
}
