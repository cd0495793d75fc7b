package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/provider/admin"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

const oneUsername = "one username"

func (sh *shell) userCommand() *cobra.Command {
	return commandGroup("user", "People: create, list, change, disable, unlock, delete",
		sh.userCreate(), sh.userList(), sh.userShow(), sh.userUpdate(), sh.userRename(), sh.userSetPassword(),
		sh.userInvite(),
		sh.userDisable(), sh.userEnable(), sh.userUnlock(), sh.userMethods(), sh.userResetMethods(), sh.userSignOut(),
		sh.userDelete())
}

// claimFlags are the standard claims that are worth a flag; apply can set all of them.
type claimFlags struct {
	storage.Claims
	groups []string
	role   string
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
	flags.StringArrayVar(&f.groups, "group", nil,
		`a `+"`GROUP`"+` that they belong to; may be repeated. The groups replace those before; "" for none`)
	flags.StringVar(&f.role, "role", "", "what they administer: `ROLE` is "+strings.Join(storage.Roles,
		", ")+", or none")
}

// givenRole is the role that was given, ok if one was.
func (f *claimFlags) givenRole(given []string) (role string, ok bool) {
	if f.role == admin.RoleNone {
		return "", slices.Contains(given, "role")
	}
	return f.role, slices.Contains(given, "role")
}

// apply sets what was given and leaves the rest.
func (f *claimFlags) apply(given []string, claims *storage.Claims, groups *[]string) {
	fields := map[string][2]*string{
		"email": {&f.Email, &claims.Email}, "name": {&f.Name, &claims.Name}, "given-name": {&f.GivenName,
			&claims.GivenName},
		"family-name": {&f.FamilyName, &claims.FamilyName}, "phone": {&f.PhoneNumber, &claims.PhoneNumber},
		"locale":   {&f.Locale, &claims.Locale},
		"zoneinfo": {&f.Zoneinfo, &claims.Zoneinfo}, "picture": {&f.Picture, &claims.Picture},
	}
	verified := false
	for _, name := range given {
		switch p, ok := fields[name]; {
		case name == "email-verified":
			verified = true
		case name == "group":
			*groups = notEmpty(f.groups)
		case ok:
			*p[1] = *p[0]
			if name == "email" {
				claims.EmailVerified = false // that was about the other one
			}
		}
	}
	if verified {
		claims.EmailVerified = f.EmailVerified
	}
}

