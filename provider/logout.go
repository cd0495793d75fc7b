package provider

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
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
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
var logoutParameters = []string{"id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"}

// logoutRequest is a logout request of which everything is checked that does not depend on who is signed in.
type logoutRequest struct {
	params   oauth.Parameters
	client   clients.Client   // zero: the request does not say
	hint     idTokenClaims    // zero: there was none
	redirect clients.Redirect // zero: nowhere
}

// logout is the end-session endpoint (RP-Initiated Logout §2). A request with an ID token of the very session that it wants to end
// is carried out; whatever else wants somebody signed out, a picture on another site included, is put before that person as a question.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) error {
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
		return p.nobodyToSignOut(w, r, req)
	case p.hintsAt(req, session):
		return p.signOut(w, r, session, req)
	}
	return p.askToSignOut(w, r, session, req)
}

// logoutAgain answers a posted logout request. One that was posted from another site comes without our cookies (SameSite=Lax); once
// more by GET, they come along. Nothing is stored for it.
func (p *Provider) logoutAgain(w http.ResponseWriter, r *http.Request) error {
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	q := logoutQuery(params)
	if len(q) > maxLogoutQuery {
		return oauth.Errorf(oauth.InvalidRequest, "the request is larger than %d bytes", maxLogoutQuery).WithStatus(http.StatusRequestEntityTooLarge)
	}
	location := p.path + "/logout"
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

// verifyLogout checks who asks, and whether the person may be sent where the request says (RP-Initiated Logout §2, §3, §4). The client is
// known by a valid id_token_hint, however old, or at least named by client_id. Without either a post_logout_redirect_uri counts for
// nothing; with one it must be registered for that client, else nothing happens at all.
func (p *Provider) verifyLogout(r *http.Request, params oauth.Parameters) (logoutRequest, error) {
	req := logoutRequest{params: params}
	eventOf(r).locales = strings.Fields(params.Get("ui_locales"))
	if len(params.Get("state")) > signedOutMaxURL {
		return req, oauth.Errorf(oauth.InvalidRequest, "state may have %d characters at most", signedOutMaxURL)
	}
	id := params.Get("client_id")
	if params.Has("id_token_hint") {
		var err error
		if req.hint, err = p.readIDToken(r.Context(), params.Get("id_token_hint")); err != nil {
			if unavailable(err) {
				return req, err
			}
			return req, refuseLogout("It came with an id_token_hint that is not an ID token of this provider.").because(err)
		}
		if id != "" && id != req.hint.Audience {
			return req, refuseLogout("Its client_id and its id_token_hint name different applications.").
				because(fmt.Errorf("client_id %q, aud of id_token_hint %q", clip(id, 200), req.hint.Audience))
		}
		id = req.hint.Audience
	}
	if id == "" {
		return req, nil
	}
	mention(r, "client_id", id)
	var err error
	if req.client, err = p.client(r.Context(), id); err != nil {
		return req, err
	}
	if uri := params.Get("post_logout_redirect_uri"); uri != "" {
		if req.redirect, err = req.client.PostLogoutRedirect(uri); err != nil {
			return req, refuseLogout("It wanted us to send you, afterwards, to an address that is not registered for it.").
				because(fmt.Errorf("post_logout_redirect_uri received %q, registered %q", clip(uri, 500), req.client.PostLogoutRedirectURIs))
		}
	}
	return req, nil
}

// refuseLogout is the answer to a request that is not as it must be. Whoever is signed in stays so, and nobody is sent anywhere.
func refuseLogout(why string) *pageError {
	return refusePage(http.StatusBadRequest, "The application's sign-out request is not right", why+" Nothing was done: if you were signed in, you still are.",
		"To sign out all the same, open your account page. The people who run the application find the details in this provider's log under the reference below.")
}

// hintsAt says whether the request comes with an ID token of this very session, so that nobody needs to be asked (RP-Initiated Logout
// §2, §6). One that does not say of which session it is must at least have been issued since this one began: an old one, found
// somewhere, signs nobody out.
func (p *Provider) hintsAt(req logoutRequest, session storage.Session) bool {
	h := req.hint
	if h.Audience == "" || h.Subject != p.subject(req.client, session.UserID) {
		return false
	}
	return h.Session == session.ID || h.Session == "" && h.IssuedAt >= session.CreatedAt.Unix()
}

// sessionToEnd is the session of this browser that has not ended yet. One that ran out counts: the applications that it reached may go on
// for longer, and who signs out now means them too.
func (p *Provider) sessionToEnd(r *http.Request) (storage.Session, bool, error) {
	s, ok, err := p.lastSession(r)
	return s, ok && s.EndedAt.IsZero(), err
}

// askToSignOut asks the person whether they want to sign out.
func (p *Provider) askToSignOut(w http.ResponseWriter, r *http.Request, session storage.Session, req logoutRequest) error {
	browser, err := p.browser(w, r)
	if err != nil {
		return err
	}
	user, err := p.Store.User(r.Context(), session.UserID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("load person of session: %w", err)
	}
	page := templates.LogoutConfirm{Person: person(user), Action: p.path + "/logout/confirm", CSRF: p.csrf(browser, "logout:"+session.ID)}
	for _, name := range logoutParameters {
		if req.params.Has(name) {
			page.Fields = append(page.Fields, [2]string{name, req.params.Get(name)})
		}
	}
	if req.client.ID != "" {
		app := p.app(req.client, req.redirect)
		page.App = &app
		if to := req.redirect.String(); to != "" {
			client := req.client
			client.RedirectURIs = append([]string{to}, client.RedirectURIs...)
			allowFormTo(w, client)
		}
	}
	return p.render(w, r, http.StatusOK, page)
}

// confirmLogout records that the person wants to. The request comes along in the form and is checked like the first time.
func (p *Provider) confirmLogout(w http.ResponseWriter, r *http.Request) error {
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
		return p.nobodyToSignOut(w, r, req)
	}
	if err := p.checkCSRF(r, form.Get("csrf"), "logout:"+session.ID); err != nil {
		return err
	}
	return p.signOut(w, r, session, req)
}

