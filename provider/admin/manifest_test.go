package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// company is a manifest with one object of each kind.
func company() admin.Manifest {
	return admin.Manifest{
		Groups: []admin.GroupEntry{{Name: "staff", Description: "Everybody here"}},
		People: []admin.UserEntry{{Username: "ada", Groups: []string{"staff"}, Claims: storage.Claims{Name: "Ada"}}},
		Clients: []admin.ClientEntry{{ClientID: "notes", Metadata: web("").Metadata,
			Decisions: clients.Decisions{AllowedGroups: []string{"staff"}}}},
	}
}

// kept is what company is applied with.
var kept = admin.ManifestOptions{Name: "company"}

// applied applies a manifest and says what became of each entry.
func (o *office) applied(opt admin.ManifestOptions, m admin.Manifest) string {
	o.t.Helper()
	var out []string
	must(o.t, o.Apply(o.ctx, shell, opt, m, func(c admin.PlannedChange) error {
		out = append(out, c.Name+" "+c.Action)
		return nil
	}))
	return strings.Join(out, ", ")
}

// changed says field by field what a plan would change.
func (o *office) changed(opt admin.ManifestOptions, m admin.Manifest) string {
	o.t.Helper()
	var out []string
	must(o.t, o.Plan(o.ctx, shell, opt, m, func(c admin.PlannedChange) error {
		for _, f := range c.Changes {
			value := fmt.Sprintf("%s>%s", f.Before, f.After)
			if f.Secret {
				value = "secret"
			}
			out = append(out, c.Name+" "+f.Field+" "+value)
		}
		return nil
	}))
	return strings.Join(out, ", ")
}

func (o *office) drifted() string {
	o.t.Helper()
	var out []string
	must(o.t, o.Drift(o.ctx, shell, "", func(d admin.Drift) error {
		line := fmt.Sprintf("%s %s deleted=%t by %s", d.Kind, d.Name, d.Deleted, d.ChangedBy)
		for _, f := range d.Changes {
			line += fmt.Sprintf(" %s %s>%s", f.Field, f.Before, f.After)
		}
		out = append(out, line)
		return nil
	}))
	return strings.Join(out, ", ")
}

func TestPlanSaysFieldByFieldWhatWouldChangeAndChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		m := company()
		o.applied(kept, m)
		if got := o.changed(kept, m); got != "" {
			t.Errorf("nothing is to change, but: %s", got)
		}
		before := len(o.events(storage.EventFilter{}))
		m.Groups[0].Description, m.Groups[0].Roles = "", []string{"reader"}
		m.People[0].Claims.Email, m.People[0].Password = "ada@example.com", password
		m.Clients[0].ClientName, m.Clients[0].ClientSecret = "Paper", "a secret from somewhere else"
		want := `staff description "Everybody here">, staff roles >["reader"], ada claims.email >"ada@example.com", ` +
			`ada password secret, notes client_name "Notes">"Paper", notes client_secret secret`
		if got := o.changed(kept, m); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if after := len(o.events(storage.EventFilter{})); after != before {
			t.Errorf("a plan left %d events", after-before)
		}
		if got := o.drifted(); got != "" {
			t.Errorf("drift: %s", got)
		}
	})
}