// notEmpty is the list without "", which stands for an empty list in a flag.
func notEmpty(list []string) (out []string) {
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (sh *shell) userCreate() *cobra.Command {
	var f claimFlags
	var given []string
	var fromStdin, without, missing bool
	return sh.siteCommand(siteCommand{
		use:   "create USERNAME",
		short: "Create a person",
		example: `  latchkey user create ada --email ada@example.com --group staff
  printf '%s\n' "$PASSWORD" | latchkey user create ada --email ada@example.com --password-stdin --json`,
		args: exactArgs(1, oneUsername), creates: true, json: true,
		flags: func(cmd *cobra.Command) {
			f.register(cmd)
			cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
			ifMissing(cmd, &missing)
			cmd.Flags().BoolVar(&without, "no-password", false, "the person cannot sign in until a password is set")
		},
		before: func(cmd *cobra.Command, _ []string) error {
			given = changedFlags(cmd)
			if without && fromStdin {
				return usage("--no-password and --password-stdin exclude each other")
			}
			return nil
		},
		run: func(ctx context.Context, s *site, args []string) error {
			n := admin.NewUser{Username: args[0]}
			f.apply(given, &n.Claims, &n.Groups)
			n.Role, _ = f.givenRole(given)
			if err := s.admin.CheckUser(ctx, n); sh.thereAlready(missing, err) {
				u, err := s.admin.User(ctx, s.actor, args[0])
				if err != nil {
					return err
				}
				return sh.printUser(shownUser{User: u})
			} else if err != nil {
				return err
			}
			if !without { // all else was checked before a person is asked to think of a password
				var err error
				if n.Password, err = sh.readPassword(ctx, fromStdin, "Password for "+args[0]); err != nil {
					return err
				}
			}
			u, err := s.admin.CreateUser(ctx, s.actor, n)
			if err != nil {
				return err
			}
			if err := sh.printUser(shownUser{User: u}); err != nil || sh.json {
				return err
			}
			if u.Claims.Email != "" && !u.Claims.EmailVerified {
				sh.printf("\nThe address counts as unverified, and some applications let nobody in with such a one. If it is known to be theirs:\n"+
					"latchkey user update %s --email %s --email-verified\n", printable(u.Username),
					printable(u.Claims.Email))
			}
			return nil
		},
	})
}

func (sh *shell) userList() *cobra.Command {
	return list(sh, "List all people", []string{"USERNAME", "NAME", "EMAIL", "GROUPS", "ROLE", "STATE"},
		func(ctx context.Context, s *site) ([]storage.User, error) { return s.admin.Users(ctx, s.actor) },
		func(u storage.User) []string {
			return []string{u.Username, u.Claims.Name, u.Claims.Email, strings.Join(u.Groups, " "), u.Role,
				userState(u)}
		})
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

// shownUser is a person as they are printed.
type shownUser struct {
	storage.User
	Lockout *shownLockout `json:"lockout,omitempty"` // there if sign-ins have failed lately
}

// shownLockout is what failed sign-ins amount to.
type shownLockout struct {
	Locked bool `json:"locked"`
	// in a row of 15 minutes; those that were refused because of the lock-out are among them
	Failures int       `json:"failures"`
	Limit    int       `json:"limit"` // that many lock the account
	Until    time.Time `json:"until"` // the failures count until then
}

// lockoutOf is a lock-out as it is printed, nil if there is nothing to tell.
func lockoutOf(l people.Lockout) *shownLockout {
	if l.Failures == 0 {
		return nil
	}
	return &shownLockout{l.Locked(), l.Failures, l.Limit, l.Until}
}

func (l *shownLockout) String() string {
	until := l.Until.Local().Format("15:04:05 MST")
	if l.Locked {
		return fmt.Sprintf("locked out until %s, after %d failed sign-ins; a browser that the person has used before stays open. Lift it with: latchkey user unlock", until, l.Failures)
	}
	return fmt.Sprintf("%d of %d that lock the account, until %s", l.Failures, l.Limit, until)
}

func (sh *shell) printUser(u shownUser) error {
	if sh.json {
		return sh.printJSON(u)
	}
	rows := [][]string{{"username", u.Username}, {"sub", u.ID}, {"state", userState(u.User)}}
	for _, r := range [][2]string{{"name", u.Claims.Name}, {"email", u.Claims.Email},
		{"groups", strings.Join(u.Groups, " ")}, {"role", u.Role}} {
		if r[1] != "" {
			rows = append(rows, r[:])
		}
	}
	if u.Lockout != nil {
		rows = append(rows, []string{"failed sign-ins", u.Lockout.String()})
	}
	return sh.table(append(rows, []string{"created_at", u.CreatedAt.Format(time.RFC3339)}))
}

func (sh *shell) userShow() *cobra.Command {
	return show(sh, "USERNAME", oneUsername, "Show a person, and whether failed sign-ins lock them out",
		func(ctx context.Context, s *site, name string) (shownUser, error) {
			u, err := s.admin.User(ctx, s.actor, name)
			if err != nil {
				return shownUser{}, err
			}
			l, err := s.admin.Lockout(ctx, s.actor, u)
			return shownUser{u, lockoutOf(l)}, err
		}, sh.printUser)
}

func (sh *shell) userUpdate() *cobra.Command {
	var f claimFlags
	var given []string
	return sh.siteCommand(siteCommand{
		use:   "update USERNAME",
		short: "Change what is known about a person; what is not named stays",
		example: `  latchkey user update ada --email ada@example.org --email-verified
  latchkey user update ada --role administrator`,
		args: exactArgs(1, oneUsername), json: true,
		flags: f.register,
		before: func(cmd *cobra.Command, args []string) error {
			given = changedFlags(cmd)
			return needsChange(cmd, args)
		},
		run: func(ctx context.Context, s *site, args []string) error {
			u, err := s.admin.User(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			// The role is a change of its own, with an event of its own; nothing else is done if it is
			// refused.
			if role, ok := f.givenRole(given); ok {
				if u, err = s.admin.SetRole(ctx, s.actor, u.ID, role); err != nil {
					return err
				}
			}
			u, err = s.admin.UpdateUser(ctx, s.actor, u.ID, 0, func(u *storage.User) error {
				f.apply(given, &u.Claims, &u.Groups)
				return nil
			})
			if err != nil {
				return err
			}
			return sh.printUser(shownUser{User: u})
		},
	})
}

func (sh *shell) userRename() *cobra.Command {
	return sh.siteCommand(siteCommand{
		use:     "rename USERNAME NEW-USERNAME",
		short:   "Give a person another username; applications still know them by their sub",
		example: "  latchkey user rename ada ada.king",
		args:    exactArgs(2, "the username and the new one"), json: true,
		run: func(ctx context.Context, s *site, args []string) error {
			u, err := s.admin.User(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			if u, err = s.admin.RenameUser(ctx, s.actor, u.ID, args[1]); err != nil {
				return err
			}
			return sh.printUser(shownUser{User: u})
		},
	})
}

func (sh *shell) userSetPassword() *cobra.Command {
	var fromStdin bool
	return sh.siteCommand(siteCommand{
		use:     "set-password USERNAME",
		short:   "Set a new password; ends the person's sessions, and a lock-out",
		example: `  printf '%s\n' "$PASSWORD" | latchkey user set-password ada --password-stdin`,
		args:    exactArgs(1, oneUsername),
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
		},
		run: func(ctx context.Context, s *site, args []string) error {
			u, err := s.admin.User(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			password, err := sh.readPassword(ctx, fromStdin, "New password for "+u.Username)
			if err != nil {
				return err
			}
			if u, err = s.admin.SetPassword(ctx, s.actor, u.ID, password); err != nil {
				return err
			}
			return sh.done("The password of %s is set; they are signed out everywhere.", u.Username)
		},
	})
}

// done tells what was done.
func (sh *shell) done(format string, args ...any) error {
	sh.notef(format+"\n", args...)
	return nil
}

// actOnUser makes a command that does one thing to a person. sentence has one %s, for the username.
func (sh *shell) actOnUser(verb, short, sentence string, do func(context.Context, *site,
	storage.User) error) *cobra.Command {
	return act(sh, verb+" USERNAME", oneUsername, short, func(ctx context.Context, s *site, name string) (string,
		error) {
		u, err := s.admin.User(ctx, s.actor, name)
		if err == nil {
			err = do(ctx, s, u)
		}
		return fmt.Sprintf(sentence, u.Username), err
	})
}

func (sh *shell) userDisable() *cobra.Command {
	return sh.actOnUser("disable", "Keep a person from signing in, and end their sessions",
		"%s cannot sign in any more and is signed out everywhere.",
		func(ctx context.Context, s *site, u storage.User) error {
			_, err := s.admin.SetDisabled(ctx, s.actor, u.ID, true)
			return err
		})
}

func (sh *shell) userEnable() *cobra.Command {
	return sh.actOnUser("enable", "Let a disabled person sign in again", "%s can sign in again.",
		func(ctx context.Context, s *site, u storage.User) error {
			_, err := s.admin.SetDisabled(ctx, s.actor, u.ID, false)
			return err
		})
}

func (sh *shell) userUnlock() *cobra.Command {
	return act(sh, "unlock USERNAME", oneUsername,
		"Forget a person's failed sign-ins, so that they can try again at once",
		func(ctx context.Context, s *site, name string) (string, error) {
			u, err := s.admin.User(ctx, s.actor, name)
			if err != nil {
				return "", err
			}
			_, was, err := s.admin.Unlock(ctx, s.actor, u.ID)
			if !was.Locked() {
				return fmt.Sprintf("%s was not locked out. Failed sign-ins that are forgotten: %d.", u.Username,
					was.Failures), err
			}
			return fmt.Sprintf("%s can sign in again.", u.Username), err
		})
}

// shownMethods is what user methods tells.
type shownMethods struct {
	Username      string        `json:"username"`
	Password      bool          `json:"password"`
	TOTP          []shownFactor `json:"totp"`
	RecoveryCodes int           `json:"recovery_codes"` // that are left
}

type shownFactor struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	AddedAt  time.Time `json:"added_at"`
	LastUsed time.Time `json:"last_used,omitzero"`
}

func (sh *shell) userMethods() *cobra.Command {
	return sh.siteCommand(siteCommand{
		use: "methods USERNAME", short: "Show how a person can prove who they are", args: exactArgs(1, oneUsername),
		json: true,
		run: func(ctx context.Context, s *site, args []string) error {
			u, err := s.admin.User(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			m := shownMethods{Username: u.Username, Password: u.PasswordHash != "", TOTP: []shownFactor{},
				RecoveryCodes: u.Factors.RecoveryLeft()}
			for _, t := range u.Factors.Confirmed() {
				m.TOTP = append(m.TOTP, shownFactor{t.ID, t.Name, t.ConfirmedAt, t.LastUsed})
			}
			return sh.printMethods(m)
		},
	})
}

func (sh *shell) printMethods(m shownMethods) error {
	if sh.json {
		return sh.printJSON(m)
	}
	rows := [][]string{{"METHOD", "NAME", "ADDED", "LAST USED"}}
	if m.Password {
		rows = append(rows, []string{"password", "", "", ""})
	}
	for _, f := range m.TOTP {
		rows = append(rows, []string{"authenticator app", f.Name, f.AddedAt.Format(time.RFC3339),
			f.LastUsed.Format(time.RFC3339)})
	}
	if len(m.TOTP) > 0 {
		rows = append(rows, []string{"recovery codes", fmt.Sprintf("%d left", m.RecoveryCodes), "", ""})
	}
	return sh.table(rows)
}

func (sh *shell) userResetMethods() *cobra.Command {
	return sh.actOnUser("reset-methods",
		"Remove the second factors of a person who has lost them, and end their sessions; the password stays",
		"%s signs in by password alone until they set up a second factor again, and is signed out everywhere.",
		func(ctx context.Context, s *site, u storage.User) error {
			_, err := s.admin.ResetFactors(ctx, s.actor, u.ID)
			return err
		})
}

func (sh *shell) userSignOut() *cobra.Command {
	return sh.actOnUser("sign-out", "End all sessions of a person and revoke what they granted; they can sign in again",
		"%s is signed out everywhere.",
		func(ctx context.Context, s *site, u storage.User) error {
			_, err := s.admin.EndSessions(ctx, s.actor, u.ID)
			return err
		})
}

func (sh *shell) userDelete() *cobra.Command {
	return destroy(sh, "delete USERNAME", oneUsername, "Delete a person for good, and end their sessions",
		"Delete %s for good? Whoever gets that name later is somebody else to applications.",
		func(ctx context.Context, s *site, name string) (string, error) {
			u, err := s.admin.User(ctx, s.actor, name)
			if err != nil {
				return "", err
			}
			// another administrator was faster
			if _, err := s.admin.DeleteUser(ctx, s.actor, u.ID); err != nil && !errors.Is(err, admin.ErrNotFound) {
				return "", err
			}
			return u.Username + " is deleted.", nil
		})
}

func (sh *shell) userInvite() *cobra.Command {
	cmd := sh.actOnUser("invite", "Send a person a mail with a link by which they choose a password",
		"The mail with the link for %s leaves once a server runs that sends mails.",
		func(ctx context.Context, s *site, u storage.User) error {
			_, err := s.admin.Invite(ctx, s.actor, u.ID)
			return err
		})
	cmd.Example = "  latchkey user create ada --email ada@example.com --no-password\n  latchkey user invite ada"
	return cmd
}
