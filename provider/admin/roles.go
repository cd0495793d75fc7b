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

// object is what something is to be done to, as far as it matters for who may.
type object struct {
	storage.EventParty
	// seen says that the object has been looked at. Until then may answers whether the actor may do
	// such a thing to any object at all.
	seen bool
	// role is that of the user who is the object, or whose session, grant or consent it is.
	role string
	// gives is the role that the user is to have, in place of role.
	gives string
	// ownerGroups are those of the client that the object is, or is about. Of a group they are those
	// that every client for it has in common.
	ownerGroups []string
	// keyOf is the ID of the user whose API key the object is.
	keyOf string
	// administers says that the object is a client that may ask for tokens for the administration
	// API.
	administers bool
}

// of is an object of this kind that has not been looked at yet. id may be what it is looked up by.
func of(kind, id string) object { return object{EventParty: storage.EventParty{Kind: kind, ID: id}} }

func withName(o object, name string) object {
	o.Name = name
	return o
}

// holder is an actor with what they hold at this moment.
type holder struct {
	Actor
	role   string   // "" for none
	groups []string // that an application owner is in
}

// holder looks up what the actor holds. A user's role is read each time, so that one who was
// disabled, deleted or given another role may do no more from that moment on.
func (a *Admin) holder(ctx context.Context, actor Actor) (holder, error) {
	h := holder{Actor: actor}
	switch actor.Kind {
	case storage.ActorCommand, storage.ActorSystem:
		h.role = storage.RoleOwner
	case storage.ActorUser:
		u, err := a.Store.User(ctx, actor.ID)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return h, fmt.Errorf("load the user who administers: %w", err)
		}
		if !u.Disabled {
			h.role, h.groups = u.Role, u.Groups
		}
	}
	return h, nil
}

// may decides what an actor may do: the one place for it.
//
// The command line has the database and the master key in its hands, and is an owner; so is the
// server itself. A client manages its own registration and nothing else. A user may change and
// delete their own account, by the calls that are meant for that; beyond it, a user may do what
// their role permits:
//
//   - An owner may do everything.
//   - An administrator may do everything but what concerns owners or could make one: change an
//     owner (though not the groups they are in) or end their sessions, give or take that role,
//     decide about a client that may ask for tokens for the administration API, export password
//     hashes, change the master key.
//   - The help desk gets ordinary users back in: sets passwords, removes second factors, lifts
//     lock-outs, ends sessions. It may do none of this to a user who has a role.
//   - An auditor reads everything and changes nothing.
//   - An application owner looks after the clients that have one of their groups as an owner
//     group, and after who may use those, unless such a client may ask for tokens for the
//     administration API. What an application owner may not change about a client is in
//     checkByOwner and checkGroupsByOwner.
func may(h holder, verb string, o object) error {
	if h.Within != nil && !h.Within(verb) {
		return ErrForbidden
	}
	if ownAccount(h.Actor, o.EventParty) {
		return nil
	}
	if h.Kind == storage.ActorClient {
		own := o.Kind == "client" && (o.ID == h.ID || verb == VerbClientCreate && h.ID == "")
		if own && slices.Contains([]string{VerbClientCreate, VerbClientUpdate, VerbClientDelete}, verb) {
			return nil
		}
		return ErrForbidden
	}
	// Whoever has a role makes and revokes keys of their own: one permits no more than they may do.
	own := h.role != "" && o.keyOf != "" && o.keyOf == h.ID
	allowed := own && (verb == VerbAPIKeyCreate || verb == VerbAPIKeyRevoke)
	ownersDecide := o.administers && slices.Contains(decidesAboutClient, verb)
	switch h.role {
	case storage.RoleOwner:
		allowed = true
	case storage.RoleAdministrator:
		concernsOwner := o.gives == storage.RoleOwner || o.role == storage.RoleOwner && verb != VerbGroupAdd &&
			verb != VerbGroupRemove || ownersDecide
		allowed = allowed || reads(verb) || !concernsOwner && verb != VerbExportHashes && verb != VerbMasterKeyChange
	case storage.RoleHelpDesk:
		allowed = allowed || slices.Contains(helpDeskReads, verb) || slices.Contains(helpDeskDoes, verb) &&
			o.role == "" && o.gives == ""
	case storage.RoleAuditor:
		allowed = allowed || reads(verb)
	case storage.RoleApplicationOwner:
		allowed = allowed || verb == VerbGroupRead ||
			slices.Contains(applicationOwnerDoes, verb) && (!o.seen || overlap(h.groups, o.ownerGroups)) && !ownersDecide
	}
	if !allowed {
		return ErrForbidden
	}
	return nil
}

// reads reports whether a verb changes nothing.
func reads(verb string) bool {
	_, action, _ := strings.Cut(verb, ".")
	return action == "read" || action == "read_members" || verb == VerbExport
}

var (
	helpDeskReads = []string{VerbUserRead, VerbGroupRead, VerbMemberRead, VerbClientRead, VerbSessionRead,
		VerbGrantRead}
	helpDeskDoes = []string{VerbUserPassword, VerbUserInvite, VerbUserFactors, VerbUserUnlock, VerbUserSignOut,
		VerbSessionEnd}

	applicationOwnerDoes = []string{VerbClientRead, VerbClientUpdate, VerbClientSecret, VerbClientDelete, VerbGrantRead,
		VerbGrantRevoke,
		VerbConsentRevoke, VerbMemberRead, VerbGroupAdd, VerbGroupRemove}

	// decidesAboutClient are the verbs by which somebody could come by a client's tokens, or keep a
	// client from its users.
	decidesAboutClient = []string{VerbClientCreate, VerbClientUpdate, VerbClientSecret, VerbClientDelete}
)

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(one string) bool { return slices.Contains(b, one) })
}

