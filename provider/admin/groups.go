package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

func groupObject(name string) object {
	return object{EventParty: storage.EventParty{Kind: "group", ID: name, Name: name}}
}

// CheckGroup says all that is wrong with a group, nil if nothing is. Names travel in the groups
// claim and are typed on command lines.
func CheckGroup(g storage.Group) (faults Faults) {
	bad := func(field, value, text string) {
		faults = append(faults, Fault{Field: field, Reason: Invalid, Value: value, Text: text})
	}
	if g.Name == "" || strings.TrimSpace(g.Name) != g.Name || strings.Contains(g.Name, ",") {
		bad("name", g.Name, "must be a name without a comma and without blanks around it, such as staff")
	} else if err := clients.CheckText(g.Name); err != nil {
		bad("name", "", err.Error())
	}
	if err := clients.CheckText(g.Description); err != nil {
		bad("description", "", err.Error())
	}
	for _, r := range g.Roles {
		if r == "" || strings.TrimSpace(r) != r || clients.CheckText(r) != nil {
			bad("roles", r, "is not the name of a role, such as admin")
		}
	}
	return faults
}

// group is a group by name, or ErrNotFound.
func (a *Admin) group(ctx context.Context, name string) (storage.Group, error) {
	g, err := a.Store.Group(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return g, &ObjectError{Err: ErrNotFound, Kind: "group", Name: name}
	}
	return g, err
}

// groupFor is a group by name, as an object, if the actor may do this to it.
func (a *Admin) groupFor(ctx context.Context, actor Actor, verb, name string) (object, error) {
	o := groupObject(name)
	if err := a.permit(ctx, actor, verb, o); err != nil {
		return o, err
	}
	g, err := a.group(ctx, name)
	if err != nil {
		return o, err
	}
	if o.ownerGroups, err = a.ownerGroups(ctx, g); err != nil {
		return o, err
	}
	o.seen = true
	return o, a.permit(ctx, actor, verb, o)
}

// ownerGroups are the groups whose application owners decide who is in g: those that look after
// every client for which membership counts. There are none if membership gives roles, which other
// clients read, or makes somebody look after a client.
func (a *Admin) ownerGroups(ctx context.Context, g storage.Group) ([]string, error) {
	if len(g.Roles) > 0 {
		return nil, nil
	}
	owned, err := a.Store.ClientsOwnedBy(ctx, g.Name, 1)
	if err != nil || len(owned) > 0 {
		return nil, err
	}
	used, err := a.Store.ClientsForGroup(ctx, g.Name, 0)
	if err != nil || len(used) == 0 {
		return nil, err
	}
	common := slices.Clone(used[0].OwnerGroups)
	for _, c := range used[1:] {
		common = slices.DeleteFunc(common, func(name string) bool { return !slices.Contains(c.OwnerGroups, name) })
	}
	return common, nil
}

// members is the users who are in the group, by username.
func (a *Admin) members(ctx context.Context, name string) ([]storage.User, error) {
	return pages(ctx, func(ctx context.Context, after string, limit int) ([]storage.User, error) {
		return a.Store.FindUsers(ctx, storage.UserFilter{Group: name}, after, limit)
	}, func(u storage.User) string { return u.Username })
}

// checkGroupsExist says which of the groups do not exist.
func (a *Admin) checkGroupsExist(ctx context.Context, field string, names []string) error {
	var faults Faults
	for _, name := range names {
		switch stands, err := a.groupStands(ctx, name); {
		case err != nil:
			return err
		case !stands:
			faults = append(faults, Fault{Field: field, Reason: Unknown, Value: name,
				Text: "is not the name of a group"})
		}
	}
	return faults.orNil()
}

