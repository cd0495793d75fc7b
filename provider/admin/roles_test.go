package admin_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// permissions says for each verb how far each role may go: everywhere (+), except where an owner is
// concerned (o), only with users who have no role (u), only with what belongs to the actor's clients
// (c), or nowhere (-). The columns are administrator, help desk, auditor, application owner.
var permissions = map[string]string{
	admin.VerbUserRead:        "+ + + -",
	admin.VerbUserCreate:      "o - - -",
	admin.VerbUserUpdate:      "o - - -",
	admin.VerbUserRename:      "o - - -",
	admin.VerbUserPassword:    "o u - -",
	admin.VerbUserDisable:     "o - - -",
	admin.VerbUserEnable:      "o - - -",
	admin.VerbUserUnlock:      "o u - -",
	admin.VerbUserFactors:     "o u - -",
	admin.VerbUserSignOut:     "o u - -",
	admin.VerbUserDelete:      "o - - -",
	admin.VerbUserRole:        "o - - -",
	admin.VerbSessionRead:     "+ + + -",
	admin.VerbSessionEnd:      "o u - -",
	admin.VerbGrantRead:       "+ + + c",
	admin.VerbGrantRevoke:     "o - - c",
	admin.VerbConsentRevoke:   "o - - c",
	admin.VerbGroupRead:       "+ + + +",
	admin.VerbMemberRead:      "+ + + c",
	admin.VerbGroupCreate:     "o - - -",
	admin.VerbGroupUpdate:     "o - - -",
	admin.VerbGroupAdd:        "+ - - c",
	admin.VerbGroupRemove:     "+ - - c",
	admin.VerbGroupDelete:     "o - - -",
	admin.VerbClientRead:      "+ + + c",
	admin.VerbClientCreate:    "o - - -",
	admin.VerbClientUpdate:    "o - - c",
	admin.VerbClientSecret:    "o - - c",
	admin.VerbClientDelete:    "o - - c",
	admin.VerbTokenRead:       "+ - + -",
	admin.VerbTokenCreate:     "o - - -",
	admin.VerbTokenRevoke:     "o - - -",
	admin.VerbKeysRead:        "+ - + -",
	admin.VerbKeysRotate:      "o - - -",
	admin.VerbKeysRevoke:      "o - - -",
	admin.VerbAuditRead:       "+ - + -",
	admin.VerbApply:           "o - - -",
	admin.VerbExport:          "+ - + -",
	admin.VerbManifestRead:    "+ - + -",
	admin.VerbExportHashes:    "- - - -",
	admin.VerbMasterKeyChange: "- - - -",
}

var columns = []string{storage.RoleAdministrator, storage.RoleHelpDesk, storage.RoleAuditor,
	storage.RoleApplicationOwner}

func TestEachRoleMayDoWhatTheTableSays(t *testing.T) {
	t.Parallel()
	targets := append([]string{""}, storage.Roles...)
	for _, verb := range verbsOfTheSource(t) {
		row, ok := permissions[verb]
		if !ok {
			t.Errorf("the table does not say who may %s", verb)
			continue
		}
		for _, target := range targets {
			for _, own := range []bool{true, false} {
				c := admin.MayCase{Kind: storage.ActorUser, Verb: verb, Target: target, Own: own}
				c.Role = storage.RoleOwner
				if !admin.May(c) {
					t.Errorf("an owner may not: %+v", c)
				}
				for _, nobody := range []string{"", "none", "Owner"} {
					if c.Role = nobody; admin.May(c) {
						t.Errorf("somebody without a role may: %+v", c)
					}
				}
				for i, how := range strings.Fields(row) {
					c.Role = columns[i]
					want := map[string]bool{"+": true, "o": target != storage.RoleOwner, "u": target == "", "c": own,
						"-": false}[how]
					if got := admin.May(c); got != want {
						t.Errorf("may is %v: %+v", got, c)
					}
				}
			}
		}
	}
}

// verbsOfTheSource are the values of all constants named Verb….
func verbsOfTheSource(t *testing.T) (verbs []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "admin.go", nil, 0)
	must(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Verb") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		must(t, err)
		verbs = append(verbs, value)
		return true
	})
	if len(verbs) != len(permissions) {
		t.Errorf("%d verbs, %d rows", len(verbs), len(permissions))
	}
	return verbs
}

