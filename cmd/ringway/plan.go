package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"ringway/internal/config"
)

func planCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "plan OLD NEW",
		Short: "Print what changes, and which keys move, when one configuration takes the place of another",
		Long: "Plan compares two configurations before one does it: options, pools and nodes that change, which share of the keys\n" +
			"moves from which node to which, what that means, and whether a running process can take it by reload.\n" +
			"Nothing is connected to, and nothing is changed.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := config.Load(args[0])
			if err != nil {
				return err
			}
			next, err := config.Load(args[1])
			if err != nil {
				return err
			}
			d := config.Compare(old, next)
			if !asJSON {
				d.Write(cmd.OutOrStdout())
				return nil
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			return enc.Encode(d)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it for a program")
	return c
}
