package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ringway/internal/capped"
	"ringway/internal/config"
	"ringway/proxy"
	"ringway/resp"
)

// The demo of hot keys: nodes in this process that take so many commands a second, and clients of which half want one key. It begins with
// hot_keys off, turns them on with a reload, as an operator would, and shows what each node does.
//
//	clients --> [0 proxy] --> nodes
//	               ^             |
//	    reload ----/             \--> bars, twice a second

const (
	hotRate    = 500 // commands a second that a node takes
	hotClients = 64
	hotShare   = 0.5 // of the requests are for one key
	hotUse     = 0.8 // of what all nodes could take is what clients want
	hotName    = "front-page"
	coldKeys   = 10_000
	redraw     = 500 * time.Millisecond
)

// hotDemo is one run.
type hotDemo struct {
	fleet   *capped.Fleet
	srv     *proxy.Server
	listen  string
	admin   string
	out     io.Writer
	inPlace bool // out is a terminal
	drawn   int  // lines of the last picture

	answered, waited atomic.Uint64 // requests, and nanoseconds for all of them
	clients          sync.WaitGroup
}

// view is what was done in some time: by each node, and for clients, a second.
type view struct {
	mode    string
	loads   []float64
	rate    float64
	latency time.Duration
}

// unevenness is what the fullest node did over the mean.
func (v *view) unevenness() float64 {
	total := 0.0
	for _, n := range v.loads {
		total += n
	}
	if total == 0 {
		return 1
	}
	return slices.Max(v.loads) * float64(len(v.loads)) / total
}

func newHotDemo(out io.Writer, nodes int, listen, admin string) (*hotDemo, error) {
	fleet, err := capped.Start(nodes, capped.Options{Rate: hotRate, Filler: bytes.Repeat([]byte("x"), 100)})
	if err != nil {
		return nil, err
	}
	d := &hotDemo{fleet: fleet, listen: listen, admin: admin, out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		d.inPlace = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return d, nil
}

// config is that of the pool with a mode of hot_keys.
func (d *hotDemo) config(mode string) (*config.Config, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "admin: {listen: %q}\nlog: {level: error}\npools:\n  - name: demo\n    listen: %q\n    hot_keys: {mode: %s}\n    backends:\n", d.admin, d.listen, mode)
	for i, n := range d.fleet.Nodes {
		fmt.Fprintf(&b, "      - {name: node-%d, address: %q}\n", i, n.Addr())
	}
	return config.Parse("demo", []byte(b.String()))
}

// run serves, and shows what happens, until the time is up or ctx is done.
func (d *hotDemo) run(ctx context.Context, mode string, length time.Duration) error {
	cfg, err := d.config("off")
	if err != nil {
		return err
	}
	on, err := d.config(mode)
	if err != nil {
		return err
	}
	ctx, end := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer end()
	var failed error
	var shown sync.WaitGroup
	err = serve(ctx, cfg, newLogger(cfg.Log), "", func(srv *proxy.Server) {
		d.srv = srv
		d.startClients(ctx)
		shown.Go(func() {
			defer end()
			failed = d.show(ctx, on, mode, length)
		})
	})
	end()
	shown.Wait()
	d.clients.Wait()
	if err != nil {
		return err
	}
	return failed
}

// show is the course of the demo: two fifths of it without.
func (d *hotDemo) show(ctx context.Context, on *config.Config, mode string, length time.Duration) error {
	fmt.Fprintf(d.out, "%d nodes in this process take %d commands a second each. %d clients want %d values a second,\n"+
		"half of them the value of one key. Meanwhile, in another terminal: redis-cli -p %s HOTKEYS\n\n",
		len(d.fleet.Nodes), hotRate, hotClients, d.wanted(), d.srv.Addr(0)[strings.LastIndexByte(d.srv.Addr(0), ':')+1:])
	before := d.watch(ctx, "off", length*2/5)
	if ctx.Err() != nil {
		return nil
	}
	if err := d.srv.Reload(on); err != nil {
		return err
	}
	after := d.watch(ctx, mode, length*3/5)
	if ctx.Err() != nil {
		return nil
	}
	fmt.Fprintf(d.out, "\nhot_keys: %-8s  %s\nhot_keys: %-8s  %s\n", "off", before.sum(), mode, after.sum())
	return nil
}

// wanted is how many requests clients would make in a second if none had to wait.
func (d *hotDemo) wanted() int { return int(hotUse * hotRate * float64(len(d.fleet.Nodes))) }

