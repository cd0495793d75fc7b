package admin

import (
	"context"

	"latchkey/provider/storage"
)

// UpdateSelf changes claims of the user who makes the call. change may be called several times,
// each time with the claims as they are now; which of them a person may change is the caller's to
// say. The e-mail address is never changed by it, and nothing becomes verified. Faults if something
// cannot be stored.
func (a *Admin) UpdateSelf(ctx context.Context, actor Actor, change func(*storage.Claims)) (storage.User, error) {
	actor.self = true
	return a.changeUser(ctx, actor, VerbUserUpdate, actor.ID, 0, func(u *storage.User) error {
		was := u.Claims
		change(&u.Claims)
		c := &u.Claims
		c.Email, c.EmailVerified, c.PhoneNumberVerified = was.Email, was.EmailVerified, was.PhoneNumberVerified &&
			c.PhoneNumber == was.PhoneNumber
		return CheckClaims(u.Claims).orNil()
	})
}

// DeleteSelf removes the user who makes the call, see DeleteUser.
func (a *Admin) DeleteSelf(ctx context.Context, actor Actor) (storage.User, error) {
	actor.self = true
	return a.DeleteUser(ctx, actor, actor.ID)
}

// ownAccount reports whether a user acts on nothing but their own account, by a call that is meant
// for that.
func ownAccount(actor Actor, object storage.EventParty) bool {
	return actor.self && actor.Kind == storage.ActorUser && actor.ID != "" && object.Kind == "user" &&
		object.ID == actor.ID
}
