package pool

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringway/internal/redistest"
)

// What the process pays for one health check of a node that lives. It is paid once per node and interval, whatever the number of clients is.
func BenchmarkCheck(b *testing.B) {
	n := NewNode("n", redistest.Server(b).Addr(), &Options{})
	c := &Check{How: Checking{Interval: time.Second, Timeout: 5 * time.Second, Failures: 3, Successes: 2}, node: n}
	defer c.hangUp()
	b.ReportAllocs()
	before := processTime(b)
	for range b.N {
		c.once(context.Background())
	}
	b.ReportMetric((processTime(b)-before).Seconds()*1e6/float64(b.N), "cpu-us/check")
	if c.failures > 0 || n.Successes() < b.N {
		b.Fatal("the checks failed")
	}
}

// processTime is the CPU time of this process.
func processTime(t testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
