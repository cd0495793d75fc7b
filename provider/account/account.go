package account

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/signin"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Paths of a person's own pages.
const (
	overviewPath    = "/account"
	profilePath     = "/account/profile"
	methodsPath     = "/account/methods"
	passwordPath    = "/account/password"
	sessionsPath    = "/account/sessions"
	connectionsPath = "/account/connections"
	activityPath    = "/account/activity"
	languagePath    = "/account/language"
	dataPath        = "/account/data"
)

// notices are what a page says after something was done, by their name in its address.
var notices = map[string]string{
	"session-ended":   templates.NoticeSessionEnded,
	"sessions-ended":  templates.NoticeSessionsEnded,
	"disconnected":    templates.NoticeDisconnected,
	"saved":           templates.NoticeProfileSaved,
	"language":        templates.NoticePreferencesSaved,
	"password":        templates.NoticePasswordSet,
	"added":           templates.NoticeMethodAdded,
	"passkey":         templates.NoticePasskeyAdded,
	"passkey-removed": templates.NoticePasskeyRemoved,
	"required":        templates.NoticePasskeysRequired,
	"renamed":         templates.NoticeMethodRenamed,
	"removed":         templates.NoticeMethodRemoved,
	"sent":            templates.NoticeAddressSent,
	"confirmed":       templates.NoticeAddressDone,
}

// Home leads to where a person begins.
func (p *Pages) Home(w http.ResponseWriter, _ *http.Request) error {
	return p.Web.SeeOther(w, overviewPath, "")
}

// signedInPerson is who looks at a page of ours; false when nobody is signed in, or the account is
// gone or disabled, or has a second factor that was not used yet. The page that answers is in their
// language.
func (p *Pages) signedInPerson(r *http.Request) (storage.Session, storage.User, bool, error) {
	session, ok, err := p.Sessions.Current(r)
	if err != nil || !ok {
		return session, storage.User{}, false, err
	}
	user, err := p.Store.User(r.Context(), session.UserID)
	if errors.Is(err, storage.ErrNotFound) {
		return session, user, false, nil
	}
	if err != nil {
		return session, user, false, fmt.Errorf("load person of session: %w", err)
	}
	if ok, err = p.SignIn.FactorPolicy.Proved(r.Context(), session.ACR, user); err != nil {
		return session, user, false, err
	}
	if ok = ok && !user.Disabled; ok {
		web.Mention(r, "sub", user.ID)
		web.SetReader(r, user.Claims.Locale, user.Claims.Zoneinfo)
	}
	return session, user, ok, nil
}

// visitor is who looks at the page with this path. ok is false when nobody is signed in: the
// browser has been led to where they are asked to, and comes back to the page.
func (p *Pages) visitor(w http.ResponseWriter, r *http.Request, path string) (s storage.Session, u storage.User,
	ok bool, err error) {
	s, u, ok, err = p.signedInPerson(r)
	if err != nil || ok {
		return s, u, ok, err
	}
	id, err := p.SignIn.BeginInteraction(w, r, storage.Interaction{ReturnTo: path})
	if err != nil {
		return s, u, false, err
	}
	return s, u, false, p.Web.SeeOther(w, "/login", id)
}

// freshPerson is visitor for a page about what proves who somebody is, or of the same weight: ok is
// false, too, when the proof is older than signin.FreshFor.
func (p *Pages) freshPerson(w http.ResponseWriter, r *http.Request, path string) (s storage.Session, u storage.User,
	ok bool, err error) {
	s, u, ok, err = p.signedInPerson(r)
	if err != nil || ok && p.Web.Now().Sub(s.AuthTime) <= signin.FreshFor {
		return s, u, ok, err
	}
	id, err := p.SignIn.BeginInteraction(w, r, storage.Interaction{ReturnTo: path, Fresh: true})
	if err != nil {
		return s, u, false, err
	}
	return s, u, false, p.Web.SeeOther(w, "/authorize", id)
}

// frame is what the pages have around them. csrf is what their forms are for: sessionCSRF or
// methodsCSRF.
func (p *Pages) frame(w http.ResponseWriter, r *http.Request, user storage.User, path, csrf string) (templates.Frame,
	error) {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return templates.Frame{}, err
	}
	f := templates.Frame{
		Person: web.Person(user), SignOutURL: p.Web.Path + "/logout", Action: p.Web.Path + path,
		CSRF:   p.Web.CSRF(browser, csrf),
		Notice: notices[r.URL.Query().Get("notice")],
	}
	for _, page := range [][2]string{
		{templates.NavOverview, overviewPath}, {templates.NavProfile, profilePath}, {templates.NavAddress, addressPath},
		{templates.NavMethods, methodsPath},
		{templates.NavPassword, passwordPath}, {templates.NavSessions, sessionsPath}, {templates.NavConnections,
			connectionsPath},
		{templates.NavActivity, activityPath}, {templates.NavLanguage, languagePath}, {templates.NavData, dataPath},
	} {
		if page[1] == addressPath && p.Letters == nil {
			continue // nothing can be confirmed without mails
		}
		f.Nav = append(f.Nav, templates.FrameLink{Name: page[0], URL: p.Web.Path + page[1], Current: page[1] == path})
	}
	return f, nil
}

