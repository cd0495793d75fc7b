package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// NewUser is a user who is to be created.
type NewUser struct {
	ID       string // the subject identifier that the user has had elsewhere; "": a new one
	Username string // in any spelling; its canonical form is stored
	Claims   storage.Claims
	Groups   []string
	Role     string // one of storage.Roles, or "" for none
	Disabled bool

	// Password is what the user signs in with. Without it, and without PasswordHash, no password
	// works until one is set.
	Password string
	// PasswordHash is from another installation or product, in place of Password.
	PasswordHash string
}

// userRecord is a user in the audit log.
type userRecord struct {
	storage.User
	Password  string   `json:"password,omitempty"` // a word, never the password
	UpdatedAt struct{} `json:"updated_at,omitzero"`
}

// userObject is a user who has been looked at.
func userObject(u storage.User) object {
	return object{EventParty: storage.EventParty{Kind: "user", ID: u.ID, Name: u.Username}, seen: true, role: u.Role}
}

// user is the user with this username, in any spelling. Faults if nobody can have it, ErrNotFound
// if nobody has.
func (a *Admin) user(ctx context.Context, username string) (storage.User, error) {
	canonical, err := people.CanonicalUsername(username)
	if err != nil {
		return storage.User{}, usernameFault("username", username, err)
	}
	u, err := a.Store.UserByUsername(ctx, canonical)
	if errors.Is(err, storage.ErrNotFound) {
		return u, &ObjectError{Err: ErrNotFound, Kind: "user", Name: canonical}
	}
	return u, err
}

// userByID is the user with this subject identifier, or ErrNotFound.
func (a *Admin) userByID(ctx context.Context, id string) (storage.User, error) {
	u, err := a.Store.User(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return u, &ObjectError{Err: ErrNotFound, Kind: "user", Name: id}
	}
	return u, err
}

// userFor is the user with this subject identifier, if the actor may do this to them.
func (a *Admin) userFor(ctx context.Context, actor Actor, verb, id string) (storage.User, error) {
	if err := a.permit(ctx, actor, verb, of("user", id)); err != nil {
		return storage.User{}, err
	}
	u, err := a.userByID(ctx, id)
	if err == nil {
		err = a.permit(ctx, actor, verb, userObject(u))
	}
	return u, err
}

// users is all users, by username.
func (a *Admin) users(ctx context.Context) ([]storage.User, error) {
	return pages(ctx, a.Store.Users, func(u storage.User) string { return u.Username })
}

// CheckUser says all that is wrong with a new user, apart from a password that is missing: Faults,
// or ErrTaken.
func (a *Admin) CheckUser(ctx context.Context, n NewUser) error {
	_, err := a.checkUser(ctx, n)
	return err
}

func (a *Admin) checkUser(ctx context.Context, n NewUser) (storage.User, error) {
	var faults Faults
	username, err := people.CanonicalUsername(n.Username)
	if err != nil {
		if err := faults.collect(usernameFault("username", n.Username, err)); err != nil {
			return storage.User{}, err
		}
	}
	u := storage.User{Username: username, Claims: n.Claims, Groups: sortedSet(n.Groups), Role: n.Role,
		Disabled:     n.Disabled,
		PasswordHash: n.PasswordHash}
	if err := faults.collect(CheckRole(n.Role)); err != nil {
		return u, err
	}
	if err := faults.collect(a.checkProfile(ctx, u, u.Groups)); err != nil {
		return u, err
	}
	if err := faults.collect(a.checkSub(ctx, n.ID, storage.User{})); err != nil {
		return u, err
	}
	switch {
	case n.Password != "" && n.PasswordHash != "":
		faults = append(faults, Fault{Field: "password_hash", Reason: Unwanted,
			Text: "excludes password; give one of them"})
	case n.PasswordHash != "":
		if err := a.Hasher.CheckHash(n.PasswordHash); err != nil {
			faults = append(faults, Fault{Field: "password_hash", Reason: Invalid, Text: err.Error()})
		}
	case n.Password != "":
		if err := faults.collect(a.CheckPassword(u, n.Password)); err != nil {
			return u, err
		}
	}
	if err := faults.orNil(); err != nil {
		return u, err
	}
	return u, a.checkNames(ctx, u)
}

