package admin

import (
	"context"
	"errors"

	"latchkey/provider/storage"
)

// SessionsOfUser lists the sessions of a user that are valid now, the one seen last first.
// ErrNotFound if there is no such user.
func (a *Admin) SessionsOfUser(ctx context.Context, actor Actor, userID string) ([]storage.Session, error) {
	if _, err := a.userFor(ctx, actor, VerbSessionRead, userID); err != nil {
		return nil, err
	}
	return a.Store.SessionsOfUser(ctx, userID, a.Now())
}

// ListSessions lists all sessions that are valid now, the newest first, at most limit: those after
// the one with the ID before, or from the newest if that is "".
func (a *Admin) ListSessions(ctx context.Context, actor Actor, before string, limit int) ([]storage.Session, error) {
	if err := a.permit(ctx, actor, VerbSessionRead, of("session", "")); err != nil {
		return nil, err
	}
	return a.Store.Sessions(ctx, before, a.Now(), limit)
}

// EndSession signs a user out of one session, and tells the applications that it reached. Access
// that was given for the time after the session stays. ErrNotFound if there is no such session, or
// it is over.
func (a *Admin) EndSession(ctx context.Context, actor Actor, id string) (storage.Session, error) {
	if err := a.permit(ctx, actor, VerbSessionEnd, of("session", id)); err != nil {
		return storage.Session{}, err
	}
	s, err := a.Store.Session(ctx, id)
	if errors.Is(err, storage.ErrNotFound) || err == nil && !s.EndedAt.IsZero() {
		return s, &ObjectError{Err: ErrNotFound, Kind: "session", Name: id}
	}
	if err != nil {
		return s, err
	}
	o, err := a.belongingTo(ctx, "session", id, s.UserID)
	if err != nil {
		return s, err
	}
	before := map[string]any{"sub": s.UserID, "address": s.Address, "user_agent": s.UserAgent, "clients": s.Clients}
	return s, a.change(ctx, actor, VerbSessionEnd, o, before, nil,
		func() error { return a.Sessions.EndSession(ctx, s) })
}

// belongingTo is an object that belongs to a user, by whose name it is shown.
func (a *Admin) belongingTo(ctx context.Context, kind, id, userID string) (object, error) {
	u, err := a.Store.User(ctx, userID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return object{}, err
	}
	o := withName(of(kind, id), u.Username)
	o.seen, o.role = true, u.Role
	return o, nil
}
