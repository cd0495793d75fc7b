package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/audit"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

const password = "a wonderful teapot 77"

// office is administration on an empty store, with a clock that the test holds and a record of
// whose sessions were ended.
type office struct {
	*admin.Admin
	t        *testing.T
	ctx      context.Context
	sessions *fakeSessions
}

// fakeSessions records whose sessions were ended.
type fakeSessions struct {
	mu    sync.Mutex
	ended []string // User.ID
}

var grantTypes = []clients.GrantType{
	{Name: "authorization_code", SelfRegistered: true}, {Name: "refresh_token", SelfRegistered: true},
	{Name: "client_credentials"},
	{Name: "implicit", SelfRegistered: true},
}

var noon = time.Now().UTC().Truncate(time.Hour)

var shell = admin.Actor{Kind: storage.ActorCommand, Name: "root@host"}

func (f *fakeSessions) EndSessions(ctx context.Context, userID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = append(f.ended, userID)
	return nil
}

func (f *fakeSessions) EndSession(ctx context.Context, s storage.Session) error {
	return f.EndSessions(ctx, s.UserID)
}

// signedOut is how often sessions were ended since the last call.
func (o *office) signedOut() int {
	f := o.sessions
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.ended)
	f.ended = nil
	return n
}

func newOffice(t *testing.T, s *storage.Store) *office {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	o := &office{t: t, ctx: ctx, sessions: &fakeSessions{}}
	now := func() time.Time { return noon }
	sealer, err := keys.NewSealer(make([]byte, 32))
	must(t, err)
	o.Admin = admin.New(admin.Config{
		Store: s, Audit: &audit.Log{Store: s, Now: now}, Now: now, Sealer: sealer, Sessions: o.sessions,
		Name:     "Latchkey",
		Hasher:   people.NewHasher(people.Params{Memory: 64, Time: 1, Threads: 1}, 4),
		Throttle: &people.Throttle{Counters: s, Key: []byte("key"), PerAccount: 3},
		Outbound: outbound.New(outbound.Config{}), GrantTypes: grantTypes,
	})
	return o
}

// withKeys gives the office a ring of signing keys, which takes a while to make.
func (o *office) withKeys() *office {
	o.t.Helper()
	ring, err := keys.Open(o.ctx, keys.Config{Store: o.Store, Sealer: o.Sealer, Now: o.Now})
	must(o.t, err)
	o.Keys = ring
	return o
}

// each runs the test on both stores.
func each(t *testing.T, run func(t *testing.T, o *office)) {
	t.Helper()
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) { run(t, newOffice(t, s)) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want %v", err, target)
	}
}

// fields are the fields of the Faults in err, with their reasons.
func fields(err error) string {
	var faults admin.Faults
	if !errors.As(err, &faults) {
		return fmt.Sprint(err)
	}
	var out []string
	for _, f := range faults {
		out = append(out, f.Field+" "+string(f.Reason))
	}
	return strings.Join(out, ", ")
}

func (o *office) user(name string, groups ...string) storage.User {
	o.t.Helper()
	for _, g := range groups {
		if _, err := o.CreateGroup(o.ctx, shell, storage.Group{Name: g}); !errors.Is(err, admin.ErrTaken) {
			must(o.t, err)
		}
	}
	u, err := o.CreateUser(o.ctx, shell, admin.NewUser{Username: name, Groups: groups, Password: password})
	must(o.t, err)
	return u
}

// events are the events of the audit log, oldest first.
func (o *office) events(f storage.EventFilter) []storage.Event {
	o.t.Helper()
	all, err := o.Events(o.ctx, shell, f, "", 1000)
	must(o.t, err)
	slices.Reverse(all)
	return all
}

// last is the newest event as one line.
func (o *office) last() string {
	o.t.Helper()
	all := o.events(storage.EventFilter{})
	if len(all) == 0 {
		return ""
	}
	e := all[len(all)-1]
	return strings.Join(strings.Fields(fmt.Sprint(e.Actor.Kind, " ", e.Actor.Name, " ", e.Verb, " ", e.Object.Kind, " ",
		e.Object.Name, " ",
		e.Outcome, " ", e.Reason, " ", string(e.Before), " ", string(e.After))), " ")
}

func (o *office) lastIs(want string) {
	o.t.Helper()
	if got := o.last(); got != want {
		o.t.Errorf("the last event is\n%s, want\n%s", got, want)
	}
}

func TestNewUserIsRefusedWithAllThatIsWrong(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.user("ada")
		for name, c := range map[string]struct {
			user admin.NewUser
			want string
		}{
			"username with a blank": {admin.NewUser{Username: "a b"}, "username invalid"},
			"no username":           {admin.NewUser{}, "username invalid"},
			"claims": {admin.NewUser{Username: "b", Claims: storage.Claims{Email: "x",
				Locale: "???", Name: "a\x00"}}, "claims.name invalid, claims.email invalid, claims.locale invalid"},
			"verified without an address": {admin.NewUser{Username: "b", Claims: storage.Claims{EmailVerified: true}},
				"claims.email_verified invalid"},
			"a link that is no web page": {admin.NewUser{Username: "b",
				Claims: storage.Claims{Picture: "javascript:x"}}, "claims.picture invalid"},
			"an address inside the claims": {admin.NewUser{Username: "b",
				Claims: storage.Claims{Address: &storage.Address{Locality: "\x01"}}},
				"claims.address.locality invalid"},
			"group that does not exist": {admin.NewUser{Username: "b", Groups: []string{"nothing"}},
				"groups unknown"},
			"weak password": {admin.NewUser{Username: "b", Password: "short"}, "password weak"},
			"password like the username": {admin.NewUser{Username: "somebody-new", Password: "somebody-new1"},
				"password weak"},
			"two passwords": {admin.NewUser{Username: "b", Password: password, PasswordHash: "x"},
				"password_hash unwanted"},
			"hash of another kind": {admin.NewUser{Username: "b", PasswordHash: "$2a$10$x"},
				"password_hash invalid"},
			"everything at once": {admin.NewUser{Username: "a b", Groups: []string{"g"}, Password: "x",
				Claims: storage.Claims{Email: "x"}},
				"username invalid, claims.email invalid, groups unknown, password weak"},
		} {
			if _, err := o.CreateUser(o.ctx, shell, c.user); fields(err) != c.want {
				t.Errorf("%s: %s, want %s", name, fields(err), c.want)
			}
		}
		_, err := o.CreateUser(o.ctx, shell, admin.NewUser{Username: " ADA "})
		want(t, err, admin.ErrTaken)
		all, err := o.Users(o.ctx, shell)
		must(t, err)
		if len(all) != 1 || len(o.events(storage.EventFilter{VerbPrefix: "user."})) != 1 {
			t.Errorf("a refused user left a trace: %v", all)
		}
	})
}

