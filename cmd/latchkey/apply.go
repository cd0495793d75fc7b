package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/admin"
)

// manifestSections are the lists of the file that apply reads and export writes: groups, people and
// clients by the names that the standards and the --json outputs have for them. Entries are those
// of an admin.Manifest, and may name where a secret is, in place of the secret.
var manifestSections = []string{"groups", "people", "clients"}

type manifestPerson struct {
	admin.UserEntry
	PasswordEnv  string `json:"password_env,omitempty"`  // name of an environment variable
	PasswordFile string `json:"password_file,omitempty"` // path, relative to the manifest
}

type manifestClient struct {
	admin.ClientEntry
	ClientSecretEnv  string `json:"client_secret_env,omitempty"`
	ClientSecretFile string `json:"client_secret_file,omitempty"`
}

// manifestTitle is the key by which a file says what it is called.
const manifestTitle = "manifest"

// manifestFlags are those of apply, plan and diff.
func manifestFlags(cmd *cobra.Command, o *admin.ManifestOptions) {
	f := cmd.Flags()
	f.BoolVar(&o.Prune, "prune", false, "delete what the file keeps and no longer names")
	f.BoolVar(&o.Release, "release", false,
		"let go of what the file keeps and no longer names: it stays, and nobody keeps it")
	f.BoolVar(&o.TakeOver, "take-over", false, "keep also what another file keeps")
}

// withManifest opens the file that a command was given, and calls use with what reads it.
func (sh *shell) withManifest(file string, o admin.ManifestOptions,
	use func(admin.ManifestOptions, *manifestReader) error) error {
	entries, err := config.OpenEntries(file, sh.stdin, manifestTitle, manifestSections...)
	if err != nil {
		return err
	}
	defer entries.Close()
	o.Name = entries.Title
	r := &manifestReader{Entries: entries, stdin: file == "-", env: sh.env}
	return r.inLines(use(o, r))
}

func (sh *shell) applyCommand() *cobra.Command {
	var dry bool
	var options admin.ManifestOptions
	return sh.siteCommand(siteCommand{
		use:   "apply FILE",
		short: "Create and update groups, people and applications from one YAML or JSON file",
		long: `Create and update groups, people and applications from one YAML or JSON file; - is standard input. Everything is checked before
anything is written. What the file says is then the case; people, groups and applications that it does not mention stay. A second time nothing changes.
A file of more than 8 MiB is read entry by entry, however large it is; its entries begin with "- ", as export writes them, or it is JSON.
A password is verified each time, which takes as long as a sign-in; a password_hash is compared.

A file that says what it is called, in a line such as manifest: company, keeps what it names: nobody changes
that on the pages or by the API, but for what the file does not say (passwords, second factors, secrets,
sessions), and to stop somebody at once. latchkey plan FILE says beforehand what would change, latchkey drift
what was changed beside the file. What it no longer names stays kept; --prune deletes it, --release lets go of it.

  manifest: company
  groups:
    - {name: staff, description: Everybody here}
    - {name: admins, roles: [admin]}
  people:
    - username: ada
      groups: [staff, admins]
      claims: {name: Ada Example, email: ada@example.com, email_verified: true}
      # sub: 8d0f…                  # what applications know them by, to keep it when they come from elsewhere
      password_file: ada.txt        # or password, password_env, password_hash
  clients:
    - client_id: notes
      type: web
      client_name: Notes
      redirect_uris: [https://notes.example.com/callback]
      allowed_groups: [staff]
      client_secret_env: NOTES_SECRET   # or client_secret, client_secret_file; without any, one is made and printed once`,
		example: `  latchkey apply people.yaml --dry-run
  latchkey apply company.yaml --prune
  latchkey export | latchkey apply - --data ./copy`,
		args: exactArgs(1, "one file"), creates: true, json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done, as latchkey plan does")
			manifestFlags(cmd, &options)
		},
		run: func(ctx context.Context, s *site, args []string) error {
			out := sh.changes(dry)
			err := sh.withManifest(args[0], options, func(o admin.ManifestOptions, r *manifestReader) error {
				if dry {
					return s.admin.Plan(ctx, s.actor, o, r, out.tell)
				}
				return s.admin.Apply(ctx, s.actor, o, r, out.tell)
			})
			return errors.Join(err, out.end())
		},
	})
}

