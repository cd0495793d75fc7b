package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider"
	"latchkey/provider/console"
	"latchkey/provider/storage"
)

// Events of what commands do with the database as a whole.
const (
	verbBackup  = "database.backup"
	verbRestore = "database.restore"
	verbVerify  = "database.verify"
)

var errOnlyEmbedded = errors.New("only the embedded database is backed up and restored by this command; use MongoDB's own tools, mongodump for one")

func (sh *shell) backupCommand() *cobra.Command {
	cmd := sh.siteCommand(siteCommand{
		use:   "backup FILE",
		short: "Copy the embedded database into a new file, while the server runs or not",
		long: `Copy the embedded database into a new file, readable by its owner only, while the server runs or not. The file has its name only
when all of it is on the disk and was read again without a fault; until then it is FILE.partial.

The master key is not in it, and the copy cannot be used without: keep both, apart from each other. MongoDB has its own ways, mongodump
for one.`,
		example: "  latchkey backup /var/backups/latchkey-monday.db\n  latchkey backup verify /var/backups/latchkey-monday.db",
		args:    exactArgs(1, "the file to write"),
		run: func(ctx context.Context, s *site, args []string) error {
			db := s.store.Embedded()
			if db == nil {
				return errOnlyEmbedded
			}
			err := s.noted(ctx, verbBackup, func() error { return db.Backup(ctx, args[0]) })
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is there already and stays as it is; name a new file", args[0])
			}
			if err != nil {
				return err
			}
			return sh.done("Wrote %s.", args[0])
		},
	})
	cmd.AddCommand(sh.backupVerifyCommand())
	return cmd
}

// noted does something with the database as a whole, and leaves an event.
func (s *site) noted(ctx context.Context, verb string, do func() error) error {
	event, err := s.audit.Begin(ctx, storage.Event{Actor: storage.EventParty{Kind: s.actor.Kind, ID: s.actor.ID,
		Name: s.actor.Name},
		Verb: verb, Object: databaseParty(verb)})
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		s.audit.Settle(ctx, event, storage.OutcomeRefused, "failed")
		return err
	}
	s.audit.Settle(ctx, event, storage.OutcomeDone, "")
	return nil
}

// databaseParty is the database as the object of an event. What shows that a backup is good names
// it, so that administrators see when that was.
func databaseParty(verb string) storage.EventParty {
	o := storage.EventParty{Kind: "database"}
	if verb != verbBackup {
		o.Name = console.BackupObject
	}
	return o
}

// proven leaves an event in the installation that a backup of it was shown to be good. Where there
// is no installation beside the backup, there is none.
func (sh *shell) proven(ctx context.Context, c config.Config) error {
	if there := c.Exists() == nil; !there {
		return nil
	}
	s, err := open(ctx, c, slog.New(slog.DiscardHandler), false)
	if err != nil {
		return nil //nolint:nilerr // the backup is good all the same, which is what was asked
	}
	s.actor = sh.actor()
	err = s.noted(ctx, verbVerify, func() error { return nil })
	return errors.Join(err, s.Close())
}

