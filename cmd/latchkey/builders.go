package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"latchkey/provider/admin"
)

// What most commands have in common: they work on the database that flags and configuration name,
// and print what they did or found.

// siteCommand makes a command that runs on the site.
type siteCommand struct {
	use, short, long, example string

	args    cobra.PositionalArgs
	creates bool // it may make a database that is not there
	json    bool // it prints data, and has --json
	flags   func(cmd *cobra.Command)
	before  func(cmd *cobra.Command, args []string) error // checks flags and arguments; nothing is open yet
	run     func(ctx context.Context, s *site, args []string) error
}

func (sh *shell) siteCommand(c siteCommand) *cobra.Command {
	cmd := &cobra.Command{Use: c.use, Short: c.short, Long: c.long, Example: c.example, Args: c.args}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.before != nil {
			if err := c.before(cmd, args); err != nil {
				return err
			}
		}
		return sh.onSite(cmd, c.creates, func(ctx context.Context, s *site) error { return c.run(ctx, s, args) })
	}
	if c.flags != nil {
		c.flags(cmd)
	}
	sh.storeFlags(cmd)
	if c.json {
		sh.jsonFlag(cmd)
	}
	return cmd
}

// list makes a command that prints all records of a kind: as a table of rows below head, or as
// JSON.
func list[T any](sh *shell, short string, head []string, load func(context.Context, *site) ([]T, error),
	row func(T) []string) *cobra.Command {
	return sh.siteCommand(siteCommand{use: "list", short: short, args: exactArgs(0, ""), json: true,
		run: func(ctx context.Context, s *site, _ []string) error {
			all, err := load(ctx, s)
			if err != nil {
				return err
			}
			if sh.json {
				return sh.printJSON(append([]T{}, all...))
			}
			rows := [][]string{head}
			for _, one := range all {
				rows = append(rows, row(one))
			}
			return sh.table(rows)
		}})
}

// show makes a command that prints one record, the one that its argument names.
func show[T any](sh *shell, argument, what, short string, load func(context.Context, *site, string) (T, error),
	print func(T) error) *cobra.Command {
	return sh.siteCommand(siteCommand{use: "show " + argument, short: short, args: exactArgs(1, what), json: true,
		run: func(ctx context.Context, s *site, args []string) error {
			one, err := load(ctx, s, args[0])
			if err != nil {
				return err
			}
			return print(one)
		}})
}

// act makes a command that does one thing to the record that its argument names, and prints a
// sentence about it.
func act(sh *shell, use, what, short string, do func(context.Context, *site, string) (done string,
	err error)) *cobra.Command {
	return sh.siteCommand(siteCommand{use: use, short: short, args: exactArgs(1, what),
		run: func(ctx context.Context, s *site, args []string) error {
			done, err := do(ctx, s, args[0])
			if err != nil {
				return err
			}
			return sh.done("%s", done)
		}})
}

// destroy is act for what cannot be undone: at a terminal it asks first.
func destroy(sh *shell, use, what, short, question string, do func(context.Context, *site, string) (done string,
	err error)) *cobra.Command {
	var yes bool
	return sh.siteCommand(siteCommand{use: use, short: short, args: exactArgs(1, what),
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&yes, "yes", false, "do not ask; away from a terminal nobody is asked")
		},
		run: func(ctx context.Context, s *site, args []string) error {
			if !yes {
				if err := sh.confirm(ctx, fmt.Sprintf(question, printable(args[0]))); err != nil {
					return err
				}
			}
			done, err := do(ctx, s, args[0])
			if err != nil {
				return err
			}
			return sh.done("%s", done)
		}})
}

var errDeclined = errors.New("nothing was changed")

// confirm asks whoever sits at the terminal. Nobody there: it is confirmed.
func (sh *shell) confirm(ctx context.Context, question string) error {
	f, ok := sh.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	sh.notef("%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(f).ReadString('\n') // an end is a no
		answer <- line
	}()
	select {
	case line := <-answer:
		if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
			return nil
		}
		return errDeclined
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ifMissing is the flag of commands that create something.
func ifMissing(cmd *cobra.Command, flag *bool) {
	cmd.Flags().BoolVar(flag, "if-missing", false, "if there is one already, leave it as it is and succeed")
}

// thereAlready reports whether create --if-missing has found one, and says so.
func (sh *shell) thereAlready(ifMissing bool, err error) bool {
	if !ifMissing || !errors.Is(err, admin.ErrTaken) {
		return false
	}
	sh.notef("It is there already, and stays as it is.\n")
	return true
}

// needsChange insists that a command that changes something was told what: some flag of its own.
func needsChange(cmd *cobra.Command, _ []string) error {
	for _, name := range changedFlags(cmd) {
		switch name {
		case "config", "data", "mongodb", "issuer", "json":
		default:
			return nil
		}
	}
	return usage("%s was not told what to change; name it with a flag", cmd.CommandPath())
}