func TestChangesOfUsersAndWhatFollowsFromThem(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ada := o.user("ada")
		o.lastIs(`command root@host user.create user ada done {"created_at":"` + ada.CreatedAt.Format(time.RFC3339) +
			`","password":"set","sub":"` + ada.ID + `","username":"ada"}`)

		u, err := o.UpdateUser(o.ctx, shell, ada.ID, ada.Version, func(u *storage.User) error {
			u.Claims.Email, u.PasswordHash, u.Disabled = "ada@example.com", "x", true
			return nil
		})
		must(t, err)
		if u.Username != "ada" || u.PasswordHash != ada.PasswordHash || u.Disabled ||
			u.Claims.Email != "ada@example.com" {
			t.Errorf("an update of the profile changed something else: %+v", u)
		}
		o.lastIs(`command root@host user.update user ada done {"claims.email":"ada@example.com"}`)
		_, err = o.UpdateUser(o.ctx, shell, ada.ID, ada.Version, func(u *storage.User) error { return nil })
		want(t, err, admin.ErrConflict)
		_, err = o.UpdateUser(o.ctx, shell, "nobody", 0, func(u *storage.User) error { return nil })
		want(t, err, admin.ErrNotFound)
		if n := o.signedOut(); n != 0 {
			t.Errorf("an update of the profile ended sessions %d times", n)
		}
		before := o.last()
		_, err = o.UpdateUser(o.ctx, shell, ada.ID, 0, func(u *storage.User) error { return nil })
		must(t, err)
		o.lastIs(before) // nothing changed, nothing is told

		_, err = o.SetPassword(o.ctx, shell, ada.ID, "another teapot entirely")
		must(t, err)
		o.lastIs(`command root@host user.set_password user ada done {"password":"changed"}`)
		if n := o.signedOut(); n != 1 {
			t.Errorf("a new password ended sessions %d times, want 1", n)
		}
		_, err = o.SetPassword(o.ctx, shell, ada.ID, "short")
		if fields(err) != "password weak" || o.signedOut() != 0 {
			t.Errorf("a weak password: %v", err)
		}

		_, err = o.SetDisabled(o.ctx, shell, ada.ID, true)
		must(t, err)
		o.lastIs(`command root@host user.disable user ada done {"disabled":true}`)
		if n := o.signedOut(); n != 1 {
			t.Errorf("disabling ended sessions %d times, want 1", n)
		}
		_, err = o.SetDisabled(o.ctx, shell, ada.ID, true)
		must(t, err)
		if n := o.signedOut(); n != 1 {
			t.Errorf("disabling once more ended sessions %d times, want 1", n)
		}
		_, err = o.SetDisabled(o.ctx, shell, ada.ID, false)
		must(t, err)
		o.lastIs(`command root@host user.enable user ada done {"disabled":true}`)
		if n := o.signedOut(); n != 0 {
			t.Errorf("enabling ended sessions %d times", n)
		}

		bob := o.user("bob")
		_, err = o.RenameUser(o.ctx, shell, bob.ID, "Ada")
		want(t, err, admin.ErrTaken)
		_, err = o.RenameUser(o.ctx, shell, bob.ID, "a b")
		if fields(err) != "username invalid" {
			t.Error(err)
		}
		u, err = o.RenameUser(o.ctx, shell, bob.ID, "Robert")
		must(t, err)
		o.lastIs(`command root@host user.rename user bob done {"username":"bob"} {"username":"robert"}`)
		if u.ID != bob.ID || u.Username != "robert" {
			t.Errorf("%+v", u)
		}

		_, err = o.DeleteUser(o.ctx, shell, bob.ID)
		must(t, err)
		if n := o.signedOut(); n != 1 {
			t.Errorf("deleting ended sessions %d times, want 1", n)
		}
		if last := o.last(); !strings.HasPrefix(last, `command root@host user.delete user robert done {"created_at":`) {
			t.Error(last)
		}
		_, err = o.User(o.ctx, shell, "robert")
		want(t, err, admin.ErrNotFound)
		_, err = o.DeleteUser(o.ctx, shell, bob.ID)
		want(t, err, admin.ErrNotFound)
	})
}