func (sh *shell) backupVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Restore a backup in a place of its own, and say whether everything in it can be used",
		Long: `Restore a backup in a temporary folder, with the master key of the configuration, and look at everything: every page and record is
read, every key is opened, a token is signed and verified. The backup is only read. The installation that the configuration names,
if it is there, gets an event that says so: administrators see when a restore was last proven.`,
		Example: "  latchkey backup verify /var/backups/latchkey-monday.db",
		Args:    exactArgs(1, "the file to verify"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := sh.storeConfig(cmd)
			if err != nil {
				return err
			}
			folder, err := os.MkdirTemp("", "latchkey-verify-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(folder)
			s, counts, err := tryBackup(cmd.Context(), c, args[0], folder)
			if err != nil {
				return err
			}
			if err := s.Close(); err != nil {
				return err
			}
			if err := sh.proven(cmd.Context(), c); err != nil {
				return err
			}
			return sh.printCounts(counts, "The backup is good.")
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

// tryBackup restores a backup into a folder, and opens it there with the master key that belongs to
// c.
func tryBackup(ctx context.Context, c config.Config, file, folder string) (_ *site, counts map[string]int, err error) {
	trial := c
	trial.Data, trial.MongoDB, trial.MongoDBFile = folder, "", ""
	if c.MasterKey == "" {
		trial.MasterKeyFile = c.MasterKeyPath()
	}
	if err := copyFile(ctx, file, trial.DatabaseFile()); err != nil {
		return nil, nil, err
	}
	s, err := open(ctx, trial, slog.New(slog.DiscardHandler), false)
	if err != nil {
		// not for want of a database: that is another exit code
		return nil, nil, errors.New(file + " cannot be used: " + err.Error())
	}
	if counts, err = s.check(ctx); err != nil {
		return nil, nil, errors.Join(errors.New(file+" cannot be used: "+err.Error()), s.Close())
	}
	return s, counts, nil
}

// copyFile copies a file into one that is not there yet, and puts it on the disk.
func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	switch info, err := in.Stat(); {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Size() == 0:
		return fmt.Errorf("%s is no backup: it is empty, or not a file", from)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, ctx.Err(), out.Sync(), out.Close())
}

func (sh *shell) restoreCommand() *cobra.Command {
	var end bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the embedded database, while no server runs",
		Long: `Put a backup in the place of the embedded database, while no server runs on it. The backup is verified before, as backup verify does.
The database that was there stays beside it under another name. If it can be read, applications are told of the
sessions that only it has, because these are over.

The other sessions and what was granted are then as they were at the time of the backup: what was revoked since is
good again. With --end-everything every session is ended, applications are told, and everything that was granted is
revoked; people sign in again.`,
		Example: "  latchkey restore /var/backups/latchkey-monday.db --end-everything",
		Args:    exactArgs(1, "the backup to restore"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := sh.storeConfig(cmd)
			if err != nil {
				return err
			}
			if c.MongoDB != "" || c.MongoDBFile != "" {
				return errOnlyEmbedded
			}
			if err := os.MkdirAll(c.Data, 0o700); err != nil {
				return err
			}
			release, err := storage.LockFile(c.DatabaseFile())
			if err != nil {
				return err
			}
			defer release()
			// On the same disk, so that it takes its place by a new name alone.
			folder, err := os.MkdirTemp(c.Data, "restore-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(folder)
			kept, err := sh.restore(cmd.Context(), c, args[0], folder, end)
			if err != nil {
				return fmt.Errorf("%w; nothing was changed", err)
			}
			if kept != "" {
				sh.printf("The database that was there is %s now. Delete it when you do not need it.\n", kept)
			}
			return sh.done("Restored %s.", args[0])
		},
	}
	cmd.Flags().BoolVar(&end, "end-everything", false, "end every session, and revoke everything that was granted")
	sh.storeFlags(cmd)
	return cmd
}

// restore prepares the backup in folder and puts it in place. It returns where the database of
// before is, "" if there was none.
func (sh *shell) restore(ctx context.Context, c config.Config, file, folder string, end bool) (kept string, err error) {
	// 1. All that can fail is done beside the database.
	s, counts, err := tryBackup(ctx, c, file, folder)
	if err != nil {
		return "", err
	}
	s.actor = sh.actor()
	err = s.noted(ctx, verbRestore, func() error { return sh.settle(ctx, s, c, end) })
	ready := s.DatabaseFile()
	if err := errors.Join(err, s.Close()); err != nil {
		return "", err
	}
	sh.printf("The backup has %d people and %d applications.\n", counts["users"], counts["clients"])
	// 2. The old database gets another name, the new one its place.
	place := c.DatabaseFile()
	if _, err := os.Lstat(place); err == nil {
		kept = freeName(place + ".before-" + s.now().UTC().Format("20060102T150405Z"))
	}
	return kept, exchange(ready, place, kept)
}

// settle prepares a backup that is open for the place of the database of c: applications will be
// told of every sign-in that is over by it. With end none is left.
func (sh *shell) settle(ctx context.Context, s *site, c config.Config, end bool) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	over, err := sh.takeOver(ctx, p, c)
	if err != nil {
		return err
	}
	if over > 0 {
		sh.printf("Sessions that began after the backup and are over: %d.\n", over)
	}
	if end {
		sessions, grants, err := p.EndEverything(ctx)
		if err != nil {
			return err
		}
		sh.printf("Ended %d sessions, revoked %d grants.\n", sessions, grants)
	}
	if over > 0 || end {
		sh.printf("Applications are told when a server runs.\n")
	}
	return nil
}