// checkNames says why a user cannot have the names that they would sign in by: ErrTaken if the
// username is another user's name, Faults if the e-mail address is. An address counts when it is
// verified.
func (a *Admin) checkNames(ctx context.Context, u storage.User) error {
	for _, name := range u.SignInNames() {
		other, err := a.Store.UserBySignInName(ctx, name)
		switch {
		case errors.Is(err, storage.ErrNotFound), err == nil && other.ID == u.ID:
			continue
		case err != nil:
			return err
		case name == u.Username:
			return &ObjectError{Err: ErrTaken, Kind: "user", Name: u.Username}
		}
		return addressTaken(u)
	}
	return nil
}

func addressTaken(u storage.User) error {
	return Faults{{Field: "claims.email", Reason: Taken, Value: u.Claims.Email,
		Text: "is the username or the verified address of another person; nobody could sign in by it"}}
}

// namesTaken is what a store's ErrConflict means for a user who was to be created: which name
// somebody else took at the same moment.
func (a *Admin) namesTaken(ctx context.Context, u storage.User) error {
	return cmp.Or[error](a.checkNames(ctx, u), &ObjectError{Err: ErrTaken, Kind: "user", Name: u.Username})
}

// checkProfile checks what is known about a user. Of the groups, those that are new to the user
// must exist: a mistyped name must not look like a group without members.
func (a *Admin) checkProfile(ctx context.Context, u storage.User, newGroups []string) error {
	faults := CheckClaims(u.Claims)
	if err := faults.collect(a.checkGroupsExist(ctx, "groups", newGroups)); err != nil {
		return err
	}
	return faults.orNil()
}

// CheckPassword says why a user may not have this password, as Faults, or returns nil.
func (a *Admin) CheckPassword(u storage.User, password string) error {
	policy := a.Passwords
	policy.Own = append(slices.Clone(policy.Own), a.Name)
	err := policy.Check(password, u.Username, u.Claims.Email)
	var weak *people.WeakPassword
	if errors.As(err, &weak) {
		return Faults{{Field: "password", Reason: Weak, Text: weak.Error()}}
	}
	return err
}

// HashPassword puts the hash of the new user's password in its place. It comes before something is
// used up for the user: a machine that is busy (people.ErrBusy) must not cost anybody their link.
// The password must have been checked.
func (a *Admin) HashPassword(ctx context.Context, n *NewUser) error {
	hash, err := a.Hasher.Hash(ctx, n.Password)
	if err == nil {
		n.Password, n.PasswordHash = "", hash
	}
	return err
}

// CreateUser stores a new user. Faults if anything is wrong with it, also if somebody else signs in
// by the address, ErrTaken if somebody does by the username.
func (a *Admin) CreateUser(ctx context.Context, actor Actor, n NewUser) (storage.User, error) {
	asked := of("user", "")
	asked.Name, asked.gives = n.Username, n.Role
	if err := a.permit(ctx, actor, VerbUserCreate, asked); err != nil {
		return storage.User{}, err
	}
	u, err := a.checkUser(ctx, n)
	if err != nil {
		return storage.User{}, err
	}
	if n.Password != "" {
		if u.PasswordHash, err = a.Hasher.Hash(ctx, n.Password); err != nil {
			return storage.User{}, err
		}
	}
	u.ID, u.CreatedAt, u.Version = cmp.Or(n.ID, newID()), a.timestamp(), 1
	u.UpdatedAt = u.CreatedAt
	after := userRecord{User: u}
	if u.PasswordHash != "" {
		after.Password = "set"
	}
	o := userObject(u)
	o.role, o.gives = "", u.Role
	err = a.change(ctx, actor, VerbUserCreate, o, nil, after, func() error { return a.Store.CreateUser(ctx, u) })
	if errors.Is(err, storage.ErrConflict) {
		return storage.User{}, a.namesTaken(ctx, u)
	}
	if err != nil {
		return storage.User{}, err
	}
	return u, a.dropLostGroups(ctx, actor, u, u.Groups)
}