func (sh *shell) planCommand() *cobra.Command {
	var options admin.ManifestOptions
	return sh.siteCommand(siteCommand{
		use:   "plan FILE",
		short: "Say field by field what apply would change, and change nothing",
		long: `Say field by field what latchkey apply FILE, with the same flags, would change against what there is
now, and change nothing. The values of passwords and secrets are not shown. What would stay as it is is only
counted; --json lists it, too.`,
		example: "  latchkey plan company.yaml\n  latchkey plan company.yaml --prune --json",
		args:    exactArgs(1, "one file"), creates: true, json: true,
		flags: func(cmd *cobra.Command) { manifestFlags(cmd, &options) },
		run: func(ctx context.Context, s *site, args []string) error {
			out := sh.changes(true)
			out.fields = true
			err := sh.withManifest(args[0], options, func(o admin.ManifestOptions, r *manifestReader) error {
				return s.admin.Plan(ctx, s.actor, o, r, out.tell)
			})
			return errors.Join(err, out.end())
		},
	})
}

// errDifferent is that what was compared is not the same: an answer, with an exit code of its own.
var errDifferent = errors.New("there are differences")

func (sh *shell) diffCommand() *cobra.Command {
	var options admin.ManifestOptions
	return sh.siteCommand(siteCommand{
		use:   "diff FILE",
		short: "Print what is different between a file and what there is, and tell by the exit code",
		long: `Print what is different between what there is (-) and what a file says (+), in the form of a unified
diff with a line per field. The exit code is 0 if nothing is, and 7 if something is. latchkey plan FILE says the
same in words.`,
		example: "  latchkey diff company.yaml && echo nothing to apply",
		args:    exactArgs(1, "one file"), creates: true, json: true,
		flags: func(cmd *cobra.Command) { manifestFlags(cmd, &options) },
		run: func(ctx context.Context, s *site, args []string) error {
			different := []admin.PlannedChange{}
			err := sh.withManifest(args[0], options, func(o admin.ManifestOptions, r *manifestReader) error {
				return s.admin.Plan(ctx, s.actor, o, r, func(c admin.PlannedChange) error {
					if c.ClientSecret = ""; c.Action == admin.ActionUnchanged || c.Action == admin.ActionLeft {
						return nil
					}
					different = append(different, c)
					return nil
				})
			})
			if err != nil {
				return err
			}
			if sh.json {
				err = sh.printJSON(different)
			} else {
				for _, c := range different {
					sh.printDiff(c)
				}
			}
			if err == nil && len(different) > 0 {
				err = errDifferent
			}
			return err
		},
	})
}

// printDiff prints one object as a unified diff of its fields.
func (sh *shell) printDiff(c admin.PlannedChange) {
	name := c.Kind + "/" + printable(c.Name)
	from, to := "now/"+name, "file/"+name
	switch c.Action {
	case admin.ActionCreated:
		from = "/dev/null"
	case admin.ActionDeleted:
		to = "/dev/null"
	}
	sh.printf("--- %s\n+++ %s\n", from, to)
	for _, f := range c.Changes {
		switch {
		case f.Secret:
			sh.printf("+%s: (not shown)\n", printable(f.Field))
			continue
		case f.Before != nil:
			sh.printf("-%s: %s\n", printable(f.Field), printable(string(f.Before)))
		}
		if f.After != nil {
			sh.printf("+%s: %s\n", printable(f.Field), printable(string(f.After)))
		}
	}
}

func (sh *shell) driftCommand() *cobra.Command {
	return sh.siteCommand(siteCommand{
		use:   "drift [NAME]",
		short: "Say what was changed beside the files that were applied",
		long: `Say which people, groups and applications are not what the file that keeps them said when it was
applied last: on the command line, by the people themselves, or to stop somebody at once. NAME is what a file
calls itself (manifest: NAME); without it, all of them are looked at. The exit code is 0 if nothing was changed,
and 7 if something was. Applying the file again undoes it.`,
		example: "  latchkey drift company",
		args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("%s takes one name, or none", cmd.CommandPath())
			}
			return nil
		}, json: true,
		run: func(ctx context.Context, s *site, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			all := []admin.Drift{}
			err := s.admin.Drift(ctx, s.actor, name, func(d admin.Drift) error {
				all = append(all, d)
				return nil
			})
			switch {
			case err != nil:
				return err
			case sh.json:
				err = sh.printJSON(all)
			case len(all) == 0:
				return sh.done("Nothing was changed beside the files.")
			default:
				for _, d := range all {
					sh.printDrift(d)
				}
			}
			if err == nil && len(all) > 0 {
				err = errDifferent
			}
			return err
		},
	})
}

