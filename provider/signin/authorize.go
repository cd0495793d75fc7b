package signin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/failpoint"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Authorize is the authorization endpoint (RFC 6749 §4.1.1, OIDC Core §3.1.2). It also is where
// every page of an interaction leads back to, as /authorize?i=…
func (p *Pages) Authorize(w http.ResponseWriter, r *http.Request) error {
	params, dupErr, err := authorizationParameters(r)
	if err != nil {
		return err
	}
	// else it is a parameter that we do not know
	if id := params.Get("i"); id != "" && r.Method == http.MethodGet && !params.Has("client_id") {
		return p.resume(w, r, id)
	}

	// Who is the client, and may it be answered at that address? Until that is known a problem is a
	// page, and stays here.
	web.SetLocales(r, strings.Fields(params.Get("ui_locales")))
	web.Mention(r, "client_id", params.Get("client_id"))
	asked, err := p.identify(r, params, dupErr)
	if err != nil {
		return err
	}
	client, redirect, dupErr := asked.client, asked.redirect, asked.problem

	// From here on a problem is the client's to hear.
	req, err := oauth.ParseAuthorization(asked.params)
	if errors.Is(err, oauth.ErrStateTooLong) {
		return err // without state the client could not tell whose answer it is
	}
	req.ClientID, req.RedirectURI = client.ID, redirect.String()
	if !p.OffersSignUp {
		req.Prompt = slices.DeleteFunc(req.Prompt, func(v string) bool { return v == oauth.PromptCreate })
	}
	req.SignedObject, req.Pushed = asked.signed, asked.pushed
	to := web.Response{Redirect: redirect, Mode: req.ResponseMode, AppName: client.Name()}
	if dupErr != nil {
		return p.Web.RedirectError(w, r, to, req.State, dupErr)
	}
	if err == nil {
		err = p.mayAsk(r.Context(), client, &req)
	}
	if err != nil {
		return p.Web.RedirectError(w, r, to, req.State, err)
	}

	if r.Method == http.MethodPost {
		// A form that was posted from another site comes without our cookies (SameSite=Lax). Once
		// more by GET, they come along.
		i, err := p.storeInteraction(r, storage.Interaction{Request: req}, postedPerNetwork, postedMost)
		if err != nil {
			return err
		}
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	at, err := p.evaluate(r, client, redirect, req, interaction{})
	if err != nil {
		return err
	}
	return p.perform(w, r, at)
}

// resume goes on with an interaction.
func (p *Pages) resume(w http.ResponseWriter, r *http.Request, id string) error {
	i, err := p.interaction(w, r, id)
	if err != nil {
		return err
	}
	if i.ReturnTo != "" {
		at, err := p.reload(r, i)
		if err != nil {
			return err
		}
		if at.step.kind != stepRespond {
			return p.Web.SeeOther(w, stepPaths[at.step.kind], i.ref)
		}
		if i.Version > 0 {
			if err := p.Store.FinishInteraction(r.Context(), i.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
				return fmt.Errorf("finish interaction: %w", err)
			}
		}
		return p.Web.SeeOther(w, i.ReturnTo, "")
	}
	web.Mention(r, "client_id", i.Request.ClientID)
	at, err := p.reload(r, i)
	if err != nil {
		return err
	}
	return p.perform(w, r, at)
}

// authorizationParameters reads the request from query or body. Parameters that are repeated come
// back as dupErr, because the client may hear of those unless it is client_id or redirect_uri.
func authorizationParameters(r *http.Request) (params oauth.Parameters, dupErr, err error) {
	if r.Method == http.MethodPost {
		params, err = oauth.ParseBody(r)
	} else {
		if len(r.URL.RawQuery) > oauth.MaxBody {
			return params, nil, oauth.Errorf(oauth.InvalidRequest,
				"the query is too long").WithStatus(http.StatusRequestURITooLong)
		}
		params, err = oauth.ParseQuery(r.URL.RawQuery)
	}
	if err != nil && params.Has("client_id") && params.Has("redirect_uri") {
		return params, err, nil
	}
	return params, nil, err
}

// identified is an authorization request of which is known who sent it.
type identified struct {
	client   clients.Client
	redirect clients.Redirect
	params   oauth.Parameters // those that count
	problem  error            // that the client is to hear of; nil for none
	signed   bool             // they stood in a signed request object
	pushed   string           // identifier of the pushed request that they are, "" for none
}

// identify finds the client and the address that it may be answered at, and takes in the pushed
// request or the request object, if there is one, on the way: the redirect_uri may stand in it
// (RFC 9126 §4, OIDC Core §6.1).
func (p *Pages) identify(r *http.Request, params oauth.Parameters, dupErr error) (identified, error) {
	ctx := r.Context()
	asked := identified{params: params, problem: dupErr}
	var err error
	if asked.client, err = p.Client(ctx, params.Get("client_id")); err != nil {
		return asked, err
	}
	var objErr error
	if uri := params.Get("request_uri"); isPushed(uri) {
		if params.Has("request") {
			return asked, errRequestTwice()
		}
		kept, err := p.pushedRequest(ctx, asked.client, uri)
		if err != nil {
			return asked, err
		}
		// What stands beside the reference does not count.
		if asked.params, asked.problem = oauth.NewParameters(kept.Form); asked.problem != nil {
			return asked, asked.problem
		}
		asked.signed, asked.pushed = kept.Signed, kept.ID
	} else {
		asked.signed = (params.Has("request") || params.Has("request_uri")) && p.signsObjects(asked.client)
		inside, err := p.requestObject(ctx, asked.client, params)
		if objErr = err; err == nil {
			asked.params = inside
		} else if dupErr == nil {
			asked.problem = err
		}
	}
	asked.redirect, err = verifyRedirect(asked.client, asked.params.Get("redirect_uri"))
	if err != nil && objErr != nil && web.Unavailable(objErr) {
		err = objErr
	}
	return asked, err
}

// mayAsk checks a request against what the client is registered for.
func (p *Pages) mayAsk(ctx context.Context, client clients.Client, req *oauth.AuthorizationRequest) error {
	if !client.MayRespond(req.ResponseType) {
		return oauth.Errorf(oauth.UnauthorizedClient, "the client is not registered for response_type %s",
			req.ResponseType)
	}
	rt, err := oauth.ParseResponseType(req.ResponseType)
	if err != nil {
		return err
	}
	if client.RequireSignedRequestObject && !req.SignedObject {
		return oauth.Errorf(oauth.InvalidRequest,
			"this client has to send its request as a signed request object (RFC 9101)")
	}
	if req.Pushed == "" && (client.RequirePushedAuthorizationRequests || p.RequirePushed) {
		return oauth.Errorf(oauth.InvalidRequest,
			"this request has to be pushed: send it to pushed_authorization_request_endpoint first (RFC 9126)")
	}
	if rt.Token && (client.DPoPBoundAccessTokens || req.DPoPJKT != "") {
		return oauth.Errorf(oauth.InvalidRequest,
			"an access token from the authorization endpoint cannot be bound to a key; use response_type=code")
	}
	if rt.Code && req.CodeChallenge == "" && p.requiresPKCE(client) {
		return oauth.Errorf(oauth.InvalidRequest,
			"code_challenge is required: send a PKCE code_challenge with code_challenge_method=S256 (RFC 7636)")
	}
	// Scopes that the client may not have are left out of what is asked and granted
	// (RFC 6749 §3.3).
	asked := req.Scope
	req.Scope = access.GrantableScope(client, asked)
	if len(req.Scope) == 0 {
		hint := "send scope=openid at least"
		if slices.ContainsFunc(asked, func(s string) bool { return strings.Contains(s, ",") }) {
			hint = "scope values are separated by blanks, not by commas (RFC 6749 section 3.3)"
		}
		return oauth.Errorf(oauth.InvalidScope, "none of the requested scopes may be given to this client; %s", hint)
	}
	for _, named := range []map[string]oauth.ClaimRequest{req.Claims.Userinfo, req.Claims.IDToken} {
		may := access.GrantableClaims(client, grants.ClaimsOfRequest(named))
		maps.DeleteFunc(named, func(name string, _ oauth.ClaimRequest) bool { return !slices.Contains(may, name) })
	}
	// Without a refresh token offline access is nothing, and it needs the person's word
	// (OIDC Core §11).
	if !rt.Code || !client.MayGrant(oauth.GrantRefreshToken) {
		req.Scope = slices.DeleteFunc(req.Scope, func(s string) bool { return s == oauth.ScopeOfflineAccess })
	}
	if req.Resource, err = access.AllowedResources(client, p.Web.Issuer, req.Resource); err != nil {
		return err
	}
	if rt.Token && !client.OpaqueAccessTokens {
		if _, err := p.Grants.AccessTokenAlgorithm(ctx, client, req.Resource); err != nil {
			return err
		}
	}
	if len(req.ACRValues) == 0 {
		req.ACRValues = client.DefaultACRValues
	}
	if req.IDTokenHint != "" {
		// A hint that cannot be verified hints at nobody: an application may have kept it for
		// longer than its key was published.
		subject, err := p.Grants.HintedSubject(ctx, client, req.IDTokenHint)
		if err != nil && web.Unavailable(err) {
			return err
		}
		req.HintSubject = subject
	}
	return nil
}

// perform does what nextStep says.
func (p *Pages) perform(w http.ResponseWriter, r *http.Request, at pending) error {
	to := web.Response{Redirect: at.redirect, Mode: at.Request.ResponseMode, AppName: at.Client.Name()}
	switch at.step.kind {
	case stepRespond:
		return p.respond(w, r, at)
	case stepError:
		if done, err := p.finish(r, at); err != nil || !done {
			return p.movedOn(w, r, at, err)
		}
		return p.Web.RedirectError(w, r, to, at.Request.State, at.step.err.Because(errors.New(at.step.reason)))
	case stepRefuse:
		web.Note(r, at.step.err)
		web.Mention(r, "refused", at.step.reason)
		ref := at.ref
		if ref == "" {
			i, err := p.begin(w, r, storage.Interaction{Request: at.Request})
			if err != nil {
				return err
			}
			at.Interaction, ref = i.Interaction, i.ref
		}
		browser, err := p.Web.Browser(w, r)
		if err != nil {
			return err
		}
		return p.Web.Render(w, r, http.StatusForbidden, templates.Refused{
			App: p.Web.App(at.Client, at.redirect), Person: web.Person(at.User), Reason: at.step.reason,
			Contact:   at.Client.RefusalContact,
			RequestID: web.RequestID(r), BackAction: p.Web.Path + "/consent?i=" + ref,
			CSRF:      p.Web.CSRF(browser, "interaction:"+at.Interaction.ID),
			SwitchURL: p.Web.Path + "/login?i=" + ref + "&switch=1",
		})
	}
	ref := at.ref
	if ref == "" {
		var err error
		if ref, err = p.BeginInteraction(w, r, storage.Interaction{Request: at.Request}); err != nil {
			return err
		}
	}
	if at.step.kind == stepLogin && at.Request.HasPrompt(oauth.PromptCreate) {
		return p.Web.SeeOther(w, "/sign-up", ref) // Initiating User Registration §4.1
	}
	return p.Web.SeeOther(w, stepPaths[at.step.kind], ref)
}

// finish ends an interaction. Of several tabs that are in the middle of it exactly one gets true.
// What was asked of nobody, and answered by nobody, is not kept.
func (p *Pages) finish(r *http.Request, at pending) (bool, error) {
	if first, err := p.spendPushed(r.Context(), at.Request); err != nil || !first {
		return false, err
	}
	id := at.Interaction.ID
	if id == "" || at.Interaction.Version == 0 && !at.SignedIn {
		return true, nil
	}
	if at.ref != id {
		err := p.Store.Spend(r.Context(), kindFinished, id, p.Web.Now(), at.Interaction.ExpiresAt)
		if errors.Is(err, storage.ErrConsumed) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("finish interaction: %w", err)
		}
	}
	if at.Interaction.Version == 0 {
		return true, nil
	}
	err := p.Store.FinishInteraction(r.Context(), id)
	if errors.Is(err, storage.ErrNotFound) {
		return at.ref != id, nil
	}
	if err != nil {
		return false, fmt.Errorf("finish interaction: %w", err)
	}
	return true, nil
}