func TestLockoutIsLiftedByAnAdministratorAndByANewPassword(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ada := o.user("ada")
		lock := func() {
			t.Helper()
			for range 3 {
				_, err := o.Throttle.Begin(o.ctx, "ada", "192.0.2.1", "", noon)
				must(t, err)
			}
			l, err := o.Lockout(o.ctx, shell, ada)
			must(t, err)
			if !l.Locked() || l.Failures != 3 || l.Limit != 3 || !l.Until.Equal(noon.Add(15*time.Minute)) {
				t.Errorf("after three failures: %+v", l)
			}
		}
		open := func() {
			t.Helper()
			if l, err := o.Lockout(o.ctx, shell, ada); err != nil || l != (people.Lockout{}) {
				t.Errorf("after it was lifted: %+v %v", l, err)
			}
		}
		lock()
		_, was, err := o.Unlock(o.ctx, shell, ada.ID)
		must(t, err)
		if !was.Locked() {
			t.Errorf("what was lifted: %+v", was)
		}
		o.lastIs("command root@host user.unlock user ada done")
		open()
		must(t, o.Store.BeginTOTP(o.ctx, ada.ID, storage.TOTP{ID: "phone"}, 1))
		_, err = o.Store.ConfirmTOTP(o.ctx, ada.ID, "phone", "Phone", 1, []string{"a", "b"}, noon)
		must(t, err)
		_, err = o.ResetFactors(o.ctx, shell, ada.ID)
		must(t, err)
		o.lastIs("command root@host user.reset_factors user ada done " +
			`{"authenticators":1,"recovery_codes":2} {"authenticators":0,"recovery_codes":0}`)
		if u, err := o.Store.User(o.ctx, ada.ID); err != nil || u.Factors.Second() || u.Factors.RecoveryLeft() != 0 {
			t.Errorf("after the reset: %+v %v", u.Factors, err)
		}
		lock()
		_, err = o.SetPassword(o.ctx, shell, ada.ID, "another teapot entirely")
		must(t, err)
		open()
	})
}

func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		_, err := o.CreateGroup(o.ctx, shell, storage.Group{Name: "a,b", Description: "a\nb", Roles: []string{" x"}})
		if fields(err) != "name invalid, description invalid, roles invalid" {
			t.Error(fields(err))
		}
		g, err := o.CreateGroup(o.ctx, shell, storage.Group{Name: "staff", Roles: []string{"b", "a", "b"}})
		must(t, err)
		if !slices.Equal(g.Roles, []string{"a", "b"}) {
			t.Error(g.Roles)
		}
		_, err = o.CreateGroup(o.ctx, shell, storage.Group{Name: "staff"})
		want(t, err, admin.ErrTaken)
		o.lastIs("command root@host group.create group staff refused conflict " + `{"created_at":"` +
			noon.Format(time.RFC3339) + `","name":"staff"}`)
		g2, err := o.UpdateGroup(o.ctx, shell, "staff", g.Version,
			func(g *storage.Group) error { g.Name, g.Description = "other", "Everybody"; return nil })
		must(t, err)
		if g2.Name != "staff" || g2.Description != "Everybody" {
			t.Errorf("%+v", g2)
		}
		_, err = o.UpdateGroup(o.ctx, shell, "staff", g.Version, func(*storage.Group) error { return nil })
		want(t, err, admin.ErrConflict)
		_, err = o.UpdateGroup(o.ctx, shell, "nothing", 0, func(*storage.Group) error { return nil })
		want(t, err, admin.ErrNotFound)

		ada := o.user("ada")
		_, err = o.AddMember(o.ctx, shell, "nothing", ada.ID)
		want(t, err, admin.ErrNotFound)
		u, err := o.AddMember(o.ctx, shell, "staff", ada.ID)
		must(t, err)
		if !slices.Equal(u.Groups, []string{"staff"}) {
			t.Error(u.Groups)
		}
		o.lastIs(`command root@host group.add_member user ada done {"groups":["staff"]}`)
		u, err = o.RemoveMember(o.ctx, shell, "staff", ada.ID)
		must(t, err)
		if len(u.Groups) != 0 {
			t.Error(u.Groups)
		}
		_, err = o.AddMember(o.ctx, shell, "staff", ada.ID)
		must(t, err)

		must(t, o.Store.CreateClient(o.ctx, clients.Client{ID: "notes",
			Decisions: clients.Decisions{AllowedGroups: []string{"staff"}}}))
		err = o.DeleteGroup(o.ctx, shell, "staff")
		want(t, err, admin.ErrInUse)
		var object *admin.ObjectError
		if !errors.As(err, &object) || object.By != "notes" {
			t.Errorf("%+v", object)
		}
		must(t, o.Store.DeleteClient(o.ctx, "notes", noon))
		must(t, o.DeleteGroup(o.ctx, shell, "staff"))
		u, err = o.User(o.ctx, shell, "ada")
		must(t, err)
		if len(u.Groups) != 0 {
			t.Errorf("a member of a deleted group has the groups %v", u.Groups)
		}
		deleted := o.events(storage.EventFilter{VerbPrefix: admin.VerbGroupDelete})
		if len(deleted) != 1 || !strings.Contains(string(deleted[0].Before), `"members":["ada"]`) {
			t.Errorf("%+v", deleted)
		}
		want(t, o.DeleteGroup(o.ctx, shell, "staff"), admin.ErrNotFound)
	})
}

