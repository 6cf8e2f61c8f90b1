package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ringway/internal/bench/process"
	"ringway/internal/capped"
	"ringway/internal/redistest"
)

// bench is one run of this program.
type bench struct {
	ctx      context.Context
	opt      options
	dir      string
	program  string // ringway
	out      io.Writer
	progress io.Writer
}

func newBench(ctx context.Context, opt options, out, progress io.Writer) (*bench, error) {
	b := &bench{ctx: ctx, opt: opt, out: out, progress: progress}
	var err error
	if b.dir, err = os.MkdirTemp("", "ringway-hot-"); err != nil {
		return nil, err
	}
	if b.program = opt.ringway; b.program != "" {
		b.program, err = filepath.Abs(b.program)
		return b, err
	}
	b.program = filepath.Join(b.dir, "ringway")
	if said, err := exec.Command("go", "build", "-o", b.program, "./cmd/ringway").CombinedOutput(); err != nil {
		return b, fmt.Errorf("cannot build ringway: %w: %s", err, said)
	}
	return b, nil
}

func (b *bench) close() { os.RemoveAll(b.dir) }

func (b *bench) say(text string, args ...any) { fmt.Fprintf(b.progress, text+"\n", args...) }

// pause waits, unless the run is interrupted.
func (b *bench) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}

// ringway is a process in front of nodes.
type ringway struct {
	*process.Process
	addr, admin string
}

var started int

// startRingway starts one. name is for its files.
func (b *bench) startRingway(mode string, threads int, nodes []string) (*ringway, error) {
	ports, err := process.FreePorts(2)
	if err != nil {
		return nil, err
	}
	r := &ringway{addr: fmt.Sprint("127.0.0.1:", ports[0]), admin: fmt.Sprint("127.0.0.1:", ports[1])}
	var yml strings.Builder
	fmt.Fprintf(&yml, "threads: %d\nadmin: {listen: %q}\nlog: {level: warn}\npools:\n  - name: bench\n    listen: %q\n", threads, r.admin, r.addr)
	fmt.Fprintf(&yml, "    timeout: 0\n    health_check: off\n    hot_keys: {mode: %s}\n    backends:\n", mode)
	for i, addr := range nodes {
		fmt.Fprintf(&yml, "      - {name: node-%d, address: %q}\n", i, addr)
	}
	started++
	name := fmt.Sprintf("ringway-%d", started)
	file := filepath.Join(b.dir, name+".yml")
	if err := os.WriteFile(file, []byte(yml.String()), 0o600); err != nil {
		return nil, err
	}
	if r.Process, err = process.Start(name, b.dir, b.program, "-c", file); err != nil {
		return nil, err
	}
	if err := process.Until(b.ctx, 10*time.Second, r.Ended, func() error { return process.Ping(ports[0]) }); err != nil {
		r.Stop()
		return nil, fmt.Errorf("ringway does not answer: %w", err)
	}
	return r, nil
}

// metric reads a figure of the admin address, the sum over all labels.
func (r *ringway) metric(name string) (sum float64, err error) {
	reply, err := http.Get("http://" + r.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("cannot read the metric %s: %w", name, err)
		}
		sum += v
	}
	return sum, nil
}

// nodes are what is behind.
type nodes interface {
	addrs() []string
	counts() ([]uint64, error) // commands that each was sent
	close()
}

// cappedNodes are in this process, and take so many commands a second each.
type cappedNodes struct{ *capped.Fleet }

const (
	rate  = 2000 // commands a second of a capped node
	value = "a value of thirty-two characters"
)

func startCapped(n int) (*cappedNodes, error) {
	// What many nodes have done in a tick goes out with as few writes as what few have: the cores are needed for the router.
	tick := max(time.Millisecond, time.Duration(n)*125*time.Microsecond)
	f, err := capped.Start(n, capped.Options{Rate: rate, Tick: tick, Filler: []byte(value)})
	return &cappedNodes{f}, err
}

func (n *cappedNodes) addrs() (list []string) {
	for _, node := range n.Nodes {
		list = append(list, node.Addr())
	}
	return list
}

func (n *cappedNodes) counts() ([]uint64, error) { return n.Received(), nil }
func (n *cappedNodes) close()                    { n.Close() }

// realNodes are redis-servers.
type realNodes struct {
	servers []*process.Process
	ports   []int
}

func (b *bench) startReal(n int) (*realNodes, error) {
	servers, ports, err := process.RedisServers(b.ctx, b.dir, n, nil)
	r := &realNodes{servers, ports}
	if err != nil {
		r.close()
	}
	return r, err
}

func (n *realNodes) addrs() (list []string) {
	for _, port := range n.ports {
		list = append(list, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return list
}

func (n *realNodes) close() {
	for _, p := range n.servers {
		p.Stop()
	}
}

// counts has INFO counted as well, which is one more each time.
func (n *realNodes) counts() ([]uint64, error) {
	var list []uint64
	for _, addr := range n.addrs() {
		info, err := ask(addr, "INFO", "stats")
		if err != nil {
			return nil, err
		}
		list = append(list, uint64(infoField(info, "total_commands_processed")))
	}
	return list, nil
}

// connections counts those of all servers, but for the one that asks.
func (n *realNodes) connections() (sum int, err error) {
	for _, addr := range n.addrs() {
		info, err := ask(addr, "INFO", "clients")
		if err != nil {
			return 0, err
		}
		sum += infoField(info, "connected_clients") - 1
	}
	return sum, nil
}

// commands counts what the servers have been asked by the name of the command, INFO left out.
func (n *realNodes) commands() (map[string]int, error) {
	sum := map[string]int{}
	for _, addr := range n.addrs() {
		info, err := ask(addr, "INFO", "commandstats")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(info) {
			name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
			if !ok || name == "info" {
				continue
			}
			calls, _, _ := strings.Cut(rest, ",")
			k, err := strconv.Atoi(calls)
			if err != nil {
				return nil, fmt.Errorf("cannot read %q", line)
			}
			sum[name] += k
		}
	}
	return sum, nil
}

func infoField(info, name string) int {
	_, rest, _ := strings.Cut(info, "\n"+name+":")
	text, _, _ := strings.Cut(rest, "\r")
	n, _ := strconv.Atoi(text)
	return n
}

// ask sends one command on a connection of its own and returns the reply, raw.
func ask(addr string, args ...string) (string, error) {
	c, err := redistest.Connect(addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.TryDo(args...)
}

// fill writes all keys through a Ringway, so that reads find something.
func (b *bench) fill(nodes []string) error {
	const batch = 1000
	r, err := b.startRingway("off", 1, nodes)
	if err != nil {
		return err
	}
	defer r.Stop()
	c, err := redistest.Connect(r.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	args := make([]string, 0, 2*batch+1)
	var reply []byte
	for i := 0; i < allKeys; i += batch {
		args = append(args[:0], "MSET")
		for k := i; k < i+batch; k++ {
			args = append(args, string(appendKey(nil, 0, uint32(k))), value)
		}
		c.Send(args...)
		if err := c.TryFlush(); err != nil {
			return err
		}
		if reply, err = c.TryRecv(reply[:0]); err != nil {
			return err
		}
		if string(reply) != "+OK\r\n" {
			return fmt.Errorf("MSET is answered with %q", reply)
		}
	}
	return nil
}
