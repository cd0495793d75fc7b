package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
)

// manifest is the file that apply reads and export writes: groups, people and clients by the names that the standards and the --json
// outputs have for them.
type manifest struct {
	Groups  []manifestGroup  `json:"groups,omitempty"`
	People  []manifestPerson `json:"people,omitempty"`
	Clients []manifestClient `json:"clients,omitempty"`
}

type manifestGroup struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Roles       []string `json:"roles,omitempty"`
}

type manifestPerson struct {
	Username string         `json:"username"`
	Disabled bool           `json:"disabled,omitempty"`
	Groups   []string       `json:"groups,omitempty"`
	Claims   storage.Claims `json:"claims,omitzero"`
	secretForms
	PasswordHash string `json:"password_hash,omitempty"` // argon2id PHC string, from another installation
}

type secretForms struct {
	Password     string `json:"password,omitempty"`
	PasswordEnv  string `json:"password_env,omitempty"`  // name of an environment variable
	PasswordFile string `json:"password_file,omitempty"` // path, relative to the manifest
}

type manifestClient struct {
	ClientID string `json:"client_id"`
	Type     string `json:"type,omitempty"` // default web
	clients.Metadata
	clients.Decisions

	ClientSecret     string `json:"client_secret,omitempty"`
	ClientSecretEnv  string `json:"client_secret_env,omitempty"`
	ClientSecretFile string `json:"client_secret_file,omitempty"`
}

// change is one line of what apply did, or would do.
type change struct {
	Kind   string `json:"kind"` // group, person or client
	Name   string `json:"name"`
	Action string `json:"action"` // created, updated or unchanged
	// ClientSecret is there once, when a client was created that brought none.
	ClientSecret string `json:"client_secret,omitempty"`
}

// plan is everything that is to be written, checked.
type plan struct {
	changes []change
	writes  []func(context.Context) error
}

func (p *plan) add(c change, write func(context.Context) error) {
	p.changes = append(p.changes, c)
	if c.Action != "unchanged" {
		p.writes = append(p.writes, write)
	}
}

