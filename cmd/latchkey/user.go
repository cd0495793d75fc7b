package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// newUserID makes a subject identifier: random, so that it says nothing and is never given again (OIDC Core §2).
func newUserID() string { return strings.ToLower(rand.Text()) }

func (sh *shell) userCommand() *cobra.Command {
	return family("user", "People: create, list, change, disable, delete",
		sh.userCreate(), sh.userList(), sh.userShow(), sh.userUpdate(), sh.userSetPassword(),
		sh.userAbility("disable", true), sh.userAbility("enable", false), sh.userDelete())
}

// claimFlags are the standard claims that are worth a flag; apply can set all of them.
type claimFlags struct {
	storage.Claims
	groups []string
}

func (f *claimFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Email, "email", "", "e-mail `ADDRESS`")
	flags.BoolVar(&f.EmailVerified, "email-verified", false, "the address is known to be theirs")
	flags.StringVar(&f.Name, "name", "", "full `NAME` as it is shown")
	flags.StringVar(&f.GivenName, "given-name", "", "given `NAME`")
	flags.StringVar(&f.FamilyName, "family-name", "", "family `NAME`")
	flags.StringVar(&f.PhoneNumber, "phone", "", "phone `NUMBER`, such as +493012345")
	flags.StringVar(&f.Locale, "locale", "", "language `TAG`, such as en-GB")
	flags.StringVar(&f.Zoneinfo, "zoneinfo", "", "time zone `NAME`, such as Europe/Berlin")
	flags.StringVar(&f.Picture, "picture", "", "`URL` of a picture")
	flags.StringArrayVar(&f.groups, "group", nil, "a `GROUP` that they belong to; may be repeated")
}

// apply sets what was said and leaves the rest.
func (f *claimFlags) apply(cmd *cobra.Command, u *storage.User) {
	for name, p := range map[string][2]*string{
		"email": {&f.Email, &u.Claims.Email}, "name": {&f.Name, &u.Claims.Name}, "given-name": {&f.GivenName, &u.Claims.GivenName},
		"family-name": {&f.FamilyName, &u.Claims.FamilyName}, "phone": {&f.PhoneNumber, &u.Claims.PhoneNumber}, "locale": {&f.Locale, &u.Claims.Locale},
		"zoneinfo": {&f.Zoneinfo, &u.Claims.Zoneinfo}, "picture": {&f.Picture, &u.Claims.Picture},
	} {
		if cmd.Flags().Changed(name) {
			*p[1] = *p[0]
			if name == "email" {
				u.Claims.EmailVerified = false // that was about the other one
			}
		}
	}
	if cmd.Flags().Changed("email-verified") {
		u.Claims.EmailVerified = f.EmailVerified
	}
	if cmd.Flags().Changed("group") {
		u.Groups = sortedSet(f.groups)
	}
}

