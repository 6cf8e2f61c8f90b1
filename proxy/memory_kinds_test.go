package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

func TestMemoryIsToldByKind(t *testing.T) {
	node := redistest.Server(t)
	srv := serve(t, nil, node.Addr())
	d := client(t, srv)
	d.Do("GET", "a")
	before := counted(srv)
	node.Stop()
	for i := range 3 { // one alone may not have so many in flight at first
		e := client(t, srv)
		for k := range 60 {
			e.Send("GET", fmt.Sprint(i, k)) // of one key, they would be answered together
		}
		e.Flush()
	}
	redistest.WaitFor(t, "the lane to hold them", func() bool { return counted(srv).LaneMemory > before.LaneMemory+2000 })
	d.SendRaw("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000\r\n" + strings.Repeat("x", 400_000)) // there is more to come
	d.Flush()
	redistest.WaitFor(t, "the client to hold it", func() bool { return counted(srv).ClientMemory > before.ClientMemory+400_000 })
	node.Cont()
	if before.ClientMemory == 0 || before.LaneMemory == 0 || before.SketchMemory == 0 {
		t.Errorf("it takes no memory: %d, %d, %d", before.ClientMemory, before.LaneMemory, before.SketchMemory)
	}
	m := srv.Memory()
	if all := m.Heap + m.Stacks + m.Runtime; all < m.Held/2 || all > m.Held*2 || m.Stacks == 0 || m.Runtime == 0 {
		t.Errorf("of %d in all: %+v", m.Held, m)
	}
}
