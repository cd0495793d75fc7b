package storage

import (
	"context"
	"time"
)

// Group is a set of people and the roles that membership gives them.
type Group struct {
	Name        string   `bson:"_id" json:"name"`
	Description string   `bson:"description,omitempty" json:"description,omitempty"`
	Roles       []string `bson:"roles,omitempty" json:"roles,omitempty"` // values of the roles claim
	// RequireSecondFactor lets nobody of the group in by password alone
	RequireSecondFactor bool      `bson:"require_second_factor,omitempty" json:"require_second_factor,omitempty"`
	CreatedAt           time.Time `bson:"created_at" json:"created_at"`
	Deleting            bool      `bson:"deleting,omitempty" json:"-"` // it is about to go: nothing new may name it
	Version             int64     `bson:"version" json:"-"`
}

var groups = register(table[Group]{
	Table:   Table{Name: "groups"},
	id:      func(g *Group) string { return g.Name },
	version: func(g *Group) *int64 { return &g.Version },
	cached:  true,
	few:     true,
	memo:    newMemo[Group](),
})

// CreateGroup stores a new group with Version 1. ErrConflict if the name is taken.
func (s *Store) CreateGroup(ctx context.Context, g Group) error {
	return create(ctx, s, "create group", groups, g)
}

// UpdateGroup replaces the group whose Version is g.Version and increases it by one; ErrConflict,
// ErrNotFound as UpdateUser.
func (s *Store) UpdateGroup(ctx context.Context, g Group) error {
	return replace(ctx, s, "update group", groups, g)
}

// PutGroup stores a group: with Version 0 by CreateGroup, otherwise by UpdateGroup.
func (s *Store) PutGroup(ctx context.Context, g Group) error {
	if g.Version == 0 {
		return s.CreateGroup(ctx, g)
	}
	return s.UpdateGroup(ctx, g)
}

// Group returns a group by name, or ErrNotFound.
func (r Records) Group(ctx context.Context, name string) (Group, error) {
	return load(ctx, r, "load group", groups, name)
}

// Groups lists all groups by name.
func (r Records) Groups(ctx context.Context) ([]Group, error) {
	return list(ctx, r, "list groups", groups, Query{Order: []string{FieldID}})
}

// DeleteGroup removes a group; memberships are removed by the caller. ErrNotFound if there is none.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return removeOne(ctx, s, "delete group", groups, name)
}