// Many administrators change one user, one group and one client at the same time: each change is
// there at the end.
func TestConcurrentEditsAllSurvive(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		const administrators = 6
		ada := o.user("ada")
		var names []string
		for i := range administrators {
			names = append(names, fmt.Sprintf("group-%d", i))
			_, err := o.CreateGroup(o.ctx, shell, storage.Group{Name: names[i]})
			must(t, err)
		}
		_, err := o.CreateGroup(o.ctx, shell, storage.Group{Name: "shared"})
		must(t, err)
		var wg sync.WaitGroup
		for i := range administrators {
			wg.Go(func() {
				if _, err := o.AddMember(o.ctx, shell, names[i], ada.ID); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, err := o.UpdateGroup(o.ctx, shell, "shared", 0,
					func(g *storage.Group) error { g.Roles = append(g.Roles, names[i]); return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		u, err := o.User(o.ctx, shell, "ada")
		must(t, err)
		g, err := o.Group(o.ctx, shell, "shared")
		must(t, err)
		if !slices.Equal(u.Groups, names) || !slices.Equal(g.Roles, names) {
			t.Errorf("lost edits: groups %v, roles %v", u.Groups, g.Roles)
		}
	})
}

// A user joins a group while it is being deleted: afterwards nobody is a member of a group that is
// not there.
func TestNobodyJoinsAGroupThatIsBeingDeleted(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ada := o.user("ada")
		for i := range 10 {
			name := fmt.Sprint("group-", i)
			_, err := o.CreateGroup(o.ctx, shell, storage.Group{Name: name})
			must(t, err)
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := o.AddMember(o.ctx, shell, name, ada.ID); err != nil && !errors.Is(err, admin.ErrNotFound) {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := o.DeleteGroup(o.ctx, shell, name); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
		}
		u, err := o.User(o.ctx, shell, "ada")
		must(t, err)
		if len(u.Groups) != 0 {
			t.Errorf("a member of groups that are gone: %v", u.Groups)
		}
	})
}

func web(id string) admin.NewClient {
	return admin.NewClient{Client: clients.Client{ID: id, Type: clients.TypeWeb, Metadata: clients.Metadata{
		ClientName: "Notes", RedirectURIs: []string{"https://notes.example.com/cb"},
		IDTokenSignedResponseAlg: "RS256"}}}
}

func TestClients(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		bad := web("bad id")
		bad.RedirectURIs = []string{"http://a.example.com/cb", "https://b.example.com/cb#x",
			"https://good.example.com/cb"}
		bad.PostLogoutRedirectURIs = []string{"nonsense"}
		bad.BackchannelLogoutURI = "http://a.example.com/"
		bad.AllowedGroups = []string{"nothing"}
		_, _, err := o.CreateClient(o.ctx, shell, bad)
		if got := fields(err); got != "client_id invalid, redirect_uris invalid, redirect_uris invalid, post_logout_redirect_uris invalid, backchannel_logout_uri invalid, allowed_groups unknown" {
			t.Error(got)
		}
		c, secret, err := o.CreateClient(o.ctx, shell, web("notes"))
		must(t, err)
		if len(secret) != 64 || !o.HasSecret(c, secret) || c.GrantTypes[1] != "refresh_token" {
			t.Errorf("%q %+v", secret, c)
		}
		if last := o.last(); !strings.HasPrefix(last, "command root@host client.create client Notes done {") ||
			!strings.Contains(last, `"client_secret":"set"`) || strings.Contains(last, secret) {
			t.Error(last)
		}
		_, _, err = o.CreateClient(o.ctx, shell, web("notes"))
		want(t, err, admin.ErrTaken)
		brought := web("brought")
		brought.Secret = "short"
		if _, _, err = o.CreateClient(o.ctx, shell, brought); fields(err) != "client_secret invalid" {
			t.Error(err)
		}
		public := admin.NewClient{Client: clients.Client{ID: "board", Type: clients.TypeSPA,
			Metadata: clients.Metadata{RedirectURIs: []string{"https://board.example.com/"}}}}
		if _, none, err := o.CreateClient(o.ctx, shell, public); err != nil || none != "" {
			t.Errorf("a public client got the secret %q, %v", none, err)
		}
		public.Secret, public.ID = "a secret that nobody needs", "board2"
		if _, _, err := o.CreateClient(o.ctx, shell, public); fields(err) != "client_secret unwanted" {
			t.Error(err)
		}

		c2, none, err := o.UpdateClient(o.ctx, shell, "notes", admin.ClientChange{Seen: c.Version,
			Change: func(c *clients.Client) error {
				c.ID, c.ClientName = "other", "Paper"
				return nil
			}})
		must(t, err)
		if none != "" || c2.ID != "notes" || !o.HasSecret(c2, secret) {
			t.Errorf("%q %+v", none, c2)
		}
		o.lastIs(`command root@host client.update client Notes done {"client_name":"Notes"} {"client_name":"Paper"}`)
		_, _, err = o.UpdateClient(o.ctx, shell, "notes", admin.ClientChange{Seen: c.Version,
			Change: func(*clients.Client) error { return nil }})
		want(t, err, admin.ErrConflict)

		for _, step := range []struct {
			name, method string
			newSecret    bool
		}{
			{"to a method that needs the value", "client_secret_jwt", true},
			{"back to one that does not", "client_secret_post", false},
			{"to none", "none", false},
			{"and back", "client_secret_basic", true},
		} {
			c, value, err := o.UpdateClient(o.ctx, shell, "notes",
				admin.ClientChange{Change: func(c *clients.Client) error {
					c.TokenEndpointAuthMethod = step.method
					return nil
				}})
			if err != nil || (value != "") != step.newSecret || value != "" && !o.HasSecret(c, value) {
				t.Errorf("%s: new secret %v, %v", step.name, value != "", err)
			}
			if (len(c.SealedSecret) > 0) != (step.method == "client_secret_jwt") ||
				(len(c.SecretHash) > 0) != (step.method != "none") {
				t.Errorf("%s: what is kept of the secret does not fit", step.name)
			}
			if value != "" {
				secret = value
			}
		}
		c, next, err := o.RotateSecret(o.ctx, shell, "notes", "")
		must(t, err)
		if next == secret || o.HasSecret(c, secret) || !o.HasSecret(c, next) {
			t.Error("the secret did not change")
		}
		o.lastIs(`command root@host client.rotate_secret client Paper done {"client_secret":"changed"}`)

		must(t, o.DeleteClient(o.ctx, shell, "notes"))
		want(t, o.DeleteClient(o.ctx, shell, "notes"), admin.ErrNotFound)
		_, err = o.Client(o.ctx, shell, "notes")
		want(t, err, admin.ErrNotFound)
	})
}

func TestSectorThatCannotBeReadIsRefused(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		c := web("notes")
		c.SubjectType, c.SectorIdentifierURI = "pairwise", "https://127.0.0.1/sector.json"
		if _, _, err := o.CreateClient(o.ctx, shell, c); fields(err) != "sector_identifier_uri invalid" {
			t.Error(err)
		}
	})
}