func TestNobodyGivesARoleThatIsMoreThanTheyHold(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{admin.VerbUserRole, admin.VerbUserCreate, admin.VerbUserUpdate} {
		for _, role := range append([]string{""}, storage.Roles...) {
			for _, target := range append([]string{""}, storage.Roles...) {
				for _, gives := range storage.Roles {
					want := role == storage.RoleOwner ||
						role == storage.RoleAdministrator && gives != storage.RoleOwner && target != storage.RoleOwner
					c := admin.MayCase{Kind: storage.ActorUser, Role: role, Verb: verb, Target: target, Gives: gives,
						Own: true}
					if got := admin.May(c); got != want {
						t.Errorf("may is %v: %+v", got, c)
					}
				}
			}
		}
	}
}

func TestScopeOfACredentialNarrowsWhatItsUserMayDo(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		boss := o.as("boss", storage.RoleOwner)
		boss.Within = func(verb string) bool { return verb == admin.VerbUserRead }
		_, err := o.User(o.ctx, boss, "boss")
		must(t, err)
		_, err = o.Groups(o.ctx, boss)
		want(t, err, admin.ErrForbidden)
		nobody := o.as("nobody", "")
		nobody.Within = func(string) bool { return true }
		_, err = o.User(o.ctx, nobody, "boss")
		want(t, err, admin.ErrForbidden)
	})
}

// as makes a user with a role, who acts.
func (o *office) as(name, role string, groups ...string) admin.Actor {
	o.t.Helper()
	u := o.user(name, groups...)
	if role != "" {
		_, err := o.SetRole(o.ctx, shell, u.ID, role)
		must(o.t, err)
	}
	return admin.Actor{Kind: storage.ActorUser, ID: u.ID, Name: name}
}

func TestRoleCountsAsItIsAtTheMoment(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.as("boss", storage.RoleOwner)
		ada, eve := o.as("ada", storage.RoleAdministrator), o.user("eve")
		_, err := o.SetDisabled(o.ctx, ada, eve.ID, true)
		must(t, err)
		_, err = o.SetRole(o.ctx, shell, ada.ID, storage.RoleAuditor)
		must(t, err)
		_, err = o.SetDisabled(o.ctx, ada, eve.ID, false)
		want(t, err, admin.ErrForbidden)
		_, err = o.UserByID(o.ctx, ada, eve.ID)
		must(t, err)
		_, err = o.SetDisabled(o.ctx, shell, ada.ID, true)
		must(t, err)
		_, err = o.UserByID(o.ctx, ada, eve.ID)
		want(t, err, admin.ErrForbidden)
	})
}

func TestHelpDeskGetsOrdinaryUsersBackInAndNobodyWithARole(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		help := o.as("help", storage.RoleHelpDesk)
		auditor := o.as("auditor", storage.RoleAuditor)
		eve := o.user("eve")
		must(t, o.Store.CreateSession(o.ctx, storage.Session{ID: "of eve", UserID: eve.ID, IdleAt: noon.Add(time.Hour),
			ExpiresAt: noon.Add(time.Hour)}))
		must(t, o.Store.CreateSession(o.ctx, storage.Session{ID: "of auditor", UserID: auditor.ID,
			IdleAt: noon.Add(time.Hour), ExpiresAt: noon.Add(time.Hour)}))
		calls := func(id, session string) map[string]func() error {
			return map[string]func() error{
				"password": func() error {
					_, err := o.SetPassword(o.ctx, help, id,
						"another long passphrase")
					return err
				},
				"factors":  func() error { _, err := o.ResetFactors(o.ctx, help, id); return err },
				"unlock":   func() error { _, _, err := o.Unlock(o.ctx, help, id); return err },
				"sign out": func() error { _, err := o.EndSessions(o.ctx, help, id); return err },
				"session":  func() error { _, err := o.EndSession(o.ctx, help, session); return err },
			}
		}
		for name, call := range calls(eve.ID, "of eve") {
			if err := call(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.signedOut()
		for _, id := range []string{auditor.ID, help.ID} {
			for name, call := range calls(id, "of auditor") {
				if err := call(); !errors.Is(err, admin.ErrForbidden) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if n := o.signedOut(); n != 0 {
			t.Errorf("%d were signed out", n)
		}
		if last := o.last(); !strings.HasSuffix(last, "refused forbidden") {
			t.Error(last)
		}
	})
}

func TestLastOwnerStays(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		boss := o.as("boss", storage.RoleOwner)
		ada := o.as("ada", storage.RoleAdministrator)
		for name, call := range map[string]func() error{
			"role":    func() error { _, err := o.SetRole(o.ctx, boss, boss.ID, storage.RoleAuditor); return err },
			"disable": func() error { _, err := o.SetDisabled(o.ctx, shell, boss.ID, true); return err },
			"delete":  func() error { _, err := o.DeleteUser(o.ctx, shell, boss.ID); return err },
			"apply": func() error {
				return o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{
					People: []admin.UserEntry{{Username: "boss",
						Role: admin.RoleNone}}}, untold)
			},
		} {
			if err := call(); !errors.Is(err, admin.ErrLastOwner) {
				t.Errorf("%s: %v", name, err)
			}
			if last := o.last(); !strings.Contains(last, "refused last_owner") {
				t.Errorf("%s: %s", name, last)
			}
		}
		if _, err := o.SetRole(o.ctx, ada, boss.ID, ""); !errors.Is(err, admin.ErrForbidden) {
			t.Error(err)
		}
		// With another one, the first may go.
		_, err := o.SetRole(o.ctx, boss, ada.ID, storage.RoleOwner)
		must(t, err)
		_, err = o.SetRole(o.ctx, ada, boss.ID, "")
		must(t, err)
		u, err := o.UserByID(o.ctx, ada, boss.ID)
		must(t, err)
		if u.Role != "" {
			t.Errorf("%+v", u)
		}
	})
}