// changeUser is every change of a stored user, with what follows from it. seen is the version that
// the administrator saw, 0 for any.
func (a *Admin) changeUser(ctx context.Context, actor Actor, verb, id string, seen int64,
	change func(*storage.User) error) (storage.User, error) {
	return a.changeUserAbout(ctx, actor, verb, id, seen, nil, change)
}

// changeUserAbout is changeUser for a change that concerns a group with these owner groups.
func (a *Admin) changeUserAbout(ctx context.Context, actor Actor, verb, id string, seen int64, ownerGroups []string,
	change func(*storage.User) error) (storage.User, error) {
	if err := a.permit(ctx, actor, verb, of("user", id)); err != nil {
		return storage.User{}, err
	}
	var was storage.User
	is, err := swap(seen, func(u storage.User) int64 { return u.Version },
		func() (storage.User, error) { return a.userByID(ctx, id) },
		func(u *storage.User) error {
			o := userObject(*u)
			o.ownerGroups = ownerGroups
			if err := a.permit(ctx, actor, verb, o); err != nil {
				return err
			}
			if err := a.unmanaged(ctx, actor, verb, o); err != nil {
				return err
			}
			u.Groups = slices.Clone(u.Groups)
			before := *u
			if err := change(u); err != nil {
				return err
			}
			return a.checkNewNames(ctx, before, u)
		},
		func(before storage.User, after *storage.User) error {
			was = before
			o := userObject(before)
			o.ownerGroups = ownerGroups
			if after.Role != before.Role {
				o.gives = after.Role
			}
			after.UpdatedAt = a.timestamp()
			after.SignOutDue = before.SignOutDue || after.PasswordHash != before.PasswordHash || after.Disabled &&
				!before.Disabled
			from, to := userRecord{User: before}, userRecord{User: *after}
			if before.PasswordHash != after.PasswordHash {
				to.Password = "changed"
			}
			return a.change(ctx, actor, verb, o, from, to, func() error {
				return a.keepingAnOwner(ctx, before, after, func() error {
					err := a.Store.UpdateUser(ctx, *after)
					after.Version++
					return err
				})
			})
		})
	switch {
	case errors.Is(err, ErrConflict):
		return is, &ObjectError{Err: ErrConflict, Kind: "user", Name: id}
	case errors.Is(err, storage.ErrNotFound): // deleted at the same time
		return is, &ObjectError{Err: ErrNotFound, Kind: "user", Name: id}
	case err != nil:
		return is, err
	}
	// What follows from a change that was made is done, whoever has gone away meanwhile, and
	// whichever other change of a manifest failed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), followWithin)
	defer cancel()
	newPassword := is.PasswordHash != was.PasswordHash
	if newPassword && a.Throttle != nil {
		if err := a.Throttle.Unlock(ctx, is.Username); err != nil {
			return is, err
		}
	}
	if is.SignOutDue || is.Disabled && verb == VerbUserDisable {
		if err := a.Sessions.EndSessions(ctx, is.ID); err != nil {
			return is, fmt.Errorf("%s was changed, but is not signed out everywhere; do it again, or latchkey user sign-out: %w", is.Username, err)
		}
	}
	if is.SignOutDue {
		if is, err = a.signedOut(ctx, is); err != nil {
			return is, err
		}
	}
	return is, a.dropLostGroups(ctx, actor, is, newIn(was.Groups, is.Groups))
}

// checkNewNames is checkNames for a user who is changed, if their names are.
func (a *Admin) checkNewNames(ctx context.Context, before storage.User, u *storage.User) error {
	if u.Claims.Email != before.Claims.Email || u.Claims.EmailVerified != before.Claims.EmailVerified {
		u.SharedAddress = ""
	}
	if slices.Equal(before.SignInNames(), u.SignInNames()) {
		return nil
	}
	return a.checkNames(ctx, *u)
}