func (sh *shell) applyCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Create and update groups, people and applications from one YAML or JSON file",
		Long: `Create and update groups, people and applications from one YAML or JSON file; - is standard input. Everything is checked before
anything is written. What the file says is then the case; whoever and whatever it does not mention stays. A second time nothing changes.

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
		Example: `  latchkey apply people.yaml --dry-run
  latchkey export | latchkey apply - --data ./copy`,
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, true, func(ctx context.Context, s *site) error {
				var m manifest
				lines, err := readYAMLFile(args[0], sh.stdin, &m)
				if err != nil {
					return err
				}
				a := applier{site: s, file: args[0], lines: lines, env: sh.env}
				p, err := a.plan(ctx, m)
				if err != nil {
					return err
				}
				if !dry {
					for _, write := range p.writes {
						if err := write(ctx); err != nil {
							return err
						}
					}
				}
				return sh.printChanges(p.changes, dry)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) printChanges(changes []change, dry bool) error {
	if dry {
		for i := range changes {
			changes[i].ClientSecret = ""
		}
	}
	if sh.json {
		return sh.printJSON(append([]change{}, changes...))
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

// applier turns a manifest into a plan.
type applier struct {
	*site
	file   string
	lines  map[string]int
	env    []string
	faults faults
}

func (a *applier) bad(at, format string, args ...any) {
	line := a.lines[at]
	if cut, _, ok := cutLast(at, "."); ok && line == 0 {
		line = a.lines[cut]
	}
	name := a.file
	if name == "-" {
		name = "standard input"
	}
	a.faults = append(a.faults, fault{name, line, at, fmt.Sprintf(format, args...)})
}

// plan checks the whole manifest and says what is to be done about it. It writes nothing.
func (a *applier) plan(ctx context.Context, m manifest) (*plan, error) {
	p := &plan{}
	known := map[string]bool{}
	stored, err := a.store.Groups(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range stored {
		known[g.Name] = true
	}
	seen := map[string]bool{}
	for i, g := range m.Groups {
		at := fmt.Sprintf("groups[%d]", i)
		if seen[g.Name] {
			a.bad(at, "%q is there twice", g.Name)
		}
		seen[g.Name], known[g.Name] = true, true
		if err := a.planGroup(ctx, p, at, g); err != nil {
			return nil, err
		}
	}
	seen = map[string]bool{}
	for i, person := range m.People {
		at := fmt.Sprintf("people[%d]", i)
		username, err := people.CanonicalUsername(person.Username)
		if err != nil {
			a.bad(at+".username", "%v", err)
			continue
		}
		if seen[username] {
			a.bad(at, "%q is there twice", username)
		}
		seen[username] = true
		a.checkKnown(at+".groups", person.Groups, known)
		if err := a.planPerson(ctx, p, at, username, person); err != nil {
			return nil, err
		}
	}
	seen = map[string]bool{}
	for i, c := range m.Clients {
		at := fmt.Sprintf("clients[%d]", i)
		if seen[c.ClientID] {
			a.bad(at, "%q is there twice", c.ClientID)
		}
		seen[c.ClientID] = true
		a.checkKnown(at+".allowed_groups", c.AllowedGroups, known)
		if err := a.planClient(ctx, p, at, c); err != nil {
			return nil, err
		}
	}
	return p, a.faults.orNil()
}

func (a *applier) checkKnown(at string, groups []string, known map[string]bool) {
	for _, g := range groups {
		if !known[g] {
			a.bad(at, "there is no group %q, neither here nor in the database", g)
		}
	}
}

func (a *applier) planGroup(ctx context.Context, p *plan, at string, m manifestGroup) error {
	want := storage.Group{Name: m.Name, Description: m.Description, Roles: sortedSet(m.Roles), CreatedAt: a.timestamp()}
	if err := checkGroup(want); err != nil {
		a.bad(at, "%v", err)
		return nil
	}
	have, err := a.store.Group(ctx, m.Name)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	c := change{Kind: "group", Name: m.Name, Action: "created"}
	if err == nil {
		c.Action, want.CreatedAt = "updated", have.CreatedAt
		if same(have, want) {
			c.Action = "unchanged"
		}
	}
	p.add(c, func(ctx context.Context) error { return a.store.PutGroup(ctx, want) })
	return nil
}

// same compares two records as they are written, so that an empty list equals none.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// secret is what was said in one of three ways; "" if in none.
func (a *applier) secret(at, key, value, envVar, file string) (string, bool) {
	said := 0
	for _, s := range []string{value, envVar, file} {
		if s != "" {
			said++
		}
	}
	switch {
	case said > 1:
		a.bad(at, "has more than one of %[1]s, %[1]s_env and %[1]s_file; keep one of them", key)
		return "", false
	case envVar != "":
		for _, kv := range a.env {
			if k, v, ok := strings.Cut(kv, "="); ok && k == envVar && v != "" {
				return v, true
			}
		}
		a.bad(at+"."+key+"_env", "the environment has no %s", envVar)
		return "", false
	case file != "":
		if a.file != "-" {
			file = relativeTo(a.file, file)
		}
		v, err := readSecretFile(key+"_file", file)
		if err != nil {
			a.bad(at+"."+key+"_file", "%v", err)
			return "", false
		}
		return v, true
	}
	return value, true
}

func (a *applier) planPerson(ctx context.Context, p *plan, at, username string, m manifestPerson) error {
	if err := checkClaims(m.Claims); err != nil {
		a.bad(at+".claims", "%v", err)
	}
	password, ok := a.secret(at, "password", m.Password, m.PasswordEnv, m.PasswordFile)
	if !ok {
		return nil
	}
	if password != "" && m.PasswordHash != "" {
		a.bad(at, "has both a password and a password_hash; keep one of them")
		return nil
	}
	if m.PasswordHash != "" {
		if err := a.hasher.CheckHash(m.PasswordHash); err != nil {
			a.bad(at+".password_hash", "%v", err)
			return nil
		}
	}
	have, err := a.store.UserByUsername(ctx, username)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	created := err != nil
	want := have
	want.Username, want.Disabled, want.Groups, want.Claims = username, m.Disabled, sortedSet(m.Groups), m.Claims
	if m.PasswordHash != "" {
		want.PasswordHash = m.PasswordHash
	}
	if password != "" {
		right := false
		if have.PasswordHash != "" {
			if right, _, err = a.hasher.Verify(ctx, have.PasswordHash, password); err != nil {
				right = false // a hash that cannot be read is replaced
			}
		}
		if !right {
			if err := people.CheckPassword(password, username, m.Claims.Email, a.Name); err != nil {
				a.bad(at+".password", "%v", err)
				return nil
			}
			if want.PasswordHash, err = a.hasher.Hash(ctx, password); err != nil {
				return err
			}
		}
	}
	c := change{Kind: "person", Name: username, Action: "updated"}
	switch {
	case created:
		c.Action = "created"
	case same(have, want) && have.PasswordHash == want.PasswordHash:
		c.Action = "unchanged"
	}
	p.add(c, func(ctx context.Context) error {
		if created {
			_, err := a.createUser(ctx, want)
			return err
		}
		_, err := a.changeUser(ctx, username, func(u *storage.User) error {
			u.Disabled, u.Groups, u.Claims, u.PasswordHash = want.Disabled, want.Groups, want.Claims, want.PasswordHash
			return nil
		})
		if err == nil && (want.PasswordHash != have.PasswordHash || want.Disabled && !have.Disabled) {
			err = a.endSessions(ctx, have.ID)
		}
		return err
	})
	return nil
}

func (a *applier) planClient(ctx context.Context, p *plan, at string, m manifestClient) error {
	secret, ok := a.secret(at, "client_secret", m.ClientSecret, m.ClientSecretEnv, m.ClientSecretFile)
	if !ok {
		return nil
	}
	if m.ClientID == "" {
		a.bad(at+".client_id", "is missing; without it the application could not be found again")
		return nil
	}
	have, err := a.store.Client(ctx, m.ClientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	created := err != nil
	if m.Type == "" {
		m.Type = clients.TypeWeb
	}
	made, err := clients.NewClient(m.Type, m.Metadata, a.clientPolicy())
	if err != nil {
		a.bad(at, "%v", plain(err))
		return nil
	}
	want := have
	want.ID, want.Type, want.Metadata, want.Decisions = m.ClientID, m.Type, made.Metadata, m.Decisions
	if want, err = clients.Prepare(want, a.clientPolicy()); err != nil {
		a.bad(at, "%v", plain(err))
		return nil
	}
	if want.SectorIdentifierURI != "" && (created || want.SectorIdentifierURI != have.SectorIdentifierURI || !slices.Equal(want.RedirectURIs, have.RedirectURIs)) {
		prov, err := a.provider()
		if err != nil {
			return err
		}
		if err := prov.Registrations.CheckSector(ctx, want); err != nil {
			a.bad(at+".sector_identifier_uri", "%v", plain(err))
			return nil
		}
	}
	c := change{Kind: "client", Name: m.ClientID, Action: "updated"}
	if created {
		c.Action = "created"
	}
	hasher, newSecret := a.secretHasher(), false
	if !want.UsesSecret() {
		want.SecretHash, want.SealedSecret, want.SecretExpiresAt = nil, nil, time.Time{}
	}
	switch {
	case secret == "" && needsSecret(want):
		secret, newSecret = clients.NewSecret(), true
		c.ClientSecret = secret
	case secret != "":
		right := hasher.Check(want, secret, a.now())
		if want.TokenEndpointAuthMethod == oauth.AuthClientSecretJWT {
			value, err := a.sealer.Open(want.SealedSecret, clients.SealedSecretData(want.ID))
			right = right && err == nil && string(value) == secret
		}
		newSecret = !right
	}
	if newSecret {
		if err := want.SetSecret(secret, hasher, a.sealer); err != nil {
			a.bad(at+".client_secret", "%v", plain(err))
			return nil
		}
	}
	if !created && !newSecret && same(have, want) && len(have.SecretHash) == len(want.SecretHash) {
		c.Action = "unchanged"
	}
	p.add(c, func(ctx context.Context) error {
		if created {
			return a.createClient(ctx, &want)
		}
		want.UpdatedAt = a.timestamp()
		if err := registration.EnsureKeys(ctx, a.ring, want.Metadata); err != nil {
			return err
		}
		err := a.store.UpdateClient(ctx, want)
		if errors.Is(err, storage.ErrConflict) {
			return fmt.Errorf("%s was changed by somebody else meanwhile; apply again", want.ID)
		}
		return err
	})
	return nil
}

func (sh *shell) exportCommand() *cobra.Command {
	var hashes bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all groups, people and applications in the form that apply reads",
		Long: `Write all groups, people and applications in the form that apply reads: YAML, or JSON with --json. Secrets are not in it: people get