// nobodyToSignOut answers where nobody is signed in, or not any more: as if it had just been done (RP-Initiated Logout §2). The person is
// sent on by themselves only when an ID token proves that the application is one they used.
func (p *Provider) nobodyToSignOut(w http.ResponseWriter, r *http.Request, req logoutRequest) error {
	if p.cookie(r, sessionCookie) != "" {
		if err := p.clearSessionCookies(w, r); err != nil {
			return err
		}
	}
	if req.hint.Audience != "" && req.redirect.String() != "" {
		return p.send(w, r, req.back())
	}
	page := templates.LoggedOut{AlreadySignedOut: true}
	page.ContinueURL, page.ContinueName = req.continueTo()
	return p.render(w, r, http.StatusOK, page)
}

// back is the way back to the application, with state and nothing else (RP-Initiated Logout §3).
func (req logoutRequest) back() response {
	return response{redirect: req.redirect, mode: oauth.ModeQuery, appName: req.client.Name(), values: [][2]string{{"state", req.params.Get("state")}}}
}

// continueTo is the link back to the application: where it asked for, or else its home page.
func (req logoutRequest) continueTo() (uri, name string) {
	switch {
	case req.redirect.String() != "":
		return req.back().location(), req.client.Name()
	case clients.Origin(req.client.ClientURI) != "":
		return req.client.ClientURI, req.client.Name()
	}
	return "", ""
}

// signOut ends this browser's session and leads on: straight back to the application, or, when other applications have to be told by
// frames or there is nowhere to go, to the signed-out page.
func (p *Provider) signOut(w http.ResponseWriter, r *http.Request, session storage.Session, req logoutRequest) error {
	mention(r, "sub", session.UserID)
	mention(r, "sid", session.ID)
	logoutID, err := p.endSession(r.Context(), session)
	if err != nil {
		return err
	}
	if err := p.clearSessionCookies(w, r); err != nil {
		return err
	}
	// Applications that answer quickly have forgotten the person before their next page is looked at.
	p.awaitLogout(r.Context(), logoutID)
	if req.redirect.String() != "" {
		reached, err := p.reached(r.Context(), session.ID)
		if err != nil {
			return err
		}
		if len(p.frames(reached, session.ID)) == 0 {
			return p.send(w, r, req.back())
		}
	}
	browser, err := p.browser(w, r)
	if err != nil {
		return err
	}
	return p.seeSignedOut(w, signedOut{
		Logout: logoutID, Browser: storage.Hash(browser), Client: req.client.ID, Redirect: req.redirect.String(),
		State: req.params.Get("state"), Expires: p.now().Add(signedOutTTL).Unix(),
	}, req.params.Get("ui_locales"))
}

