package signin

import (
	"errors"
	"net/http"
	"time"

	"latchkey/provider/failpoint"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	sessions "latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowLogin shows the sign-in page of an interaction.
func (p *Pages) ShowLogin(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	i, err := p.interaction(w, r, query.Get("i"))
	var late *lapsedError
	if errors.As(err, &late) {
		if i, err = p.anew(w, r, late); err == nil {
			return p.Web.SeeOther(w, "/authorize", i.ref)
		}
	}
	if err != nil {
		return err
	}
	page, at, err := p.loginPage(r, i)
	if err != nil {
		return err
	}
	if at.step.kind != stepLogin && query.Get("switch") == "" {
		// Another tab has signed in meanwhile, or the person came back: go on from there.
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	if at.SignedIn && query.Get("switch") == "" {
		who := web.Person(at.User)
		page.Reauthenticate, page.Username = &who, at.User.Username
		page.SwitchURL = p.Web.Path + "/login?i=" + i.ref + "&switch=1"
	}
	if page.Username == "" {
		page.Username = web.Clip(i.Request.LoginHint, 200)
	}
	return p.renderLogin(w, r, http.StatusOK, i, page)
}

// loginPage prepares the sign-in page: for an application's request it comes with the application
// and the state of things, for a page of ours without.
func (p *Pages) loginPage(r *http.Request, i interaction) (templates.Login, pending, error) {
	page := templates.Login{Action: p.Web.Path + "/login?i=" + i.ref}
	if p.OffersReset {
		page.ForgotURL = p.Web.Path + "/password/forgot?i=" + i.ref
	}
	if p.OffersSignUp {
		page.SignUpURL = p.Web.Path + "/sign-up?i=" + i.ref
	}
	if i.ReturnTo == "" {
		web.Mention(r, "client_id", i.Request.ClientID)
	}
	at, err := p.reload(r, i)
	if err != nil {
		return page, at, err
	}
	if i.ReturnTo != "" {
		return page, at, nil
	}
	app := p.Web.App(at.Client, at.redirect)
	page.App, page.CancelAction = &app, page.Action
	return page, at, nil
}

func (p *Pages) renderLogin(w http.ResponseWriter, r *http.Request, status int, i interaction,
	page templates.Login) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.CSRF = p.Web.CSRF(browser, "interaction:"+i.ID)
	if p.Passkeys != nil {
		begun, err := p.Passkeys.BeginSignIn(passkeyPlace(i))
		if err != nil {
			return err
		}
		page.Passkey.Options, page.Passkey.State = begun.Options, begun.State
	}
	return p.Web.Render(w, r, status, page)
}

// Login records a sign-in, or that the person turned back.
func (p *Pages) Login(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	var over *finishedError
	if errors.As(err, &over) {
		return p.secondClick(w, r, over)
	}
	var late *lapsedError
	if errors.As(err, &late) {
		return p.askAgain(w, r, late, form)
	}
	if err != nil {
		return err
	}
	page, at, err := p.loginPage(r, i)
	if err != nil {
		return err
	}
	if form.Get("action") == "cancel" && i.ReturnTo == "" {
		return p.deny(w, r, at)
	}
	page.Username, page.Remember = web.Clip(form.Get("username"), 200), form.Has("remember")
	if form.Get("action") == "passkey" && p.Passkeys != nil {
		return p.loginByPasskey(w, r, form, i, page)
	}
	if page.Username == "" && at.SignedIn {
		page.Username = at.User.Username
	}
	if page.Username == "" || !form.Has("password") {
		page.Error = templates.LoginIncomplete
		return p.renderLogin(w, r, http.StatusBadRequest, i, page)
	}
	user, session, err := p.signIn(w, r, page, form.Get("password"))
	var throttled *people.ThrottledError
	switch {
	case errors.As(err, &throttled):
		p.Web.Metrics.Login("password", "throttled")
		p.recordFailure(r, page.Username, i.Request.ClientID, true)
		web.Note(r, err)
		page.ThrottledUntil, page.Error = throttled.Until, templates.LoginThrottled
		return p.renderLogin(w, r, http.StatusTooManyRequests, i, page)
	case errors.Is(err, people.ErrWrong), errors.Is(err, sessions.ErrAccountChanged):
		p.Web.Metrics.Login("password", "failure")
		p.recordFailure(r, page.Username, i.Request.ClientID, false)
		web.Note(r, err)
		page.Error = templates.LoginWrong
		return p.renderLogin(w, r, http.StatusUnauthorized, i, page)
	case errors.Is(err, people.ErrBusy):
		p.Web.Metrics.Login("password", "busy")
		return err
	case err != nil:
		p.Web.Metrics.Login("password", "error")
		return err
	}
	p.Web.Metrics.Login("password", "success")
	web.Mention(r, "sub", user.ID)
	p.recordSignIn(r, user, session, i.Request.ClientID)
	if err := p.Web.RememberDevice(w, r, user); err != nil {
		return err
	}
	i.SignedInAt, i.Offer = session.AuthTime, form.Get("passkeys") == "yes"
	return p.record(w, r, i)
}

// askAgain answers a sign-in form that was open for longer than a sign-in lasts, over night say: the
// name stays, the password is asked for again, and then it goes on.
func (p *Pages) askAgain(w http.ResponseWriter, r *http.Request, late *lapsedError, form oauth.Parameters) error {
	i, err := p.anew(w, r, late)
	if err != nil {
		return err
	}
	page, at, err := p.loginPage(r, i)
	if err != nil {
		return err
	}
	if form.Get("action") == "cancel" && i.ReturnTo == "" {
		return p.deny(w, r, at)
	}
	page.Username, page.Remember, page.Error = web.Clip(form.Get("username"), 200), form.Has("remember"),
		templates.LoginExpired
	return p.renderLogin(w, r, http.StatusBadRequest, i, page)
}

// signIn checks the password and begins a session. An account that was changed in between, by
// another sign-in that hashed the same password at a new cost, say, is asked once more.
func (p *Pages) signIn(w http.ResponseWriter, r *http.Request, page templates.Login,
	password string) (user storage.User, session storage.Session, err error) {
	for range 2 {
		user, err = p.People.Password(r.Context(), page.Username, password, p.Web.ClientAddress(r),
			func(u storage.User) string { return p.Web.KnownDevice(r, u) })
		if err != nil {
			return user, session, err
		}
		failpoint.At(failpoint.SignInChecked)
		if session, err = p.Sessions.Begin(w, r, user, page.Remember, people.ByPassword()); !errors.Is(err,
			sessions.ErrAccountChanged) {
			break
		}
	}
	return user, session, err
}

// doubleClick is how long after a sign-in the same form counts as sent twice by a hasty finger.
const doubleClick = 30 * time.Second

// secondClick answers a sign-in form that was sent again while the browser was already being sent
// to the application: the browser has given that up. If nothing needs to be asked, the application
// is answered again, as if it had asked again.
func (p *Pages) secondClick(w http.ResponseWriter, r *http.Request, over *finishedError) error {
	if over.i.ReturnTo != "" {
		return over
	}
	web.Mention(r, "client_id", over.i.Request.ClientID)
	at, err := p.reload(r, interaction{Interaction: storage.Interaction{Request: over.i.Request}})
	if err != nil {
		return err
	}
	if at.step.kind != stepRespond || p.Web.Now().Sub(at.Session.AuthTime) >= doubleClick {
		return over
	}
	return p.perform(w, r, at)
}

// deny tells the application that the person turned back (RFC 6749 §4.1.2.1 access_denied).
func (p *Pages) deny(w http.ResponseWriter, r *http.Request, at pending) error {
	if done, err := p.finish(r, at); err != nil || !done {
		return p.movedOn(w, r, at, err)
	}
	to := web.Response{Redirect: at.redirect, Mode: at.Request.ResponseMode, AppName: at.Client.Name()}
	return p.Web.RedirectError(w, r, to, at.Request.State, oauth.Errorf(oauth.AccessDenied,
		"the person did not allow it"))
}
