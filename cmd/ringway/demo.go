package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"

	"ringway/internal/config"
	"ringway/proxy"
)

func demoCommand() *cobra.Command {
	var nodes, seconds, load int
	var listen, adminListen, mode string
	var hot bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Serve in front of in-process backends: no Redis needed",
		Long: "Demo starts small Redis-like servers inside this process (data is lost at the end) and serves them as one pool,\n" +
			"to see how a sharded pool feels to a client.\n\n" +
			"With --hot they take a few hundred commands a second each, half of what clients in this process ask for is one key, and it\n" +
			"is shown what each does, first with hot_keys off, then with them. It ends by itself.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if nodes < 1 || nodes > 64 {
				return fmt.Errorf("--nodes %d: expected 1 to 64", nodes)
			}
			if hot {
				if !cmd.Flags().Changed("nodes") {
					nodes = 8
				}
				if seconds < 1 {
					return fmt.Errorf("--seconds %d: expected 1 or more", seconds)
				}
				d, err := newHotDemo(cmd.OutOrStdout(), nodes, listen, adminListen)
				if err != nil {
					return err
				}
				defer d.fleet.Close()
				return d.run(cmd.Context(), mode, time.Duration(seconds)*time.Second)
			}
			yml, stop, err := startBackends(nodes, listen, adminListen)
			if err != nil {
				return err
			}
			defer stop()
			cfg, err := config.Parse("demo", []byte(yml))
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, newLogger(cfg.Log), "", func(srv *proxy.Server) {
				greet(cmd.OutOrStdout(), srv.Addr(0), adminListen, nodes)
				if load > 0 {
					startLoad(cmd.Context(), srv.Addr(0), load)
				}
			})
		},
	}
	c.Flags().IntVar(&nodes, "nodes", 3, "how many backends; 8 with --hot, unless it is said")
	c.Flags().BoolVar(&hot, "hot", false, "show what is done about a key that half of all requests are for")
	c.Flags().StringVar(&mode, "mode", "auto", "with --hot: the mode of hot_keys to show: auto, near, copies or collapse")
	c.Flags().IntVar(&seconds, "seconds", 20, "with --hot: how long it takes")
	c.Flags().IntVar(&load, "load", 0, "have clients in this process read so many keys a second, a third of them the same one, for the status page to show something")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:6380", "where clients connect")
	c.Flags().StringVar(&adminListen, "admin", "127.0.0.1:9121", "where the status page, /metrics and the health checks are; off for none")
	return c
}

// startBackends starts the in-process servers and writes the configuration of the pool in front of them.
func startBackends(n int, listen, adminListen string) (yml string, stop func(), err error) {
	var running []*miniredis.Miniredis
	stop = func() {
		for _, m := range running {
			m.Close()
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "admin: {listen: %q}\nlog: {level: warn}\npools:\n  - name: demo\n    listen: %q\n    backends:\n", adminListen, listen)
	for i := range n {
		m := miniredis.NewMiniRedis()
		if err := m.Start(); err != nil {
			stop()
			return "", nil, fmt.Errorf("cannot start in-process backend %d: %w", i, err)
		}
		running = append(running, m)
		fmt.Fprintf(&b, "      - {name: node-%d, address: %q}\n", i, m.Addr())
	}
	return b.String(), stop, nil
}

func greet(w io.Writer, addr, adminListen string, nodes int) {
	host, port, _ := strings.Cut(addr, ":")
	fmt.Fprintf(w, "Ringway serves %d in-process backends at %s. Try, in another terminal:\n\n", nodes, addr)
	fmt.Fprintf(w, "  redis-cli -h %s -p %s set greeting hello\n", host, port)
	fmt.Fprintf(w, "  redis-cli -h %s -p %s mset a 1 b 2 c 3 d 4\n", host, port)
	fmt.Fprintf(w, "  redis-cli -h %s -p %s mget a b c d\n", host, port)
	if adminListen != "" && adminListen != "off" {
		fmt.Fprintf(w, "\nand see in a browser what it does: http://%s/\n", adminListen)
	}
	fmt.Fprintf(w, "\nCtrl-C ends it; the data is gone with it.\n")
}

// startLoad has a few clients read keys of their own prefix, of which there are none, until the process ends. A third of the reads are of one key.
func startLoad(ctx context.Context, addr string, rate int) {
	const clients = 8
	for i := range clients {
		rng := rand.New(rand.NewPCG(uint64(i), 2))
		zipf := rand.NewZipf(rng, 1.1, 10, 1000)
		key := func(rng *rand.Rand) string {
			if rng.IntN(3) == 0 {
				return "demo:front-page"
			}
			return fmt.Sprint("demo:page:", zipf.Uint64())
		}
		go ask(ctx, addr, rng, float64(rate)/clients, key, func(time.Duration) {})
	}
}
