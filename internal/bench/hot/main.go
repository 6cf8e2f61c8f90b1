// Command hot measures what is done about hot keys (docs/bench/hotkeys.md): what throughput nodes that can't keep up give with it and without, how evenly
// they are loaded, how soon a storm on one key is noticed and relieved, and what it costs when nothing is hot.
//
// Where throughput is compared the nodes are in this process and take 2000 commands a second each, for real servers on one machine share its
// processors, and none is ever the only one that is slow. Ringway is a process of its own in all parts, the clients are in this one. It starts
// every process itself, on free loopback ports and in a temporary folder, and leaves neither behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ringway/internal/bench/process"
)

// The main goroutine starts all processes and asks the kernel to end them should this one vanish. The kernel goes by the thread that
// started them.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "hot:", err)
		os.Exit(1)
	}
}

type options struct {
	parts     []string
	nodes     []int
	modes     []string
	workloads []workload
	rounds    int
	warm      time.Duration
	measure   time.Duration
	costs     int
	storms    int
	threads   int
	conns     int // for each node
	window    int
	ringway   string
	out       string
}

// parts are what can be measured.
var parts = []string{"gain", "real", "delay", "cost", "writes"}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	opt, err := parse(args, progress)
	if err != nil {
		return err
	}
	if opt.out != "" {
		if err := os.MkdirAll(opt.out, 0o755); err != nil {
			return err
		}
	}
	b, err := newBench(ctx, opt, out, progress)
	if b != nil {
		defer b.close()
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n%s\n\n", time.Now().Format("2006-01-02"), strings.Join(process.Machine(), "\n"))
	for _, part := range opt.parts {
		switch part {
		case "gain":
			err = b.gain()
		case "real":
			err = b.real()
		case "delay":
			err = b.delay()
		case "cost":
			err = b.cost()
		case "writes":
			err = b.writes()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

func parse(args []string, usage io.Writer) (options, error) {
	fs := flag.NewFlagSet("hot", flag.ContinueOnError)
	fs.SetOutput(usage)
	var opt options
	what := fs.String("parts", strings.Join(parts, ","), "what to measure: gain and balance in front of capped nodes; balance of real servers; how soon a storm "+
		"is relieved; the cost when nothing is hot; a hot key that is written as often as read")
	nodes := fs.String("nodes", "8,32", "numbers of capped nodes")
	modes := fs.String("modes", "off,collapse,near,copies,auto", "modes of hot_keys for gain and balance; gain is over the first")
	names := fs.String("workloads", "", "only these workloads, by their names with commas between (default all)")
	fs.IntVar(&opt.rounds, "rounds", 3, "rounds of gain, each with other keys, and of writes; the median counts")
	fs.DurationVar(&opt.warm, "warm", 3*time.Second, "how long clients send before it is measured")
	fs.DurationVar(&opt.measure, "measure", 5*time.Second, "for how long it is measured")
	fs.IntVar(&opt.costs, "costs", 300, "rounds of cost")
	fs.IntVar(&opt.storms, "storms", 20, "storms of each size that are noticed and relieved")
	fs.IntVar(&opt.threads, "threads", 2, "event loops of Ringway")
	fs.IntVar(&opt.conns, "conns", 8, "client connections for each capped node")
	fs.IntVar(&opt.window, "window", 8, "requests that each of them keeps in flight")
	fs.StringVar(&opt.ringway, "ringway", "", "the ringway `binary` to measure (default: it is built)")
	fs.StringVar(&opt.out, "out", "", "`folder` for hotkeys.csv and the pictures (default: they are not written)")
	if err := fs.Parse(args); err != nil {
		return opt, err
	}
	if fs.NArg() > 0 {
		return opt, fmt.Errorf("unexpected argument %q: everything is said with flags (-help lists them)", fs.Arg(0))
	}
	for part := range strings.SplitSeq(*what, ",") {
		if !slices.Contains(parts, part) {
			return opt, fmt.Errorf("-parts: unknown part %q (known: %s)", part, strings.Join(parts, ", "))
		}
		opt.parts = append(opt.parts, part)
	}
	for text := range strings.SplitSeq(*nodes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 2 || n > 64 {
			return opt, fmt.Errorf("-nodes: %q is no number of nodes from 2 to 64", text)
		}
		opt.nodes = append(opt.nodes, n)
	}
	opt.modes = strings.Split(*modes, ",")
	for _, w := range workloads {
		if *names == "" || slices.Contains(strings.Split(*names, ","), w.name) {
			opt.workloads = append(opt.workloads, w)
		}
	}
	if len(opt.workloads) == 0 {
		return opt, fmt.Errorf("-workloads: none is called %q", *names)
	}
	return opt, nil
}