func TestManifestKeepsWhatItNames(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		m := company()
		if got := o.changed(admin.ManifestOptions{}, m); strings.Contains(got, "managed_by") {
			t.Error(got)
		}
		o.applied(admin.ManifestOptions{}, m) // without a name it keeps nothing
		adopted := `staff managed_by >"company", ada managed_by >"company", notes managed_by >"company"`
		if got := o.changed(kept, m); got != adopted {
			t.Error(got)
		}
		if got := o.applied(kept, m); got != "staff updated, ada updated, notes updated" {
			t.Error(got)
		}
		if got := o.applied(kept, m); got != "staff unchanged, ada unchanged, notes unchanged" {
			t.Error(got)
		}
		boss := o.as("boss", storage.RoleOwner)
		ada, err := o.User(o.ctx, shell, "ada")
		must(t, err)
		other := o.user("eve")
		_, err = o.CreateGroup(o.ctx, shell, storage.Group{Name: "free"})
		must(t, err)
		edit := func(c *clients.Client) error { c.ClientName = "x"; return nil }
		for name, call := range map[string]func(a admin.Actor) error{
			"update": func(a admin.Actor) error {
				change := func(u *storage.User) error { u.Claims.Name = "x"; return nil }
				return second(o.UpdateUser(o.ctx, a, ada.ID, 0, change))
			},
			"rename": func(a admin.Actor) error { return second(o.RenameUser(o.ctx, a, ada.ID, "x")) },
			"role":   func(a admin.Actor) error { return second(o.SetRole(o.ctx, a, ada.ID, storage.RoleAuditor)) },
			"enable": func(a admin.Actor) error { return second(o.SetDisabled(o.ctx, a, ada.ID, false)) },
			"delete": func(a admin.Actor) error { return second(o.DeleteUser(o.ctx, a, ada.ID)) },
			"join":   func(a admin.Actor) error { return second(o.AddMember(o.ctx, a, "free", ada.ID)) },
			"leave":  func(a admin.Actor) error { return second(o.RemoveMember(o.ctx, a, "staff", ada.ID)) },
			"group": func(a admin.Actor) error {
				return second(o.UpdateGroup(o.ctx, a, "staff", 0, func(*storage.Group) error { return nil }))
			},
			"group delete": func(a admin.Actor) error { return o.DeleteGroup(o.ctx, a, "staff") },
			"client": func(a admin.Actor) error {
				_, _, err := o.UpdateClient(o.ctx, a, "notes", admin.ClientChange{Change: edit})
				return err
			},
			"client delete": func(a admin.Actor) error { return o.DeleteClient(o.ctx, a, "notes") },
		} {
			err := call(boss)
			var object *admin.ObjectError
			if !errors.Is(err, admin.ErrManaged) || !errors.As(err, &object) || object.By != "company" {
				t.Errorf("%s: %v", name, err)
			}
			if last := o.last(); !strings.HasSuffix(last, "refused managed") {
				t.Errorf("%s: the last event is %s", name, last)
			}
		}
		// What the file does not say stays everybody's, and whoever may stops somebody at once.
		for name, call := range map[string]func(a admin.Actor) error{
			"password": func(a admin.Actor) error { return second(o.SetPassword(o.ctx, a, ada.ID, password)) },
			"factors":  func(a admin.Actor) error { return second(o.ResetFactors(o.ctx, a, ada.ID)) },
			"sign out": func(a admin.Actor) error { return second(o.Admin.EndSessions(o.ctx, a, ada.ID)) },
			"disable":  func(a admin.Actor) error { return second(o.SetDisabled(o.ctx, a, ada.ID, true)) },
			"secret": func(a admin.Actor) error {
				_, _, err := o.RotateSecret(o.ctx, a, "notes", "")
				return err
			},
			"switch off": func(a admin.Actor) error {
				off := func(c *clients.Client) error { c.Disabled = true; return nil }
				_, _, err := o.UpdateClient(o.ctx, a, "notes", admin.ClientChange{Change: off})
				return err
			},
			"member who is free": func(a admin.Actor) error { return second(o.AddMember(o.ctx, a, "staff", other.ID)) },
		} {
			if err := call(boss); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		drift := "client notes deleted=false by boss disabled >true, person ada deleted=false by boss disabled >true"
		if got := o.drifted(); got != drift {
			t.Error(got)
		}
		if got := o.applied(kept, m); got != "staff unchanged, ada updated, notes updated" {
			t.Error(got)
		}
		if got := o.drifted(); got != "" {
			t.Error(got)
		}
	})
}

