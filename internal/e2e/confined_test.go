//go:build linux && confined

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

const nobody = 65532 // the user that images without a system have

// confine is a shell's script that runs a command as a user without rights where nothing can be written but what is in $free. It runs $copy in place of the
// command's program, since that user can't look into the folders of the tests.
const confine = `
set -e
mount --bind "$free" "$free"
awk '{print $5}' /proc/self/mountinfo | while read -r m; do
	if [ "$m" != "$free" ]; then mount -o remount,ro,bind "$m" 2>/dev/null || true; fi
done
if touch /etc/written "$dir/written" 2>/dev/null; then echo "panic: not read-only"; exit 1; fi
cd "$free"
export HOME="$free" TMPDIR="$free"
umask 022
exec setpriv --reuid=65532 --regid=65532 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$copy" "$@"
`

// Ringway needs no rights and no file that it can write, and leaves nothing behind: it serves, tells of itself, takes over a changed configuration and
// ends as a user without capabilities for whom all file systems are read-only, but for an empty folder: its home, its place for temporary files, and where it is. All
// that ever is in there is its unix socket, which nobody else may write to.
func TestNeedsNoRightsAndWritesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test makes file systems read-only and becomes another user, for which it must be root")
	}
	dir, err := os.MkdirTemp("", "ringway-confined-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	free, copied, config := filepath.Join(dir, "free"), filepath.Join(dir, "ringway"), filepath.Join(dir, "proxy.yml")
	copyFile(t, program, copied, 0o755)
	if err := os.Mkdir(free, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, free, config} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{"free": free, "copy": copied, "dir": dir} {
		t.Setenv(name, value)
	}

	nodes := addresses(servers(t, 3))
	socket := filepath.Join(free, "socket")
	options := map[string]string{"users": `[{name: default, rules: "off"}, {name: app, password: secret, rules: "~* +@all"}]`}
	r := serveWith(t, setup{threads: 2, config: config, under: []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", confine}},
		pool{nodes: nodes}, pool{nodes: nodes, options: options}, pool{nodes: nodes, listen: "unix://" + socket})

	status := readProc(t, r.Pid(), "status")
	for _, line := range []string{
		fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", nobody), fmt.Sprintf("Gid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", nobody),
		"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n",
	} {
		if !strings.Contains(status, line) {
			t.Errorf("the process is not confined: %q is not in\n%s", line, status)
		}
	}

	c := redistest.Dial(t, r.addr())
	for i := range 200 {
		k := fmt.Sprintf("key:%d", i)
		if got := c.Do("SET", k, "v"); got != "+OK\r\n" {
			t.Fatalf("SET: %q", got)
		}
		for range 10 { // of one key: it becomes hot
			if got := c.Do("GET", "key:0"); got != "$1\r\nv\r\n" {
				t.Fatalf("GET: %q", got)
			}
		}
	}
	user := redistest.Dial(t, r.addrs[1])
	if got := user.Do("AUTH", "app", "secret"); got != "+OK\r\n" {
		t.Errorf("AUTH: %q", got)
	}
	for _, path := range []string{"/metrics", "/readyz", "/api/v1/status"} {
		resp, err := http.Get(r.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}

	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		t.Errorf("the unix socket has mode %v", info.Mode())
	}
	onUnix, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	onUnix.Close()

	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), "timeout: 10s", "timeout: 11s")), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Signal(syscall.SIGHUP)
	redistest.WaitFor(t, "the changed configuration to be taken over", func() bool {
		return strings.Contains(user.Do("RINGWAY", "CONFIG"), "11s")
	})

	for _, file := range listed(t, free) {
		if file != "socket" {
			t.Errorf("%s was written", file)
		}
	}
	r.Signal(syscall.SIGTERM)
	<-r.Exited()
	if left := listed(t, free); len(left) > 0 {
		t.Errorf("it left %v behind", left)
	}
	for _, trouble := range []string{"read-only file system", "permission denied", "operation not permitted"} {
		if strings.Contains(strings.ToLower(r.Output()), trouble) {
			t.Errorf("it complains: %s", r.Output())
		}
	}
}

func listed(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}
