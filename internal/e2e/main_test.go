package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// program is the path of the ringway under test.
var program string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if dir, err := os.UserCacheDir(); err == nil { // where `make servers` puts what no distribution has
		os.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(dir, "ringway", "bin"))
	}
	if program = os.Getenv("RINGWAY_BIN"); program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ringway-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "ringway")
	if out, err := exec.Command("go", "build", "-o", program, "ringway/cmd/ringway").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build ringway: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// full says whether the acceptance list's own sizes and time limits are wanted.
func full() bool { return os.Getenv("RINGWAY_FULL") == "1" }

// size returns what is wanted in a full run, or in any other.
func size[T any](inFull, otherwise T) T {
	if full() {
		return inFull
	}
	return otherwise
}

// number reads a number from the environment.
func number(t testing.TB, name string, otherwise int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s=%q is not a number", name, s)
	}
	return n
}
