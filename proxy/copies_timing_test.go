package proxy

import (
	"testing"

	"ringway/internal/command"
	"ringway/internal/redistest"
	"ringway/resp"
)

// What it adds to a request of one key that copies of hot keys lie among those of the clients, as in a Redis Cluster.
func BenchmarkMayNameACopy(b *testing.B) {
	srv := serve(b, nil, nodes(b, 1)...)
	request, scan, get := redistest.AppendCommand(nil, "GET", "key:000000000042"), &resp.RequestScanner{}, command.Lookup([]byte("GET"))
	if _, err := scan.Scan(request); err != nil {
		b.Fatal(err)
	}
	for _, among := range []bool{false, true} {
		b.Run(map[bool]string{false: "copies=elsewhere", true: "copies=here"}[among], func(b *testing.B) {
			b.ReportAllocs()
			w := srv.workers[0]
			done := make(chan struct{})
			w.loop.Post(func() {
				defer close(done)
				s := &Session{worker: w, pool: w.pools[0], user: w.pools[0].shared.guard.users.Default(), judged: among, amongCopies: among}
				for b.Loop() {
					if s.judged && !s.mayPlainly(get, &scan.Args) {
						b.Error("it is refused")
					}
				}
			})
			<-done
		})
	}
}
