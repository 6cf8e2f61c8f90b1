// Command warm measures what clients see of a change from three nodes to four and of one from four to three, each with migration: off and
// with warm: two ringway processes in front of redis-servers, which read their new file 5 s apart, and clients that use them as a cache (GET,
// and SET of what was not found).
//
// It starts every process itself, on free loopback ports and in a temporary folder, and ends them. The curves go to warm-scaling.csv and
// warm-scaling.svg in the folder that it is given.
package main

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ringway/internal/redistest"
)

const (
	keys    = 60000
	clients = 8
	pace    = 4 * time.Millisecond // of a client, for a GET and what follows from it
	length  = 85                   // seconds
	first   = 10                   // the first process reads its file
	second  = 15                   // the second
)

// change is one of the number of nodes.
type change struct {
	name          string // in the table
	title         string
	before, after int
}

var changes = []change{
	{"3 to 4", "from three nodes to four", 3, 4},
	{"4 to 3", "from four nodes to three", 4, 3},
}

var modes = []string{"off", "warm"}

// bucket is what was seen in one second.
type bucket struct {
	hits, misses, older, errors atomic.Int64
	slowest                     atomic.Int64 // ns
}

// curves has the seconds of each change, by its name, and mode.
type curves map[string]map[string][]bucket

func main() {
	out := flag.String("out", "docs/bench", "folder for the curves")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "warm:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	dir, err := os.MkdirTemp("", "ringway-warm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "ringway")
	if b, err := exec.Command("go", "build", "-o", program, "./cmd/ringway").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build ringway: %w: %s", err, b)
	}
	all := curves{}
	for _, c := range changes {
		all[c.name] = map[string][]bucket{}
		for _, mode := range modes {
			if all[c.name][mode], err = measure(dir, program, c, mode); err != nil {
				return err
			}
		}
	}
	return write(out, all)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// processes are those that are killed at the end of a measurement.
type processes []*exec.Cmd

func (ps *processes) start(log string, name string, args ...string) (*exec.Cmd, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	*ps = append(*ps, cmd)
	return cmd, nil
}

func (ps processes) end() {
	for _, p := range ps {
		p.Process.Kill()
		p.Wait()
	}
}

func configFile(path, mode string, port int, nodes []int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "threads: 1\nadmin: {listen: \"\"}\npools:\n  - name: cache\n    listen: 127.0.0.1:%d\n    migration: {mode: %s, window: 40s, mover_rate: 1000}\n    backends:\n", port, mode)
	for i, n := range nodes {
		fmt.Fprintf(&b, "      - {name: n%d, address: 127.0.0.1:%d}\n", i, n)
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

// measure runs a change.
func measure(dir, program string, of change, mode string) ([]bucket, error) {
	var ps processes
	defer func() { ps.end() }()
	var nodes []int
	for i := range max(of.before, of.after) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, port)
		if _, err := ps.start(filepath.Join(dir, fmt.Sprint("redis", i)), "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--dir", dir); err != nil {
			return nil, err
		}
	}
	var addresses, files []string
	var routers []*exec.Cmd
	var ports []int
	for i := range 2 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, fmt.Sprintf("%s%d.yml", mode, i))
		if err := configFile(file, mode, port, nodes[:of.before]); err != nil {
			return nil, err
		}
		cmd, err := ps.start(filepath.Join(dir, fmt.Sprintf("%s%d.log", mode, i)), program, "-c", file)
		if err != nil {
			return nil, err
		}
		ports, routers, files = append(ports, port), append(routers, cmd), append(files, file)
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
	}
	for _, a := range addresses {
		if err := serves(a); err != nil {
			return nil, err
		}
	}
	versions := make([]atomic.Int64, keys)
	c, err := redistest.Connect(addresses[0])
	if err != nil {
		return nil, err
	}
	for k := range keys {
		c.Send("SET", fmt.Sprint("key:", k), "0")
		if k%500 == 499 {
			if err := c.TryFlush(); err != nil {
				return nil, err
			}
			for range 500 {
				if _, err := c.TryRecv(nil); err != nil {
					return nil, err
				}
			}
		}
	}
	c.Close()
	curve := make([]bucket, length)
	began := time.Now()
	var done sync.WaitGroup
	for i := range clients {
		done.Go(func() { load(addresses[i%2], curve, versions, began) })
	}
	for i, at := range []int{first, second} {
		time.Sleep(time.Until(began.Add(time.Duration(at) * time.Second)))
		if err := configFile(files[i], mode, ports[i], nodes[:of.after]); err != nil {
			return nil, err
		}
		if err := routers[i].Process.Signal(syscall.SIGHUP); err != nil {
			return nil, err
		}
	}
	done.Wait()
	for i, which := range []string{"first", "second"} {
		log, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s%d.log", mode, i)))
		fmt.Printf("--- %s, migration: %s, the %s process said\n%s", of.name, mode, which, log)
	}
	return curve, nil
}