// endSession ends a session: its tokens end with it, and every application that it reached is told. It returns the identifier under
// which the signed-out page finds what became of each. A session that is ended already is left as it is.
//
// What is to be told is stored before the session ends, so that nobody is forgotten should we fall over in between; deliver does not
// tell the end of a session that goes on.
func (p *Provider) endSession(ctx context.Context, session storage.Session) (logoutID string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // who closes the browser now has signed out all the same
	defer cancel()
	now := p.now()
	before, err := p.reached(ctx, session.ID)
	if err != nil {
		return "", err
	}
	had, err := p.scheduleLogout(ctx, session, before, now)
	if err != nil {
		return "", err
	}
	defer p.logouts.wake()
	_, err = p.Store.EndSession(ctx, session.ID, now)
	if errors.Is(err, storage.ErrConsumed) || errors.Is(err, storage.ErrNotFound) {
		return session.ID, nil
	}
	if err != nil {
		return "", fmt.Errorf("end session: %w", err)
	}
	if had {
		if err := p.hurryLogout(ctx, session.ID, now); err != nil {
			return "", err
		}
	}
	if _, err := p.Store.RevokeGrants(ctx, storage.GrantFilter{SessionID: session.ID, KeepOffline: true}, now); err != nil {
		return "", fmt.Errorf("revoke grants of session: %w", err)
	}
	// An application that was being signed in to in the meantime is told too.
	after, err := p.reached(ctx, session.ID)
	if err == nil && len(after) > len(before) {
		_, err = p.scheduleLogout(ctx, session, after, now)
	}
	return session.ID, err
}

// EndSessions signs a person out everywhere and revokes all that they granted, offline access included: for an account that is disabled or
// deleted, or whose password was changed by somebody else. Applications are told by DeliverLogouts, of whichever instance runs it.
// Call it after the change that keeps the person from signing in again. A fault of the store is returned; calling again goes on
// where it stopped.
func (p *Provider) EndSessions(ctx context.Context, userID string) error {
	if err := p.endSessionsBut(ctx, userID, ""); err != nil {
		return err
	}
	if _, err := p.Store.RevokeGrants(ctx, storage.GrantFilter{UserID: userID}, p.now()); err != nil {
		return fmt.Errorf("revoke grants of person: %w", err)
	}
	return nil
}

