package e2e

import (
	"net"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// What systemd is told: ready when clients are accepted, reloading and ready again on SIGHUP, alive all the time, stopping.
func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	next := func(skip string) string {
		t.Helper()
		for b := make([]byte, 4096); ; {
			socket.SetReadDeadline(time.Now().Add(redistest.Patience))
			n, err := socket.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(b[:n]); text != skip {
				return text
			}
		}
	}
	r := serveWith(t, setup{under: []string{"env", "NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=30000"}}, pool{nodes: addresses(servers(t, 1))})
	const alive = "WATCHDOG=1"
	for _, step := range []struct {
		signal syscall.Signal
		want   []string
	}{
		{0, []string{`^READY=1$`, `^WATCHDOG=1$`}},
		{syscall.SIGHUP, []string{`^RELOADING=1\nMONOTONIC_USEC=\d+\n?$`, `^READY=1$`}},
		{syscall.SIGTERM, []string{`^STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining$`}},
	} {
		if step.signal != 0 {
			r.Signal(step.signal)
		}
		for _, want := range step.want {
			skip := alive
			if want == "^"+alive+"$" {
				skip = ""
			}
			if got := next(skip); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("got %q, want %s", got, want)
			}
		}
	}
	<-r.Exited()
	if code := r.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