func TestSpendIsCalledLastAndItsRefusalStoresNothing(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		spent := 0
		c := web("notes")
		c.Spend = func(context.Context) error { spent++; return storage.ErrConsumed }
		c.RedirectURIs = []string{"nonsense"}
		if _, _, err := o.CreateClient(o.ctx, shell, c); fields(err) != "redirect_uris invalid" || spent != 0 {
			t.Errorf("%v, spent %d", err, spent)
		}
		c.RedirectURIs = []string{"https://notes.example.com/cb"}
		_, _, err := o.CreateClient(o.ctx, shell, c)
		want(t, err, storage.ErrConsumed)
		_, err = o.Client(o.ctx, shell, "notes")
		want(t, err, admin.ErrNotFound)
		if e := o.events(storage.EventFilter{VerbPrefix: admin.VerbClientCreate}); len(e) != 1 ||
			e[0].Outcome != storage.OutcomeRefused || e[0].Reason != "used" {
			t.Errorf("%+v", e)
		}
	})
}

func TestWhoMayNotChangesNothingAndIsInTheLog(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ada := o.user("ada", "staff")
		must(t, o.Store.CreateClient(o.ctx, clients.Client{ID: "notes"}))
		for name, actor := range map[string]admin.Actor{
			"user":           {Kind: storage.ActorUser, ID: ada.ID, Name: "ada"},
			"another client": {Kind: storage.ActorClient, ID: "other"},
			"no actor":       {},
		} {
			none := func(*storage.User) error { t.Errorf("%s: the change was looked at", name); return nil }
			for verb, call := range map[string]func() error{
				admin.VerbUserCreate: func() error {
					_, err := o.CreateUser(o.ctx, actor, admin.NewUser{Username: "eve"})
					return err
				},
				admin.VerbUserUpdate: func() error {
					_, err := o.UpdateUser(o.ctx, actor, ada.ID, 0,
						none)
					return err
				},
				admin.VerbUserRename: func() error {
					_, err := o.RenameUser(o.ctx, actor, ada.ID,
						"eve")
					return err
				},
				admin.VerbUserPassword: func() error {
					_, err := o.SetPassword(o.ctx, actor, ada.ID,
						password)
					return err
				},
				admin.VerbUserDisable: func() error {
					_, err := o.SetDisabled(o.ctx, actor, ada.ID,
						true)
					return err
				},
				admin.VerbUserEnable: func() error {
					_, err := o.SetDisabled(o.ctx, actor, ada.ID,
						false)
					return err
				},
				admin.VerbUserUnlock:  func() error { _, _, err := o.Unlock(o.ctx, actor, ada.ID); return err },
				admin.VerbUserFactors: func() error { _, err := o.ResetFactors(o.ctx, actor, ada.ID); return err },
				admin.VerbUserSignOut: func() error {
					_, err := o.Admin.EndSessions(o.ctx, actor,
						ada.ID)
					return err
				},
				admin.VerbUserRole: func() error {
					_, err := o.SetRole(o.ctx, actor, ada.ID,
						storage.RoleAuditor)
					return err
				},
				admin.VerbSessionRead: func() error { _, err := o.SessionsOfUser(o.ctx, actor, ada.ID); return err },
				admin.VerbSessionEnd:  func() error { _, err := o.EndSession(o.ctx, actor, "s"); return err },
				admin.VerbGrantRead:   func() error { _, err := o.ConsentsOfUser(o.ctx, actor, ada.ID); return err },
				admin.VerbGrantRevoke: func() error { _, err := o.RevokeGrant(o.ctx, actor, "g"); return err },
				admin.VerbMemberRead:  func() error { _, err := o.Members(o.ctx, actor, "staff", "", 1); return err },
				admin.VerbTokenRead:   func() error { _, err := o.InitialAccessTokens(o.ctx, actor); return err },
				admin.VerbTokenRevoke: func() error { return o.RevokeInitialAccessToken(o.ctx, actor, "t") },
				admin.VerbConsentRevoke: func() error {
					_, _, err := o.DisconnectClient(o.ctx, actor, "notes", false)
					return err
				},
				admin.VerbUserDelete: func() error { _, err := o.DeleteUser(o.ctx, actor, ada.ID); return err },
				admin.VerbUserRead:   func() error { _, err := o.Users(o.ctx, actor); return err },
				admin.VerbGroupCreate: func() error {
					_, err := o.CreateGroup(o.ctx, actor,
						storage.Group{Name: "g"})
					return err
				},
				admin.VerbGroupUpdate: func() error {
					_, err := o.UpdateGroup(o.ctx, actor, "staff", 0, func(*storage.Group) error { return nil })
					return err
				},
				admin.VerbGroupAdd: func() error {
					_, err := o.AddMember(o.ctx, actor, "staff",
						ada.ID)
					return err
				},
				admin.VerbGroupRemove: func() error {
					_, err := o.RemoveMember(o.ctx, actor, "staff",
						ada.ID)
					return err
				},
				admin.VerbGroupDelete: func() error { return o.DeleteGroup(o.ctx, actor, "staff") },
				admin.VerbGroupRead:   func() error { _, err := o.Groups(o.ctx, actor); return err },
				admin.VerbClientUpdate: func() error {
					_, _, err := o.UpdateClient(o.ctx, actor, "notes",
						admin.ClientChange{})
					return err
				},
				admin.VerbClientSecret: func() error {
					_, _, err := o.RotateSecret(o.ctx, actor, "notes",
						"")
					return err
				},
				admin.VerbClientDelete: func() error { return o.DeleteClient(o.ctx, actor, "notes") },
				admin.VerbClientRead:   func() error { _, err := o.Clients(o.ctx, actor); return err },
				admin.VerbTokenCreate: func() error {
					_, _, err := o.CreateInitialAccessToken(o.ctx, actor,
						time.Hour)
					return err
				},
				admin.VerbKeysRotate: func() error { _, err := o.RotateKeys(o.ctx, actor); return err },
				admin.VerbKeysRead:   func() error { _, _, err := o.ProviderKeys(o.ctx, actor); return err },
				admin.VerbKeysRevoke: func() error { _, err := o.RevokeKeys(o.ctx, actor, true); return err },
				admin.VerbMasterKeyChange: func() error {
					_, err := o.ChangeMasterKey(o.ctx, actor, masterKey(2))
					return err
				},
				admin.VerbAuditRead: func() error {
					_, err := o.Events(o.ctx, actor, storage.EventFilter{}, "",
						1)
					return err
				},
				admin.VerbApply: func() error {
					return o.Plan(o.ctx, actor, admin.ManifestOptions{}, admin.Manifest{}, nil)
				},
				admin.VerbManifestRead: func() error { return o.Drift(o.ctx, actor, "", nil) },
				admin.VerbExport:       func() error { return o.Export(o.ctx, actor, true, nil) },
			} {
				if err := call(); !errors.Is(err, admin.ErrForbidden) {
					t.Errorf("%s, %s: %v", name, verb, err)
				}
				if last := o.last(); !strings.Contains(last, verb) || !strings.HasSuffix(last, "refused forbidden") {
					t.Errorf("%s, %s: the last event is %s", name, verb, last)
				}
			}
		}
		u, err := o.User(o.ctx, shell, "ada")
		must(t, err)
		if u.Version != ada.Version || o.signedOut() != 0 {
			t.Errorf("something changed: %+v", u)
		}
	})
}

