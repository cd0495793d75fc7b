package storage_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestManagedObjects(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		_, err := s.ManagedObject(ctx, "group", "staff")
		want(t, err, storage.ErrNotFound)
		names, err := s.Manifests(ctx)
		must(t, err)
		equal(t, len(names), 0)

		staff := storage.ManagedObject{Kind: "group", ObjectID: "staff", Manifest: "company", Entry: `{"name":"staff"}`,
			AppliedAt: clock(0)}
		must(t, s.PutManagedObject(ctx, staff))
		must(t, s.PutManagedObject(ctx, storage.ManagedObject{Kind: "user", ObjectID: "staff", Manifest: "company",
			Entry: "{}", AppliedAt: clock(0)}))
		must(t, s.PutManagedObject(ctx, storage.ManagedObject{Kind: "client", ObjectID: "notes", Manifest: "apps",
			Entry: "{}", AppliedAt: clock(0)}))
		got, err := s.ManagedObject(ctx, "group", "staff")
		must(t, err)
		staff.ID, staff.Version = "group:staff", 1
		equal(t, got, kept(staff))

		staff.Entry, staff.AppliedAt = "{}", clock(time.Hour)
		must(t, s.PutManagedObject(ctx, staff))
		got, err = s.ManagedObject(ctx, "group", "staff")
		must(t, err)
		staff.Version = 2
		equal(t, got, kept(staff))

		names, err = s.Manifests(ctx)
		must(t, err)
		equal(t, names, []string{"apps", "company"})
		first, err := s.ManagedObjects(ctx, "company", "", 1)
		must(t, err)
		equal(t, len(first), 1)
		rest, err := s.ManagedObjects(ctx, "company", first[0].ID, 10)
		must(t, err)
		equal(t, len(rest), 1)
		if first[0].ID == rest[0].ID {
			t.Error("a page begins with the last of the one before")
		}

		must(t, s.RemoveManagedObject(ctx, "group", "staff"))
		want(t, s.RemoveManagedObject(ctx, "group", "staff"), storage.ErrNotFound)
		_, err = s.ManagedObject(ctx, "user", "staff")
		must(t, err)
	})
}

func TestManagedObjectsOfManyManifestsAtOnce(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		done := make(chan error, 8)
		for i := range cap(done) {
			go func() {
				done <- s.PutManagedObject(ctx, storage.ManagedObject{Kind: "group", ObjectID: "staff",
					Manifest: fmt.Sprint(i), Entry: "{}", AppliedAt: clock(0)})
			}()
		}
		for range cap(done) {
			must(t, <-done)
		}
		got, err := s.ManagedObject(ctx, "group", "staff")
		must(t, err)
		equal(t, got.Version, int64(cap(done)))
		names, err := s.Manifests(ctx)
		must(t, err)
		equal(t, names, []string{got.Manifest})
	})
}