// serves waits until a pool is served.
func serves(addr string) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		c, err := redistest.Connect(addr)
		if err != nil {
			continue
		}
		reply, err := c.TryDo("SET", "first", "1")
		c.Close()
		if err == nil && reply == "+OK\r\n" {
			return nil
		}
	}
	return fmt.Errorf("%s serves nothing", addr)
}

// load is one client. A value is a version, which grows with each SET of the key; floor is the youngest that was acknowledged or returned.
func load(addr string, curve []bucket, floor []atomic.Int64, began time.Time) {
	c, err := redistest.Connect(addr)
	if err != nil {
		return
	}
	defer c.Close()
	for n := 0; ; n++ {
		time.Sleep(time.Until(began.Add(time.Duration(n) * pace)))
		at := int(time.Since(began) / time.Second)
		if at >= length {
			return
		}
		b := &curve[at]
		k := rand.IntN(keys)
		name := fmt.Sprint("key:", k)
		least := floor[k].Load()
		start := time.Now()
		reply, err := c.TryDo("GET", name)
		took := int64(time.Since(start))
		for {
			s := b.slowest.Load()
			if took <= s || b.slowest.CompareAndSwap(s, took) {
				break
			}
		}
		switch {
		case err != nil || reply[0] == '-':
			b.errors.Add(1)
			if err != nil {
				return
			}
			continue
		case reply == "$-1\r\n":
			b.misses.Add(1)
		default:
			b.hits.Add(1)
			_, body, _ := strings.Cut(reply, "\r\n")
			v, _ := strconv.ParseInt(strings.TrimSpace(body), 10, 64)
			if v < least {
				b.older.Add(1)
			}
			raise(&floor[k], v)
			if rand.IntN(20) > 0 {
				continue
			}
		}
		v := time.Since(began).Nanoseconds()
		if reply, err := c.TryDo("SET", name, strconv.FormatInt(v, 10)); err == nil && reply == "+OK\r\n" {
			raise(&floor[k], v)
		}
	}
}

// raise notes the youngest version. Two clients that SET a key in the same millisecond may be taken for an older read; with so many keys they
// do not.
func raise(at *atomic.Int64, v int64) {
	for have := at.Load(); have < v && !at.CompareAndSwap(have, v); have = at.Load() {
	}
}

func (b *bucket) ratio() float64 {
	h, m := float64(b.hits.Load()), float64(b.misses.Load())
	if h+m == 0 {
		return 0
	}
	return 100 * h / (h + m)
}

func write(out string, all curves) error {
	var csv strings.Builder
	csv.WriteString("change,second,off_hits,off_misses,off_older,off_errors,off_slowest_ms,warm_hits,warm_misses,warm_older,warm_errors,warm_slowest_ms\n")
	for _, c := range changes {
		for i := range length {
			fmt.Fprintf(&csv, "%s,%d", c.name, i)
			for _, mode := range modes {
				b := &all[c.name][mode][i]
				fmt.Fprintf(&csv, ",%d,%d,%d,%d,%.1f", b.hits.Load(), b.misses.Load(), b.older.Load(), b.errors.Load(), b.slowestMS())
			}
			csv.WriteByte('\n')
		}
		for _, mode := range modes {
			fmt.Printf("%s, migration: %-4s  %s\n", c.name, mode, summary(all[c.name][mode]))
		}
	}
	if err := os.WriteFile(filepath.Join(out, "warm-scaling.csv"), []byte(csv.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "warm-scaling.svg"), []byte(svg(all)), 0o644)
}

