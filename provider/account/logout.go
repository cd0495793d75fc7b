package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/failpoint"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

const (
	maxLogoutQuery  = 32 << 10         // bytes; an ID token with many claims fits
	signedOutTTL    = 10 * time.Minute // how long the signed-out page may be looked at
	signedOutPause  = 2                // seconds that frames have to load, and between two looks at who was told
	signedOutLooks  = 5                // times that the page looks again by itself
	signedOutMaxURL = 8 << 10          // bytes of a state that is carried along
)

// logoutParameters are the parameters of a logout request (RP-Initiated Logout §2).
var logoutParameters = []string{"id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state",
	"ui_locales"}

// logoutRequest is a logout request of which everything is checked that does not depend on who is
// signed in.
type logoutRequest struct {
	params   oauth.Parameters
	client   clients.Client       // zero: the request does not say
	hint     grants.IdTokenClaims // zero: there was none
	redirect clients.Redirect     // zero: nowhere
}

// Logout is the end-session endpoint (RP-Initiated Logout §2). A request with an ID token of the
// very session that it wants to end is carried out; whatever else wants somebody signed out, a
// picture on another site included, is put before that person as a question.
func (p *Pages) Logout(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return p.logoutAgain(w, r)
	}
	if len(r.URL.RawQuery) > maxLogoutQuery {
		return oauth.Errorf(oauth.InvalidRequest, "the query is too long").WithStatus(http.StatusRequestURITooLong)
	}
	params, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	req, err := p.verifyLogout(r, params)
	if err != nil {
		return err
	}
	session, ok, err := p.sessionToEnd(r)
	switch {
	case err != nil:
		return err
	case !ok:
		return p.alreadySignedOut(w, r, req)
	case p.provesSession(req, session):
		return p.signOut(w, r, session, req)
	}
	return p.askToSignOut(w, r, session, req)
}

