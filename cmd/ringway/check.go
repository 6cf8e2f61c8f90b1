package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ringway/hashring"
	"ringway/internal/config"
	"ringway/proxy"
)

var errNoConfig = errors.New("no configuration given: say --config proxy.yml")

// load reads a configuration that is to be served, and looks into the certificates and passwords that it names.
func load(file string) (*config.Config, error) {
	return loadBy(file, proxy.Check)
}

// loadBy reads a configuration and has it checked further.
func loadBy(file string, check func(*config.Config) error) (*config.Config, error) {
	if file == "" {
		return nil, errNoConfig
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	if err := check(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}

func checkCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check -c FILE",
		Short: "Validate a configuration and print what was understood",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(*file)
			if err != nil {
				return err
			}
			cfg.Describe(cmd.OutOrStdout())
			return nil
		},
	}
}

func routeCommand(file *string) *cobra.Command {
	var pool string
	c := &cobra.Command{
		Use:   "route -c FILE KEY...",
		Short: "Print the node of each key",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, keys []string) error {
			cfg, err := loadBy(*file, proxy.CheckFaults) // where keys live does not depend on what may not be on this machine
			if err != nil {
				return err
			}
			where := newPlaces(cfg)
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "POOL\tKEY\tSLOT\tNODE\tADDRESS")
			found := false
			for i := range cfg.Pools {
				p := &cfg.Pools[i]
				if pool != "" && pool != p.Name {
					continue
				}
				found = true
				for _, key := range keys {
					slot, node, address, err := where.find(p, []byte(key))
					if err != nil {
						return err
					}
					fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", p.Name, key, slot, node, address)
				}
			}
			if !found {
				return fmt.Errorf("%s has no pool %q", *file, pool)
			}
			return tw.Flush()
		},
	}
	c.Flags().StringVar(&pool, "pool", "", "only this pool")
	return c
}

// places finds the nodes of keys. Each pool's ring is asked for once.
type places struct {
	pools map[string]*config.Pool
	rings map[string]*hashring.Ring
	slots *hashring.Ring // of a cluster of one, to count the slots by
}

func newPlaces(cfg *config.Config) *places {
	w := &places{pools: map[string]*config.Pool{}, rings: map[string]*hashring.Ring{}}
	for i := range cfg.Pools {
		w.pools[cfg.Pools[i].Name] = &cfg.Pools[i]
	}
	w.slots, _ = hashring.New([]hashring.Node{{Name: "cluster", Weight: 1}}, hashring.Options{Distribution: "crc16", HashTag: "{}"})
	return w
}

// find follows routes to a pool with servers. What the file doesn't tell is "-" or said in words.
func (w *places) find(p *config.Pool, key []byte) (slot, node, address string, err error) {
	if len(p.Routes) > 0 {
		r := p.RouteOf(key)
		if r == nil {
			return "-", "-", "refused: no route has a prefix of it", nil
		}
		if r.StripPrefix {
			key = key[len(r.Prefix):]
		}
		slot, node, address, err = w.find(w.pools[r.Pool], key)
		return slot, node, address + ", in pool " + r.Pool, err
	}
	if p.Cluster != nil {
		n, _ := w.slots.Partition(key)
		return fmt.Sprint(n), "-", "placed " + p.Placement(), nil
	}
	ring := w.rings[p.Name]
	if ring == nil {
		if ring, err = p.Ring(); errors.Is(err, config.ErrNoRing) {
			return "-", "-", "placed " + p.Placement(), nil
		} else if err != nil {
			return "", "", "", err
		}
		w.rings[p.Name] = ring
	}
	slot = "-"
	if n, ok := ring.Partition(key); ok {
		slot = fmt.Sprint(n)
	}
	b := p.Nodes()[ring.Find(key)]
	if b.Address == "" {
		b.Address = "named by sentinel"
	}
	return slot, b.Name, b.Address, nil
}

func importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Print the proxy.yml that does what a configuration of twemproxy, predixy or Envoy does",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(args[0])
			if err != nil {
				return err
			}
			for _, warning := range cfg.Warnings {
				fmt.Fprintln(os.Stderr, "warning: "+warning)
			}
			return config.WriteYAML(cmd.OutOrStdout(), cfg)
		},
	}
}