func TestClientMayManageItsOwnRegistrationAndNoOther(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		new := admin.Actor{Kind: storage.ActorClient, Address: "192.0.2.1"}
		n := web("")
		n.Policy = clients.Policy{Dynamic: true, KnownScopes: []string{"openid"}, GrantTypes: grantTypes}
		n.Dynamic = true
		c, _, err := o.CreateClient(o.ctx, new, n)
		must(t, err)
		if e := o.events(storage.EventFilter{}); len(e) != 1 || e[0].Actor.Name != "Notes" ||
			e[0].Address != "192.0.2.1" {
			t.Errorf("%+v", e)
		}
		self := admin.Actor{Kind: storage.ActorClient, ID: c.ID, Name: c.Name()}
		_, _, err = o.UpdateClient(o.ctx, self, c.ID, admin.ClientChange{Policy: n.Policy,
			Change: func(c *clients.Client) error { c.ClientName = "Paper"; return nil }})
		must(t, err)
		must(t, o.DeleteClient(o.ctx, self, c.ID))
	})
}

// No change without an event: a store that takes no event gets no change.
func TestNothingIsChangedThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	s := storagetest.SQLite(t)
	o := newOffice(t, s)
	ada := o.user("ada")
	o.Audit.Store = fullLog{s}
	if _, err := o.SetDisabled(o.ctx, shell, ada.ID, true); !errors.Is(err, storage.ErrUnavailable) {
		t.Error(err)
	}
	if u, err := o.UserByID(o.ctx, shell, ada.ID); err != nil || u.Disabled {
		t.Errorf("disabled without an event: %+v %v", u, err)
	}
	// A change whose fate is not known stays begun.
	o.Audit.Store = s
	o.Store = storagetest.Intercept(s, func(_ context.Context, c storagetest.Call) error {
		if c.Do == "update" && c.Table == "users" {
			return storage.ErrUnavailable
		}
		return nil
	})
	if _, err := o.SetDisabled(o.ctx, shell, ada.ID, true); !errors.Is(err, storage.ErrUnavailable) {
		t.Error(err)
	}
	o.Store = s
	o.lastIs(`command root@host user.disable user ada begun {"disabled":true}`)
}

// A command may be interrupted, and of a manifest another change may fail.
func TestSessionsEndWithThePasswordEvenIfWhoeverChangedItHasGone(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ada := o.user("ada")
		o.signedOut()
		ctx, cancel := context.WithCancel(o.ctx)
		defer cancel()
		s, changed := o.Store, false
		o.Store = storagetest.Intercept(s, func(_ context.Context, c storagetest.Call) error {
			changed = changed || c.Do == "update" && c.Table == "users"
			return nil
		})
		o.Audit.Store = settled{s, func() {
			if changed {
				cancel()
			}
		}}
		if _, err := o.SetPassword(ctx, shell, ada.ID, "another long passphrase of hers"); err != nil {
			t.Error(err)
		}
		if ctx.Err() == nil {
			t.Fatal("nobody has gone")
		}
		if n := o.signedOut(); n != 1 {
			t.Errorf("sessions were ended %d times", n)
		}
	})
}

// settled is a store that says when it settles an event.
type settled struct {
	*storage.Store
	then func()
}

func (s settled) SettleEvent(ctx context.Context, id, outcome, reason string) error {
	s.then()
	return s.Store.SettleEvent(ctx, id, outcome, reason)
}

type fullLog struct{ *storage.Store }

func (fullLog) AppendEvent(context.Context, storage.Event) error { return storage.ErrUnavailable }