// logoutAgain answers a posted logout request. One that was posted from another site comes without
// our cookies (SameSite=Lax); once more by GET, they come along. Nothing is stored for it.
func (p *Pages) logoutAgain(w http.ResponseWriter, r *http.Request) error {
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	q := logoutQuery(params)
	if len(q) > maxLogoutQuery {
		return oauth.Errorf(oauth.InvalidRequest, "the request is larger than %d bytes",
			maxLogoutQuery).WithStatus(http.StatusRequestEntityTooLarge)
	}
	location := p.Web.Path + "/logout"
	if q != "" {
		location += "?" + q
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// logoutQuery writes the parameters that we know as a query.
func logoutQuery(params oauth.Parameters) string {
	known := url.Values{}
	for _, name := range logoutParameters {
		if params.Has(name) {
			known.Set(name, params.Get(name))
		}
	}
	return known.Encode()
}

// verifyLogout checks who asks, and whether the person may be sent where the request says
// (RP-Initiated Logout §2, §3, §4). The client is known by a valid id_token_hint, however old, or
// at least named by client_id. Without either a post_logout_redirect_uri counts for nothing; with
// one it must be registered for that client, else nothing happens at all.
func (p *Pages) verifyLogout(r *http.Request, params oauth.Parameters) (logoutRequest, error) {
	req := logoutRequest{params: params}
	web.SetLocales(r, strings.Fields(params.Get("ui_locales")))
	if len(params.Get("state")) > signedOutMaxURL {
		return req, oauth.Errorf(oauth.InvalidRequest, "state may have %d characters at most", signedOutMaxURL)
	}
	id := params.Get("client_id")
	if params.Has("id_token_hint") {
		hint, err := p.Grants.ReadIDToken(r.Context(), params.Get("id_token_hint"))
		switch {
		case err != nil && web.Unavailable(err):
			return req, err
		case err != nil:
			// It hints at nobody: it was cut on its way, or its key is long gone. It is needed only
			// where nobody is to be asked.
			web.Mention(r, "note", "id_token_hint is ignored: "+err.Error())
		case id != "" && id != hint.Audience:
			return req, refuseLogout(templates.LogoutClientDiffer).
				Because(fmt.Errorf("client_id %q, aud of id_token_hint %q", web.Clip(id, 200), hint.Audience))
		default:
			req.hint, id = hint, hint.Audience
		}
	}
	if id == "" {
		if params.Get("post_logout_redirect_uri") != "" {
			web.Mention(r, "note", "post_logout_redirect_uri is not followed: neither id_token_hint nor client_id says whose it is")
		}
		return req, nil
	}
	web.Mention(r, "client_id", id)
	var err error
	if req.client, err = p.SignIn.Client(r.Context(), id); err != nil {
		return req, err
	}
	if uri := params.Get("post_logout_redirect_uri"); uri != "" {
		if req.redirect, err = req.client.PostLogoutRedirect(uri); err != nil {
			return req, refuseLogout(templates.LogoutRedirect).
				Because(fmt.Errorf("post_logout_redirect_uri received %q, registered %q", web.Clip(uri, 500),
					req.client.PostLogoutRedirectURIs))
		}
	}
	return req, nil
}

// refuseLogout is the answer to a request that is not as it must be. Whoever is signed in stays so,
// and nobody is sent anywhere.
func refuseLogout(why templates.Problem) *web.PageError {
	return web.RefusePage(http.StatusBadRequest, why)
}

// provesSession reports whether the request comes with an ID token of this very session, so that
// nobody needs to be asked (RP-Initiated Logout §2, §6). One that does not say of which session it
// is must at least have been issued since this one began: an old one, found somewhere, signs nobody
// out.
func (p *Pages) provesSession(req logoutRequest, session storage.Session) bool {
	h := req.hint
	if h.Audience == "" || h.Subject != p.Grants.Subject(req.client, session.UserID) {
		return false
	}
	return h.Session == session.ID || h.Session == "" && h.IssuedAt >= session.CreatedAt.Unix()
}

// sessionToEnd is the session of this browser that has not ended yet. One that ran out counts: the
// applications that it reached may go on for longer, and who signs out now means them too.
func (p *Pages) sessionToEnd(r *http.Request) (storage.Session, bool, error) {
	s, ok, err := p.Sessions.Last(r)
	return s, ok && s.EndedAt.IsZero(), err
}

// askToSignOut asks the person whether they want to sign out.
func (p *Pages) askToSignOut(w http.ResponseWriter, r *http.Request, session storage.Session, req logoutRequest) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	user, err := p.Store.User(r.Context(), session.UserID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("load person of session: %w", err)
	}
	page := templates.LogoutConfirm{Person: web.Person(user), Action: p.Web.Path + "/logout/confirm",
		CSRF: p.Web.CSRF(browser, "logout:"+session.ID)}
	for _, name := range logoutParameters {
		if req.params.Has(name) {
			page.Fields = append(page.Fields, [2]string{name, req.params.Get(name)})
		}
	}
	if req.client.ID != "" {
		app := p.Web.App(req.client, req.redirect)
		page.App = &app
	}
	return p.Web.Render(w, r, http.StatusOK, page)
}

// ConfirmLogout records that the person wants to. The request comes along in the form and is
// checked like the first time.
func (p *Pages) ConfirmLogout(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	req, err := p.verifyLogout(r, form)
	if err != nil {
		return err
	}
	session, ok, err := p.sessionToEnd(r)
	if err != nil {
		return err
	}
	if !ok {
		return p.alreadySignedOut(w, r, req)
	}
	if err := p.Web.CheckCSRF(r, form.Get("csrf"), "logout:"+session.ID); err != nil {
		return err
	}
	return p.signOut(w, r, session, req)
}

// alreadySignedOut answers where nobody is signed in, or not any more: as if it had just been done
// (RP-Initiated Logout §2). The person is sent on by themselves only when an ID token proves that
// the application is one they used.
func (p *Pages) alreadySignedOut(w http.ResponseWriter, r *http.Request, req logoutRequest) error {
	if p.Web.Cookie(r, session.SessionCookie) != "" {
		if err := p.Sessions.ClearCookies(w, r); err != nil {
			return err
		}
	}
	if req.hint.Audience != "" && req.redirect.String() != "" {
		return p.Web.Send(w, r, req.back())
	}
	page := templates.LoggedOut{AlreadySignedOut: true}
	page.ContinueURL, page.ContinueName = req.continueTo()
	return p.Web.Render(w, r, http.StatusOK, page)
}

// back is the way back to the application, with state and nothing else (RP-Initiated Logout §3).
func (req logoutRequest) back() web.Response {
	return web.Response{Redirect: req.redirect, Mode: oauth.ModeQuery, AppName: req.client.Name(),
		Values: [][2]string{{"state", req.params.Get("state")}}}
}

// continueTo is the link back to the application: where it asked for, or else its home page.
func (req logoutRequest) continueTo() (uri, name string) {
	switch {
	case req.redirect.String() != "":
		return req.back().Location(), req.client.Name()
	case clients.Origin(req.client.ClientURI) != "":
		return req.client.ClientURI, req.client.Name()
	}
	return "", ""
}

// signOut ends this browser's session and leads on: straight back to the application, or, when
// other applications have to be told by frames or there is nowhere to go, to the signed-out page.
func (p *Pages) signOut(w http.ResponseWriter, r *http.Request, session storage.Session, req logoutRequest) error {
	web.Mention(r, "sub", session.UserID)
	web.Mention(r, "sid", session.ID)
	failpoint.At(failpoint.LogoutChecked)
	logoutID, err := p.Sessions.End(r.Context(), session)
	if err != nil {
		return err
	}
	p.record(r, storage.User{ID: session.UserID}, session.ID, verbSignOut, "session", session.ID)
	if err := p.Sessions.ClearCookies(w, r); err != nil {
		return err
	}
	// Applications that answer quickly have forgotten the person before their next page is looked
	// at.
	p.Sessions.AwaitLogout(r.Context(), logoutID)
	if req.redirect.String() != "" {
		reached, err := p.Sessions.Reached(r.Context(), session.ID)
		if err != nil {
			return err
		}
		if len(p.Sessions.Frames(reached, session.ID)) == 0 {
			return p.Web.Send(w, r, req.back())
		}
	}
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	return p.seeSignedOut(w, signedOut{
		Logout: logoutID, Browser: storage.Hash(browser), Client: req.client.ID, Redirect: req.redirect.String(),
		State: req.params.Get("state"), Expires: p.Web.Now().Add(signedOutTTL).Unix(),
	}, req.params.Get("ui_locales"))
}

// signedOut is what the signed-out page is about. It travels in the page's address, authenticated,
// so that nothing has to be stored for it: only the browser that was signed out can read there
// which applications it had used.
type signedOut struct {
	Logout   string `json:"l"`
	Browser  string `json:"b"` // hash of the browser cookie
	Client   string `json:"c,omitempty"`
	Redirect string `json:"u,omitempty"`
	State    string `json:"s,omitempty"`
	Expires  int64  `json:"e"`
}

func (p *Pages) seeSignedOut(w http.ResponseWriter, s signedOut, uiLocales string) error {
	w.Header().Set("Location", p.signedOutURL(p.sealSignedOut(s), uiLocales, 0))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (p *Pages) signedOutURL(ref, uiLocales string, look int) string {
	u := p.Web.Path + "/logout/done?r=" + ref
	if look > 0 {
		u += "&look=" + strconv.Itoa(look)
	}
	if uiLocales != "" {
		u += "&ui_locales=" + url.QueryEscape(web.Clip(uiLocales, 200))
	}
	return u
}

func (p *Pages) sealSignedOut(s signedOut) string {
	payload, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain strings
	}
	ref := base64.RawURLEncoding.EncodeToString(payload)
	return ref + "." + p.signedOutMAC(ref)
}

func (p *Pages) signedOutMAC(ref string) string {
	mac := hmac.New(sha256.New, p.stateKey)
	mac.Write([]byte(ref))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// openSignedOut reads what a signed-out page is about; false when it is not ours, too old, or
// another browser's.
func (p *Pages) openSignedOut(r *http.Request, sealed string) (signedOut, bool) {
	var s signedOut
	ref, mac, ok := strings.Cut(sealed, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(p.signedOutMAC(ref))) {
		return s, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(ref)
	if err != nil || json.Unmarshal(payload, &s) != nil || p.Web.Now().Unix() >= s.Expires {
		return signedOut{}, false
	}
	browser := p.Web.Cookie(r, web.BrowserCookie)
	return s, browser != "" && hmac.Equal([]byte(storage.Hash(browser)), []byte(s.Browser))
}

// LoggedOut is the signed-out page: which applications the session had reached, and what became of
// each. It loads the frames of those that are told in the browser, and then goes back to the
// application that asked (Front-Channel Logout §3, RP-Initiated Logout §3).
func (p *Pages) LoggedOut(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	web.SetLocales(r, strings.Fields(query.Get("ui_locales")))
	about, ok := p.openSignedOut(r, query.Get("r"))
	if !ok {
		_, signedIn, err := p.Sessions.Current(r)
		if err != nil {
			return err
		}
		if signedIn {
			return web.RefusePage(http.StatusBadRequest, templates.SignedOutExpired)
		}
		return p.Web.Render(w, r, http.StatusOK, templates.LoggedOut{AlreadySignedOut: true})
	}
	reached, err := p.Sessions.Reached(r.Context(), about.Logout)
	if err != nil {
		return err
	}
	page := templates.LoggedOut{}
	var waiting bool
	if page.Apps, waiting, err = p.logoutOutcomes(r.Context(), about.Logout, reached); err != nil {
		return err
	}
	look, _ := strconv.Atoi(query.Get("look"))
	if look <= 0 { // the frames are loaded once; looking again at the list must not sign anybody out anew
		page.Frames = p.Sessions.Frames(reached, about.Logout)
	}
	if about.Client != "" {
		// Checked like the first time: the client may have been changed or disabled since.
		if client, err := p.Store.Client(r.Context(), about.Client); err == nil && !client.Disabled {
			req := logoutRequest{client: client}
			req.params = req.params.With("state", about.State)
			req.redirect, _ = client.PostLogoutRedirect(about.Redirect) // without one there is the home page to link to
			page.ContinueURL, page.ContinueName = req.continueTo()
			if req.redirect.String() != "" {
				page.RefreshSeconds = signedOutPause
				return p.Web.Render(w, r, http.StatusOK, page)
			}
		}
	}
	if waiting && look >= 0 && look < signedOutLooks {
		page.RefreshSeconds = signedOutPause
		page.ReloadURL = p.signedOutURL(query.Get("r"), query.Get("ui_locales"), look+1)
	}
	return p.Web.Render(w, r, http.StatusOK, page)
}

// logoutOutcomes tells of every application that the session reached whether it knows that the
// session has ended. waiting reports whether that may still change.
func (p *Pages) logoutOutcomes(ctx context.Context, logoutID string,
	reached []clients.Client) (apps []templates.LoggedOutApp, waiting bool, err error) {
	deliveries, err := p.Store.LogoutDeliveries(ctx, logoutID)
	if err != nil {
		return nil, false, fmt.Errorf("list logout deliveries: %w", err)
	}
	byClient := make(map[string]storage.LogoutDelivery, len(deliveries))
	for _, d := range deliveries {
		byClient[d.ClientID] = d
	}
	for _, c := range reached {
		app := templates.LoggedOutApp{Name: c.Name(), State: "none"}
		d, scheduled := byClient[c.ID]
		switch {
		case scheduled && !d.DeliveredAt.IsZero():
			app.State = "told"
		case scheduled && session.GivenUp(d, p.Web.Now()):
			app.State = "failed"
		case scheduled:
			app.State, waiting = "waiting", true
		case session.FrontchannelFrame(c, p.Web.Issuer, logoutID) != "":
			app.State = "browser"
		}
		apps = append(apps, app)
	}
	return apps, waiting, nil
}
