package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func (sh *shell) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the embedded database into a new file, while the server runs or not",
		Long: `Copy the embedded database into a new file, readable by its owner only, while the server runs or not. The master key is not in it, and
the copy cannot be used without: keep both, apart from each other. MongoDB has its own ways, mongodump for one.`,
		Example: `  latchkey backup /var/backups/latchkey-monday.db`,
		Args:    exactArgs(1, "the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				embedded := s.store.Embedded()
				if embedded == nil {
					return errors.New("only the embedded database is backed up by this command; use MongoDB's own tools, mongodump for one")
				}
				if _, err := os.Lstat(args[0]); err == nil {
					return fmt.Errorf("%s is there already and stays as it is; name a new file", args[0])
				}
				if err := embedded.Backup(ctx, args[0]); err != nil {
					return err
				}
				return sh.done("Wrote %s.", args[0])
			})
		},
	}
	sh.storeFlags(cmd)
	return cmd
}
