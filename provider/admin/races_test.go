package admin_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// between runs other at one moment of a call: right before, or right after, the store does this to
// that table for the first time.
func (o *office) between(do, table string, other func()) {
	s, once := o.Store, sync.Once{}
	o.Store = storagetest.Intercept(s, func(_ context.Context, c storagetest.Call) error {
		if c.Do == do && c.Table == table {
			once.Do(func() {
				o.Store = s
				other()
			})
		}
		return nil
	})
}

// consistent reports whether no client names a group that is not there.
func (o *office) consistent() bool {
	all, err := o.Clients(o.ctx, shell)
	must(o.t, err)
	for _, c := range all {
		for _, g := range slices.Concat(c.AllowedGroups, c.OwnerGroups) {
			if there, err := o.Store.Group(o.ctx, g); err != nil || there.Deleting {
				o.t.Errorf("client %s names group %s: %+v, %v", c.ID, g, there, err)
				return false
			}
		}
	}
	return true
}

func TestGroupThatIsDeletedWhileAClientIsGivenItIsNamedByNone(t *testing.T) {
	name := func(c *clients.Client) error { c.AllowedGroups = []string{"staff"}; return nil }
	own := func(c *clients.Client) error { c.OwnerGroups = []string{"staff"}; return nil }
	for when, do := range map[string]func(o *office) (deleted, given error){
		"deleted before the client is stored": func(o *office) (deleted, given error) {
			o.between("update", "clients", func() { deleted = o.DeleteGroup(o.ctx, shell, "staff") })
			_, _, given = o.UpdateClient(o.ctx, shell, "notes", admin.ClientChange{Change: name})
			return deleted, given
		},
		"deleted before an owned client is stored": func(o *office) (deleted, given error) {
			o.between("update", "clients", func() { deleted = o.DeleteGroup(o.ctx, shell, "staff") })
			_, _, given = o.UpdateClient(o.ctx, shell, "notes", admin.ClientChange{Change: own})
			return deleted, given
		},
		"deleted before a new client is stored": func(o *office) (deleted, given error) {
			o.between("update", "clients", func() { deleted = o.DeleteGroup(o.ctx, shell, "staff") })
			n := web("new")
			n.AllowedGroups = []string{"staff"}
			_, _, given = o.CreateClient(o.ctx, shell, n)
			return deleted, given
		},
		"given before the group is marked": func(o *office) (deleted, given error) {
			o.between("update", "groups", func() {
				_, _, given = o.UpdateClient(o.ctx, shell, "notes", admin.ClientChange{Change: name})
			})
			return o.DeleteGroup(o.ctx, shell, "staff"), given
		},
		"given before the group is removed": func(o *office) (deleted, given error) {
			o.between("remove", "groups", func() {
				_, _, given = o.UpdateClient(o.ctx, shell, "notes", admin.ClientChange{Change: name})
			})
			return o.DeleteGroup(o.ctx, shell, "staff"), given
		},
	} {
		t.Run(when, func(t *testing.T) {
			each(t, func(t *testing.T, o *office) {
				o.withKeys()
				ada := o.user("ada", "staff", "others")
				n := web("notes")
				n.AllowedGroups = []string{"others"}
				_, _, err := o.CreateClient(o.ctx, shell, n)
				must(t, err)
				deleted, given := do(o)
				if (deleted == nil) == (given == nil) {
					t.Errorf("deleted: %v, given: %v", deleted, given)
				}
				if deleted != nil {
					want(t, deleted, admin.ErrInUse)
				}
				if given != nil {
					if reason := fields(given); reason != "allowed_groups unknown" && reason != "owner_groups unknown" {
						t.Error(reason)
					}
				}
				o.consistent()
				c, err := o.Client(o.ctx, shell, "notes")
				must(t, err)
				if given != nil && !slices.Equal(c.AllowedGroups, []string{"others"}) {
					t.Errorf("the client is for %v", c.AllowedGroups)
				}
				if _, err := o.Client(o.ctx, shell, "new"); !errors.Is(err, admin.ErrNotFound) {
					t.Errorf("the new client stays: %v", err)
				}
				u, err := o.UserByID(o.ctx, shell, ada.ID)
				must(t, err)
				if slices.Contains(u.Groups, "staff") != (deleted != nil) {
					t.Errorf("deleted: %v, and the user is in %v", deleted, u.Groups)
				}
			})
		})
	}
}

func TestGroupIsDeletedOrGivenToAClientNeverBoth(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.withKeys()
		n := web("notes")
		_, _, err := o.CreateClient(o.ctx, shell, n)
		must(t, err)
		for range 20 {
			_, err := o.CreateGroup(o.ctx, shell, storage.Group{Name: "staff"})
			if !errors.Is(err, admin.ErrTaken) {
				must(t, err)
			}
			var all sync.WaitGroup
			all.Go(func() { _ = o.DeleteGroup(o.ctx, shell, "staff") })
			all.Go(func() {
				_, _, _ = o.UpdateClient(o.ctx, shell, "notes",
					admin.ClientChange{Change: func(c *clients.Client) error {
						c.AllowedGroups = []string{"staff"}
						return nil
					}})
			})
			all.Wait()
			if !o.consistent() {
				return
			}
			_, _, err = o.UpdateClient(o.ctx, shell, "notes", admin.ClientChange{Change: func(c *clients.Client) error {
				c.AllowedGroups = nil
				return nil
			}})
			must(t, err)
		}
	})
}

func TestUserWhoIsDeletedJoinsNoGroup(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ada := o.user("ada", "staff")
		_, err := o.RemoveMember(o.ctx, shell, "staff", ada.ID)
		must(t, err)
		o.between("update", "users", func() {
			_, err := o.DeleteUser(o.ctx, shell, ada.ID)
			must(t, err)
		})
		_, err = o.AddMember(o.ctx, shell, "staff", ada.ID)
		want(t, err, admin.ErrNotFound)
		members, err := o.Members(o.ctx, shell, "staff", "", 10)
		must(t, err)
		if len(members) != 0 {
			t.Errorf("%+v", members)
		}
	})
}
