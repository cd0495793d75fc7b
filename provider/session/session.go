package session

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// SessionCookie holds the reference to the session: its identifier and a secret.
const SessionCookie = "latchkey"

// Last is the session that this browser was signed in with last, if its cookie is there: one that has ended, or ran out, too.
func (ss *Sessions) Last(r *http.Request) (storage.Session, bool, error) {
	id, secret, ok := strings.Cut(ss.Web.Cookie(r, SessionCookie), ".")
	if !ok {
		return storage.Session{}, false, nil
	}
	s, err := ss.Store.Session(r.Context(), id)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Session{}, false, nil
	}
	if err != nil {
		return storage.Session{}, false, fmt.Errorf("load session: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(s.SecretHash), []byte(storage.Hash(secret))) != 1 {
		return storage.Session{}, false, nil
	}
	return s, true, nil
}

// Current is the session of this browser, if somebody is signed in.
func (ss *Sessions) Current(r *http.Request) (storage.Session, bool, error) {
	now := ss.Web.Now()
	s, ok, err := ss.Last(r)
	if err != nil || !ok || !s.Valid(now) {
		return storage.Session{}, false, err
	}
	// Seen within the last minute is near enough: a write on every request would cost more than it tells.
	if now.Sub(s.LastSeen) >= time.Minute {
		idle, _ := ss.sessionLife(s.Remember)
		if err := ss.Store.TouchSession(r.Context(), s, now, now.Add(idle)); err != nil {
			return storage.Session{}, false, fmt.Errorf("touch session: %w", err)
		}
		s.LastSeen, s.IdleAt = now, now.Add(idle)
	}
	return s, true, nil
}

func (ss *Sessions) sessionLife(remember bool) (idle, absolute time.Duration) {
	if remember {
		return ss.RememberedIdle, ss.RememberedMax
	}
	return ss.SessionIdle, ss.SessionAbsolute
}

// Begin begins a session for the person who has just proved who they are, or renews the one they have. The reference in the cookie
// is a new one every time, so that one planted or seen before is worth nothing. Whoever was signed in before as somebody else is signed out.
func (ss *Sessions) Begin(w http.ResponseWriter, r *http.Request, user storage.User, remember bool) (storage.Session, error) {
	ctx, now, secret := r.Context(), ss.Web.Now(), storage.Random()
	old, had, err := ss.Current(r)
	if err != nil {
		return storage.Session{}, err
	}
	// Whoever only proves once more who they are is not asked again whether to be remembered, so what they chose before stays.
	remember = remember || had && old.UserID == user.ID && old.Remember
	idle, absolute := ss.sessionLife(remember)
	s := storage.Session{
		ID: storage.NewID(now), UserID: user.ID, State: storage.ShortID(), CreatedAt: now,
		UserAgent: web.Clip(r.UserAgent(), 200), Address: ss.Web.ClientAddress(r),
	}
	if had && old.UserID == user.ID {
		s = old
	}
	s.SecretHash, s.AuthTime, s.AMR, s.ACR, s.Remember = storage.Hash(secret), now, []string{"pwd"}, people.ACRPassword, remember
	s.LastSeen, s.IdleAt, s.ExpiresAt = now, now.Add(idle), now.Add(absolute)
	if had && old.UserID == user.ID {
		err = ss.Store.RenewSession(ctx, s, old.SecretHash)
		if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
			// Another tab was faster, or signed out meanwhile: a session of its own then.
			s.ID, s.State, s.CreatedAt, s.EndedAt = storage.NewID(now), storage.ShortID(), now, time.Time{}
			err = ss.Store.CreateSession(ctx, s)
		}
	} else {
		if had {
			if _, err := ss.End(ctx, old); err != nil {
				return storage.Session{}, err
			}
		}
		err = ss.Store.CreateSession(ctx, s)
	}
	if err != nil {
		return storage.Session{}, fmt.Errorf("store session: %w", err)
	}
	return s, ss.setSessionCookies(w, r, s, secret)
}

func (ss *Sessions) setSessionCookies(w http.ResponseWriter, r *http.Request, s storage.Session, secret string) error {
	var life time.Duration
	if s.Remember {
		life = ss.RememberedMax
	}
	if err := ss.Web.SetCookie(w, r, SessionCookie, s.ID+"."+secret, life); err != nil {
		return err
	}
	ss.setStateCookie(w, s.State, int(life/time.Second))
	return nil
}

// ClearCookies takes the session out of this browser. The browser state gets a new value, which is how frames notice.
func (ss *Sessions) ClearCookies(w http.ResponseWriter, r *http.Request) error {
	ss.setStateCookie(w, storage.ShortID(), 0)
	return ss.Web.SetCookie(w, r, SessionCookie, "", -time.Second)
}