func TestApply(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		m := admin.Manifest{
			Groups: []admin.GroupEntry{{Name: "staff"}, {Name: "admins", Roles: []string{"admin"}}},
			People: []admin.UserEntry{{Username: "Ada", Groups: []string{"staff"}, Password: password},
				{Username: "bob", Disabled: true}},
			Clients: []admin.ClientEntry{
				{ClientID: "notes", Metadata: web("").Metadata,
					Decisions: clients.Decisions{AllowedGroups: []string{"staff"}, SkipConsent: true}},
			},
		}
		var changes []admin.PlannedChange
		tell := func(c admin.PlannedChange) error {
			changes = append(changes, c)
			return nil
		}
		apply := func() string {
			t.Helper()
			changes = nil
			must(t, o.Apply(o.ctx, shell, admin.ManifestOptions{}, m, tell))
			var out []string
			for _, c := range changes {
				out = append(out, c.Name+" "+c.Action)
			}
			return strings.Join(out, ", ")
		}
		must(t, o.Plan(o.ctx, shell, admin.ManifestOptions{}, m, tell))
		if secret := changes[4].ClientSecret; len(secret) != 64 {
			t.Errorf("secret %q", secret)
		}
		if all, err := o.Users(o.ctx, shell); err != nil || len(all) != 0 {
			t.Errorf("a plan wrote: %v %v", all, err)
		}
		if got := apply(); got != "staff created, admins created, ada created, bob created, notes created" {
			t.Error(got)
		}
		before := len(o.events(storage.EventFilter{}))
		if got := apply(); got != "staff unchanged, admins unchanged, ada unchanged, bob unchanged, notes unchanged" {
			t.Error(got)
		}
		if after := len(o.events(storage.EventFilter{})); after != before {
			t.Errorf("nothing changed, and left %d events", after-before)
		}
		c, err := o.Client(o.ctx, shell, "notes")
		must(t, err)
		if !c.SkipConsent || c.AllowedGroups[0] != "staff" {
			t.Errorf("%+v", c)
		}
		m.People[0].Disabled, m.People[1].Password, m.Groups[1].Roles = true, password+"!", nil
		m.Clients[0].ClientName, m.Clients[0].ClientSecret = "Paper", "a secret from somewhere else"
		if got := apply(); got != "staff unchanged, admins updated, ada updated, bob updated, notes updated" {
			t.Error(got)
		}
		if n := o.signedOut(); n != 2 {
			t.Errorf("a user who was disabled and one with a new password: sessions were ended %d times", n)
		}
		c, err = o.Client(o.ctx, shell, "notes")
		must(t, err)
		if !o.HasSecret(c, "a secret from somewhere else") || c.ClientName != "Paper" {
			t.Errorf("%+v", c)
		}
		if text, _ := json.Marshal(o.events(storage.EventFilter{})); strings.Contains(string(text), "somewhere else") ||
			strings.Contains(string(text), "argon2") || strings.Contains(string(text), password) {
			t.Error("a secret is in the audit log")
		}

		var exported export
		must(t, o.Export(o.ctx, shell, true, &exported))
		if len(exported.Groups) != 2 || len(exported.People) != 2 || len(exported.Clients) != 1 ||
			exported.People[0].PasswordHash == "" {
			t.Errorf("%+v", exported)
		}
		o.lastIs(`command root@host manifest.export manifest done {"password_hashes":true}`)
		changes = nil
		must(t, o.Plan(o.ctx, shell, admin.ManifestOptions{}, exported.Manifest, tell))
		if i := slices.IndexFunc(changes, func(c admin.PlannedChange) bool { return c.Action != admin.ActionUnchanged }); i >= 0 {
			t.Errorf("what was exported is not the case: %+v", changes[i])
		}
	})
}

// untold is for who need not know what became of each entry.
func untold(admin.PlannedChange) error { return nil }

// export keeps what is exported.
type export struct{ admin.Manifest }

func (x *export) Group(e admin.GroupEntry) error   { x.Groups = append(x.Groups, e); return nil }
func (x *export) User(e admin.UserEntry) error     { x.People = append(x.People, e); return nil }
func (x *export) Client(e admin.ClientEntry) error { x.Clients = append(x.Clients, e); return nil }

func TestPeopleKeepTheirSubjectIdentifierWhereTheyAreExportedTo(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		m := admin.Manifest{People: []admin.UserEntry{{Username: "ada", Sub: "auth0|5f7c"}, {Username: "bob"}}}
		must(t, o.Apply(o.ctx, shell, admin.ManifestOptions{}, m, untold))
		ada, err := o.User(o.ctx, shell, "ada")
		must(t, err)
		if ada.ID != "auth0|5f7c" {
			t.Errorf("sub %q", ada.ID)
		}
		var out export
		must(t, o.Export(o.ctx, shell, false, &out))
		if out.People[0].Sub != ada.ID || len(out.People[1].Sub) < 20 {
			t.Errorf("%+v", out.People)
		}
		err = o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{People: []admin.UserEntry{
			{Username: "ada", Sub: "another"},       // nobody gets another one
			{Username: "mallory", Sub: "two words"}, // it is none
			{Username: "carol", Sub: "same"}, {Username: "dan", Sub: "same"},
		}}, untold)
		if got := fields(err); got != "people[0].sub invalid, people[1].sub invalid, people[3].sub duplicate" {
			t.Error(got)
		}
		err = o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{People: []admin.UserEntry{{Username: "ada"},
			{Username: "eve", Sub: ada.ID}}}, untold) // both are about one person
		if got := fields(err); !strings.HasSuffix(got, ".sub duplicate") {
			t.Error(err)
		}
		if all, err := o.Users(o.ctx, shell); err != nil || len(all) != 2 {
			t.Errorf("something was written: %v, %v", all, err)
		}
	})
}

func TestApplyEndsSessionsThatItCouldNotEndTheTimeBefore(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		m := admin.Manifest{People: []admin.UserEntry{{Username: "ada"}, {Username: "bob", Password: password}}}
		apply := func() (out []string, err error) {
			err = o.Apply(o.ctx, shell, admin.ManifestOptions{}, m, func(c admin.PlannedChange) error {
				out = append(out, c.Name+" "+c.Action)
				return nil
			})
			return out, err
		}
		_, err := apply()
		must(t, err)
		o.signedOut()
		m.People[0].Disabled, m.People[1].Password = true, "another "+password
		sessions := o.Sessions
		o.Sessions = unable{sessions}
		if out, err := apply(); err == nil || len(out) > 0 {
			t.Errorf("%v, %v", out, err)
		}
		o.Sessions = sessions
		out, err := apply()
		if err != nil || strings.Join(out, ", ") != "ada updated, bob updated" || o.signedOut() != 2 {
			t.Errorf("%v, %v", out, err)
		}
		out, err = apply()
		if err != nil || strings.Join(out, ", ") != "ada unchanged, bob unchanged" || o.signedOut() != 0 {
			t.Errorf("%v, %v", out, err)
		}
	})
}

// unable ends no sessions.
type unable struct{ admin.Sessions }

func (unable) EndSessions(context.Context, string) error { return storage.ErrUnavailable }

