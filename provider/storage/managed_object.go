package storage

import (
	"context"
	"time"
)

// ManagedObject says that a user, a group or a client is kept by a manifest: a file that is applied
// again and again.
type ManagedObject struct {
	ID       string `bson:"_id"`       // Kind, a colon and ObjectID
	Kind     string `bson:"kind"`      // user, group or client
	ObjectID string `bson:"object_id"` // User.ID, the group's name, the client_id
	Manifest string `bson:"manifest"`  // the name that the manifest gives itself
	// Entry is the object as the manifest said it when it was applied last, JSON without secrets.
	Entry     string    `bson:"entry"`
	AppliedAt time.Time `bson:"applied_at"`
	Version   int64     `bson:"version"`
}

var managedObjects = register(table[ManagedObject]{
	Table:   Table{Name: "managed_objects", Indexes: []Index{{Fields: []string{"manifest", FieldID}}}},
	id:      func(m *ManagedObject) string { return m.ID },
	version: func(m *ManagedObject) *int64 { return &m.Version },
})

func managedID(kind, objectID string) string { return kind + ":" + objectID }

// PutManagedObject stores that an object is kept by a manifest, whatever was stored about it
// before. ID and Version follow from the rest.
func (s *Store) PutManagedObject(ctx context.Context, m ManagedObject) error {
	m.ID, m.AppliedAt = managedID(m.Kind, m.ObjectID), millisecond(m.AppliedAt)
	_, err := makeOr(ctx, s, "mark a managed object", managedObjects, m, func(there *ManagedObject) error {
		version := there.Version
		*there = m
		there.Version = version
		return nil
	})
	return err
}

// ManagedObject returns what is stored about an object, or ErrNotFound if no manifest keeps it.
func (r Records) ManagedObject(ctx context.Context, kind, objectID string) (ManagedObject, error) {
	return load(ctx, r, "load a managed object", managedObjects, managedID(kind, objectID))
}

// ManagedObjects lists the objects that a manifest keeps by ID, beginning after the given one, at
// most limit.
func (r Records) ManagedObjects(ctx context.Context, manifest, after string, limit int) ([]ManagedObject, error) {
	if limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "list managed objects", managedObjects, Query{Where: []Match{is("manifest", manifest)},
		Order: []string{FieldID}, After: after, Limit: limit})
}

// Manifests lists the names of the manifests that keep something.
func (r Records) Manifests(ctx context.Context) ([]string, error) {
	var names []string
	for after := ""; ; {
		next, err := list(ctx, r, "list manifests", managedObjects, Query{Order: []string{"manifest"}, After: after,
			Limit: 1})
		if err != nil || len(next) == 0 {
			return names, err
		}
		after = next[0].Manifest
		names = append(names, after)
	}
}

// RemoveManagedObject forgets that an object is kept by a manifest. ErrNotFound if it is by none.
func (s *Store) RemoveManagedObject(ctx context.Context, kind, objectID string) error {
	return removeOne(ctx, s, "release a managed object", managedObjects, managedID(kind, objectID))
}