// takeOver makes p tell applications of the sessions that only the database in place has. One that
// cannot be read is no reason not to restore: it is why.
func (sh *shell) takeOver(ctx context.Context, p *provider.Provider, c config.Config) (over int, err error) {
	if there := c.Exists() == nil; !there {
		return 0, nil
	}
	present, err := open(ctx, c, slog.New(slog.DiscardHandler), false)
	if err == nil {
		var replaced *provider.Provider
		if replaced, err = present.provider(); err == nil {
			over, err = p.TakeOver(ctx, replaced)
		}
		err = errors.Join(err, present.Close())
	}
	if err != nil && ctx.Err() == nil {
		sh.printf("The database in place cannot be read, so applications are not told of sessions that began "+
			"after the backup: %v\n", err)
		err = nil
	}
	return over, err
}

// endings are those of the files of a database that SQLite has made, the database itself last.
var endings = []string{"-shm", "-wal", ""}

// freeName is name, with a number behind it if there is something of that name.
func freeName(name string) string {
	for n, try := 2, name; ; n++ {
		if !slices.ContainsFunc(endings, func(end string) bool { _, err := os.Lstat(try + end); return err == nil }) {
			return try
		}
		try = name + "-" + strconv.Itoa(n)
	}
}

// exchange puts the database ready in place. The one that was there becomes kept; "" if there was
// none. After an error everything is where it was.
func exchange(ready, place, kept string) (err error) {
	moved := []string{}
	defer func() {
		if err == nil {
			return
		}
		for _, ending := range moved {
			err = errors.Join(err, os.Rename(kept+ending, place+ending))
		}
	}()
	for _, ending := range endings {
		if kept == "" { // what is left of a database that is gone belongs to nothing
			err = os.Remove(place + ending)
		} else if err = os.Rename(place+ending, kept+ending); err == nil {
			moved = append(moved, ending)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return storage.Place(ready, place)
}

func (sh *shell) checkCommand() *cobra.Command {
	return sh.siteCommand(siteCommand{
		use:   "check",
		short: "Look at everything in the database, and say whether something is damaged",
		long: `Look at everything in the database, while the server runs or not: every page and record is read, every key is opened, a token is
signed and verified. The exit code is the answer. For the configuration there is latchkey config check.`,
		args: exactArgs(0, ""), json: true,
		run: func(ctx context.Context, s *site, _ []string) error {
			counts, err := s.check(ctx)
			if err != nil {
				return err
			}
			return sh.printCounts(counts, "The database is good.")
		},
	})
}

// check reads every record, and signs and verifies a token by every algorithm. The keys are open:
// the site would not be otherwise.
func (s *site) check(ctx context.Context) (counts map[string]int, err error) {
	if counts, err = s.store.Check(ctx); err != nil {
		return nil, err
	}
	for _, k := range s.ring.Signing() {
		token, err := s.ring.Sign(ctx, k.Algorithm, "JWT", map[string]any{"iat": s.now().Unix()})
		if err != nil {
			return nil, fmt.Errorf("sign by %s: %w", k.Algorithm, err)
		}
		if _, alg, err := s.ring.Verify(ctx, token, "JWT"); err != nil || alg != k.Algorithm {
			return nil, fmt.Errorf("a token that was signed by %s does not verify: %w", k.Algorithm, err)
		}
	}
	return counts, nil
}

func (sh *shell) printCounts(counts map[string]int, verdict string) error {
	if sh.json {
		return sh.printJSON(map[string]any{"records": counts})
	}
	rows := [][]string{{"RECORDS", ""}}
	for _, kind := range storage.Kinds(counts) {
		rows = append(rows, []string{kind, strconv.Itoa(counts[kind])})
	}
	if err := sh.table(rows); err != nil {
		return err
	}
	return sh.done("%s", verdict)
}

// orphanedMasterKey reports whether a master key that Latchkey has made lies in the data folder,
// and no database.
func orphanedMasterKey(c *config.Config) bool {
	if c.MasterKey != "" || c.MasterKeyFile != "" || c.MongoDB != "" || c.MongoDBFile != "" {
		return false
	}
	_, err := os.Stat(c.MasterKeyPath())
	info, missing := os.Stat(c.DatabaseFile())
	return err == nil && (errors.Is(missing, fs.ErrNotExist) || missing == nil && info.Size() == 0)
}