// sortedSet is the list in order, each value once.
func sortedSet(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// checkGroups insists that the groups exist: a slip of the pen must not look like a group without members.
func (s *site) checkGroups(ctx context.Context, names []string) error {
	for _, name := range names {
		if _, err := s.store.Group(ctx, name); errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("there is no group %q; make it with: latchkey group create %s", name, name)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// user finds a person by the name that somebody typed.
func (s *site) user(ctx context.Context, name string) (storage.User, error) {
	canonical, err := people.CanonicalUsername(name)
	if err != nil {
		return storage.User{}, fmt.Errorf("username %q: %w", name, err)
	}
	u, err := s.store.UserByUsername(ctx, canonical)
	if errors.Is(err, storage.ErrNotFound) {
		return u, fmt.Errorf("there is nobody with the username %q", canonical)
	}
	return u, err
}

// hashPassword judges a password for the person and hashes it.
func (s *site) hashPassword(ctx context.Context, password string, u storage.User) (string, error) {
	if err := people.CheckPassword(password, u.Username, u.Claims.Email, s.Name); err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	return s.hasher.Hash(ctx, password)
}

// createUser stores a new person.
func (s *site) createUser(ctx context.Context, u storage.User) (storage.User, error) {
	u.ID, u.CreatedAt, u.Version = newUserID(), s.timestamp(), 1
	u.UpdatedAt = u.CreatedAt
	err := s.store.CreateUser(ctx, u)
	if errors.Is(err, storage.ErrConflict) {
		return u, fmt.Errorf("the username %q is taken", u.Username)
	}
	return u, err
}

// timestamp is now, as the store keeps it.
func (s *site) timestamp() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// changeUser changes a person, again if somebody else changed them meanwhile.
func (s *site) changeUser(ctx context.Context, name string, change func(*storage.User) error) (storage.User, error) {
	for range 10 {
		u, err := s.user(ctx, name)
		if err != nil {
			return u, err
		}
		if err := change(&u); err != nil {
			return u, err
		}
		u.UpdatedAt = s.timestamp()
		if err = s.store.UpdateUser(ctx, u); err == nil {
			return u, nil
		} else if !errors.Is(err, storage.ErrConflict) {
			return u, err
		}
	}
	return storage.User{}, fmt.Errorf("%s is being changed by others all the time; try again", name)
}

// endSessions signs a person out everywhere, by the provider's own logic: applications are told, now or when the server runs again.
func (s *site) endSessions(ctx context.Context, userID string) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	return p.EndSessions(ctx, userID)
}

func (sh *shell) userCreate() *cobra.Command {
	var f claimFlags
	var fromStdin, without bool
	cmd := &cobra.Command{
		Use:   "create USERNAME",
		Short: "Create a person",
		Example: `  latchkey user create ada --email ada@example.com --group staff
  printf '%s\n' "$PASSWORD" | latchkey user create ada --email ada@example.com --password-stdin --json`,
		Args: exactly(1, "one username"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if without && fromStdin {
				return usage("--no-password and --password-stdin exclude each other")
			}
			return sh.onSite(cmd, true, func(ctx context.Context, s *site) error {
				username, err := people.CanonicalUsername(args[0])
				if err != nil {
					return fmt.Errorf("username %q: %w", args[0], err)
				}
				u := storage.User{Username: username}
				f.apply(cmd, &u)
				if err := checkClaims(u.Claims); err != nil {
					return err
				}
				if err := s.checkGroups(ctx, u.Groups); err != nil {
					return err
				}
				if _, err := s.store.UserByUsername(ctx, username); err == nil {
					return fmt.Errorf("the username %q is taken", username)
				}
				if !without {
					password, err := sh.readPassword(ctx, fromStdin, "Password for "+username)
					if err != nil {
						return err
					}
					if u.PasswordHash, err = s.hashPassword(ctx, password, u); err != nil {
						return err
					}
				}
				if u, err = s.createUser(ctx, u); err != nil {
					return err
				}
				return sh.printUser(u)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&without, "no-password", false, "nobody can sign in as them until a password is set")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) userList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all people",
		Args:  exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				all, err := s.users(ctx)
				if err != nil {
					return err
				}
				if sh.json {
					return sh.printJSON(all)
				}
				rows := [][]string{{"USERNAME", "NAME", "EMAIL", "GROUPS", "STATE"}}
				for _, u := range all {
					rows = append(rows, []string{u.Username, u.Claims.Name, u.Claims.Email, strings.Join(u.Groups, " "), userState(u)})
				}
				return sh.table(rows)
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

// users reads everybody.
func (s *site) users(ctx context.Context) ([]storage.User, error) {
	all := []storage.User{}
	after := ""
	for {
		page, err := s.store.Users(ctx, after, 500)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return all, nil
		}
		all = append(all, page...)
		after = page[len(page)-1].Username
	}
}

func userState(u storage.User) string {
	switch {
	case u.Disabled:
		return "disabled"
	case u.PasswordHash == "":
		return "no password"
	}
	return "active"
}

func (sh *shell) printUser(u storage.User) error {
	if sh.json {
		return sh.printJSON(u)
	}
	rows := [][]string{{"username", u.Username}, {"sub", u.ID}, {"state", userState(u)}}
	for _, r := range [][2]string{{"name", u.Claims.Name}, {"email", u.Claims.Email}, {"groups", strings.Join(u.Groups, " ")}} {
		if r[1] != "" {
			rows = append(rows, r[:])
		}
	}
	return sh.table(append(rows, []string{"created_at", u.CreatedAt.Format(time.RFC3339)}))
}

func (sh *shell) userShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show USERNAME",
		Short: "Show a person",
		Args:  exactly(1, "one username"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				u, err := s.user(ctx, args[0])
				if err != nil {
					return err
				}
				return sh.printUser(u)
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) userUpdate() *cobra.Command {
	var f claimFlags
	cmd := &cobra.Command{
		Use:     "update USERNAME",
		Short:   "Change what is known about a person; what is not named stays",
		Example: `  latchkey user update ada --email ada@example.org --email-verified`,
		Args:    exactly(1, "one username"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				u, err := s.changeUser(ctx, args[0], func(u *storage.User) error {
					f.apply(cmd, u)
					if err := checkClaims(u.Claims); err != nil {
						return err
					}
					return s.checkGroups(ctx, u.Groups)
				})
				if err != nil {
					return err
				}
				return sh.printUser(u)
			})
		},
	}
	f.register(cmd)
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) userSetPassword() *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{
		Use:     "set-password USERNAME",
		Short:   "Set a new password; ends the person's sessions",
		Example: `  printf '%s\n' "$PASSWORD" | latchkey user set-password ada --password-stdin`,
		Args:    exactly(1, "one username"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				u, err := s.user(ctx, args[0])
				if err != nil {
					return err
				}
				password, err := sh.readPassword(ctx, fromStdin, "New password for "+u.Username)
				if err != nil {
					return err
				}
				hash, err := s.hashPassword(ctx, password, u)
				if err != nil {
					return err
				}
				u, err = s.changeUser(ctx, u.Username, func(u *storage.User) error { u.PasswordHash = hash; return nil })
				if err != nil {
					return err
				}
				if err := s.endSessions(ctx, u.ID); err != nil {
					return err
				}
				return sh.done("The password of %s is set; they are signed out everywhere.", u.Username)
			})
		},
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	sh.storeFlags(cmd)
	return cmd
}

