package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports come from below the range that systems use for outgoing connections, so that nobody's outgoing connection
// takes the port of a server while it is killed and not yet restarted.
const (
	firstPort = 12000
	lastPort  = 32000
)

var given struct {
	sync.Mutex
	ports map[int]bool
}

// FreePort returns a loopback TCP port that nobody listens on. The same process never gets the same one twice.
func FreePort(t testing.TB) int {
	t.Helper()
	given.Lock()
	defer given.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if given.ports[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		if given.ports == nil {
			given.ports = make(map[int]bool)
		}
		given.ports[port] = true
		return port
	}
	t.Fatalf("cannot find a free port between %d and %d", firstPort, lastPort)
	return 0
}
