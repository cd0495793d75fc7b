package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/failpoint"
	"latchkey/provider/storage"
)

// End ends a session: its tokens end with it, and every application that it reached is told. It
// returns the identifier under which the signed-out page finds what became of each. A session that
// is ended already is left as it is.
//
// What is to be told is stored before the session ends, so that nobody is forgotten should we fall
// over in between; deliver does not tell the end of a session that goes on.
func (ss *Sessions) End(ctx context.Context, session storage.Session) (logoutID string, err error) {
	return ss.endBy(ctx, session, ss.Store.EndSession)
}

// endBy is End, where end marks the session as ended: ErrConflict if it is to go on.
func (ss *Sessions) endBy(ctx context.Context, session storage.Session,
	end func(ctx context.Context, id string, now time.Time) (storage.Session, error)) (logoutID string, err error) {
	// who closes the browser now has signed out all the same
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	now := ss.Web.Now()
	before, err := ss.Reached(ctx, session.ID)
	if err != nil {
		return "", err
	}
	had, err := ss.scheduleLogout(ctx, session, before, now)
	if err != nil {
		return "", err
	}
	failpoint.At(failpoint.LogoutNoted)
	defer ss.signals.wake()
	_, err = end(ctx, session.ID, now)
	if errors.Is(err, storage.ErrConsumed) || errors.Is(err, storage.ErrNotFound) ||
		errors.Is(err, storage.ErrConflict) {
		return session.ID, nil
	}
	if err != nil {
		return "", fmt.Errorf("end session: %w", err)
	}
	failpoint.At(failpoint.LogoutEnded)
	if had {
		if err := ss.makeDeliveriesDue(ctx, session.ID, now); err != nil {
			return "", err
		}
	}
	if _, err := ss.Store.RevokeGrants(ctx, storage.GrantFilter{SessionID: session.ID, KeepOffline: true},
		now); err != nil {
		return "", fmt.Errorf("revoke grants of session: %w", err)
	}
	failpoint.At(failpoint.LogoutRevoked)
	// An application that was being signed in to in the meantime is told too.
	after, err := ss.Reached(ctx, session.ID)
	if err == nil && len(after) > len(before) {
		_, err = ss.scheduleLogout(ctx, session, after, now)
	}
	return session.ID, err
}

// EndAll signs a person out everywhere and revokes all that they granted, offline access included:
// for an account that is disabled or deleted, or whose password was changed by somebody else.
// Applications are told by DeliverLogouts, of whichever instance runs it. Call it after the change
// that keeps the person from signing in again. A fault of the store is returned; calling again goes
// on where it stopped.
func (ss *Sessions) EndAll(ctx context.Context, userID string) error {
	if err := ss.EndBut(ctx, userID, ""); err != nil {
		return err
	}
	if _, err := ss.Store.RevokeGrants(ctx, storage.GrantFilter{UserID: userID}, ss.Web.Now()); err != nil {
		return fmt.Errorf("revoke grants of person: %w", err)
	}
	return nil
}

// EndLapsed ends the sessions that ran out and that nobody has ended, and tells their clients, as
// when a user signs out. It returns how many there were.
func (ss *Sessions) EndLapsed(ctx context.Context) (int, error) {
	const step = 100
	for total := 0; ; {
		lapsed, err := ss.Store.LapsedSessions(ctx, ss.Web.Now(), step)
		if err != nil {
			return total, fmt.Errorf("list sessions that ran out: %w", err)
		}
		for _, s := range lapsed {
			// Its user may be signing in again at this moment, and carries it on then.
			if _, err := ss.endBy(ctx, s, ss.Store.EndLapsedSession); err != nil {
				return total, err
			}
			total++
		}
		if len(lapsed) < step {
			return total, nil
		}
	}
}

// Reach records that the session signs the user in to the client. It reports false if the session
// has ended meanwhile.
func (ss *Sessions) Reach(ctx context.Context, session storage.Session, clientID string) (bool, error) {
	err := ss.Store.ReachSession(ctx, session, clientID)
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("add client to session: %w", err)
	}
	return true, nil
}

// EndBut ends the person's sessions but one, those that ran out too. It looks again until there is
// none left, because a sign-in may have been under way.
func (ss *Sessions) EndBut(ctx context.Context, userID, keep string) error {
	for range 10 {
		all, err := ss.Store.OpenSessionsOfUser(ctx, userID)
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		ended := 0
		for _, s := range all {
			if s.ID == keep {
				continue
			}
			if _, err := ss.End(ctx, s); err != nil {
				return err
			}
			ended++
		}
		if ended == 0 {
			return nil
		}
	}
	return errors.New("somebody keeps signing in while all sessions are being ended")
}

// ReachedIDs lists, sorted, the identifiers of the clients that the session signed the user in to,
// also those that are gone. A session keeps them itself, for as long as it lasts; one from before
// it did is known by its grants.
func (ss *Sessions) ReachedIDs(ctx context.Context, sessionID string) ([]string, error) {
	ids, err := ss.Store.ClientsOfSession(ctx, sessionID)
	if err != nil {
		return nil, fmt.Errorf("list clients of session: %w", err)
	}
	s, err := ss.Store.Session(ctx, sessionID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("load session: %w", err)
	}
	ids = append(ids, s.Clients...)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Reached lists the applications that the session signed the person in to, as far as they are still
// registered.
func (ss *Sessions) Reached(ctx context.Context, sessionID string) ([]clients.Client, error) {
	ids, err := ss.ReachedIDs(ctx, sessionID)
	if err != nil {
		return nil, err
	}
	var out []clients.Client
	for _, id := range ids {
		c, err := ss.Store.Client(ctx, id)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("load client: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// Frames are the addresses that the signed-out page loads (Front-Channel Logout §3).
func (ss *Sessions) Frames(reached []clients.Client, sid string) []string {
	var out []string
	for _, c := range reached {
		if f := FrontchannelFrame(c, ss.Web.Issuer, sid); f != "" {
			out = append(out, f)
		}
	}
	return out
}
