package provider

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/sessions"

	"latchkey/keys"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// The browser holds three cookies. The session cookie is a random reference to a storage.Session, and the browser cookie is one
// to nothing: it only ties interactions, and the memory of an earlier sign-in, to this browser. Both are sealed by gorilla/sessions, are
// out of reach of scripts and of other hosts, and come with navigations from other sites only (SameSite=Lax). The third, readable by
// scripts and by frames, holds a random value that changes when the session does: OIDC Session Management §3 needs such a one.
const (
	sessionCookie = "latchkey"
	browserCookie = "latchkey_browser"
	stateCookie   = "latchkey_state"
)

// cookieLife bounds how old a sealed cookie may be; the session it refers to ends long before.
const cookieLife = 400 * 24 * time.Hour

// newCookieStore makes the envelope. The library's own defaults (SameSite=None, 30 days) are never in force.
func newCookieStore(sealer *keys.Sealer, secure bool) *sessions.CookieStore {
	store := sessions.NewCookieStore(sealer.Derive("cookie authentication", 64), sealer.Derive("cookie encryption", 32))
	store.MaxAge(int(cookieLife / time.Second))
	store.Options = &sessions.Options{Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}
	return store
}

// cookieName adds the prefix that keeps other hosts of the same domain from planting the cookie (RFC 6265bis §4.1.3.2).
func (p *Provider) cookieName(name string) string {
	if p.secure {
		return "__Host-" + name
	}
	return name
}

// cookie reads the reference in a cookie; "" when there is none that opens. A cookie from before a change of keys looks like that.
func (p *Provider) cookie(r *http.Request, name string) string {
	envelope, err := p.cookies.New(r, p.cookieName(name))
	if err != nil {
		return ""
	}
	ref, _ := envelope.Values["ref"].(string)
	return ref
}

// setCookie seals a reference into a cookie for maxAge; 0 keeps it as long as the browser runs, < 0 takes it away.
func (p *Provider) setCookie(w http.ResponseWriter, r *http.Request, name, ref string, maxAge time.Duration) error {
	envelope := sessions.NewSession(p.cookies, p.cookieName(name))
	envelope.Values["ref"] = ref
	return p.saveCookie(w, r, envelope, maxAge)
}

func (p *Provider) saveCookie(w http.ResponseWriter, r *http.Request, envelope *sessions.Session, maxAge time.Duration) error {
	options := *p.cookies.Options
	options.MaxAge = int(maxAge / time.Second)
	envelope.Options = &options
	if err := p.cookies.Save(r, w, envelope); err != nil {
		return fmt.Errorf("seal cookie: %w", err)
	}
	return nil
}

// random is a new unguessable value of 256 bits in URL-safe characters.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program first
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// browser is the reference in the browser cookie, a new one if there is none.
func (p *Provider) browser(w http.ResponseWriter, r *http.Request) (string, error) {
	if ref := p.cookie(r, browserCookie); ref != "" {
		return ref, nil
	}
	// Asked for twice within one request, it is the same: the browser will only bring the last one back.
	if e := eventOf(r); e.browser != "" {
		return e.browser, nil
	}
	ref := random()
	eventOf(r).browser = ref
	return ref, p.setCookie(w, r, browserCookie, ref, cookieLife)
}

// maxKnown is how many accounts a browser is remembered to have been signed in to.
const maxKnown = 10

// knownDevice is the reference of this browser if the account with this username was signed in here before, "" otherwise. Somebody who
// guesses passwords elsewhere cannot lock such a browser out.
func (p *Provider) knownDevice(r *http.Request, username string) string {
	envelope, err := p.cookies.New(r, p.cookieName(browserCookie))
	if err != nil {
		return ""
	}
	ref, _ := envelope.Values["ref"].(string)
	known, _ := envelope.Values["known"].(string)
	if slices.Contains(strings.Fields(known), p.knownMark(username)) {
		return ref
	}
	return ""
}

// rememberDevice notes in the browser cookie that this account was signed in here.
func (p *Provider) rememberDevice(w http.ResponseWriter, r *http.Request, username string) error {
	envelope, err := p.cookies.New(r, p.cookieName(browserCookie))
	if err != nil {
		return nil // without the cookie the form would not have been taken; there is nothing to add to
	}
	text, _ := envelope.Values["known"].(string)
	known, mark := strings.Fields(text), p.knownMark(username)
	if slices.Contains(known, mark) {
		return nil
	}
	known = append(known, mark)
	envelope.Values["known"] = strings.Join(known[max(0, len(known)-maxKnown):], " ")
	return p.saveCookie(w, r, envelope, cookieLife)
}

// knownMark stands for an account in the browser cookie.
func (p *Provider) knownMark(username string) string {
	if canonical, err := people.CanonicalUsername(username); err == nil {
		username = canonical
	}
	return p.csrf(username, "known device")[:22]
}