func (sh *shell) printDrift(d admin.Drift) {
	what := "changed"
	if d.Deleted {
		what = "deleted"
	}
	line := fmt.Sprintf("%s   %-6s   %s   file %s", what, d.Kind, printable(d.Name), d.Manifest)
	if d.ChangedBy != "" {
		line += fmt.Sprintf("   by %s, %s", printable(d.ChangedBy), d.ChangedAt.UTC().Format("2006-01-02 15:04:05"))
	}
	sh.printf("%s\n", line)
	for _, f := range d.Changes {
		sh.printf("%s", fieldLine(f))
	}
}

// fieldLine says what becomes of a field.
func fieldLine(f admin.FieldChange) string {
	value := func(text []byte) string {
		if text == nil {
			return "nothing"
		}
		return printable(string(text))
	}
	if f.Secret {
		return fmt.Sprintf("            %s: another one, which is not shown\n", printable(f.Field))
	}
	return fmt.Sprintf("            %s: %s → %s\n", printable(f.Field), value(f.Before), value(f.After))
}

// changes prints what becomes of each entry of a manifest, as it comes.
type changes struct {
	*shell
	dry    bool
	fields bool           // with what becomes of each field, and without what stays as it is
	count  map[string]int // by action
}

func (sh *shell) changes(dry bool) *changes { return &changes{sh, dry, false, map[string]int{}} }

func (c *changes) told() int {
	n := 0
	for _, count := range c.count {
		n += count
	}
	return n
}

func (c *changes) tell(p admin.PlannedChange) error {
	first := c.told() == 0
	c.count[p.Action]++
	if c.dry {
		p.ClientSecret = ""
	}
	if !c.json && c.fields && p.Action == admin.ActionUnchanged {
		return nil
	}
	if !c.json {
		line := fmt.Sprintf("%-9s   %-6s   %s", p.Action, p.Kind, printable(p.Name))
		if p.ClientSecret != "" {
			line += "   client_secret " + p.ClientSecret
		}
		if c.fields {
			line += "\n"
			for _, f := range p.Changes {
				line += fieldLine(f)
			}
			line = strings.TrimSuffix(line, "\n")
		}
		_, err := fmt.Fprintln(c.stdout, line)
		return err
	}
	text, err := indented(p, "  ")
	if err != nil {
		return err
	}
	before := ",\n  "
	if first {
		before = "[\n  "
	}
	_, err = fmt.Fprint(c.stdout, before, text)
	return err
}

func (c *changes) end() error {
	n := c.told()
	var err error
	switch {
	case c.json && n == 0:
		_, err = fmt.Fprintln(c.stdout, "[]")
	case c.json:
		_, err = fmt.Fprintln(c.stdout, "\n]")
	case n > 1 || c.fields:
		line := fmt.Sprintf("%d created, %d updated, %d unchanged", c.count[admin.ActionCreated],
			c.count[admin.ActionUpdated], c.count[admin.ActionUnchanged])
		for _, more := range []string{admin.ActionDeleted, admin.ActionReleased, admin.ActionLeft} {
			if c.count[more] > 0 {
				line += fmt.Sprintf(", %d %s", c.count[more], more)
			}
		}
		c.notef("%s.\n", line)
	}
	if left := c.count[admin.ActionLeft]; left > 0 {
		c.notef("What the file keeps and no longer names stays: --prune deletes it, --release lets go of it.\n")
	}
	if c.dry {
		c.notef("Nothing was written: this is what would be done.\n")
	}
	return err
}

// indented is a value as printJSON writes it, in lines that begin with prefix, but for the first.
func indented(v any, prefix string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, "  ")
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// manifestReader reads the entries of a file, with the secrets that they name, and turns faults
// into lines of the file.
type manifestReader struct {
	*config.Entries
	stdin      bool
	env        []string
	faults     config.Faults // in what the file says, whatever is stored
	unreadable bool          // one of them is that an entry cannot be read
}

