package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ringway/internal/config"
)

var errNoConfig = errors.New("no configuration given: say --config proxy.yml")

func load(file string) (*config.Config, error) {
	if file == "" {
		return nil, errNoConfig
	}
	return config.Load(file)
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
			cfg, err := load(*file)
			if err != nil {
				return err
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "POOL\tKEY\tSLOT\tNODE\tADDRESS")
			found := false
			for i := range cfg.Pools {
				p := &cfg.Pools[i]
				if pool != "" && pool != p.Name {
					continue
				}
				found = true
				ring, err := p.Ring()
				if err != nil {
					return err
				}
				for _, key := range keys {
					slot := "-"
					if n, ok := ring.Partition([]byte(key)); ok {
						slot = fmt.Sprint(n)
					}
					b := p.Backends[ring.Find([]byte(key))]
					fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", p.Name, key, slot, b.Name, b.Address)
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

func importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import nutcracker.yml",
		Short: "Print the proxy.yml that does what a twemproxy configuration does",
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
