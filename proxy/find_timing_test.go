package proxy

import "testing"

func BenchmarkFind(b *testing.B) {
	srv := serve(b, nil, nodes(b, 3)...)
	keys := [][]byte{[]byte("key:000000000001"), []byte("key:000000000002"), []byte("user:{42}:name"), []byte("k")}
	onLoop(b, srv, func(w *worker) {
		ps := w.pools[0]
		sum := 0
		for i := range b.N {
			sum += ps.find(keys[i&3])
		}
		if sum < 0 {
			b.Fatal("never")
		}
	})
}