// lastSession is the session that this browser was signed in with last, if its cookie is there: one that has ended, or ran out, too.
func (p *Provider) lastSession(r *http.Request) (storage.Session, bool, error) {
	id, secret, ok := strings.Cut(p.cookie(r, sessionCookie), ".")
	if !ok {
		return storage.Session{}, false, nil
	}
	s, err := p.Store.Session(r.Context(), id)
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

// session is the session of this browser, if somebody is signed in.
func (p *Provider) session(r *http.Request) (storage.Session, bool, error) {
	now := p.now()
	s, ok, err := p.lastSession(r)
	if err != nil || !ok || !s.Valid(now) {
		return storage.Session{}, false, err
	}
	// Seen within the last minute is near enough: a write on every request would cost more than it tells.
	if now.Sub(s.LastSeen) >= time.Minute {
		idle, _ := p.sessionLife(s.Remember)
		if err := p.Store.TouchSession(r.Context(), s.ID, now, now.Add(idle)); err != nil {
			return storage.Session{}, false, fmt.Errorf("touch session: %w", err)
		}
		s.LastSeen, s.IdleAt = now, now.Add(idle)
	}
	return s, true, nil
}

func (p *Provider) sessionLife(remember bool) (idle, absolute time.Duration) {
	if remember {
		return p.RememberedIdle, p.RememberedMax
	}
	return p.SessionIdle, p.SessionAbsolute
}

// signIn begins a session for the person who has just proved who they are, or renews the one they have. The reference in the cookie
// is a new one every time, so that one planted or seen before is worth nothing. Whoever was signed in before as somebody else is signed out.
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request, user storage.User, remember bool) (storage.Session, error) {
	ctx, now, secret := r.Context(), p.now(), random()
	old, had, err := p.session(r)
	if err != nil {
		return storage.Session{}, err
	}
	// Whoever only proves once more who they are is not asked again whether to be remembered, so what they chose before stays.
	remember = remember || had && old.UserID == user.ID && old.Remember
	idle, absolute := p.sessionLife(remember)
	s := storage.Session{
		ID: random()[:22], UserID: user.ID, State: random()[:22], CreatedAt: now,
		UserAgent: clip(r.UserAgent(), 200), Address: p.clientAddress(r),
	}
	if had && old.UserID == user.ID {
		s = old
	}
	s.SecretHash, s.AuthTime, s.AMR, s.ACR, s.Remember = storage.Hash(secret), now, []string{"pwd"}, ACRPassword, remember
	s.LastSeen, s.IdleAt, s.ExpiresAt = now, now.Add(idle), now.Add(absolute)
	if had && old.UserID == user.ID {
		err = p.Store.RenewSession(ctx, s, old.SecretHash)
		if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
			// Another tab was faster, or signed out meanwhile: a session of its own then.
			had, s.ID, s.State, s.CreatedAt, s.EndedAt = false, random()[:22], random()[:22], now, time.Time{}
			err = p.Store.CreateSession(ctx, s)
		}
	} else {
		if had {
			if _, err := p.endSession(ctx, old); err != nil {
				return storage.Session{}, err
			}
		}
		err = p.Store.CreateSession(ctx, s)
	}
	if err != nil {
		return storage.Session{}, fmt.Errorf("store session: %w", err)
	}
	return s, p.setSessionCookies(w, r, s, secret)
}

func (p *Provider) setSessionCookies(w http.ResponseWriter, r *http.Request, s storage.Session, secret string) error {
	var life time.Duration
	if s.Remember {
		life = p.RememberedMax
	}
	if err := p.setCookie(w, r, sessionCookie, s.ID+"."+secret, life); err != nil {
		return err
	}
	p.setStateCookie(w, s.State, int(life/time.Second))
	return nil
}

// setStateCookie gives the OP iframe what it hashes. Frames of other sites are where it is read, hence SameSite=None, which
// browsers take over https only; without it the iframe works for applications of the same site.
func (p *Provider) setStateCookie(w http.ResponseWriter, state string, maxAge int) {
	c := &http.Cookie{Name: p.cookieName(stateCookie), Value: state, Path: "/", MaxAge: maxAge, Secure: p.secure, SameSite: http.SameSiteLaxMode}
	if p.secure {
		c.SameSite = http.SameSiteNoneMode
	}
	http.SetCookie(w, c)
}

// clearSessionCookies takes the session out of this browser. The browser state gets a new value, which is how frames notice.
func (p *Provider) clearSessionCookies(w http.ResponseWriter, r *http.Request) error {
	p.setStateCookie(w, random()[:22], 0)
	return p.setCookie(w, r, sessionCookie, "", -time.Second)
}

// csrf is the value that a form of this browser for this purpose carries. It says nothing and is worth nothing elsewhere.
func (p *Provider) csrf(browser, purpose string) string {
	mac := hmac.New(sha256.New, p.csrfKey)
	mac.Write([]byte(browser + "\x00" + purpose))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkCSRF refuses a form that was not rendered for this browser and purpose.
func (p *Provider) checkCSRF(r *http.Request, sent, purpose string) error {
	browser := p.cookie(r, browserCookie)
	if browser == "" {
		return refusePage(http.StatusForbidden, "Your browser did not send our cookie",
			"Without the cookie that was set when the page was shown we cannot tell that the form is yours, so nothing was done.",
			"Allow cookies for this site, then go back to the application and start again.")
	}
	if subtle.ConstantTimeCompare([]byte(sent), []byte(p.csrf(browser, purpose))) != 1 {
		return refusePage(http.StatusForbidden, "This form is not valid any more",
			"It was shown to another browser or for another request, so nothing was done.", "Go back to the application and start again.")
	}
	return nil
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