// sessionCSRF is what the forms about a session are for.
func sessionCSRF(s storage.Session) string { return "account:" + s.ID }

// methodsCSRF is what the forms about what proves who somebody is are for. It changes with every
// proof.
func methodsCSRF(s storage.Session) string { return "methods:" + s.ID + ":" + s.SecretHash }

// done leads back to a page, which then says what was done.
func (p *Pages) done(w http.ResponseWriter, path, notice string) error {
	w.Header().Set("Location", p.Web.Path+path+"?notice="+notice)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func gone(what templates.Problem) *web.PageError { return web.RefusePage(http.StatusNotFound, what) }

// pageSize is how many rows a list shows at once.
const pageSize = 20

// page cuts the part of a list that the request asks for: page=2 is the second. What is asked for
// beyond the end is the end.
func page[T any](p *Pages, r *http.Request, path string, all []T) ([]T, templates.Pager) {
	n, err := strconv.Atoi(r.URL.Query().Get("page"))
	last := max(1, (len(all)+pageSize-1)/pageSize)
	if err != nil || n < 1 {
		n = 1
	}
	n = min(n, last)
	from, to := (n-1)*pageSize, min(n*pageSize, len(all))
	pager := templates.Pager{From: from + 1, To: to, Total: len(all)}
	at := func(n int) string {
		if n == 1 {
			return p.Web.Path + path
		}
		return p.Web.Path + path + "?page=" + strconv.Itoa(n)
	}
	if n > 1 {
		pager.NewerURL = at(n - 1)
	}
	if n < last {
		pager.OlderURL = at(n + 1)
	}
	return all[from:to], pager
}

// Account shows what a person can open, and what is worth a look.
func (p *Pages) Account(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.visitor(w, r, overviewPath)
	if err != nil || !ok {
		return err
	}
	frame, err := p.frame(w, r, user, overviewPath, sessionCSRF(session))
	if err != nil {
		return err
	}
	out := templates.Account{Frame: frame}
	apps, err := p.launcher(r, user)
	if err != nil {
		return err
	}
	out.Apps, out.Pager = page(p, r, overviewPath, apps)
	if !user.Factors.Second() {
		out.Advice = append(out.Advice, templates.Advice{Text: templates.AdviceFactor, Link: templates.NavMethods,
			URL: p.Web.Path + methodsPath})
	}
	if p.Letters != nil && user.Claims.Email != "" && !user.Claims.EmailVerified {
		out.Advice = append(out.Advice, templates.Advice{Text: templates.AdviceEmail, Link: templates.NavAddress,
			URL: p.Web.Path + addressPath})
	}
	return p.Web.Render(w, r, http.StatusOK, out)
}

// maxLaunched bounds how many clients are looked at for what a person can open.
const maxLaunched = 5000

// launcher lists what the user may open: applications that somebody here has registered, and that
// say where they begin.
func (p *Pages) launcher(r *http.Request, user storage.User) ([]templates.LaunchApp, error) {
	const step = 200
	var out []templates.LaunchApp
	for after, seen := "", 0; seen < maxLaunched; seen += step {
		some, err := p.Store.Clients(r.Context(), after, step)
		if err != nil {
			return nil, fmt.Errorf("list clients: %w", err)
		}
		for _, c := range some {
			if at := p.beginning(c); at != "" && !c.Disabled && !c.Dynamic && access.Decide(c, user).Allowed {
				out = append(out, templates.LaunchApp{App: p.Web.App(c, clients.Redirect{}), URL: at})
			}
		}
		if len(some) < step {
			break
		}
		after = some[len(some)-1].ID
	}
	sortByName(out, func(a templates.LaunchApp) (string, string) { return a.App.Name, a.URL })
	return out, nil
}

// beginning is where a person opens the application: where it lets a sign-in begin that it has not
// asked for (OIDC Core §4), or else its home page. "" when it has said neither.
func (p *Pages) beginning(c clients.Client) string {
	if c.InitiateLoginURI != "" {
		sign := "?"
		if strings.Contains(c.InitiateLoginURI, "?") {
			sign = "&"
		}
		return c.InitiateLoginURI + sign + "iss=" + url.QueryEscape(p.Web.Issuer)
	}
	return c.ClientURI
}

// ChangePasswordAddress leads programs that keep passwords to where a password is changed
// (W3C A Well-Known URL for Changing Passwords).
func (p *Pages) ChangePasswordAddress(w http.ResponseWriter, _ *http.Request) error {
	return p.Web.SeeOther(w, passwordPath, "")
}
