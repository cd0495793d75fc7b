package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/provider/failpoint"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// SessionCookie holds the reference to the session: its identifier and a secret.
const SessionCookie = "latchkey"

// Last is the session that this browser was signed in with last, if its cookie is there: one that
// has ended, or ran out, too.
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
	// Seen within the last minute is near enough: a write on every request would cost more than it
	// tells.
	if now.Sub(s.LastSeen).Abs() >= time.Minute { // Abs: the clock may have been put back
		idle, _ := ss.sessionLife(s.Remember)
		if err := ss.Store.TouchSession(r.Context(), s, now, now.Add(idle)); err != nil {
			return storage.Session{}, false, fmt.Errorf("touch session: %w", err)
		}
		if day := 24 * time.Hour; now.Truncate(day).After(s.LastSeen.UTC().Truncate(day)) {
			ss.countDay(r.Context(), storage.DayActive)
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

// ErrAccountChanged is returned by Begin when the account was disabled or deleted, or got another
// password, after the user had proved who they are. They have to do so again.
var ErrAccountChanged = errors.New("the account was changed while its user was signing in")

// Begin begins a session for the user, as they were when they proved who they are by proof, or
// carries on the one that they have or had in this browser. The reference in the cookie is a new
// one every time, so that one planted or seen before is worth nothing. Whoever was signed in here
// before as somebody else is signed out, also if their session ran out: the clients that it reached
// may go on for longer.
//
// What ends all sessions of a user changes the account first and then looks for sessions. So the
// account is looked at once more when the session is there, and no session survives such a change:
// either it is found, or the change is.
func (ss *Sessions) Begin(w http.ResponseWriter, r *http.Request, user storage.User, remember bool,
	proof people.Proof) (storage.Session, error) {
	ctx, now, secret := r.Context(), ss.Web.Now(), storage.Random()
	old, had, err := ss.Last(r)
	if err != nil {
		return storage.Session{}, err
	}
	had = had && old.EndedAt.IsZero()
	// Whoever only proves once more who they are is not asked again whether to be remembered, so
	// what they chose before stays.
	remember = remember || had && old.UserID == user.ID && old.Remember && old.Valid(now)
	idle, absolute := ss.sessionLife(remember)
	s := storage.Session{
		ID: storage.NewID(now), UserID: user.ID, State: storage.ShortID(), CreatedAt: now,
		UserAgent: web.Clip(r.UserAgent(), 200), Address: ss.Web.ClientAddress(r),
	}
	if had && old.UserID == user.ID {
		s = old
	}
	s.SecretHash, s.AuthTime, s.AMR, s.ACR, s.Remember = storage.Hash(secret), now, proof.AMR, proof.ACR, remember
	s.LastSeen, s.IdleAt, s.ExpiresAt = now, now.Add(idle), now.Add(absolute)
	if had && old.UserID == user.ID {
		err = ss.Store.RenewSession(ctx, s, old.SecretHash)
		if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
			// Another tab was faster, or signed out meanwhile: a session of its own then.
			s.ID, s.State, s.CreatedAt, s.EndedAt, s.Clients = storage.NewID(now), storage.ShortID(), now, time.Time{}, nil
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
	failpoint.At(failpoint.SignInStored)
	if err := ss.confirm(ctx, user, s, proof); err != nil {
		return storage.Session{}, err
	}
	ss.countDay(ctx, storage.DaySignIns)
	if day := 24 * time.Hour; !had || old.UserID != user.ID ||
		now.Truncate(day).After(old.LastSeen.UTC().Truncate(day)) {
		ss.countDay(ctx, storage.DayActive)
	}
	return s, ss.setSessionCookies(w, r, s, secret)
}

// countDay counts for administrators what happens today. That one is missing there keeps nobody
// from signing in.
func (ss *Sessions) countDay(ctx context.Context, what string) {
	if err := ss.Store.CountDay(ctx, what, ss.Web.Now()); err != nil && ss.Logger != nil {
		ss.Logger.WarnContext(ctx, "what happened today was not counted", "what", what, "error", err)
	}
}

// confirm ends the session again if the account is not any more what it was when the user proved
// who they are.
func (ss *Sessions) confirm(ctx context.Context, user storage.User, s storage.Session, proof people.Proof) error {
	there, err := ss.Store.User(ctx, user.ID)
	if err == nil && !there.Disabled && stillGood(user, there, proof) {
		return nil
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("load user: %w", err) // nobody has the session's secret
	}
	if _, err := ss.End(ctx, s); err != nil {
		return err
	}
	return ErrAccountChanged
}

// stillGood reports whether what the user has proved who they are by is still theirs.
func stillGood(then, now storage.User, proof people.Proof) bool {
	if proof.PasskeyID == "" {
		return now.PasswordHash == then.PasswordHash
	}
	return slices.ContainsFunc(now.Factors.Passkeys, func(p storage.Passkey) bool { return p.ID() == proof.PasskeyID })
}

// Prove notes that the person of session s, who is signed in with this request, has now proved
// more: what was done is added to what was done before, and the acr grows. The time of the sign-in
// stays, since that was not done again. The reference in the cookie is a new one, as in Begin.
// storage.ErrConflict if another tab was faster, or has signed out.
func (ss *Sessions) Prove(w http.ResponseWriter, r *http.Request, s storage.Session,
	proof people.Proof) (storage.Session, error) {
	old, secret, now := s.SecretHash, storage.Random(), ss.Web.Now()
	idle, _ := ss.sessionLife(s.Remember)
	s.SecretHash, s.LastSeen, s.IdleAt = storage.Hash(secret), now, now.Add(idle)
	if !people.Reaches(s.ACR, proof.ACR) {
		s.ACR = proof.ACR
	}
	s.AMR = slices.Clone(s.AMR)
	for _, done := range proof.AMR {
		if !slices.Contains(s.AMR, done) {
			s.AMR = append(s.AMR, done)
		}
	}
	if err := ss.Store.RenewSession(r.Context(), s, old); err != nil {
		if errors.Is(err, storage.ErrNotFound) {
			err = storage.ErrConflict
		}
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

// ClearCookies takes the session out of this browser. The browser state gets a new value, which is
// how frames notice.
func (ss *Sessions) ClearCookies(w http.ResponseWriter, r *http.Request) error {
	ss.setStateCookie(w, storage.ShortID(), 0)
	return ss.Web.SetCookie(w, r, SessionCookie, "", -time.Second)
}
