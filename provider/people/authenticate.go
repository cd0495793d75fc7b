package people

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"latchkey/provider/storage"
)

// ErrWrong is the one answer for an unknown username, a wrong password, and an account that is
// disabled or has no password.
var ErrWrong error = Refusal("The name or the password is not right.")

// Users is what an Authenticator needs of the store.
type Users interface {
	UserBySignInName(ctx context.Context, name string) (storage.User, error)
	UpdateUser(ctx context.Context, u storage.User) error
}

// Authenticator checks who somebody is.
type Authenticator struct {
	Store    Users
	Hasher   *Hasher
	Throttle *Throttle
	Now      func() time.Time
	Logger   *slog.Logger // nil: none

	once  sync.Once
	line  *line
	costs costs
}

// queueUp waits for the turn of an attempt; see line.
func (a *Authenticator) queueUp(ctx context.Context, account, address string) (leave func(), err error) {
	a.once.Do(func() {
		// More than are hashed at once, so that the store is asked about the next ones meanwhile.
		a.line = newLine(2*cap(a.Hasher.slots) + 2)
		// An account that may fail more often than that may succeed as often.
		a.line.turnsPerWindow = max(linePerWindow, a.Throttle.perAccount())
	})
	return a.line.enter(ctx, account, Network(address), a.Now())
}

// Password signs a person in by what they typed as their name, a username or an e-mail address that
// is verified, and a password. address is the client's IP address; device identifies the browser if
// this user was signed in there before, and is "" otherwise. It is called once, with the zero User if
// the name is nobody's. The error is ErrWrong, *ThrottledError, ErrBusy, or a fault of the store. A
// password that was hashed at a lower cost is hashed again. Where many sign in at once it waits for
// its turn, for seconds; nothing is counted before.
//
// Failures count against the account, whichever of its names they were made with.
func (a *Authenticator) Password(ctx context.Context, typed, password, address string,
	device func(storage.User) string) (storage.User, error) {
	name, possible := SignInName(typed)
	known, err := a.find(ctx, name, possible)
	if err != nil {
		return storage.User{}, err
	}
	account, browser := name, device(known)
	if known.ID != "" {
		account = known.Username
	}
	// What is refused already needs no turn.
	if err := a.Throttle.Allowed(ctx, account, address, browser, a.Now()); err != nil {
		return storage.User{}, err
	}
	leave, err := a.queueUp(ctx, account, address)
	if err != nil {
		return storage.User{}, err
	}
	defer leave()
	attempt, err := a.Throttle.Begin(ctx, account, address, browser, a.Now())
	if err != nil {
		return storage.User{}, err
	}
	a.learnCosts(ctx)
	u, right, err := a.check(ctx, name, possible, account, password)
	if err != nil {
		// Nothing was learned about the password, so it was no guess.
		if back := attempt.Withdrawn(ctx); back != nil {
			err = errors.Join(err, back)
		}
		return storage.User{}, err
	}
	if !right {
		return storage.User{}, ErrWrong
	}
	if err := attempt.Succeeded(ctx); err != nil {
		return storage.User{}, err
	}
	return u, nil
}

// find returns the user with this name to sign in by, the zero User if nobody has it.
func (a *Authenticator) find(ctx context.Context, name string, possible bool) (storage.User, error) {
	if !possible {
		return storage.User{}, nil
	}
	u, err := a.Store.UserBySignInName(ctx, name)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return storage.User{}, fmt.Errorf("load user: %w", err)
	}
	return u, nil
}

// check costs the same whatever it finds. The user is looked up again: the turn may have been long
// in coming.
func (a *Authenticator) check(ctx context.Context, name string, possible bool, account,
	password string) (u storage.User, right bool, err error) {
	if u, err = a.find(ctx, name, possible); err != nil {
		return u, false, err
	}
	if u.ID == "" || u.PasswordHash == "" {
		return storage.User{}, false, a.Hasher.VerifyLike(ctx, a.costOf(account), password)
	}
	a.see(u.PasswordHash)
	ok, rehash, err := a.Hasher.Verify(ctx, u.PasswordHash, password)
	if err != nil {
		return storage.User{}, false, fmt.Errorf("check the password of user %s: %w", u.ID, err)
	}
	if !ok || u.Disabled {
		return storage.User{}, false, nil
	}
	if rehash {
		u = a.rehash(ctx, u, password)
	}
	return u, true, nil
}

// rehash stores the password at today's cost. It is no reason to turn anybody away when that fails:
// the next sign-in tries again.
func (a *Authenticator) rehash(ctx context.Context, u storage.User, password string) storage.User {
	phc, err := a.Hasher.Hash(ctx, password)
	if err == nil {
		better := u
		better.PasswordHash = phc
		if err = a.Store.UpdateUser(ctx, better); err == nil {
			better.Version++
			return better
		}
	}
	if a.Logger != nil && !errors.Is(err, storage.ErrConflict) {
		a.Logger.WarnContext(ctx, "the password could not be hashed at the new cost", "sub", u.ID, "error", err)
	}
	return u
}