func TestOwnersWhoEndEachOtherLeaveOne(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		actors := []admin.Actor{o.as("a", storage.RoleOwner), o.as("b", storage.RoleOwner)}
		for range 10 {
			var all sync.WaitGroup
			for i := range actors {
				all.Go(func() { _, _ = o.SetRole(o.ctx, actors[i], actors[1-i].ID, "") })
			}
			all.Wait()
			left, err := o.Store.FindUsers(o.ctx, storage.UserFilter{Role: storage.RoleOwner,
				State: storage.UserEnabled}, "", 10)
			must(t, err)
			if len(left) == 0 {
				t.Fatal("nobody is an owner")
			}
			for _, a := range actors {
				_, err := o.SetRole(o.ctx, shell, a.ID, storage.RoleOwner)
				must(t, err)
			}
		}
	})
}

func TestApplicationOwnerLooksAfterTheirOwnApplicationsOnly(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		own := o.as("own", storage.RoleApplicationOwner, "team")
		eve := o.user("eve", "staff", "everywhere")
		_, err := o.UpdateGroup(o.ctx, shell, "everywhere", 0,
			func(g *storage.Group) error { g.Roles = []string{"editor"}; return nil })
		must(t, err)
		for _, id := range []string{"notes", "photos"} {
			n := web(id)
			n.AllowedGroups = []string{"everywhere"}
			if id == "notes" {
				n.OwnerGroups, n.AllowedGroups = []string{"team"}, []string{"staff", "everywhere"}
			}
			_, _, err := o.CreateClient(o.ctx, shell, n)
			must(t, err)
			must(t, o.Store.CreateGrant(o.ctx, storage.Grant{ID: "of " + id, UserID: eve.ID, ClientID: id,
				CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)}))
			must(t, o.Store.AddConsent(o.ctx, storage.Consent{UserID: eve.ID, ClientID: id, Scope: []string{"openid"}}))
		}
		all, err := o.Clients(o.ctx, own)
		must(t, err)
		if len(all) != 1 || all[0].ID != "notes" {
			t.Errorf("%d clients", len(all))
		}
		change := func(do func(c *clients.Client)) admin.ClientChange {
			return admin.ClientChange{Change: func(c *clients.Client) error { do(c); return nil }}
		}
		for name, call := range map[string]func(id string) error{
			"read":     func(id string) error { _, err := o.Client(o.ctx, own, id); return err },
			"secret":   func(id string) error { _, _, err := o.RotateSecret(o.ctx, own, id, ""); return err },
			"grants":   func(id string) error { _, err := o.GrantsOfClient(o.ctx, own, id, "", 10); return err },
			"consents": func(id string) error { _, err := o.ConsentsOfClient(o.ctx, own, id, "", 10); return err },
			"grant":    func(id string) error { _, err := o.RevokeGrant(o.ctx, own, "of "+id); return err },
			"update": func(id string) error {
				_, _, err := o.UpdateClient(o.ctx, own, id, change(func(c *clients.Client) {
					c.ClientName, c.AllowedGroups = "Paper", []string{"staff"}
				}))
				return err
			},
		} {
			if err := call("notes"); err != nil {
				t.Errorf("%s of their own: %v", name, err)
			}
			if err := call("photos"); !errors.Is(err, admin.ErrForbidden) {
				t.Errorf("%s of another's: %v", name, err)
			}
		}
		for name, do := range map[string]func(c *clients.Client){
			"skip_consent": func(c *clients.Client) { c.SkipConsent = true },
			"audience":     func(c *clients.Client) { c.Audience = []string{"https://pay.example.com"} },
			"scope":        func(c *clients.Client) { c.Scope = "openid payments" },
			"grant_types": func(c *clients.Client) {
				c.GrantTypes = append(slices.Clone(c.GrantTypes),
					"client_credentials")
			},
			"owner_groups": func(c *clients.Client) { c.OwnerGroups = append(slices.Clone(c.OwnerGroups), "staff") },
		} {
			if _, _, err := o.UpdateClient(o.ctx, own, "notes", change(do)); !errors.Is(err, admin.ErrForbidden) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Who may use it: members of a group that counts for their application alone.
		_, err = o.RemoveMember(o.ctx, own, "staff", eve.ID)
		must(t, err)
		_, err = o.AddMember(o.ctx, own, "staff", eve.ID)
		must(t, err)
		members, err := o.Members(o.ctx, own, "staff", "", 10)
		must(t, err)
		if len(members) != 1 || members[0].ID != eve.ID {
			t.Errorf("%+v", members)
		}
		for _, group := range []string{"everywhere", "team"} {
			_, err = o.AddMember(o.ctx, own, group, eve.ID)
			want(t, err, admin.ErrForbidden)
			_, err = o.Members(o.ctx, own, group, "", 10)
			want(t, err, admin.ErrForbidden)
		}
		for _, err := range []error{
			second(o.User(o.ctx, own, "eve")), second(o.Users(o.ctx, own)), second(o.GrantsOfUser(o.ctx, own, eve.ID)),
			second(o.SessionsOfUser(o.ctx, own, eve.ID)),
			second(o.CreateGroup(o.ctx, own, storage.Group{Name: "mine"})),
			o.Disconnect(o.ctx, own, eve.ID, "photos"),
		} {
			want(t, err, admin.ErrForbidden)
		}
		must(t, o.Disconnect(o.ctx, own, eve.ID, "notes"))
		must(t, o.DeleteClient(o.ctx, own, "notes"))
		want(t, o.DeleteClient(o.ctx, own, "photos"), admin.ErrForbidden)
	})
}