// movedOn answers when another tab has finished the interaction: a form leads on to where that is
// said, and to the way back.
func (p *Pages) movedOn(w http.ResponseWriter, r *http.Request, at pending, err error) error {
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet {
		return p.finished(r, interaction{at.Interaction, at.ref})
	}
	return p.Web.SeeOther(w, "/authorize", at.ref)
}

// withSessionState adds session_state to what goes back to an OpenID client
// (OIDC Session Management §2).
func (p *Pages) withSessionState(to web.Response, at pending) web.Response {
	if origin := at.redirect.Origin(); origin != "" && at.SignedIn && at.Request.HasScope(oauth.ScopeOpenID) {
		to.Values = append(to.Values, [2]string{"session_state", session.State(at.Client.ID, origin, at.Session.State)})
	}
	return to
}

// consentStands reports whether the consent that a grant rests on is still there, now that the
// grant is. Whoever takes it back removes the consent first, and then revokes the grants that they
// find: no grant slips through.
func (p *Pages) consentStands(ctx context.Context, at pending) (bool, error) {
	if at.Client.SkipConsent && !consented(at.situation) {
		return true, nil // it rests on none
	}
	_, err := p.Store.Consent(ctx, at.User.ID, at.Client.ID)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("load consent again: %w", err)
	}
	return true, nil
}