// watch shows what happens for a while, and returns what did in the second half of it.
func (d *hotDemo) watch(ctx context.Context, mode string, length time.Duration) view {
	d.drawn = 0
	began := time.Now()
	last := d.look()
	half := last
	for left := length; left > 0; left = length - time.Since(began) {
		select {
		case <-time.After(min(redraw, left)):
		case <-ctx.Done():
			return d.since(half, mode)
		}
		now := d.look()
		v := since(last, now, mode)
		d.draw(&v, max(0, length-time.Since(began)))
		last = now
		if time.Since(began) <= length/2 {
			half = now
		}
	}
	return d.since(half, mode)
}

// look counts what was done until now.
type look struct {
	at               time.Time
	done             []uint64
	answered, waited uint64
}

func (d *hotDemo) look() look {
	l := look{at: time.Now(), answered: d.answered.Load(), waited: d.waited.Load()}
	for _, n := range d.fleet.Nodes {
		l.done = append(l.done, n.Done())
	}
	return l
}

func (d *hotDemo) since(from look, mode string) view { return since(from, d.look(), mode) }

func since(from, to look, mode string) view {
	seconds := to.at.Sub(from.at).Seconds()
	v := view{mode: mode, rate: float64(to.answered-from.answered) / seconds}
	for i := range to.done {
		v.loads = append(v.loads, float64(to.done[i]-from.done[i])/seconds)
	}
	if n := to.answered - from.answered; n > 0 {
		v.latency = time.Duration((to.waited - from.waited) / n)
	}
	return v
}

func (v *view) sum() string {
	return fmt.Sprintf("%5.0f requests/s, %s each; the fullest node has %.2f times the mean", v.rate, readable(v.latency), v.unevenness())
}

func readable(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// draw shows a view: as a picture that takes the place of the last, or in a line where there is no terminal.
func (d *hotDemo) draw(v *view, left time.Duration) {
	if !d.inPlace {
		var loads []string
		for _, n := range v.loads {
			loads = append(loads, fmt.Sprintf("%.0f", n))
		}
		fmt.Fprintf(d.out, "hot_keys: %-8s %5.0f requests/s, %s each; commands/s of each node: %s\n", v.mode, v.rate, readable(v.latency), strings.Join(loads, " "))
		return
	}
	var b strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.drawn)
	}
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\x1b[K\n", args...) }
	line("hot_keys: %s   %.0f requests/s, %s each   %.0f s", v.mode, v.rate, readable(v.latency), left.Seconds())
	const width = 44
	for i, n := range v.loads {
		full := ""
		if n > 0.97*hotRate {
			full = "  can't keep up"
		}
		length := min(int(n/hotRate*width*8+0.5), width*8)
		line("  node-%-2d %-*s %4.0f/s%s", i, width, strings.Repeat("█", length/8)+strings.TrimSpace(string([]rune(" ▏▎▍▌▋▊▉")[length%8])), n, full)
	}
	d.drawn = len(v.loads) + 1
	io.WriteString(d.out, b.String())
}

// startClients has clients ask, each for a value at random times unless it waits for the last, until ctx is done.
func (d *hotDemo) startClients(ctx context.Context) {
	each := float64(d.wanted()) / hotClients
	for i := range hotClients {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		d.clients.Go(func() {
			ask(ctx, d.srv.Addr(0), rng, each, anyKey, func(took time.Duration) {
				d.waited.Add(uint64(took))
				d.answered.Add(1)
			})
		})
	}
}

// ask is a client that gets one key after the other, so many a second unless it waits for the last, until ctx is done or the connection is lost.
func ask(ctx context.Context, addr string, rng *rand.Rand, each float64, key func(*rand.Rand) string, answered func(took time.Duration)) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	r := bufio.NewReader(c)
	due := time.Now()
	for ctx.Err() == nil {
		due = due.Add(time.Duration(rng.ExpFloat64() / each * 1e9))
		if now := time.Now(); due.Before(now) {
			due = now // what was missed is not made up for
		}
		time.Sleep(time.Until(due))
		began := time.Now()
		if _, err := c.Write(resp.AppendCommand(nil, "GET", key(rng))); err != nil {
			return
		}
		if err := skipBulk(r); err != nil {
			return
		}
		answered(time.Since(began))
	}
}

func anyKey(rng *rand.Rand) string {
	if rng.Float64() < hotShare {
		return hotName
	}
	return "page:" + strconv.Itoa(rng.IntN(coldKeys))
}

// skipBulk reads a reply to GET.
func skipBulk(r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if line[0] != '$' || err != nil {
		return fmt.Errorf("the reply to GET is %q", line)
	}
	if n >= 0 {
		_, err = r.Discard(n + 2)
	}
	return err
}