func second[T any](_ T, err error) error { return err }

func TestAdministratorPlansNothingAboutAnOwner(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.as("boss", storage.RoleOwner)
		ada := o.as("ada", storage.RoleAdministrator)
		for name, e := range map[string]admin.UserEntry{
			"make an owner":     {Username: "ada", Role: storage.RoleOwner},
			"create an owner":   {Username: "eve", Role: storage.RoleOwner, Password: password},
			"change an owner":   {Username: "boss", Claims: storage.Claims{Email: "boss@example.com"}},
			"unmake an owner":   {Username: "boss", Role: storage.RoleAdministrator},
			"take over by hash": {Username: "boss", Password: "another long passphrase"},
		} {
			m := admin.Manifest{People: []admin.UserEntry{e}}
			if err := o.Plan(o.ctx, ada, admin.ManifestOptions{}, m, untold); !errors.Is(err,
				admin.ErrForbidden) {
				t.Errorf("%s: %v", name, err)
			}
		}
		err := o.Export(o.ctx, ada, true, nil)
		want(t, err, admin.ErrForbidden)
		var m export
		must(t, o.Export(o.ctx, ada, false, &m))
		must(t, o.Plan(o.ctx, ada, admin.ManifestOptions{}, m.Manifest, func(c admin.PlannedChange) error {
			if c.Action != admin.ActionUnchanged {
				t.Errorf("%+v", c)
			}
			return nil
		}))
		if m.People[1].Role != storage.RoleOwner || m.People[0].Role != storage.RoleAdministrator {
			t.Errorf("%+v", m.People)
		}
	})
}
