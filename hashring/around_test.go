package hashring

import (
	"fmt"
	"math"
	"testing"
)

// A picture has each node's share, as nearly as its places allow.
func TestAroundShowsTheShares(t *testing.T) {
	nodes := []Node{{Name: "a", Weight: 1}, {Name: "b", Weight: 2}, {Name: "c", Weight: 5}}
	for _, distribution := range []string{"consistent", "ketama", "modula", "crc16"} {
		t.Run(distribution, func(t *testing.T) {
			r, err := New(nodes, Options{Distribution: distribution})
			if err != nil {
				t.Fatal(err)
			}
			const places = 4096
			counts := make([]float64, len(nodes))
			for _, n := range r.Around(places) {
				counts[n]++
			}
			for i, share := range r.Shares() {
				if math.Abs(counts[i]/places-share) > 0.02 {
					t.Errorf("%s has %.3f of the picture and %.3f of the keys", nodes[i].Name, counts[i]/places, share)
				}
			}
			if got := fmt.Sprint(r.Around(1), len(r.Around(0))); len(r.Around(1)) != 1 || r.Around(0) != nil {
				t.Error(got)
			}
		})
	}
	r, err := New(nodes, Options{Distribution: "random"})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Around(8); got != nil {
		t.Errorf("random: %v", got)
	}
}
