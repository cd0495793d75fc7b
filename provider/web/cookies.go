package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"latchkey/keys"
	"latchkey/provider/storage"
)

// The browser holds three cookies. The session cookie is a random reference to a storage.Session,
// and the browser cookie is one to nothing: it only ties interactions, and the memory of an earlier
// sign-in, to this browser. Both are sealed by gorilla/sessions, are out of reach of scripts and of
// other hosts, and come with navigations from other sites only (SameSite=Lax). The third, readable
// by scripts and by frames, holds a random value that changes when the session does:
// OIDC Session Management §3 needs such a one.
const BrowserCookie = "latchkey_browser"

// cookieLife bounds how old a sealed cookie may be; the session it refers to ends long before.
const cookieLife = 400 * 24 * time.Hour

// newCookieStore makes the envelope. The library's own defaults (SameSite=None, 30 days) are never
// in force.
func newCookieStore(sealer *keys.Sealer, secure bool) *sessions.CookieStore {
	store := sessions.NewCookieStore(sealer.Derive("cookie authentication", 64), sealer.Derive("cookie encryption", 32))
	for _, codec := range store.Codecs {
		if c, ok := codec.(*securecookie.SecureCookie); ok {
			c.SetSerializer(cookieValues{})
		}
	}
	store.MaxAge(int(cookieLife / time.Second))
	store.Options = &sessions.Options{Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode}
	return store
}

// cookieValues writes the values of a cookie as a JSON object of strings. It reads the library's
// own form too, in which cookies were written before. Reading a cookie takes a twentieth of the
// time that way, and each request reads one.
type cookieValues struct{}

// Serialize writes a map[any]any whose keys and values are strings.
func (cookieValues) Serialize(src any) ([]byte, error) {
	values, ok := src.(map[any]any)
	if !ok {
		return nil, fmt.Errorf("the values of a cookie are a %T", src)
	}
	said := make(map[string]string, len(values))
	for k, v := range values {
		name, isName := k.(string)
		text, isText := v.(string)
		if !isName || !isText {
			return nil, fmt.Errorf("a cookie holds strings, and not %T: %T", k, v)
		}
		said[name] = text
	}
	return json.Marshal(said)
}

// Deserialize reads what Serialize or the library's GobEncoder wrote into a *map[any]any. The form
// of the latter never begins with a brace: it begins with the length of a description of the type.
func (cookieValues) Deserialize(src []byte, dst any) error {
	values, ok := dst.(*map[any]any)
	if !ok {
		return fmt.Errorf("the values of a cookie are a %T", dst)
	}
	if len(src) == 0 || src[0] != '{' {
		return securecookie.GobEncoder{}.Deserialize(src, dst)
	}
	var said map[string]string
	if err := json.Unmarshal(src, &said); err != nil {
		return err
	}
	*values = make(map[any]any, len(said))
	for name, text := range said {
		(*values)[name] = text
	}
	return nil
}

// CookieName adds the prefix that keeps other hosts of the same domain from planting the cookie
// (RFC 6265bis §4.1.3.2).
func (s *Site) CookieName(name string) string {
	if s.Secure {
		return "__Host-" + name
	}
	return name
}

// Cookie reads the reference in a cookie; "" when there is none that opens. A cookie from before a
// change of keys looks like that.
func (s *Site) Cookie(r *http.Request, name string) string {
	envelope, err := s.cookies.New(r, s.CookieName(name))
	if err != nil {
		return ""
	}
	ref, _ := envelope.Values["ref"].(string)
	return ref
}

// SetCookie seals a reference into a cookie for maxAge; 0 keeps it as long as the browser runs, < 0
// takes it away.
func (s *Site) SetCookie(w http.ResponseWriter, r *http.Request, name, ref string, maxAge time.Duration) error {
	envelope := sessions.NewSession(s.cookies, s.CookieName(name))
	envelope.Values["ref"] = ref
	return s.saveCookie(w, r, envelope, maxAge)
}

func (s *Site) saveCookie(w http.ResponseWriter, r *http.Request, envelope *sessions.Session,
	maxAge time.Duration) error {
	options := *s.cookies.Options
	options.MaxAge = int(maxAge / time.Second)
	envelope.Options = &options
	if err := s.cookies.Save(r, w, envelope); err != nil {
		return fmt.Errorf("seal cookie: %w", err)
	}
	return nil
}

// Browser is the reference in the browser cookie, a new one if there is none.
func (s *Site) Browser(w http.ResponseWriter, r *http.Request) (string, error) {
	if ref := s.Cookie(r, BrowserCookie); ref != "" {
		return ref, nil
	}
	// Asked for twice within one request, it is the same: the browser will only bring the last one
	// back.
	if e := eventOf(r); e.browser != "" {
		return e.browser, nil
	}
	ref := storage.Random()
	eventOf(r).browser = ref
	return ref, s.SetCookie(w, r, BrowserCookie, ref, cookieLife)
}

// maxKnown is how many accounts a browser is remembered to have been signed in to.
const maxKnown = 10

// KnownDevice is the reference of this browser if the user was signed in here before, "" otherwise,
// and for the zero User. Somebody who guesses passwords elsewhere cannot lock such a browser out.
func (s *Site) KnownDevice(r *http.Request, u storage.User) string {
	envelope, err := s.cookies.New(r, s.CookieName(BrowserCookie))
	if err != nil {
		return ""
	}
	ref, _ := envelope.Values["ref"].(string)
	text, _ := envelope.Values["known"].(string)
	known := strings.Fields(text)
	// The mark was made from the username before.
	if slices.Contains(known, s.knownMark(u.ID)) || slices.Contains(known, s.knownMark(u.Username)) {
		return ref
	}
	return ""
}

// RememberDevice notes in the browser cookie that the user was signed in here.
func (s *Site) RememberDevice(w http.ResponseWriter, r *http.Request, u storage.User) error {
	envelope, err := s.cookies.New(r, s.CookieName(BrowserCookie))
	if err != nil {
		return nil //nolint:nilerr // without the cookie the form would not have been taken; there is nothing to add to
	}
	text, _ := envelope.Values["known"].(string)
	known, mark := strings.Fields(text), s.knownMark(u.ID)
	if slices.Contains(known, mark) {
		return nil
	}
	known = append(slices.DeleteFunc(known, func(m string) bool { return m == s.knownMark(u.Username) }), mark)
	envelope.Values["known"] = strings.Join(known[max(0, len(known)-maxKnown):], " ")
	return s.saveCookie(w, r, envelope, cookieLife)
}

// knownMark stands for an account in the browser cookie.
func (s *Site) knownMark(account string) string { return s.CSRF(account, "known device")[:22] }
