package providertest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// SignedIn is a browser in which the person is signed in, and its session.
func (w *World) SignedIn(user storage.User) (*Browser, storage.Session) {
	w.t.Helper()
	b := w.Browser()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", w.Issuer+"/login", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
	if there, err := w.Store.User(context.Background(), user.ID); err == nil {
		user = there
	}
	s, err := w.Sessions.Begin(rec, r, user, false, people.ByPassword())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Web.SetCookie(rec, r, web.BrowserCookie, storage.Random(), time.Hour); err != nil {
		w.t.Fatal(err)
	}
	b.Client.Jar.SetCookies(w.Web.Base, rec.Result().Cookies())
	return b, s
}

// Granted lets the session reach the client.
func (w *World) Granted(s storage.Session, c clients.Client, bend ...func(*storage.Grant)) storage.Grant {
	w.t.Helper()
	g := storage.Grant{ID: storage.ShortID(), UserID: s.UserID, ClientID: c.ID, SessionID: s.ID,
		Scope:    []string{"openid"},
		AuthTime: s.AuthTime, CreatedAt: w.Web.Now(), LastUsed: w.Web.Now(), ExpiresAt: w.Web.Now().Add(time.Hour)}
	for _, f := range bend {
		f(&g)
	}
	if err := w.Store.CreateGrant(context.Background(), g); err != nil {
		w.t.Fatal(err)
	}
	return g
}

// Hint is an ID token of the session for the client; change replaces claims.
func (w *World) Hint(s storage.Session, c clients.Client, change map[string]any) string {
	w.t.Helper()
	claims := w.HintClaims(s, c, change)
	token, err := w.Keys.Sign(context.Background(), "RS256", "", claims)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *World) HintClaims(s storage.Session, c clients.Client, change map[string]any) map[string]any {
	claims := map[string]any{"iss": w.Issuer, "sub": w.Grants.Subject(c, s.UserID), "aud": c.ID,
		"iat": w.Web.Now().Unix(), "exp": w.Web.Now().Add(10 * time.Minute).Unix(), "sid": s.ID}
	for k, v := range change {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return claims
}

// StillSignedIn reports whether the session stands, in the store and for the browser.
func (w *World) StillSignedIn(b *Browser, s storage.Session) bool {
	w.t.Helper()
	now, err := w.Store.Session(context.Background(), s.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	stands := now.Valid(w.Web.Now())
	if shown := b.Get("/account").StatusCode == http.StatusOK; shown != stands {
		w.t.Errorf("the store says that the session stands: %v, the account page is shown: %v", stands, shown)
	}
	return stands
}

func LogoutURL(params ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		q.Add(params[i], params[i+1])
	}
	return "/logout?" + q.Encode()
}

func SignsOutTo(uris ...string) func(*clients.Client) {
	return func(c *clients.Client) { c.PostLogoutRedirectURIs = uris }
}

const OutURI = "https://shop.example/out"

// Request is a request with the browser's cookies, for the provider's own functions.
func (b *Browser) Request(path string) *http.Request {
	r := httptest.NewRequest("GET", b.w.Issuer+path, nil)
	for _, c := range b.Client.Jar.Cookies(b.w.Web.Base) {
		r.AddCookie(c)
	}
	return r
}

var outcomeItem = regexp.MustCompile(`<li class="(\w+)"><strong><bdi>([^<]*)</bdi>`)

// Outcome is what the signed-out page says became of each application.
func (p Page) Outcome() string {
	var out []string
	for _, m := range outcomeItem.FindAllStringSubmatch(p.Body, -1) {
		out = append(out, m[2]+" "+m[1])
	}
	return strings.Join(out, ", ")
}
