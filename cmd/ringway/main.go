// Ringway is a sharding router for Redis-compatible servers.
//
// This is its command line. Each command is a file; serve.go has the wiring of a running router.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ringway/internal/release"
)

// version is set by the linker for releases; otherwise the tag or the revision that it was built from says it.
var version = ""

func main() {
	release.Name = version
	if err := root().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "ringway: "+err.Error())
		os.Exit(1)
	}
}

func root() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "ringway --config proxy.yml",
		Short: "A sharding router for Redis-compatible servers",
		Long: "Ringway is a sharding router for Redis-compatible servers. Clients connect to one address; each command goes to\n" +
			"the node that owns its keys on a consistent-hash ring.\n\n" +
			"Without a command it serves the pools of the configuration, a proxy.yml, a twemproxy nutcracker.yml, a predixy.conf or an Envoy\nbootstrap file.\n" +
			"To try it without any Redis: ringway demo",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return fmt.Errorf("no configuration given: say --config proxy.yml, or try it out with: ringway demo")
			}
			return serveFile(cmd.Context(), file)
		},
	}
	c.PersistentFlags().StringVarP(&file, "config", "c", "", "proxy.yml, or a file of twemproxy, predixy or Envoy")
	c.AddCommand(checkCommand(&file), routeCommand(&file), planCommand(), migrationCommand(&file), importCommand(), compareCommand(), demoCommand(), topCommand(), versionCommand())
	return c
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is not a command of ringway; ringway --help lists them", args[0])
	}
	return nil
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "ringway "+release.Version()) },
	}
}