// signedOut notes that the sessions of a user have been ended after a change. If the user was
// changed once more meanwhile, in a way that ends sessions, that is left to whoever did it.
func (a *Admin) signedOut(ctx context.Context, u storage.User) (storage.User, error) {
	first := true
	is, err := swap(0, func(u storage.User) int64 { return u.Version },
		func() (storage.User, error) {
			if first { // as a rule nobody has changed it since
				return u, nil
			}
			return a.userByID(ctx, u.ID)
		},
		func(now *storage.User) error {
			first = false
			now.SignOutDue = now.PasswordHash != u.PasswordHash || now.Disabled != u.Disabled
			return nil
		},
		func(_ storage.User, after *storage.User) error {
			err := a.Store.UpdateUser(ctx, *after)
			after.Version++
			return err
		})
	if errors.Is(err, ErrNotFound) || errors.Is(err, storage.ErrNotFound) {
		return u, nil // deleted meanwhile
	}
	return is, err
}

// followWithin bounds the end of a user's sessions, which may be many.
const followWithin = 30 * time.Second

// newIn is what is has and was had not.
func newIn(was, is []string) []string {
	return slices.DeleteFunc(slices.Clone(is), func(s string) bool { return slices.Contains(was, s) })
}

// UpdateUser changes claims, groups and, for an actor who may rename users, the username. change may
// be called several times, each time with the user as they are now. seen is the version that the
// change rests on, 0 for any.
func (a *Admin) UpdateUser(ctx context.Context, actor Actor, id string, seen int64,
	change func(*storage.User) error) (storage.User, error) {
	return a.changeUser(ctx, actor, VerbUserUpdate, id, seen, func(u *storage.User) error {
		was := *u
		if err := change(u); err != nil {
			return err
		}
		edited := *u
		*u = was
		u.Claims, u.Groups = edited.Claims, sortedSet(edited.Groups)
		if edited.Username != was.Username {
			if err := a.permit(ctx, actor, VerbUserRename, userObject(was)); err != nil {
				return err
			}
			canonical, err := people.CanonicalUsername(edited.Username)
			if err != nil {
				return usernameFault("username", edited.Username, err)
			}
			u.Username = canonical
		}
		return a.checkProfile(ctx, *u, newIn(was.Groups, u.Groups))
	})
}

// RenameUser gives a user another username. The subject identifier stays, so applications still
// know the user.
func (a *Admin) RenameUser(ctx context.Context, actor Actor, id, username string) (storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRename, of("user", id)); err != nil {
		return storage.User{}, err
	}
	canonical, err := people.CanonicalUsername(username)
	if err != nil {
		return storage.User{}, usernameFault("username", username, err)
	}
	return a.changeUser(ctx, actor, VerbUserRename, id, 0, func(u *storage.User) error {
		u.Username = canonical
		return nil
	})
}

// SetPassword gives a user another password, lifts a lock-out, and ends the user's sessions. Faults
// if the password is too weak.
func (a *Admin) SetPassword(ctx context.Context, actor Actor, id, password string) (storage.User, error) {
	u, err := a.userFor(ctx, actor, VerbUserPassword, id)
	if err != nil {
		return u, err
	}
	if err := a.CheckPassword(u, password); err != nil {
		return u, err
	}
	hash, err := a.Hasher.Hash(ctx, password)
	if err != nil {
		return u, err
	}
	return a.changeUser(ctx, actor, VerbUserPassword, id, 0,
		func(u *storage.User) error { u.PasswordHash = hash; return nil })
}

// SetDisabled keeps a user from signing in and ends their sessions, or lets them sign in again.
// Disabling a disabled user ends the sessions once more.
func (a *Admin) SetDisabled(ctx context.Context, actor Actor, id string, disabled bool) (storage.User, error) {
	verb := VerbUserEnable
	if disabled {
		verb = VerbUserDisable
	}
	return a.changeUser(ctx, actor, verb, id, 0, func(u *storage.User) error { u.Disabled = disabled; return nil })
}

// EndSessions signs a user out everywhere, revokes what they granted, and tells the applications.
func (a *Admin) EndSessions(ctx context.Context, actor Actor, id string) (storage.User, error) {
	u, err := a.userFor(ctx, actor, VerbUserSignOut, id)
	if err != nil {
		return u, err
	}
	return u, a.change(ctx, actor, VerbUserSignOut, userObject(u), nil, nil,
		func() error { return a.Sessions.EndSessions(ctx, u.ID) })
}

