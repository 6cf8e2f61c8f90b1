package proxy

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// The server, its nodes' connections and the client live in this process, and the client allocates nothing: what is
// counted is what requests cost in the router. A few allocations are the runtime's own.
func TestRequestsDoNotAllocate(t *testing.T) { noAllocations(t, serve(t, nil, nodes(t, 3)...)) }

// Nor do those that are in the slow log.
func TestSlowRequestsDoNotAllocate(t *testing.T) {
	few := func(p *config.Pool) { p.SlowThreshold, p.SlowLength = 0, 128 } // whose memory is there when it is counted
	noAllocations(t, serve(t, onPool(few), nodes(t, 3)...))
}

// Nor do those of a user who may not do everything.
func TestJudgedRequestsDoNotAllocate(t *testing.T) {
	noAllocations(t, serve(t, withUsers(config.User{Name: "default", NoPassword: true, Rules: "~k*y:* ~x* +@all -@dangerous (~z +get)"}), nodes(t, 3)...))
}

func noAllocations(t *testing.T, srv *Server) {
	t.Helper()
	fill := client(t, srv)
	mget := []string{"MGET"}
	for i := range 10 {
		k := fmt.Sprint("key:", i)
		fill.Do("SET", k, fmt.Sprint("value ", i))
		mget = append(mget, k)
	}
	owners := map[int]bool{}
	for _, k := range mget[1:] {
		owners[ringOf(t, srv).Find([]byte(k))] = true
	}
	if len(owners) != 3 {
		t.Fatalf("the keys are on %d nodes", len(owners))
	}
	cases := []struct {
		name string
		args []string
	}{
		{"GET", []string{"GET", "key:1"}},
		{"SET", []string{"SET", "key:2", "value 2"}},
		{"SET_of_4_KiB", []string{"SET", "key:3", strings.Repeat("v", 4<<10)}},
		{"MGET_of_10", mget},
		{"MGET_of_1", mget[:2]},
		{"DEL_of_3", []string{"DEL", "x1", "x2", "x3"}},
		{"PING", []string{"PING"}},
	}
	for _, c := range cases {
		reply := fill.Do(c.args...)
		for _, depth := range []int{1, 16} {
			t.Run(fmt.Sprintf("cmd=%s/pipeline=%d", c.name, depth), func(t *testing.T) {
				requests := map[int]int{1: 8_000, 16: 20_000}[depth]
				var request []byte
				for range depth {
					request = redistest.AppendCommand(request, c.args...)
				}
				nc, err := net.Dial("tcp", srv.Addr(0))
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				answer := make([]byte, depth*len(reply))
				ask := func(n int) {
					for range n / depth {
						if _, err := nc.Write(request); err != nil {
							t.Fatal(err)
						}
						if _, err := io.ReadFull(nc, answer); err != nil {
							t.Fatal(err)
						}
					}
				}
				ask(requests / 10)
				least := requests
				for try := 0; try < 3 && least > requests/100; try++ { // the keys become hot once, and what is known of them is made then
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					ask(requests)
					runtime.ReadMemStats(&after)
					least = min(least, int(after.Mallocs-before.Mallocs))
				}
				if least > requests/100 {
					t.Errorf("%d allocations for %d requests", least, requests)
				}
				if string(answer[len(answer)-len(reply):]) != reply {
					t.Errorf("the last reply is %q", answer[len(answer)-len(reply):])
				}
			})
		}
	}
}
