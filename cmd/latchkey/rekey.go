package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"latchkey/keys"
)

// masterKeyWarnings says what is left to do after a change of the master key.
func (s *site) masterKeyWarnings() []string {
	primary, err := s.PrimaryMasterKey()
	if err != nil {
		return nil
	}
	inPlace := s.sealer.MasterKeyID() == keys.MasterKeyID(primary)
	_, err = os.Lstat(s.NewMasterKeyPath())
	switch {
	case s.HasOldMasterKey() && inPlace:
		return []string{"old_master_key is not needed any more: take it out of the configuration"}
	case s.HasOldMasterKey():
		return []string{"the master key is the old one still: when every instance has both, run latchkey rekey"}
	case s.MasterKey == "" && err == nil:
		return []string{"a change of the master key was interrupted: run latchkey rekey, and do not delete " +
			s.NewMasterKeyPath()}
	}
	return nil
}

// twoKeys is how the master key is changed where this command cannot write it.
const twoKeys = "Give every instance the new one as master_key or master_key_file, and the present one as old_master_key or old_master_key_file; restart them; then run latchkey rekey with the same configuration"

func (sh *shell) rekeyCommand() *cobra.Command {
	var single bool
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Put another master key in place of the present one",
		Long: `Put another master key in place of the present one, beside a running server. Nothing that anybody has changes: people keep
their sub in every application and stay signed in, applications keep their secrets, refresh tokens stay good.

With the master key in a file, a new one is made: the file is replaced, and the old key is kept beside it, as FILE.ID. It is
needed for backups from before; without such, delete it. A running server on this machine takes the new key up by itself.

With the master key in the configuration, in a place that cannot be written, or with several instances, give every instance the new
one as master_key or master_key_file, and the present one as old_master_key or old_master_key_file; restart them in turn; then run
this command once with the same configuration, and take the old one out.

The change itself is one write of the database: before it the old master key opens everything, after it the new one. What was
interrupted is taken up by running the command again; a server starts in between.`,
		Example: `  latchkey rekey
  LATCHKEY_MASTER_KEY="$NEW" LATCHKEY_OLD_MASTER_KEY="$OLD" latchkey rekey`,
		Args: exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				mongo := s.MongoDB != "" || s.MongoDBFile != ""
				var id string
				var err error
				switch {
				case s.HasOldMasterKey():
					id, err = s.rekeyConfigured(ctx)
				case s.MasterKey != "":
					return errors.New("the master key is in the configuration, where this command cannot put another one. " + twoKeys)
				case mongo && !single:
					return errors.New("there may be other instances on this MongoDB, which would not have the new master key. " + twoKeys +
						". If there is no other instance: latchkey rekey --single")
				default:
					id, err = s.rekeyFile(ctx)
				}
				if err != nil {
					return err
				}
				n, err := s.admin.Reseal(ctx)
				if err != nil {
					return fmt.Errorf("the new master key (%s) is in place, but not everything is sealed again yet: %w. A server does the rest by itself, and so does this command when it is run again", id, err)
				}
				everywhere(ctx)
				sh.notef("The master key is %s now. Sealed again: the private keys, and %d client secrets.\n", id, n)
				if s.HasOldMasterKey() {
					return sh.done("Take old_master_key out of the configuration of every instance. Keep the old key for as long as you keep backups from before.")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&single, "single", false, "there is no other instance on this MongoDB")
	sh.storeFlags(cmd)
	return cmd
}

// rekeyConfigured puts the primary master key of the configuration in place of the old one.
func (s *site) rekeyConfigured(ctx context.Context) (id string, err error) {
	primary, err := s.PrimaryMasterKey()
	if err != nil {
		return "", err
	}
	if _, err := s.admin.ChangeMasterKey(ctx, s.actor, primary); err != nil {
		return "", err
	}
	return keys.MasterKeyID(primary), nil
}

// rekeyFile makes a new master key and puts its file in place of the old one. It may be interrupted
// at any moment: there is a file with the key that opens the database, under one name or the other,
// and both are tried.
func (s *site) rekeyFile(ctx context.Context) (id string, err error) {
	path, fresh := s.MasterKeyPath(), s.NewMasterKeyPath()
	cannot := func(err error) error {
		return fmt.Errorf("%w; the file of the master key cannot be replaced here. %s", err, twoKeys)
	}
	if info, err := os.Lstat(path); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", cannot(fmt.Errorf("%s is a link to another file", path))
	}
	// 1. The new key is on disk, under a name of its own. One from an interrupted run is used.
	key, err := keys.CreateMasterKey(fresh)
	if err != nil {
		return "", cannot(err)
	}
	// 2. The database is sealed under it.
	if _, err := s.admin.ChangeMasterKey(ctx, s.actor, key); err != nil {
		return "", err
	}
	// 3. The old key gets another name, the new one its place.
	if err := keys.ReplaceMasterKey(path, fresh); err != nil {
		return "", cannot(err)
	}
	return keys.MasterKeyID(key), nil
}