// respond gives the application what it asked for: every check is done, the interaction is burnt
// first, then the grant and what belongs to it is made, stored and sent
// (OIDC Core §3.1.2.5, §3.2.2.5, §3.3.2.5).
func (p *Pages) respond(w http.ResponseWriter, r *http.Request, at pending) error {
	ctx, now := r.Context(), p.Web.Now()
	// The session remembers the client before the client gets anything, so that its end is told to
	// it.
	if !strings.HasPrefix(at.Request.ResponseType, "none") {
		going, err := p.Sessions.Reach(ctx, at.Session, at.Client.ID)
		if err != nil {
			return err
		}
		if !going { // signed out in this very moment
			at.SignedIn, at.Session, at.User, at.Subject, at.Consent = false, storage.Session{}, storage.User{}, "",
				storage.Consent{}
			at.step = nextStep(at.situation)
			return p.perform(w, r, at)
		}
	}
	if done, err := p.finish(r, at); err != nil || !done {
		return p.movedOn(w, r, at, err)
	}
	failpoint.At(failpoint.SignInBurnt)
	req, client := at.Request, at.Client
	to := web.Response{Redirect: at.redirect, Mode: req.ResponseMode, AppName: client.Name()}
	rt, err := oauth.ParseResponseType(req.ResponseType)
	if err != nil {
		return err
	}
	if consented(at.situation) {
		c := storage.Consent{
			UserID: at.User.ID, ClientID: client.ID, Appearance: client.Identity(), CreatedAt: now, UpdatedAt: now,
			Scope: req.Scope, Claims: access.RequestedClaims(req), Resource: req.Resource,
		}
		if err := p.Store.AddConsent(ctx, c); err != nil {
			return fmt.Errorf("store consent: %w", err)
		}
		p.recordConsent(r, at, c)
	}
	grant := storage.Grant{
		ID: storage.NewID(now), UserID: at.User.ID, ClientID: client.ID, SessionID: at.Session.ID,
		Scope: req.Scope, Claims: req.Claims, Resource: req.Resource, Nonce: req.Nonce,
		AuthTime: at.Session.AuthTime, AMR: at.Session.AMR, ACR: answeredACR(req, at.Session),
		Offline:   slices.Contains(req.Scope, oauth.ScopeOfflineAccess),
		CreatedAt: now, LastUsed: now, ExpiresAt: now.Add(p.Grants.AccessTokenTTL),
		RedirectURI: req.RedirectURI, CodeChallenge: req.CodeChallenge,
		Confirmation: storage.Confirmation{JKT: req.DPoPJKT},
	}
	issuance := grants.Issuance{
		Client: client, Grant: grant, User: at.User, Scope: grant.Scope, Audience: grant.Resource, Nonce: req.Nonce,
		AccessToken: rt.Token, IDToken: rt.IDToken,
	}
	if rt.Code {
		issuance.Code, issuance.Grant.CodeHash = grants.NewCode(grant.ID)
		issuance.Grant.CodeExpiresAt = now.Add(p.Grants.CodeTTL)
		issuance.Grant.ExpiresAt = now.Add(max(p.Grants.CodeTTL, p.Grants.AccessTokenTTL))
	}
	if !client.UnusedUntil.IsZero() {
		// Its first use keeps it. One that has just gone is unknown, as it will be from now on.
		err := p.Store.UseClient(ctx, client.ID, now)
		if errors.Is(err, storage.ErrNotFound) {
			return web.RefusePage(http.StatusBadRequest, templates.ClientUnknown).Because(err)
		}
		if err != nil {
			return fmt.Errorf("keep client: %w", err)
		}
	}
	if !rt.None {
		if err := p.Store.CreateGrant(ctx, issuance.Grant); err != nil {
			return fmt.Errorf("store grant: %w", err)
		}
		failpoint.At(failpoint.SignInGranted)
		if stands, err := p.consentStands(ctx, at); err != nil || !stands {
			if revokeErr := p.Store.RevokeGrant(ctx, grant.ID, now); revokeErr != nil {
				return errors.Join(err, fmt.Errorf("revoke grant: %w", revokeErr))
			}
			if err != nil {
				return err
			}
			return p.Web.RedirectError(w, r, to, req.State, oauth.Errorf(oauth.AccessDenied,
				"the person has just taken back what they had allowed"))
		}
	}
	made, err := p.Grants.Issue(ctx, issuance)
	if err != nil {
		return err
	}
	if made.AccessToken != "" {
		to.Values = append(to.Values, [2]string{"access_token", made.AccessToken},
			[2]string{"token_type", made.TokenType},
			[2]string{"expires_in", fmt.Sprint(made.ExpiresIn)}, [2]string{"scope", made.Scope})
	}
	to.Values = append(to.Values, [2]string{"id_token", made.IDToken})
	to.Values = append(to.Values, [2]string{"code", issuance.Code}, [2]string{"state", req.State},
		[2]string{"iss", p.Web.Issuer})
	failpoint.At(failpoint.SignInMinted)
	return p.Web.Send(w, r, p.withSessionState(to, at))
}
