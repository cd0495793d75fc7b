package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/storage"
)

// Exit codes. What a script may want to tell apart has one of its own.
const (
	exitOK          = 0
	exitFailed      = 1 // all else
	exitUsage       = 2 // flags and arguments
	exitNotFound    = 3 // what was named is not there
	exitConflict    = 4 // it is there already, in use, or was changed by somebody else meanwhile
	exitRefused     = 5 // what was given is not good, or not allowed; nothing was changed
	exitUnavailable = 6 // the database cannot be opened or does not answer
	exitDifferent   = 7 // what was compared is not the same
)

// codeOf is the exit code of an error.
func codeOf(err error) int {
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.Is(err, storage.ErrUnavailable), errors.As(err, new(unavailableError)):
		return exitUnavailable
	case errors.Is(err, admin.ErrNotFound), errors.Is(err, keys.ErrNoSuchKey):
		return exitNotFound
	case errors.Is(err, admin.ErrTaken), errors.Is(err, admin.ErrConflict), errors.Is(err, admin.ErrInUse),
		errors.Is(err, admin.ErrLastOwner), errors.Is(err, admin.ErrManaged):
		return exitConflict
	case errors.Is(err, errDifferent):
		return exitDifferent
	case errors.As(err, new(admin.Faults)), errors.As(err, new(config.Faults)), errors.As(err, new(config.Fault)),
		errors.Is(err, admin.ErrForbidden), errors.Is(err, errDeclined):
		return exitRefused
	}
	return exitFailed
}

// unavailableError is that the database could not be opened.
type unavailableError struct{ error }

func (e unavailableError) Unwrap() error { return e.error }

// worded is an error with the words of the command line.
type worded struct {
	text string
	err  error
}

func (e worded) Error() string { return e.text }
func (e worded) Unwrap() error { return e.err }

func inOtherWords(err error, format string, args ...any) error {
	return worded{fmt.Sprintf(format, args...), err}
}

// shell is what the process was given. Commands read and write nothing else.
type shell struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    []string

	configFile string
	json       bool
}

// usageError says that a command was asked for in the wrong way.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Run is the whole program: it carries out the command that args name and returns the exit code.
// Servers run until ctx ends. env has KEY=value pairs, as os.Environ.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	sh := &shell{stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	root := sh.rootCommand()
	root.SetArgs(withNames(root, args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errDifferent) {
		return exitDifferent // they were printed
	}
	text := err.Error()
	if strings.HasPrefix(text, "unknown command") { // and a list of what may have been meant, over several lines
		text = strings.Join(strings.Fields(text), " ")
		text = strings.Replace(text, " Did you mean this? ", "; did you mean ", 1)
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintln(stderr, "latchkey: "+line)
	}
	var wrong usageError
	if errors.As(err, &wrong) || strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintf(stderr, "See: %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	return codeOf(err)
}

// leastName is the fewest characters of a name that is made at random and may begin with a dash: a
// kid, or the identifier of a token. No command has flags of one dash and as many letters.
const leastName = 12

// withNames puts names that begin with a dash where they cannot be taken for flags: at the end,
// behind two dashes. What follows a flag that takes a value is its value.
func withNames(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil || slices.Contains(args, "--") {
		return args
	}
	var rest, names []string
	for i, arg := range args {
		value := false
		if i > 0 {
			name, long := strings.CutPrefix(args[i-1], "--")
			f := cmd.Flag(name)
			value = long && f != nil && f.NoOptDefVal == ""
		}
		if !value && len(arg) >= leastName && arg[0] == '-' && arg[1] != '-' && !strings.Contains(arg, "=") {
			names = append(names, arg)
		} else {
			rest = append(rest, arg)
		}
	}
	if names == nil {
		return args
	}
	return append(append(rest, "--"), names...)
}

// flagFault says what is wrong with a flag, without the words of the function that read it.
func flagFault(err error) string {
	text, detail, ok := strings.Cut(err.Error(), ": strconv.")
	if !ok {
		return text
	}
	name, _, _ := strings.Cut(detail, ":")
	switch name {
	case "ParseBool":
		return text + ": it is true or false"
	default:
		return text + ": it is a whole number"
	}
}

func (sh *shell) rootCommand() *cobra.Command {
	number, _ := version()
	root := &cobra.Command{
		Version: number,
		Use:     "latchkey",
		Short:   "A single sign-on provider: OpenID Connect and OAuth 2.0 in one program",
		Long: `Latchkey lets people sign in once, on one page, to every application that is registered here.

Exit codes: 1 failed, 2 wrong use, 3 not found, 4 taken, in use or changed by somebody else, 5 refused,
6 the database is not available, 7 there are differences.

Try it:    latchkey demo
Run it:    latchkey init, then latchkey serve
People:    latchkey user create ada --email ada@example.com
An app:    latchkey client create --name Notes --type web --redirect-uri https://notes.example.com/callback`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetVersionTemplate("latchkey {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{flagFault(err)} })
	root.AddCommand(
		sh.demoCommand(), sh.serveCommand(), sh.initCommand(), sh.configCommand(),
		sh.userCommand(), sh.groupCommand(), sh.clientCommand(), sh.sessionCommand(), sh.tokenCommand(),
		sh.apiKeyCommand(), sh.whyCommand(), sh.doctorCommand(), sh.keysCommand(),
		sh.auditCommand(), sh.applyCommand(), sh.planCommand(), sh.diffCommand(), sh.driftCommand(),
		sh.exportCommand(), sh.backupCommand(), sh.restoreCommand(),
		sh.checkCommand(), sh.rekeyCommand(), sh.samplesCommand(), sh.healthcheckCommand(), sh.versionCommand(),
	)
	return root
}

// commandGroup makes a command that only has commands below it.
func commandGroup(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, s := range cmd.Commands() {
			if s.Name() != "help" {
				names = append(names, s.Name())
			}
		}
		if len(args) > 0 {
			return usage("%s has no command %q; it has %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
		}
		return usage("%s needs one of %s", cmd.CommandPath(), strings.Join(names, ", "))
	}}
	c.AddCommand(sub...)
	return c
}

// exactArgs insists on n arguments, and says which.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			if n == 0 {
				return usage("%s takes no argument, but got %q", cmd.CommandPath(), args)
			}
			return usage("%s needs %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usage("%s needs %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// storeFlags are those of every command that works on what a server keeps.
func (sh *shell) storeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&sh.configFile, "config", "", "configuration `FILE` (default: latchkey.yaml if it is there)")
	f.String("data", "", "`FOLDER` of database and master key")
	f.String("mongodb", "", "connection `URI` of MongoDB, in place of the embedded database")
	f.String("issuer", "", "the provider's `URL`")
}

