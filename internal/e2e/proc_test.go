//go:build linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// rss returns the resident memory of a process, in bytes.
func rss(t testing.TB, pid int) int { t.Helper(); return status(t, pid, "VmRSS:") }

// status returns a size that the kernel tells of a process.
func status(t testing.TB, pid int, name string) int {
	t.Helper()
	for line := range strings.Lines(readProc(t, pid, "status")) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n * kib
		}
	}
	t.Fatalf("process %d has no %s it is gone", pid, name)
	return 0
}

// cpuTime returns the time that a process has spent on a processor, its own and the kernel's for it.
func cpuTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	stat := readProc(t, pid, "stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatalf("cannot read the times in %q", stat)
	}
	return time.Duration(user+system) * (time.Second / 100)
}

func openFiles(t testing.TB, pid int) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func readProc(t testing.TB, pid int, file string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// idleCPU watches a process that should have nothing to do, and fails the test if it uses more than a quarter of a
// processor.
func idleCPU(t testing.TB, pid int, state string) {
	t.Helper()
	const watch = time.Second
	before, start := cpuTime(t, pid), time.Now()
	time.Sleep(watch)
	used, took := cpuTime(t, pid)-before, time.Since(start)
	t.Logf("%s: %v of processor time in %v", state, used, took.Round(time.Millisecond))
	if used > took/4 {
		t.Errorf("%s: it spins: %v of processor time in %v", state, used, took)
	}
}

// peak follows the memory of a process until stop is called, which returns the highest value.
func peak(t testing.TB, pid int) (stop func() int) {
	quit, result := make(chan struct{}), make(chan int)
	go func() {
		highest := 0
		for {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err == nil {
				pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
				highest = max(highest, pages*os.Getpagesize())
			}
			select {
			case <-quit:
				result <- highest
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int { close(quit); return <-result }
}

// neighbours are clients which send one GET at a time and note how long each takes.
type neighbours struct {
	conns []*redistest.Conn
	keys  []string
}

func newNeighbours(t testing.TB, addr string, n int, keys []string) *neighbours {
	t.Helper()
	nb := &neighbours{keys: keys}
	for range n {
		nb.conns = append(nb.conns, redistest.Dial(t, addr))
	}
	for _, k := range keys {
		if got := nb.conns[0].Do("SET", k, "value of "+k); got != "+OK\r\n" {
			t.Fatalf("SET %s: %q", k, got)
		}
	}
	return nb
}

// p99 lets them work for a while and returns the 99th percentile. Every reply is checked.
func (nb *neighbours) p99(t *testing.T, during time.Duration) time.Duration {
	t.Helper()
	all := make([][]time.Duration, len(nb.conns))
	end := time.Now().Add(during)
	eachClient(t, len(nb.conns), func(id int) error {
		for n := id; time.Now().Before(end); n++ {
			k := nb.keys[n%len(nb.keys)]
			start := time.Now()
			reply, err := nb.conns[id].TryDo("GET", k)
			if err != nil {
				return err
			}
			if err := expect(reply, redistest.Bulk("value of "+k), "GET", k); err != nil {
				return err
			}
			all[id] = append(all[id], time.Since(start))
		}
		return nil
	})
	times := slices.Concat(all...)
	if len(times) == 0 {
		t.Fatal("no request was answered")
	}
	slices.Sort(times)
	return times[len(times)*99/100]
}

// within compares a latency with the undisturbed one. Only a full run, on a quiet machine, is strict; elsewhere the limit
// merely tells slow from stuck.
func within(t *testing.T, what string, got, alone time.Duration, factor float64) {
	t.Helper()
	ratio := float64(got) / float64(alone)
	t.Logf("%s: p99 %v, alone %v: %.2f times", what, got.Round(time.Microsecond), alone.Round(time.Microsecond), ratio)
	if full() && ratio > factor {
		t.Errorf("%s: p99 is %.2f times what it is alone, want at most %.1f", what, ratio, factor)
	}
	if got > time.Second {
		t.Errorf("%s: p99 is %v", what, got)
	}
}

func inMiB(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/mib) }