// endSessionsBut ends the person's sessions but one. It looks again until there is none left, because a sign-in may have been under way.
func (p *Provider) endSessionsBut(ctx context.Context, userID, keep string) error {
	for range 10 {
		all, err := p.Store.SessionsOfUser(ctx, userID, p.now())
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		ended := 0
		for _, s := range all {
			if s.ID == keep {
				continue
			}
			if _, err := p.endSession(ctx, s); err != nil {
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

// reached lists the applications that the session signed the person in to, as far as they are still registered.
func (p *Provider) reached(ctx context.Context, sessionID string) ([]clients.Client, error) {
	ids, err := p.Store.ClientsOfSession(ctx, sessionID)
	if err != nil {
		return nil, fmt.Errorf("list clients of session: %w", err)
	}
	var out []clients.Client
	for _, id := range ids {
		c, err := p.Store.Client(ctx, id)
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

// frames are the addresses that the signed-out page loads (Front-Channel Logout §3).
func (p *Provider) frames(reached []clients.Client, sid string) []string {
	var out []string
	for _, c := range reached {
		if f := frontchannelFrame(c, p.Issuer, sid); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// signedOut is what the signed-out page is about. It travels in the page's address, authenticated, so that nothing has to be stored for it:
// only the browser that was signed out can read there which applications it had used.
type signedOut struct {
	Logout   string `json:"l"`
	Browser  string `json:"b"` // hash of the browser cookie
	Client   string `json:"c,omitempty"`
	Redirect string `json:"u,omitempty"`
	State    string `json:"s,omitempty"`
	Expires  int64  `json:"e"`
}

func (p *Provider) seeSignedOut(w http.ResponseWriter, s signedOut, uiLocales string) error {
	w.Header().Set("Location", p.signedOutURL(p.sealSignedOut(s), uiLocales, 0))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (p *Provider) signedOutURL(ref, uiLocales string, look int) string {
	u := p.path + "/logout/done?r=" + ref
	if look > 0 {
		u += "&look=" + strconv.Itoa(look)
	}
	if uiLocales != "" {
		u += "&ui_locales=" + url.QueryEscape(clip(uiLocales, 200))
	}
	return u
}

func (p *Provider) sealSignedOut(s signedOut) string {
	payload, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain strings
	}
	ref := base64.RawURLEncoding.EncodeToString(payload)
	return ref + "." + p.signedOutMAC(ref)
}

func (p *Provider) signedOutMAC(ref string) string {
	mac := hmac.New(sha256.New, p.stateKey)
	mac.Write([]byte(ref))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// openSignedOut reads what a signed-out page is about; false when it is not ours, too old, or another browser's.
func (p *Provider) openSignedOut(r *http.Request, sealed string) (signedOut, bool) {
	var s signedOut
	ref, mac, ok := strings.Cut(sealed, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(p.signedOutMAC(ref))) {
		return s, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(ref)
	if err != nil || json.Unmarshal(payload, &s) != nil || p.now().Unix() >= s.Expires {
		return signedOut{}, false
	}
	browser := p.cookie(r, browserCookie)
	return s, browser != "" && hmac.Equal([]byte(storage.Hash(browser)), []byte(s.Browser))
}

// loggedOut is the signed-out page: which applications the session had reached, and what became of each. It loads the frames of those that
// are told in the browser, and then goes back to the application that asked (Front-Channel Logout §3, RP-Initiated Logout §3).
func (p *Provider) loggedOut(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	eventOf(r).locales = strings.Fields(query.Get("ui_locales"))
	about, ok := p.openSignedOut(r, query.Get("r"))
	if !ok {
		_, signedIn, err := p.session(r)
		if err != nil {
			return err
		}
		if signedIn {
			return refusePage(http.StatusBadRequest, "This page is over", "It told about a sign-out that is some time ago, or was made for another browser. You are signed in now.",
				"Open your account page to see where.")
		}
		return p.render(w, r, http.StatusOK, templates.LoggedOut{AlreadySignedOut: true})
	}
	reached, err := p.reached(r.Context(), about.Logout)
	if err != nil {
		return err
	}
	page := templates.LoggedOut{}
	waiting := false
	if page.Apps, waiting, err = p.whatBecame(r.Context(), about.Logout, reached); err != nil {
		return err
	}
	look, _ := strconv.Atoi(query.Get("look"))
	if look <= 0 { // the frames are loaded once; looking again at the list must not sign anybody out anew
		page.Frames = p.frames(reached, about.Logout)
		allowFrames(w, page.Frames)
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
				return p.render(w, r, http.StatusOK, page)
			}
		}
	}
	if waiting && look >= 0 && look < signedOutLooks {
		page.RefreshSeconds = signedOutPause
		page.ReloadURL = p.signedOutURL(query.Get("r"), query.Get("ui_locales"), look+1)
	}
	return p.render(w, r, http.StatusOK, page)
}

// whatBecame tells of every application that the session reached whether it knows that the session has ended. waiting says whether
// that may still change.
func (p *Provider) whatBecame(ctx context.Context, logoutID string, reached []clients.Client) (apps []templates.LoggedOutApp, waiting bool, err error) {
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
		case scheduled && givenUp(d, p.now()):
			app.State = "failed"
		case scheduled:
			app.State, waiting = "waiting", true
		case frontchannelFrame(c, p.Issuer, logoutID) != "":
			app.State = "browser"
		}
		apps = append(apps, app)
	}
	return apps, waiting, nil
}
