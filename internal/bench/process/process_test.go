package process

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestCPUClockAgreesWithProc(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Fatalf("this test reads /proc, and the benchmark needs Linux: %v", err)
	}
	fromStat := func() time.Duration {
		text, err := os.ReadFile("/proc/self/stat")
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		return time.Duration(user+system) * 10 * time.Millisecond
	}
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for now := before; now-before < 50*time.Millisecond; { // burn until the clock itself says so
		if now, err = CPUTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	low := fromStat()
	clock, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	high := fromStat()
	const ticks = 30 * time.Millisecond // user and system are each rounded to one
	if clock < low-ticks || clock > high+ticks {
		t.Fatalf("the clock says %v, /proc/self/stat between %v and %v", clock, low, high)
	}
}

func TestParseResident(t *testing.T) {
	got, err := parseResident("Name:\tx\nVmPeak:\t   9 kB\nVmRSS:\t    2904 kB\nThreads:\t1\n")
	if err != nil || got != 2904<<10 {
		t.Fatalf("got %d, %v", got, err)
	}
	if _, err := parseResident("Name:\tx\n"); err == nil {
		t.Fatal("a status without VmRSS is taken")
	}
}

func TestMachineIsShort(t *testing.T) {
	lines := Machine()
	if len(lines) < 2 || !regexp.MustCompile(`^.+, [0-9]+ cores?`).MatchString(lines[0]) {
		t.Fatalf("got %q", lines)
	}
}

func TestEndedSaysWhy(t *testing.T) {
	p, err := Start("broken", t.TempDir(), "redis-server", "--no-such-option", "1")
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	if err := p.Ended(); err == nil || !strings.Contains(err.Error(), "broken ended by itself") {
		t.Fatalf("got %v", err)
	}
}