func TestWhatAManifestNoLongerNames(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		m := company()
		m.Groups = append(m.Groups, admin.GroupEntry{Name: "other"})
		o.applied(kept, m)
		o.user("eve", "free")
		smaller := admin.Manifest{Groups: m.Groups[1:]}
		if got := o.applied(kept, smaller); got != "other unchanged, notes left, ada left, staff left" {
			t.Errorf("without an option everything stays: %s", got)
		}
		prune := kept
		prune.Prune = true
		if got := o.changed(prune, smaller); !strings.Contains(got, `ada username "ada">,`) {
			t.Errorf("a plan says what goes: %s", got)
		}
		// A group that another application needs is not deleted, and nothing else is either.
		c := web("board")
		c.ID, c.AllowedGroups = "board", []string{"staff"}
		_, _, err := o.CreateClient(o.ctx, shell, c)
		must(t, err)
		err = o.Apply(o.ctx, shell, prune, smaller, untold)
		if got := fields(err); got != "group unwanted" {
			t.Errorf("%s, %v", got, err)
		}
		_, err = o.User(o.ctx, shell, "ada")
		must(t, err)
		must(t, o.DeleteClient(o.ctx, shell, "board"))
		// Nor does a manifest name a group that it deletes.
		bad := smaller
		bad.People = []admin.UserEntry{{Username: "zoe", Groups: []string{"staff"}}}
		if got := fields(o.Apply(o.ctx, shell, prune, bad, untold)); got != "people[0].groups unknown" {
			t.Error(got)
		}
		if got := o.applied(prune, smaller); got != "other unchanged, notes deleted, ada deleted, staff deleted" {
			t.Error(got)
		}
		if got := o.applied(prune, smaller); got != "other unchanged" {
			t.Error(got)
		}
		if _, err := o.User(o.ctx, shell, "eve"); err != nil {
			t.Errorf("one whom no file keeps: %v", err)
		}
		release := kept
		release.Release = true
		if got := o.applied(release, admin.Manifest{}); got != "other released" {
			t.Error(got)
		}
		_, err = o.UpdateGroup(o.ctx, o.as("boss", storage.RoleOwner), "other", 0,
			func(*storage.Group) error { return nil })
		must(t, err)
	})
}

func TestManifestThatPrunesLeavesAnOwner(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		m := admin.Manifest{People: []admin.UserEntry{{Username: "ada", Role: storage.RoleOwner}}}
		o.applied(kept, m)
		prune := kept
		prune.Prune = true
		if got := fields(o.Plan(o.ctx, shell, prune, admin.Manifest{}, untold)); got != "person unwanted" {
			t.Error(got)
		}
		o.as("boss", storage.RoleOwner)
		if got := o.applied(prune, admin.Manifest{}); got != "ada deleted" {
			t.Error(got)
		}
	})
}

func TestTwoManifestsDoNotKeepTheSameObject(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		m := admin.Manifest{Groups: []admin.GroupEntry{{Name: "staff"}}}
		o.applied(kept, m)
		changed := admin.Manifest{Groups: []admin.GroupEntry{{Name: "staff", Description: "x"}}}
		for _, other := range []admin.ManifestOptions{{Name: "other"}, {}} {
			if got := fields(o.Apply(o.ctx, shell, other, changed, untold)); got != "groups[0] unwanted" {
				t.Errorf("%+v: %s", other, got)
			}
		}
		if got := o.applied(admin.ManifestOptions{}, m); got != "staff unchanged" {
			t.Errorf("what is exported can be applied: %s", got)
		}
		if got := o.applied(admin.ManifestOptions{Name: "other", TakeOver: true}, m); got != "staff updated" {
			t.Error(got)
		}
		if got := o.applied(kept, admin.Manifest{}); got != "" {
			t.Errorf("it is the other's now: %s", got)
		}
		names, err := o.Manifests(o.ctx, shell)
		must(t, err)
		if strings.Join(names, " ") != "other" {
			t.Error(names)
		}
	})
}

func TestOptionsOfAManifestThatDoNotFit(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		for _, opt := range []admin.ManifestOptions{{Prune: true}, {Release: true}, {Name: "two words"}, {Name: "ä"},
			{Name: strings.Repeat("x", 65)}, {Name: "x", Prune: true, Release: true}} {
			if err := o.Apply(o.ctx, shell, opt, admin.Manifest{}, untold); !errors.As(err, new(admin.Faults)) {
				t.Errorf("%+v: %v", opt, err)
			}
		}
		want(t, o.Drift(o.ctx, shell, "nothing", nil), admin.ErrNotFound)
	})
}

func TestDriftTellsOfWhatWasDeletedOrRenamedBesideTheManifest(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		m := company()
		o.applied(kept, m)
		ada, err := o.User(o.ctx, shell, "ada")
		must(t, err)
		must(t, second(o.RenameUser(o.ctx, shell, ada.ID, "lovelace")))
		must(t, o.DeleteClient(o.ctx, shell, "notes"))
		if got := o.drifted(); got != `client notes deleted=true by root@host, `+
			`person lovelace deleted=false by root@host username "ada">"lovelace"` {
			t.Error(got)
		}
	})
}