// groupStands reports whether there is a group of that name that is not about to go.
func (a *Admin) groupStands(ctx context.Context, name string) (bool, error) {
	g, err := a.Store.Group(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil && !g.Deleting, err
}

// CreateGroup stores a new group. Faults if anything is wrong with it, ErrTaken if there is one of
// that name.
func (a *Admin) CreateGroup(ctx context.Context, actor Actor, g storage.Group) (storage.Group, error) {
	if err := a.permit(ctx, actor, VerbGroupCreate, groupObject(g.Name)); err != nil {
		return g, err
	}
	g.Roles, g.CreatedAt, g.Version = sortedSet(g.Roles), a.timestamp(), 1
	if err := CheckGroup(g).orNil(); err != nil {
		return g, err
	}
	err := a.change(ctx, actor, VerbGroupCreate, groupObject(g.Name), nil, g,
		func() error { return a.Store.CreateGroup(ctx, g) })
	if errors.Is(err, storage.ErrConflict) {
		err = &ObjectError{Err: ErrTaken, Kind: "group", Name: g.Name}
	}
	return g, err
}

// UpdateGroup changes description and roles of a group. change and seen are as for UpdateUser.
func (a *Admin) UpdateGroup(ctx context.Context, actor Actor, name string, seen int64,
	change func(*storage.Group) error) (storage.Group, error) {
	if err := a.permit(ctx, actor, VerbGroupUpdate, groupObject(name)); err != nil {
		return storage.Group{}, err
	}
	g, err := swap(seen, func(g storage.Group) int64 { return g.Version },
		func() (storage.Group, error) { return a.group(ctx, name) },
		func(g *storage.Group) error {
			was := *g
			if err := a.unmanaged(ctx, actor, VerbGroupUpdate, groupObject(name)); err != nil {
				return err
			}
			g.Roles = slices.Clone(g.Roles)
			if err := change(g); err != nil {
				return err
			}
			g.Name, g.CreatedAt, g.Version, g.Deleting, g.Roles = was.Name, was.CreatedAt, was.Version, was.Deleting,
				sortedSet(g.Roles)
			return CheckGroup(*g).orNil()
		},
		func(before storage.Group, after *storage.Group) error {
			return a.change(ctx, actor, VerbGroupUpdate, groupObject(name), before, *after, func() error {
				err := a.Store.UpdateGroup(ctx, *after)
				after.Version++
				return err
			})
		})
	switch {
	case errors.Is(err, ErrConflict):
		err = &ObjectError{Err: ErrConflict, Kind: "group", Name: name}
	case errors.Is(err, storage.ErrNotFound): // deleted at the same time
		err = &ObjectError{Err: ErrNotFound, Kind: "group", Name: name}
	}
	return g, err
}

// AddMember puts a user into a group. A user who is in it already stays as they are.
func (a *Admin) AddMember(ctx context.Context, actor Actor, group, userID string) (storage.User, error) {
	o, err := a.groupFor(ctx, actor, VerbGroupAdd, group)
	if err != nil {
		return storage.User{}, err
	}
	u, err := a.changeUserAbout(ctx, actor, VerbGroupAdd, userID, 0, o.ownerGroups, func(u *storage.User) error {
		u.Groups = sortedSet(append(u.Groups, group))
		return nil
	})
	if err == nil {
		// It may be deleted at the same time: dropLostGroups has taken the user out of it then.
		if stands, standErr := a.groupStands(ctx, group); standErr != nil || !stands {
			err = cmp.Or[error](standErr, &ObjectError{Err: ErrNotFound, Kind: "group", Name: group})
		}
	}
	return u, err
}

// RemoveMember takes a user out of a group. A user who is not in it stays as they are.
func (a *Admin) RemoveMember(ctx context.Context, actor Actor, group, userID string) (storage.User, error) {
	if err := a.permit(ctx, actor, VerbGroupRemove, groupObject(group)); err != nil {
		return storage.User{}, err
	}
	// The group may be gone: its last members are taken out after it.
	owners, err := a.ownerGroups(ctx, storage.Group{Name: group})
	if g, groupErr := a.Store.Group(ctx, group); groupErr == nil {
		owners, err = a.ownerGroups(ctx, g)
	} else if !errors.Is(groupErr, storage.ErrNotFound) {
		err = groupErr
	}
	if err != nil {
		return storage.User{}, err
	}
	return a.changeUserAbout(ctx, actor, VerbGroupRemove, userID, 0, owners, func(u *storage.User) error {
		u.Groups = slices.DeleteFunc(u.Groups, func(n string) bool { return n == group })
		return nil
	})
}

// dropLostGroups takes a user out of the groups, just joined, that were deleted meanwhile: else a
// later group of the same name would have them as a member. DeleteGroup looks for members once more
// after the group is gone, so one of the two sees the other.
func (a *Admin) dropLostGroups(ctx context.Context, actor Actor, u storage.User, joined []string) error {
	for _, name := range joined {
		if stands, err := a.groupStands(ctx, name); err != nil {
			return err
		} else if !stands {
			if _, err := a.RemoveMember(ctx, following(actor), name, u.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// DeleteGroup removes a group; its members lose its roles. ErrInUse if a client is for its members:
// such a client would be closed to everybody, or open to a later group of that name. It may be
// called again after a fault, and goes on where it stopped.
func (a *Admin) DeleteGroup(ctx context.Context, actor Actor, name string) error {
	if err := a.permit(ctx, actor, VerbGroupDelete, groupObject(name)); err != nil {
		return err
	}
	g, err := a.group(ctx, name)
	if err != nil {
		return err
	}
	if err := a.unmanaged(ctx, actor, VerbGroupDelete, groupObject(name)); err != nil {
		return err
	}
	if err := a.groupUnused(ctx, name); err != nil {
		return err
	}
	members, err := a.members(ctx, name)
	if err != nil {
		return err
	}
	type record struct {
		storage.Group
		Members []string `json:"members,omitempty"` // usernames
	}
	was := record{Group: g}
	for _, u := range members {
		was.Members = append(was.Members, u.Username)
	}
	return a.change(ctx, actor, VerbGroupDelete, groupObject(name), was, nil, func() error {
		// The group is marked before it is decided that no client names it. A client that is given the
		// group at this moment looks for the mark when that is stored: one of the two sees the other.
		if err := a.markGroup(ctx, name, true); err != nil {
			return err
		}
		if err := a.groupUnused(ctx, name); err != nil {
			return cmp.Or(a.markGroup(ctx, name, false), err)
		}
		for _, step := range []func() error{
			func() error { return a.removeMembers(ctx, actor, name) },
			func() error { return a.Store.DeleteGroup(ctx, name) },
			func() error { return a.removeMembers(ctx, actor, name) },
		} {
			if err := step(); err != nil && !errors.Is(err, storage.ErrNotFound) {
				return fmt.Errorf("delete group: %w", err)
			}
		}
		return nil
	})
}

// markGroup says that a group is about to go, or is not any more. No error if it has gone.
func (a *Admin) markGroup(ctx context.Context, name string, deleting bool) error {
	_, err := swap(0, func(g storage.Group) int64 { return g.Version },
		func() (storage.Group, error) { return a.group(ctx, name) },
		func(g *storage.Group) error { g.Deleting = deleting; return nil },
		func(_ storage.Group, g *storage.Group) error { return a.Store.UpdateGroup(ctx, *g) })
	if errors.Is(err, ErrNotFound) || errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// groupUnused returns ErrInUse if a client names the group.
func (a *Admin) groupUnused(ctx context.Context, name string) error {
	for _, find := range []func(context.Context, string, int) ([]clients.Client, error){a.Store.ClientsForGroup,
		a.Store.ClientsOwnedBy} {
		some, err := find(ctx, name, 1)
		if err != nil {
			return err
		}
		if len(some) > 0 {
			return &ObjectError{Err: ErrInUse, Kind: "group", Name: name, By: some[0].ID}
		}
	}
	return nil
}

// removeMembers takes everybody out of a group.
func (a *Admin) removeMembers(ctx context.Context, actor Actor, name string) error {
	members, err := a.members(ctx, name)
	if err != nil {
		return err
	}
	for _, u := range members {
		if _, err := a.RemoveMember(ctx, following(actor), name, u.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}
