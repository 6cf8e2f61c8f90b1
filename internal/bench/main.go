// Command bench measures Ringway end to end beside its peers: the same three redis-servers, one proxy after the
// other in front of them, redis-benchmark as the clients.
//
// What one request costs a proxy is read from the kernel's clock of its process, so the figure does not depend on
// how fast the clients or the servers are. Machines are never quite idle, hence the contenders take turns within a
// round and are compared within that round only: read the ratios, then the absolute figures.
//
// It starts every process itself, on free loopback ports and in a temporary folder, and leaves neither behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"ringway/internal/bench/process"
)

// The main goroutine starts all processes and asks the kernel to end them should this one vanish. The kernel goes
// by the thread that started them, so that thread must live as long as the program does.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench: interrupted; nothing written, all processes ended")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// fullOut is where a whole run leaves its results when -out is not given.
const fullOut = "docs/bench"

type options struct {
	rounds     int
	scale      float64
	scenarios  []scenario
	contenders []*contender
	tls        bool
	out        string // folder for the results; empty: print only
	notes      []string
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	opt, err := parse(args, os.Getenv, progress)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if err := locate(ctx, opt.contenders, progress); err != nil {
		return err
	}
	rep := &report{
		Date: time.Now().Format("2006-01-02"), Rounds: opt.rounds, Notes: opt.notes,
		Machine: process.Machine(), Versions: versions(opt.contenders), TLS: opt.tls,
	}
	if err := measureAll(ctx, opt, rep, progress); err != nil {
		return err
	}
	rep.Targets = checkTargets(rep)
	rep.writeText(out)
	if opt.out != "" {
		if err := rep.save(opt.out); err != nil {
			return err
		}
		fmt.Fprintf(progress, "written: %s\n", filepath.Join(opt.out, rep.name()+".{md,svg,json}"))
	}
	return rep.failure()
}

func parse(args []string, getenv func(string) string, usage io.Writer) (options, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(usage)
	var (
		opt     options
		quick   = fs.Bool("quick", false, "two rounds of a third of the requests: a first look, not a result")
		pattern = fs.String("scenarios", "", "run only the scenarios whose id matches this `regexp` ("+strings.Join(scenarioIDs(), " ")+")")
		list    = fs.String("contenders", "", "comma separated `list` of name or name=binary; a name is a kind ("+strings.Join(kindNames(), " ")+
			"), or a kind, a dash and any word, to compare two builds: ringway=bin/ringway,ringway-old=/tmp/old,twemproxy")
		ringway = fs.String("ringway", "bin/ringway", "the ringway `binary` to measure")
		secured = fs.Bool("tls", false, "measure what TLS costs, beside haproxy doing it for twemproxy, in place of the rest")
		dir     = fs.String("out", "", "`folder` for results.md, results.svg and results.json (default "+fullOut+
			" for a whole run; a run narrowed by other flags only prints)")
	)
	fs.IntVar(&opt.rounds, "rounds", 5, "rounds; every contender runs once in each")
	fs.Float64Var(&opt.scale, "requests", 1, "scale of the requests of a run; 1 is about 1.5 s of them")
	if err := fs.Parse(args); err != nil {
		return opt, err
	}
	if fs.NArg() > 0 {
		return opt, fmt.Errorf("unexpected argument %q: everything is said with flags (-help lists them)", fs.Arg(0))
	}
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if *quick {
		if !set["rounds"] {
			opt.rounds = 2
		}
		opt.scale *= 0.3
	}
	if opt.rounds < 1 || opt.scale <= 0 {
		return opt, errors.New("-rounds and -requests must be above zero")
	}
	re, err := regexp.Compile(*pattern)
	if err != nil {
		return opt, fmt.Errorf("cannot read -scenarios: %w", err)
	}
	opt.tls = *secured
	all, known := allScenarios(), kinds
	if opt.tls {
		all, known = tlsScenarios(), tlsKinds
	}
	for _, s := range all {
		if re.MatchString(s.ID) {
			opt.scenarios = append(opt.scenarios, s)
		}
	}
	if len(opt.scenarios) == 0 {
		return opt, fmt.Errorf("no scenario matches %q (known: %s)", *pattern, strings.Join(scenarioIDs(), ", "))
	}
	opt.contenders, opt.notes, err = chooseContenders(known, *list, *ringway, getenv("PREDIXY"))
	if err != nil {
		return opt, err
	}
	opt.out = *dir
	if !set["out"] && !*quick && !set["scenarios"] && !set["contenders"] && !set["requests"] {
		opt.out = fullOut
	}
	return opt, nil
}

// raiseFileLimit lets 1000 clients and their proxies have a descriptor each. Setting the limit by hand also makes
// the runtime hand it on to the processes we start.
func raiseFileLimit() error {
	const wanted = 8192
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	if lim.Max < wanted {
		return fmt.Errorf("at most %d open files are allowed here, the scenario of 1000 clients needs %d: raise the hard limit (ulimit -Hn)", lim.Max, wanted)
	}
	lim.Cur = max(lim.Cur, wanted)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("cannot raise the limit of open files: %w", err)
	}
	return nil
}