func (b *bucket) slowestMS() float64 { return float64(b.slowest.Load()) / 1e6 }

// summary has the worst second of a change beside what was before it. Its first second, of new connections, is left out.
func summary(curve []bucket) string {
	var before, since bucket
	for i := range curve {
		b := &curve[i]
		to := &since
		if i < first {
			to = &before
		}
		to.hits.Add(b.hits.Load())
		to.misses.Add(b.misses.Load())
		to.older.Add(b.older.Load())
		to.errors.Add(b.errors.Load())
		if i > 0 {
			to.slowest.Store(max(to.slowest.Load(), b.slowest.Load()))
		}
	}
	lowest, at := math.Inf(1), 0
	for i := first; i < len(curve); i++ {
		if r := curve[i].ratio(); r < lowest {
			lowest, at = r, i
		}
	}
	return fmt.Sprintf("lowest hit ratio %.2f%% of before (second %d), %d reads older than what had been seen, %d errors, slowest GET %.1f ms (before: %.1f ms)",
		100*lowest/before.ratio(), at, since.older.Load(), since.errors.Load(), since.slowestMS(), before.slowestMS())
}

// svg draws the hit ratios over time, a chart for each change.
func svg(all curves) string {
	const width, height, left, top, right, bottom = 900, 360, 60, 76, 24, 28
	const foot = 34 // of the picture: what the colours mean
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>Hit ratio over a change from three nodes to four, and back</title>
<style>
 .ground { fill: #ffffff; stroke: #d9dee5 }
 text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1f2730 }
 .head { font-size: 16px; font-weight: 600 }
 .grid { stroke: #d9dee5 }
 .off { stroke: #e8a33d; fill: none; stroke-width: 2 }
 .warm { stroke: #2f7df6; fill: none; stroke-width: 2 }
 @media (prefers-color-scheme: dark) { .ground { fill: #14181d; stroke: #333b45 } text { fill: #dde3ea } .grid { stroke: #333b45 } }
</style>
<rect class="ground" x="0.5" y="0.5" width="%d" height="%d" rx="6"/>
`, width, len(changes)*height+foot, width, len(changes)*height+foot, width-1, len(changes)*height+foot-1)
	for n, c := range changes {
		above := n * height
		x := func(i int) float64 { return left + float64(i)*(width-left-right)/(length-1) }
		y := func(r float64) float64 { return float64(above) + top + (100-r)*(height-top-bottom)/40 } // from 60 to 100 %
		fmt.Fprintf(&b, `<text class="head" x="%d" y="%d">GETs that found something, in each second of a change %s</text>
<text x="%d" y="%d">two Ringways that read their new file at %d s and %d s</text>
`, left, above+32, c.title, left, above+52, first, second)
		for r := 60; r <= 100; r += 10 {
			fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%d %%</text>`+"\n",
				left, width-right, y(float64(r)), y(float64(r)), left-8, y(float64(r))+4, r)
		}
		for i := 0; i < length; i += 10 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d s</text>`+"\n", x(i), above+height-bottom+20, i)
		}
		for _, mode := range modes {
			var points []string
			for i := range all[c.name][mode] {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(max(all[c.name][mode][i].ratio(), 60))))
			}
			fmt.Fprintf(&b, `<polyline class="%s" points="%s"/>`+"\n", mode, strings.Join(points, " "))
		}
	}
	line := len(changes)*height + foot - 14
	for i, mode := range modes {
		at := 300 + 180*i
		fmt.Fprintf(&b, `<line class="%s" x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d">migration: %s</text>`+"\n", mode, at, at+30, line, line, at+38, line+4, mode)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
