package main

import (
	"errors"

	"github.com/spf13/cobra"

	"ringway/proxy"
)

func migrationCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "migration -c FILE",
		Short: "Print how far a change of nodes is in pools with migration: warm",
		Long: "Migration reads from the nodes what the Ringways of each pool with migration: warm have written there: which ring is in\n" +
			"force, which Ringways there are, what each serves and asks for, and how far the keys have been walked. It needs no running\n" +
			"Ringway and changes nothing.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(*file)
			if err != nil {
				return err
			}
			found := false
			for i := range cfg.Pools {
				if p := &cfg.Pools[i]; p.Migration.Mode == "warm" {
					found = true
					if err := proxy.WriteMigration(cmd.OutOrStdout(), cfg, p); err != nil {
						return err
					}
				}
			}
			if !found {
				return errNoWarmPool
			}
			return nil
		},
	}
}

var errNoWarmPool = errors.New("no pool of the file has migration: warm")
