//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"ringway/internal/redistest"
)

// With max_memory the process lives through clients that together ask for many times as much: uploads that are announced and half sent, and
// replies that nobody reads. Whoever holds little is served meanwhile.
func TestMemoryStaysBoundedUnderAbuse(t *testing.T) {
	const (
		limit   = 96 * kib * kib
		value   = 1 * kib * kib
		upload  = 160 // MB
		abusers = 8
	)
	nodes := servers(t, 2)
	r := serveWith(t, setup{threads: 2, top: "max_memory: 96mb\n"}, pool{nodes: addresses(nodes), options: map[string]string{"hot_keys": "off", "health_check": "off", "timeout": "0"}})
	warm(t, r.addr())
	keys := []string{"big"}
	for i := range 20 {
		keys = append(keys, fmt.Sprint("small", i))
	}
	small, owner := "", owners(t, r.addr(), nodes, keys)
	for _, k := range keys[1:] {
		if owner[k] != owner["big"] { // what comes behind big replies on one lane has to wait for them, limit or not
			small = k
		}
	}
	polite := redistest.Dial(t, r.addr())
	if got := polite.Do("SET", "big", strings.Repeat("x", value)); got != "+OK\r\n" {
		t.Fatalf("SET: %.60q", got)
	}
	met := func() float64 { return r.metric(t, `ringway_errors_total{kind="out_of_memory",pool="pool0"}`) }
	asked := 0
	// until has the polite client ask until something is so.
	until := func(what string, ok func() bool) {
		t.Helper()
		redistest.WaitFor(t, what, func() bool {
			if got := polite.Do("GET", small); got != "$-1\r\n" {
				t.Fatalf("GET of a client that holds little: %.100q", got)
			}
			asked++
			return ok()
		})
	}

	chunk := strings.Repeat("x", kib*kib)
	var uploads atomic.Int32
	for range abusers {
		uploads.Add(1)
		go func() {
			defer uploads.Add(-1)
			c, err := redistest.Connect(r.addr())
			if err != nil {
				return
			}
			defer c.Close()
			c.SendRaw(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nu\r\n$%d\r\n", upload*kib*kib))
			for range upload - 1 { // closed before that
				if c.SendRaw(chunk); c.TryFlush() != nil {
					return
				}
			}
		}()
	}
	until("the uploads to end", func() bool { return uploads.Load() == 0 })
	afterUploads := met()
	until("there to be enough memory again", func() bool { return r.metric(t, "ringway_memory_short") == 0 })

	var readers []*redistest.Conn
	for range abusers {
		c := redistest.Dial(t, r.addr())
		for range 64 {
			c.Send("GET", "big")
		}
		c.Flush()
		readers = append(readers, c)
	}
	until("a client to be closed that reads nothing", func() bool { return met() > afterUploads })
	until("there to be enough memory again", func() bool { return r.metric(t, "ringway_memory_short") == 0 })
	for _, c := range readers {
		c.Close()
	}

	peak := status(t, r.Pid(), "VmHWM:")
	t.Logf("at most %d MB in memory, of %d; %v uploads and %v readers had to go; %d requests of another client were answered", peak>>20, limit>>20,
		afterUploads, met()-afterUploads, asked)
	if peak > 5*limit { // it would be 1.3 GB without a limit; how much comes between two looks depends on the machine
		t.Errorf("at most %d MB were in memory, with max_memory of %d MB", peak>>20, limit>>20)
	}
	if afterUploads != abusers {
		t.Errorf("%v uploads were refused, of %d", afterUploads, abusers)
	}
	redistest.WaitFor(t, "new clients to be let in", func() bool { return redistest.Dial(t, r.addr()).Do("PING") == "+PONG\r\n" })
}