their passwords along only with --with-password-hashes, and applications get new secrets where it is applied. Applications that registered themselves
are left out.`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				m, err := s.export(ctx, hashes)
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
			})
		},
	}
	cmd.Flags().BoolVar(&hashes, "with-password-hashes", false, "also write the hashes of passwords; keep that file as you keep the database")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

// blockStyle takes away what JSON looks like; texts stay in quotes where they need them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		blockStyle(c)
	}
}

func (s *site) export(ctx context.Context, hashes bool) (manifest, error) {
	var m manifest
	groups, err := s.store.Groups(ctx)
	if err != nil {
		return m, err
	}
	for _, g := range groups {
		m.Groups = append(m.Groups, manifestGroup{Name: g.Name, Description: g.Description, Roles: g.Roles})
	}
	everybody, err := s.users(ctx)
	if err != nil {
		return m, err
	}
	for _, u := range everybody {
		person := manifestPerson{Username: u.Username, Disabled: u.Disabled, Groups: u.Groups, Claims: u.Claims}
		if hashes {
			person.PasswordHash = u.PasswordHash
		}
		m.People = append(m.People, person)
	}
	apps, err := s.clients(ctx)
	if err != nil {
		return m, err
	}
	for _, c := range apps {
		if c.Dynamic {
			continue
		}
		m.Clients = append(m.Clients, manifestClient{ClientID: c.ID, Type: c.Type, Metadata: c.Metadata, Decisions: c.Decisions})
	}
	return m, nil
}
