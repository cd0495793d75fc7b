package storage_test

import (
	"fmt"
	"testing"

	"latchkey/provider/storage"
)

func TestGroups(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		_, err := s.Group(ctx, "staff")
		want(t, err, storage.ErrNotFound)
		must(t, s.PutGroup(ctx, storage.Group{Name: "staff"}))
		must(t, s.PutGroup(ctx, storage.Group{Name: "admins", Roles: []string{"admin"}}))
		want(t, s.PutGroup(ctx, storage.Group{Name: "staff", Description: "of an administrator who saw none"}),
			storage.ErrConflict)
		must(t, s.PutGroup(ctx, storage.Group{Name: "staff", Description: "replaced", Version: 1}))
		want(t, s.PutGroup(ctx, storage.Group{Name: "staff", Description: "of an administrator who was slower",
			Version: 1}), storage.ErrConflict)
		all, err := s.Groups(ctx)
		must(t, err)
		equal(t, all, []storage.Group{{Name: "admins", Roles: []string{"admin"}},
			{Name: "staff", Description: "replaced"}})
		must(t, s.DeleteGroup(ctx, "staff"))
		want(t, s.DeleteGroup(ctx, "staff"), storage.ErrNotFound)
		_, err = s.Group(ctx, "staff")
		want(t, err, storage.ErrNotFound)
		oneWins(t, storage.ErrConflict, func(i int) error {
			return s.PutGroup(ctx, storage.Group{Name: "new", Description: fmt.Sprint(i)})
		})
	})
}

func TestGroupsAreChangedByVersion(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		want(t, s.UpdateGroup(ctx, storage.Group{Name: "staff"}), storage.ErrNotFound)
		must(t, s.CreateGroup(ctx, storage.Group{Name: "staff"}))
		want(t, s.CreateGroup(ctx, storage.Group{Name: "staff"}), storage.ErrConflict)
		must(t, s.PutGroup(ctx, storage.Group{Name: "old"}))
		for _, name := range []string{"staff", "old"} {
			for range 2 {
				g, err := s.Group(ctx, name)
				must(t, err)
				oneWins(t, storage.ErrConflict, func(i int) error {
					g := g
					g.Description = fmt.Sprint(i)
					return s.UpdateGroup(ctx, g)
				})
				after, err := s.Group(ctx, name)
				must(t, err)
				equal(t, after.Version, g.Version+1)
			}
		}
	})
}