// DeleteUser removes a user for good: first disabled, so that no sign-in slips in between the end
// of the sessions and that of the account. It may be called again after a fault, and goes on where
// it stopped.
func (a *Admin) DeleteUser(ctx context.Context, actor Actor, id string) (storage.User, error) {
	u, err := a.userFor(ctx, actor, VerbUserDelete, id)
	if err == nil {
		err = a.unmanaged(ctx, actor, VerbUserDelete, userObject(u))
	}
	if err != nil {
		return u, err
	}
	return u, a.change(ctx, actor, VerbUserDelete, userObject(u), userRecord{User: u}, nil, func() error {
		_, err := swap(0, func(u storage.User) int64 { return u.Version },
			func() (storage.User, error) { return a.userByID(ctx, id) },
			func(u *storage.User) error { u.Disabled = true; return nil },
			func(before storage.User, after *storage.User) error {
				return a.keepingAnOwner(ctx, before, after, func() error { return a.Store.UpdateUser(ctx, *after) })
			})
		if errors.Is(err, ErrNotFound) {
			return nil // another administrator was faster
		}
		if err != nil {
			return err
		}
		if err := a.Sessions.EndSessions(ctx, u.ID); err != nil {
			return fmt.Errorf("end the sessions of user %s: %w", u.ID, err)
		}
		if err := a.Store.DeleteUser(ctx, u.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		return nil
	})
}

// Unlock forgets the failed sign-ins of a user, so that they can sign in at once. It returns what
// was forgotten.
func (a *Admin) Unlock(ctx context.Context, actor Actor, id string) (storage.User, people.Lockout, error) {
	u, err := a.userFor(ctx, actor, VerbUserUnlock, id)
	if err != nil {
		return u, people.Lockout{}, err
	}
	was, err := a.Throttle.Lockout(ctx, u.Username, a.Now())
	if err != nil {
		return u, was, err
	}
	second := a.factorThrottle()
	if second != nil && !was.Locked() {
		if l, err := second.Lockout(ctx, u.Username, a.Now()); err != nil {
			return u, was, err
		} else if l.Locked() {
			was = l
		}
	}
	return u, was, a.change(ctx, actor, VerbUserUnlock, userObject(u), nil, nil, func() error {
		if second != nil {
			if err := second.Unlock(ctx, u.Username); err != nil {
				return err
			}
		}
		return a.Throttle.Unlock(ctx, u.Username)
	})
}

// factorThrottle is what limits guesses at second factors; nil without a Sealer.
func (a *Admin) factorThrottle() *people.Throttle {
	if a.Sealer == nil {
		return nil
	}
	return people.NewFactorThrottle(a.Store, a.Sealer.Derive(people.FactorThrottleLabel, 32))
}

// factorsRecord is what the audit log tells of a user's second factors.
type factorsRecord struct {
	Authenticators int `json:"authenticators"`
	RecoveryCodes  int `json:"recovery_codes"`
}

// ResetFactors removes every second factor and all recovery codes of a user, forgets the wrong
// codes, and ends their sessions: whoever asks for it may have lost the device on which they are
// signed in.
func (a *Admin) ResetFactors(ctx context.Context, actor Actor, id string) (storage.User, error) {
	u, err := a.userFor(ctx, actor, VerbUserFactors, id)
	if err != nil {
		return u, err
	}
	before := factorsRecord{len(u.Factors.Confirmed()), u.Factors.RecoveryLeft()}
	return u, a.change(ctx, actor, VerbUserFactors, userObject(u), before, factorsRecord{}, func() error {
		if _, err := a.Store.ResetFactors(ctx, u.ID); err != nil {
			return err
		}
		if second := a.factorThrottle(); second != nil {
			if err := second.Unlock(ctx, u.Username); err != nil {
				return err
			}
		}
		if err := a.Sessions.EndSessions(ctx, u.ID); err != nil {
			return fmt.Errorf("end the sessions of user %s: %w", u.ID, err)
		}
		return nil
	})
}
