package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ringway/internal/config"
)

var errPlacedOtherwise = errors.New("some keys are placed otherwise")

func compareCommand() *cobra.Command {
	var keys, pool string
	c := &cobra.Command{
		Use:   "compare A B --keys FILE",
		Short: "Say whether two configurations place keys on the same servers",
		Long: "Compare finds the server of each key of a file, one key a line (- is the standard input), by two configurations: each a proxy.yml,\n" +
			"a nutcracker.yml, a predixy.conf or an Envoy bootstrap file. Servers are the same if they have the same address. It prints the keys that differ, and\n" +
			"then exits with 1. Pools are compared by their names, or the only ones that listen with each other.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, files []string) error {
			if keys == "" {
				return errors.New("no keys given: say --keys FILE, with a key in each line")
			}
			in := cmd.InOrStdin()
			if keys != "-" {
				f, err := os.Open(keys)
				if err != nil {
					return fmt.Errorf("cannot read the keys: %w", err)
				}
				defer f.Close()
				in = f
			}
			var sides [2]*config.Config
			for i, file := range files {
				var err error
				if sides[i], err = config.Load(file); err != nil {
					return err
				}
			}
			pairs, err := pairPools(sides, pool)
			if err != nil {
				return err
			}
			return compareKeys(cmd.OutOrStdout(), in, sides, pairs)
		},
	}
	c.Flags().StringVar(&keys, "keys", "", "file with a key in each line, or -")
	c.Flags().StringVar(&pool, "pool", "", "only this pool, or A=B for pools with other names")
	return c
}

// pairPools gives the pools to be compared with each other.
func pairPools(sides [2]*config.Config, named string) (pairs [][2]*config.Pool, err error) {
	var listening [2][]*config.Pool
	for i, cfg := range sides {
		for j := range cfg.Pools {
			if p := &cfg.Pools[j]; p.Listen != "" {
				listening[i] = append(listening[i], p)
			}
		}
	}
	if len(listening[0]) == 1 && len(listening[1]) == 1 && named == "" {
		return [][2]*config.Pool{{listening[0][0], listening[1][0]}}, nil
	}
	find := func(side int, name string) *config.Pool {
		for i := range sides[side].Pools {
			if p := &sides[side].Pools[i]; p.Name == name {
				return p
			}
		}
		return nil
	}
	add := func(a, b string) error {
		pair := [2]*config.Pool{find(0, a), find(1, b)}
		for i, name := range []string{a, b} {
			if pair[i] == nil {
				return fmt.Errorf("%s has no pool %q; --pool A=B says which one of the first file to compare with which one of the second", sides[i].File, name)
			}
		}
		pairs = append(pairs, pair)
		return nil
	}
	if named != "" {
		a, b, other := strings.Cut(named, "=")
		if !other {
			b = a
		}
		return pairs, add(a, b)
	}
	for _, p := range listening[0] {
		if err := add(p.Name, p.Name); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

func compareKeys(w io.Writer, in io.Reader, sides [2]*config.Config, pairs [][2]*config.Pool) error {
	for _, pair := range pairs {
		for i, p := range pair {
			if p.Distribution == "random" && len(p.Backends) > 1 {
				return fmt.Errorf("%s:%d: pool %q has distribution random, which places no key twice in the same place", sides[i].File, p.Line, p.Name)
			}
		}
	}
	where := [2]*places{newPlaces(sides[0]), newPlaces(sides[1])}
	differ, count := make([]int, len(pairs)), 0
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		count++
		for i, pair := range pairs {
			var at [2]string
			for side := range pair {
				_, node, address, err := where[side].find(pair[side], lines.Bytes())
				if err != nil {
					return err
				}
				at[side], _, _ = strings.Cut(address, ", in pool ")
				if !strings.Contains(at[side], ":") { // no address, but words
					at[side] = node + " " + at[side]
				}
			}
			if at[0] != at[1] {
				differ[i]++
				fmt.Fprintf(w, "%s\t%s\t%s -> %s\n", pair[0].Name, lines.Text(), at[0], at[1])
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read the keys: %w", err)
	}
	if count == 0 {
		return errors.New("there is no key in the file: nothing was compared")
	}
	failed := false
	for i, pair := range pairs {
		if differ[i] == 0 {
			fmt.Fprintf(w, "pool %s, %s: all %d keys are on the same servers\n", pair[0].Name, pair[1].Name, count)
		} else {
			failed = true
			fmt.Fprintf(w, "pool %s, %s: %d of %d keys are on other servers\n", pair[0].Name, pair[1].Name, differ[i], count)
		}
	}
	if failed {
		return errPlacedOtherwise
	}
	return nil
}