// done says what was done.
func (sh *shell) done(format string, args ...any) error {
	sh.notef(format+"\n", args...)
	return nil
}

func (sh *shell) userAbility(verb string, disabled bool) *cobra.Command {
	short := "Let a disabled person sign in again"
	if disabled {
		short = "Keep a person from signing in, and end their sessions"
	}
	cmd := &cobra.Command{
		Use:   verb + " USERNAME",
		Short: short,
		Args:  exactly(1, "one username"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				u, err := s.changeUser(ctx, args[0], func(u *storage.User) error { u.Disabled = disabled; return nil })
				if err != nil {
					return err
				}
				if !disabled {
					return sh.done("%s can sign in again.", u.Username)
				}
				if err := s.endSessions(ctx, u.ID); err != nil {
					return err
				}
				return sh.done("%s cannot sign in any more and is signed out everywhere.", u.Username)
			})
		},
	}
	sh.storeFlags(cmd)
	return cmd
}

func (sh *shell) userDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete USERNAME",
		Short: "Delete a person for good, and end their sessions",
		Args:  exactly(1, "one username"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				// Disabled first, so that nobody signs in between the end of the sessions and that of the account.
				u, err := s.changeUser(ctx, args[0], func(u *storage.User) error { u.Disabled = true; return nil })
				if err != nil {
					return err
				}
				if err := s.endSessions(ctx, u.ID); err != nil {
					return err
				}
				if err := s.store.DeleteUser(ctx, u.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
					return err
				}
				return sh.done("%s is deleted.", u.Username)
			})
		},
	}
	sh.storeFlags(cmd)
	return cmd
}
