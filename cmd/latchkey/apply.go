package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/admin"
)

// manifest is the file that apply reads and export writes: groups, people and clients by the names
// that the standards and the --json outputs have for them. It is an admin.Manifest that may name
// where a secret is, in place of the secret.
type manifest struct {
	Groups  []admin.GroupEntry `json:"groups,omitempty"`
	People  []manifestPerson   `json:"people,omitempty"`
	Clients []manifestClient   `json:"clients,omitempty"`
}

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

func (sh *shell) applyCommand() *cobra.Command {
	var dry bool
	return sh.siteCommand(siteCommand{
		use:   "apply FILE",
		short: "Create and update groups, people and applications from one YAML or JSON file",
		long: `Create and update groups, people and applications from one YAML or JSON file; - is standard input. Everything is checked before
anything is written. What the file says is then the case; people, groups and applications that it does not mention stay. A second time nothing changes.

  groups:
    - {name: staff, description: Everybody here}
    - {name: admins, roles: [admin]}
  people:
    - username: ada
      groups: [staff, admins]
      claims: {name: Ada Example, email: ada@example.com, email_verified: true}
      password_file: ada.txt        # or password, password_env, password_hash
  clients:
    - client_id: notes
      type: web
      client_name: Notes
      redirect_uris: [https://notes.example.com/callback]
      allowed_groups: [staff]
      client_secret_env: NOTES_SECRET   # or client_secret, client_secret_file; without any, one is made and printed once`,
		example: `  latchkey apply people.yaml --dry-run
  latchkey export | latchkey apply - --data ./copy`,
		args: exactArgs(1, "one file"), creates: true, json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done")
		},
		run: func(ctx context.Context, s *site, args []string) error {
			var m manifest
			lines, err := config.ReadYAMLFile(args[0], sh.stdin, &m)
			if err != nil {
				return err
			}
			r := manifestReader{file: args[0], lines: lines, env: sh.env}
			p, err := r.plan(ctx, s, m)
			if err != nil {
				return err
			}
			if !dry {
				if err := s.admin.Apply(ctx, s.actor, p); err != nil {
					return err
				}
			}
			return sh.printChanges(p.Changes, dry)
		},
	})
}

// bring makes the database what the manifest says, and returns what became of each entry.
func (s *site) bring(ctx context.Context, m admin.Manifest) ([]admin.PlannedChange, error) {
	p, err := s.admin.Plan(ctx, s.actor, m)
	if err != nil {
		return nil, err
	}
	return p.Changes, s.admin.Apply(ctx, s.actor, p)
}

func (sh *shell) printChanges(changes []admin.PlannedChange, dry bool) error {
	if dry {
		for i := range changes {
			changes[i].ClientSecret = ""
		}
	}
	if sh.json {
		return sh.printJSON(append([]admin.PlannedChange{}, changes...))
	}
	var rows [][]string
	for _, c := range changes {
		row := []string{c.Action, c.Kind, c.Name}
		if c.ClientSecret != "" {
			row = append(row, "client_secret "+c.ClientSecret)
		}
		rows = append(rows, row)
	}
	if err := sh.table(rows); err != nil {
		return err
	}
	if dry {
		sh.notef("Nothing was written: this is what would be done.\n")
	}
	return nil
}

// manifestReader turns a file into a plan, and faults into lines of the file.
type manifestReader struct {
	file   string
	lines  map[string]int
	env    []string
	faults config.Faults
}

func (r *manifestReader) bad(at, format string, args ...any) {
	line := r.lines[at]
	for cut := at; line == 0; line = r.lines[cut] {
		i := strings.LastIndex(cut, ".")
		if i < 0 {
			break
		}
		cut = cut[:i]
	}
	name := r.file
	if name == "-" {
		name = "standard input"
	}
	r.faults = append(r.faults, config.Fault{File: name, Line: line, Key: at, Text: fmt.Sprintf(format, args...)})
}

// plan reads the secrets that the manifest names, and checks all of it. It writes nothing.
func (r *manifestReader) plan(ctx context.Context, s *site, m manifest) (*admin.Plan, error) {
	full := admin.Manifest{Groups: m.Groups}
	for i, p := range m.People {
		p.Password = r.secret(fmt.Sprintf("people[%d]", i), "password", p.Password, p.PasswordEnv, p.PasswordFile)
		full.People = append(full.People, p.UserEntry)
	}
	for i, c := range m.Clients {
		c.ClientSecret = r.secret(fmt.Sprintf("clients[%d]", i), "client_secret", c.ClientSecret, c.ClientSecretEnv, c.ClientSecretFile)
		full.Clients = append(full.Clients, c.ClientEntry)
	}
	p, err := s.admin.Plan(ctx, s.actor, full)
	var faults admin.Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, err
	}
	for _, f := range faults {
		text := f.Text
		if f.Value != "" {
			text = fmt.Sprintf("%q %s", f.Value, text)
		}
		r.bad(f.Field, "%s", text)
	}
	return p, r.faults.OrNil()
}

// secret is what was given in one of three ways; "" if in none.
func (r *manifestReader) secret(at, key, value, envVar, file string) string {
	given := 0
	for _, s := range []string{value, envVar, file} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		r.bad(at, "has more than one of %[1]s, %[1]s_env and %[1]s_file; keep one of them", key)
	case envVar != "":
		for _, kv := range r.env {
			if k, v, ok := strings.Cut(kv, "="); ok && k == envVar && v != "" {
				return v
			}
		}
		r.bad(at+"."+key+"_env", "the environment has no %s", envVar)
	case file != "":
		if r.file != "-" {
			file = config.RelativeTo(r.file, file)
		}
		v, err := config.ReadSecretFile(key+"_file", file)
		if err == nil {
			return v
		}
		r.bad(at+"."+key+"_file", "%v", err)
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
		long: `Write all groups, people and applications in the form that apply reads: YAML, or JSON with --json. Secrets are not in it: people get
their passwords along only with --with-password-hashes, and applications get new secrets where it is applied. Applications that registered themselves
are left out.`,
		args: exactArgs(0, ""), json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&hashes, "with-password-hashes", false, "also write the hashes of passwords; keep that file as you keep the database")
		},
		run: func(ctx context.Context, s *site, _ []string) error {
			m, err := s.admin.Export(ctx, s.actor, hashes)
			if err != nil {
				return err
			}
			if sh.json {
				return sh.printJSON(m)
			}
			text, err := json.Marshal(m)
			if err != nil {
				return err
			}
			var n yaml.Node
			if err := yaml.Unmarshal(text, &n); err != nil {
				return fmt.Errorf("write YAML: %w", err)
			}
			blockStyle(&n)
			e := yaml.NewEncoder(sh.stdout)
			e.SetIndent(2)
			return errors.Join(e.Encode(&n), e.Close())
		},
	})
}

// blockStyle takes away what JSON looks like; texts stay in quotes where they need them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		blockStyle(c)
	}
}