// ownedClients reports whether the actor sees only the clients that they look after.
func (h holder) ownedClients() bool { return h.role == storage.RoleApplicationOwner }

// checkByOwner returns ErrForbidden if an application owner changes more about a client than is
// theirs to decide: what it may ask for, how far it is trusted, and who looks after it stay.
func checkByOwner(was, is clients.Client) error {
	fixed := func(c clients.Client) clients.Client {
		kept := clients.Client{Type: c.Type, Decisions: c.Decisions}
		kept.Scope, kept.GrantTypes, kept.ResponseTypes = c.Scope, c.GrantTypes, c.ResponseTypes
		kept.AllowedGroups, kept.RefusalContact, kept.Disabled = nil, "", false
		return kept
	}
	if !same(fixed(was), fixed(is)) {
		return &ObjectError{Err: ErrForbidden, Kind: "client", Name: was.ID}
	}
	return nil
}

// checkGroupsByOwner returns Faults if an application owner names a group that counts for no client
// yet as one whose members may use theirs. It would make them decide who is in that group, and
// other applications may read it in the groups claim.
func (a *Admin) checkGroupsByOwner(ctx context.Context, h holder, was, is clients.Client) error {
	var faults Faults
	for _, name := range newIn(was.AllowedGroups, is.AllowedGroups) {
		g, err := a.group(ctx, name)
		if err != nil {
			return err
		}
		owners, err := a.ownerGroups(ctx, g)
		if err != nil {
			return err
		}
		counts := len(g.Roles) > 0
		for _, find := range []func(context.Context, string, int) ([]clients.Client, error){a.Store.ClientsForGroup,
			a.Store.ClientsOwnedBy} {
			some, err := find(ctx, name, 1)
			if err != nil {
				return err
			}
			counts = counts || len(some) > 0
		}
		if !counts && !overlap(h.groups, owners) {
			faults = append(faults, Fault{Field: "allowed_groups", Reason: Unwanted, Value: name,
				Text: "is a group that no application is for yet; an administrator has to name it here first"})
		}
	}
	return faults.orNil()
}

// CheckRole says why something is not a role, as Faults, or returns nil. "" is none, and is right.
func CheckRole(role string) error {
	if role == "" || slices.Contains(storage.Roles, role) {
		return nil
	}
	return Faults{{Field: "role", Reason: Invalid, Value: role, Text: "is not a role; there are " +
		strings.Join(storage.Roles, ", ")}}
}

// SetRole gives a user a role, or none. Faults if there is no such role, ErrForbidden if the actor
// holds less than what is given or taken, ErrLastOwner if nobody would be left who is an owner.
func (a *Admin) SetRole(ctx context.Context, actor Actor, id, role string) (storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRole, object{EventParty: storage.EventParty{Kind: "user", ID: id},
		gives: role}); err != nil {
		return storage.User{}, err
	}
	if err := CheckRole(role); err != nil {
		return storage.User{}, err
	}
	return a.changeUser(ctx, actor, VerbUserRole, id, 0, func(u *storage.User) error { u.Role = role; return nil })
}

// isOwner reports whether the user is one of those who can let everybody in again.
func isOwner(u storage.User) bool { return u.Role == storage.RoleOwner && !u.Disabled }

// keepingAnOwner makes a change of a user, and takes it back, with ErrLastOwner, if nobody is an
// owner after it. Of two owners who end each other at the same moment each looks when their own
// change is made, so at least one of them finds that nobody is left.
func (a *Admin) keepingAnOwner(ctx context.Context, before storage.User, after *storage.User,
	store func() error) error {
	if !isOwner(before) || isOwner(*after) {
		return store()
	}
	other, err := a.anotherOwner(ctx, before.ID)
	if err != nil || !other {
		return cmp.Or[error](err, lastOwner(before))
	}
	if err := store(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), followWithin)
	defer cancel()
	if other, err = a.anotherOwner(ctx, before.ID); err != nil || other {
		return err
	}
	_, err = swap(0, func(u storage.User) int64 { return u.Version },
		func() (storage.User, error) { return a.userByID(ctx, before.ID) },
		func(u *storage.User) error { u.Role, u.Disabled = before.Role, before.Disabled; return nil },
		func(_ storage.User, u *storage.User) error { return a.Store.UpdateUser(ctx, *u) })
	if err != nil {
		return fmt.Errorf("make %s an owner again: %w", before.Username, err)
	}
	return lastOwner(before)
}

func lastOwner(u storage.User) error {
	return &ObjectError{Err: ErrLastOwner, Kind: "user", Name: u.Username}
}

// anotherOwner reports whether a user beside this one is an owner.
func (a *Admin) anotherOwner(ctx context.Context, id string) (bool, error) {
	owners, err := a.Store.FindUsers(ctx, storage.UserFilter{Role: storage.RoleOwner, State: storage.UserEnabled}, "", 2)
	return slices.ContainsFunc(owners, func(u storage.User) bool { return u.ID != id }), err
}