func TestSecretThatWasMadeIsToldThoughAnotherEntryFails(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storagetest.SQLite(t))
	o.withKeys()
	s := o.Store
	o.Store = storagetest.Intercept(s, func(_ context.Context, c storagetest.Call) error {
		if c.Do == "update" && c.Table == "clients" && c.ID == "a" {
			return storage.ErrUnavailable
		}
		return nil
	})
	var told []string
	err := o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{Clients: []admin.ClientEntry{{ClientID: "a",
		Metadata: web("").Metadata}, {ClientID: "b", Metadata: web("").Metadata}}},
		func(c admin.PlannedChange) error {
			told = append(told, c.Name)
			if len(c.ClientSecret) != 64 {
				t.Errorf("secret %q", c.ClientSecret)
			}
			return nil
		})
	if !errors.Is(err, storage.ErrUnavailable) || strings.Join(told, " ") != "b" {
		t.Errorf("%v, %v", told, err)
	}
}

func TestPlanNamesAllFaultsWithTheirPath(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storagetest.SQLite(t))
	err := o.Plan(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{
		Groups: []admin.GroupEntry{{Name: "a,b"}, {Name: "x"}, {Name: "x"}},
		People: []admin.UserEntry{{Username: "two words"}, {Username: "ada", Groups: []string{"none"},
			Password: "short"}, {Username: "eve", PasswordHash: "x", Claims: storage.Claims{Email: "x"}}},
		Clients: []admin.ClientEntry{{}, {ClientID: "c", Metadata: clients.Metadata{RedirectURIs: []string{"a", "b"}},
			Decisions: clients.Decisions{AllowedGroups: []string{"none"}}},
			{ClientID: "d", Metadata: web("").Metadata, ClientSecret: "short"}},
	}, untold)
	const all = "groups[0].name invalid, groups[2] duplicate, people[0].username invalid, people[1].groups unknown, people[1].password weak, " +
		"people[2].claims.email invalid, people[2].password_hash invalid, clients[0].client_id missing, clients[1].allowed_groups unknown, " +
		"clients[1].redirect_uris invalid, clients[1].redirect_uris invalid, clients[2].client_secret invalid"
	if got := fields(err); got != all {
		t.Errorf("got  %s\nwant %s", got, all)
	}
}

func TestApplyKnowsAPersonByTheirSubjectIdentifierAndRenamesThem(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		must(t, o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{People: []admin.UserEntry{{Username: "ada", Sub: "s1"},
			{Username: "bob", Sub: "s2"}}}, untold))
		renamed := admin.Manifest{People: []admin.UserEntry{{Username: "Lovelace", Sub: "s1"}}}
		for _, want := range []string{"updated", "unchanged"} {
			var told []string
			must(t, o.Apply(o.ctx, shell, admin.ManifestOptions{}, renamed, func(c admin.PlannedChange) error {
				told = append(told, c.Name+" "+c.Action)
				return nil
			}))
			if len(told) != 1 || told[0] != "lovelace "+want {
				t.Errorf("%v", told)
			}
		}
		o.lastIs(`command root@host user.update user ada done {"username":"ada"} {"username":"lovelace"}`)
		for name, m := range map[string]admin.UserEntry{
			"somebody else's username": {Username: "bob", Sub: "s1"},
			"somebody else's address":  {Username: "bob@example.com", Sub: "s1"},
		} {
			_, err := o.UpdateUser(o.ctx, shell, "s2", 0, func(u *storage.User) error {
				u.Claims = storage.Claims{Email: "Bob@example.com", EmailVerified: true}
				return nil
			})
			must(t, err)
			err = o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{People: []admin.UserEntry{m}}, untold)
			if got := fields(err); got != "people[0].sub invalid" && got != "people[0].username taken" {
				t.Errorf("%s: %s", name, got)
			}
		}
		if u, err := o.UserByID(o.ctx, shell, "s1"); err != nil || u.Username != "lovelace" {
			t.Errorf("%+v %v", u, err)
		}
	})
}

func TestNoNameIsTwoPeoples(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ada, bob := o.user("ada"), o.user("bob")
		address := func(of string, verified bool) func(*storage.User) error {
			return func(u *storage.User) error {
				u.Claims.Email, u.Claims.EmailVerified = of, verified
				return nil
			}
		}
		_, err := o.UpdateUser(o.ctx, shell, ada.ID, 0, address("Shared@example.com", true))
		must(t, err)
		_, err = o.UpdateUser(o.ctx, shell, bob.ID, 0, address("shared@example.com", false)) // it says nothing
		must(t, err)
		_, err = o.UpdateUser(o.ctx, shell, bob.ID, 0, address("shared@example.com", true))
		if fields(err) != "claims.email taken" {
			t.Error(err)
		}
		_, err = o.RenameUser(o.ctx, shell, bob.ID, "SHARED@example.com")
		want(t, err, admin.ErrTaken)
		_, err = o.CreateUser(o.ctx, shell, admin.NewUser{Username: "shared@example.com"})
		want(t, err, admin.ErrTaken)
		_, err = o.CreateUser(o.ctx, shell, admin.NewUser{Username: "eve",
			Claims: storage.Claims{Email: "SHARED@EXAMPLE.COM", EmailVerified: true}})
		if fields(err) != "claims.email taken" {
			t.Error(err)
		}
		err = o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{People: []admin.UserEntry{
			{Username: "bob", Claims: storage.Claims{Email: "shared@example.com", EmailVerified: true}},
			{Username: "eve", Claims: storage.Claims{Email: "new@example.com", EmailVerified: true}},
		}}, untold)
		if fields(err) != "people[0].claims.email taken" {
			t.Error(err)
		}
		err = o.Apply(o.ctx, shell, admin.ManifestOptions{}, admin.Manifest{People: []admin.UserEntry{
			{Username: "carl", Claims: storage.Claims{Email: "new@example.com", EmailVerified: true}},
			{Username: "new@EXAMPLE.com"},
		}}, untold)
		if got := fields(err); !strings.HasSuffix(got, "claims.email duplicate") {
			t.Error(err)
		}
		if all, err := o.Users(o.ctx, shell); err != nil || len(all) != 2 {
			t.Errorf("something was written: %v %v", all, err)
		}
	})
}