// jsonFlag is that of every command that prints data.
func (sh *shell) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&sh.json, "json", false, "print JSON")
}

// config loads the configuration that applies to a command.
func (sh *shell) config(cmd *cobra.Command) (config.Config, error) {
	flags := map[string]string{}
	for _, key := range []string{"listen", "issuer", "data", "mongodb"} {
		if f := cmd.Flags().Lookup(key); f != nil && f.Changed {
			flags[key] = f.Value.String()
		}
	}
	return config.Load(sh.configFile, sh.env, flags)
}

// serverConfig loads the configuration of a server. All that is wrong with it is in one error.
func (sh *shell) serverConfig(cmd *cobra.Command) (config.Config, error) {
	c, err := sh.config(cmd)
	if err != nil && !errors.As(err, new(config.Faults)) {
		return c, err
	}
	return c, c.Validate()
}

// storeConfig loads the configuration of a command that does not open the database by itself.
func (sh *shell) storeConfig(cmd *cobra.Command) (config.Config, error) {
	c, err := sh.config(cmd)
	if err != nil {
		return c, err
	}
	return c, c.CheckStore().OrNil()
}

func (sh *shell) printf(format string, args ...any) { fmt.Fprintf(sh.stdout, format, args...) }

// notef writes what is not the command's result.
func (sh *shell) notef(format string, args ...any) { fmt.Fprintf(sh.stderr, format, args...) }

// printJSON writes a value for programs.
func (sh *shell) printJSON(v any) error {
	e := json.NewEncoder(sh.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows for people, the first one being the head.
func (sh *shell) table(rows [][]string) error {
	w := tabwriter.NewWriter(sh.stdout, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return w.Flush()
}

// printable takes out of a text what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// release is set by the build of a release, which has no repository around it: -ldflags "-X
// main.release=v1.2.3".
var release string

// version is what was built: the release, else the module's version, and the commit.
func version() (number, commit string) {
	number = "development"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(release, number), ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		number = v
	}
	number = cmp.Or(release, number)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return number, commit
}

func (sh *shell) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  exactArgs(0, ""),
		RunE: func(*cobra.Command, []string) error {
			number, commit := version()
			if sh.json {
				return sh.printJSON(map[string]string{"version": number, "commit": commit})
			}
			sh.printf("latchkey %s\n", number)
			return nil
		},
	}
	sh.jsonFlag(cmd)
	return cmd
}