// mostFaults is how many faults of the file are told at once.
const mostFaults = 100

func (r *manifestReader) bad(lines map[string]int, at, format string, args ...any) {
	r.faults = append(r.faults, config.Fault{File: r.Name, Line: lineOf(lines, at), Key: at,
		Text: fmt.Sprintf(format, args...)})
}

// lineOf is the line of a key, or of what it is in.
func lineOf(lines map[string]int, at string) int {
	for {
		if line := lines[at]; line > 0 {
			return line
		}
		i := strings.LastIndex(at, ".")
		if i < 0 {
			return 0
		}
		at = at[:i]
	}
}

// entries reads the entries of a section. After one that cannot be read the others are only looked
// at for more of the kind.
func entries[E any](r *manifestReader, section string, yield func(E) error, read func(e config.Entry) (E,
	map[string]int, error)) error {
	return r.Each(section, func(e config.Entry) error {
		value, _, err := read(e)
		if err := r.note(err); err != nil {
			return err
		}
		if len(r.faults) > mostFaults {
			return r.faults
		}
		if r.unreadable {
			return nil
		}
		return yield(value)
	})
}

// note keeps what is wrong with an entry, and returns any other error.
func (r *manifestReader) note(err error) error {
	var faults config.Faults
	var one config.Fault
	switch {
	case err == nil:
		return nil
	case errors.As(err, &faults):
	case errors.As(err, &one):
		faults = config.Faults{one}
	default:
		return err
	}
	r.faults, r.unreadable = append(r.faults, faults...), true
	return nil
}

// inLines gives the faults of entries their lines.
func (r *manifestReader) inLines(err error) error {
	var faults admin.Faults
	var unread config.Faults
	switch {
	case errors.As(err, &faults):
	case errors.As(err, &unread):
		return unread
	default:
		return err
	}
	// 1. The entries that have faults are read once more, for their lines.
	lines := map[string]int{}
	wanted := map[string]bool{}
	for _, f := range faults {
		path, _, _ := strings.Cut(f.Field, "]")
		wanted[path+"]"] = true
	}
	for _, section := range manifestSections {
		_ = r.Each(section, func(e config.Entry) error {
			if wanted[e.Path] {
				some, _ := e.Read(map[string]any{"groups": new(admin.GroupEntry), "people": new(manifestPerson),
					"clients": new(manifestClient)}[section])
				maps.Copy(lines, some)
			}
			return nil
		})
	}
	// 2. In the order of the file.
	all := r.faults
	for _, f := range faults {
		text := f.Text
		if f.Value != "" {
			text = fmt.Sprintf("%q %s", f.Value, text)
		}
		all = append(all, config.Fault{File: r.Name, Line: lineOf(lines, f.Field), Key: f.Field, Text: text})
	}
	slices.SortStableFunc(all, func(a, b config.Fault) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

// EachGroup yields the groups of the file.
func (r *manifestReader) EachGroup(yield func(admin.GroupEntry) error) error {
	return entries(r, "groups", yield, func(e config.Entry) (g admin.GroupEntry, lines map[string]int, err error) {
		lines, err = e.Read(&g)
		return g, lines, err
	})
}

// EachUser yields the people of the file.
func (r *manifestReader) EachUser(yield func(admin.UserEntry) error) error {
	return entries(r, "people", yield, func(e config.Entry) (admin.UserEntry, map[string]int, error) {
		var p manifestPerson
		lines, err := e.Read(&p)
		p.Password = r.secret(lines, e.Path, "password", p.Password, p.PasswordEnv, p.PasswordFile)
		return p.UserEntry, lines, err
	})
}

// EachClient yields the applications of the file.
func (r *manifestReader) EachClient(yield func(admin.ClientEntry) error) error {
	err := entries(r, "clients", yield, func(e config.Entry) (admin.ClientEntry, map[string]int, error) {
		var c manifestClient
		lines, err := e.Read(&c)
		c.ClientSecret = r.secret(lines, e.Path, "client_secret", c.ClientSecret, c.ClientSecretEnv, c.ClientSecretFile)
		return c.ClientEntry, lines, err
	})
	if err != nil {
		return err
	}
	if len(r.faults) > 0 { // this is the last section: what is wrong with the file is known
		return r.faults
	}
	return nil
}

// secret is what was given in one of three ways; "" if in none.
func (r *manifestReader) secret(lines map[string]int, at, key, value, envVar, file string) string {
	given := 0
	for _, s := range []string{value, envVar, file} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		r.bad(lines, at, "has more than one of %[1]s, %[1]s_env and %[1]s_file; keep one of them", key)
	case envVar != "":
		for _, kv := range r.env {
			if k, v, ok := strings.Cut(kv, "="); ok && k == envVar && v != "" {
				return v
			}
		}
		r.bad(lines, at+"."+key+"_env", "the environment has no %s", envVar)
	case file != "":
		if !r.stdin {
			file = config.RelativeTo(r.Name, file)
		}
		v, err := config.ReadSecretFile(key+"_file", file)
		if err == nil {
			return v
		}
		r.bad(lines, at+"."+key+"_file", "%v", err)
	default:
		return value
	}
	return ""
}

func (sh *shell) exportCommand() *cobra.Command {
	var hashes bool
	return sh.siteCommand(siteCommand{
		use:   "export",
		short: "Write all groups, people and applications in the form that apply reads",
		long: `Write all groups, people and applications in the form that apply reads: YAML, or JSON with --json. People keep their sub where it
is applied, and are who they were to applications (but for pairwise identifiers, which belong to a database). Secrets are not in it: people get
their passwords along only with --with-password-hashes, and applications get new secrets where it is applied. Applications that registered themselves
are left out.`,
		args: exactArgs(0, ""), json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&hashes, "with-password-hashes", false,
				"also write the hashes of passwords; keep that file as you keep the database")
		},
		run: func(ctx context.Context, s *site, _ []string) error {
			buffered := bufio.NewWriterSize(sh.stdout, 64<<10)
			var out exporter = &yamlExport{out: buffered}
			if sh.json {
				out = &jsonExport{out: buffered}
			}
			err := s.admin.Export(ctx, s.actor, hashes, out)
			if err == nil {
				err = out.end()
			}
			return errors.Join(err, buffered.Flush())
		},
	})
}

// exporter writes entries as they come.
type exporter interface {
	admin.Exported
	end() error
}

// yamlExport writes the YAML that apply reads entry by entry.
type yamlExport struct {
	out     io.Writer
	section string
}

func (x *yamlExport) Group(e admin.GroupEntry) error   { return x.entry("groups", e) }
func (x *yamlExport) User(e admin.UserEntry) error     { return x.entry("people", e) }
func (x *yamlExport) Client(e admin.ClientEntry) error { return x.entry("clients", e) }

func (x *yamlExport) entry(section string, e any) error {
	text, err := admin.EntryYAML(section, e)
	if err != nil {
		return err
	}
	if section == x.section { // its first line is there already
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	x.section = section
	_, err = x.out.Write(text)
	return err
}

func (x *yamlExport) end() error {
	if x.section != "" {
		return nil
	}
	_, err := fmt.Fprintln(x.out, "{}")
	return err
}

// jsonExport writes JSON.
type jsonExport struct {
	out     io.Writer
	section string
}

func (x *jsonExport) Group(e admin.GroupEntry) error   { return x.entry("groups", e) }
func (x *jsonExport) User(e admin.UserEntry) error     { return x.entry("people", e) }
func (x *jsonExport) Client(e admin.ClientEntry) error { return x.entry("clients", e) }

func (x *jsonExport) entry(section string, e any) error {
	text, err := indented(e, "    ")
	if err != nil {
		return err
	}
	before := ",\n    "
	if section != x.section {
		before = "{\n  "
		if x.section != "" {
			before = "\n  ],\n  "
		}
		before += fmt.Sprintf("%q: [\n    ", section)
	}
	x.section = section
	_, err = fmt.Fprint(x.out, before, text)
	return err
}

func (x *jsonExport) end() error {
	last := "\n  ]\n}\n"
	if x.section == "" {
		last = "{}\n"
	}
	_, err := fmt.Fprint(x.out, last)
	return err
}
