package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Home leads to the one page of ours that a person opens by themselves.
func (p *Pages) Home(w http.ResponseWriter, _ *http.Request) error {
	return p.Web.SeeOther(w, "/account", "")
}

// notices are what the account page says after something was done, by their name in its address.
var notices = map[string]string{
	"session-ended":  templates.NoticeSessionEnded,
	"sessions-ended": templates.NoticeSessionsEnded,
	"disconnected":   templates.NoticeDisconnected,
}

// signedInPerson is who looks at a page of ours; false when nobody is signed in, or the account is
// gone or disabled, or has a second factor that was not used yet.
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
	return session, user, !user.Disabled && people.Proved(session.ACR, user), nil
}

// Account shows a person what is known about them, where they are signed in, and which applications
// they let in.
func (p *Pages) Account(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	session, user, ok, err := p.signedInPerson(r)
	if err != nil {
		return err
	}
	if !ok {
		id, err := p.SignIn.BeginInteraction(w, r, storage.Interaction{ReturnTo: "/account"})
		if err != nil {
			return err
		}
		return p.Web.SeeOther(w, "/login", id)
	}
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page := templates.Account{
		Person: web.Person(user), Claims: knownClaims(user), Groups: user.Groups,
		MethodsURL: p.Web.Path + methodsPath,
		Action:     p.Web.Path + "/account", CSRF: p.Web.CSRF(browser, "account:"+session.ID), Notice: notices[query.Get("notice")],
	}
	names := clientNames{store: p.Store, known: map[string]clients.Client{}}
	sessions, err := p.Store.SessionsOfUser(r.Context(), user.ID, p.Web.Now())
	if err != nil {
		return fmt.Errorf("list sessions: %w", err)
	}
	for _, s := range sessions {
		reached, err := p.Sessions.ReachedIDs(r.Context(), s.ID)
		if err != nil {
			return err
		}
		shown := templates.AccountSession{
			ID: s.ID, Device: device(s.UserAgent), Address: s.Address, SignedInAt: s.AuthTime, LastSeen: s.LastSeen, Current: s.ID == session.ID,
		}
		for _, id := range reached {
			if c, ok, err := names.client(r.Context(), id); err != nil {
				return err
			} else if ok {
				shown.Apps = append(shown.Apps, c.Name())
			}
		}
		page.Sessions = append(page.Sessions, shown)
	}
	if page.Apps, err = p.connected(r.Context(), p.Web.Language(r), user.ID, sessions, &names); err != nil {
		return err
	}
	return p.Web.Render(w, r, http.StatusOK, page)
}

// connected lists the applications that hold something of the person: a consent for the next time,
// or a grant that works now. Grants of sessions that are over hold nothing, unless they were given
// for the time after.
func (p *Pages) connected(ctx context.Context, lang, userID string, sessions []storage.Session, names *clientNames) ([]templates.AccountApp, error) {
	consents, err := p.Store.ConsentsOfUser(ctx, userID)
	if err != nil {
		return nil, fmt.Errorf("list consents: %w", err)
	}
	grants, err := p.Store.GrantsOfUser(ctx, userID, p.Web.Now())
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	type connection struct {
		scope, claims, resource []string
		since, lastUsed         time.Time
		offline                 bool
	}
	all := map[string]*connection{}
	add := func(clientID string, since time.Time, scope, claims, resource []string) *connection {
		c := all[clientID]
		if c == nil {
			c = &connection{since: since}
			all[clientID] = c
		}
		if since.Before(c.since) {
			c.since = since
		}
		c.scope, c.claims, c.resource = union(c.scope, scope), union(c.claims, claims), union(c.resource, resource)
		return c
	}
	for _, c := range consents {
		add(c.ClientID, c.CreatedAt, c.Scope, c.Claims, c.Resource)
	}
	for _, g := range grants {
		if !g.Offline && !slices.ContainsFunc(sessions, func(s storage.Session) bool { return s.ID == g.SessionID }) {
			continue
		}
		c := add(g.ClientID, g.CreatedAt, g.Scope, access.RequestedClaims(oauth.AuthorizationRequest{Claims: g.Claims}), g.Resource)
		if g.LastUsed.After(c.lastUsed) {
			c.lastUsed = g.LastUsed
		}
		c.offline = c.offline || g.Offline
	}
	var out []templates.AccountApp
	for id, c := range all {
		client, ok, err := names.client(ctx, id)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		out = append(out, templates.AccountApp{
			ClientID: id, App: p.Web.App(client, clients.Redirect{}), Since: c.since, LastUsed: c.lastUsed, Offline: c.offline,
			Scopes: p.Web.Templates.Scopes(lang, c.scope, oauth.ClaimsBeyond(c.scope, c.claims), c.resource, func(string, string) bool { return true }),
		})
	}
	slices.SortFunc(out, func(a, b templates.AccountApp) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.App.Name), strings.ToLower(b.App.Name)), strings.Compare(a.ClientID, b.ClientID))
	})
	return out, nil
}

func union(a, b []string) []string {
	for _, v := range b {
		if !slices.Contains(a, v) {
			a = append(a, v)
		}
	}
	return a
}

// clientNames loads each client once for a page that names it many times.
type clientNames struct {
	store *storage.Store
	known map[string]clients.Client
}

func (n *clientNames) client(ctx context.Context, id string) (clients.Client, bool, error) {
	c, ok := n.known[id]
	if !ok {
		var err error
		c, err = n.store.Client(ctx, id)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return c, false, fmt.Errorf("load client: %w", err)
		}
		n.known[id] = c
	}
	return c, c.ID != "", nil
}

// ChangeAccount does what a form of the account page asks for. What it names must be the person's
// own: somebody else's is as unknown as what never existed.
func (p *Pages) ChangeAccount(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	session, user, ok, err := p.signedInPerson(r)
	if err != nil {
		return err
	}
	if !ok {
		return p.Web.SeeOther(w, "/account", "") // which asks to sign in, and does nothing else
	}
	if err := p.Web.CheckCSRF(r, form.Get("csrf"), "account:"+session.ID); err != nil {
		return err
	}
	web.Mention(r, "sub", user.ID)
	ctx := r.Context()
	switch form.Get("action") {
	case "end-session":
		s, err := p.Store.Session(ctx, form.Get("id"))
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("load session: %w", err)
		}
		if err != nil || s.UserID != user.ID {
			return gone(templates.SessionGone)
		}
		if s.ID == session.ID {
			return p.signOut(w, r, session, logoutRequest{})
		}
		if _, err := p.Sessions.End(ctx, s); err != nil {
			return err
		}
		p.record(r, user, session.ID, verbSignOut, "session", s.ID)
		return p.backToAccount(w, "session-ended")
	case "end-other-sessions":
		if err := p.Sessions.EndBut(ctx, user.ID, session.ID); err != nil {
			return err
		}
		p.record(r, user, session.ID, verbSignOutOthers, "user", user.ID)
		return p.backToAccount(w, "sessions-ended")
	case "disconnect":
		return p.disconnect(w, r, user, session.ID, form.Get("client_id"))
	}
	return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
}

// disconnect takes back all that the person gave an application. It will have to ask again.
func (p *Pages) disconnect(w http.ResponseWriter, r *http.Request, user storage.User, sessionID, clientID string) error {
	ctx := r.Context()
	if clientID == "" {
		return gone(templates.ConnectionGone)
	}
	web.Mention(r, "client_id", clientID)
	had, err := p.Store.Disconnect(ctx, user.ID, clientID, p.Web.Now())
	if err != nil {
		return err
	}
	if !had {
		return gone(templates.ConnectionGone)
	}
	p.record(r, user, sessionID, verbDisconnect, "client", clientID)
	return p.backToAccount(w, "disconnected")
}

func gone(what templates.Problem) *web.PageError { return web.RefusePage(http.StatusNotFound, what) }

func (p *Pages) backToAccount(w http.ResponseWriter, notice string) error {
	w.Header().Set("Location", p.Web.Path+"/account?notice="+notice)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// knownClaims lists what applications may learn about the person, by the standard's names
// (OIDC Core §5.1).
func knownClaims(u storage.User) [][2]string {
	c := u.Claims
	yes := func(v bool) string {
		if v {
			return "true"
		}
		return ""
	}
	var address string
	if c.Address != nil {
		address = c.Address.Formatted
		if address == "" {
			var lines []string
			for _, l := range []string{c.Address.StreetAddress, strings.TrimSpace(c.Address.PostalCode + " " + c.Address.Locality), c.Address.Region, c.Address.Country} {
				if l != "" {
					lines = append(lines, l)
				}
			}
			address = strings.Join(lines, "\n")
		}
	}
	var out [][2]string
	for _, claim := range [][2]string{
		{"preferred_username", u.Username}, {"name", c.Name}, {"given_name", c.GivenName}, {"middle_name", c.MiddleName}, {"family_name", c.FamilyName},
		{"nickname", c.Nickname}, {"email", c.Email}, {"email_verified", yes(c.Email != "" && c.EmailVerified)},
		{"phone_number", c.PhoneNumber}, {"phone_number_verified", yes(c.PhoneNumber != "" && c.PhoneNumberVerified)},
		{"address", address}, {"birthdate", c.Birthdate}, {"gender", c.Gender}, {"locale", c.Locale}, {"zoneinfo", c.Zoneinfo},
		{"profile", c.Profile}, {"picture", c.Picture}, {"website", c.Website},
	} {
		if claim[1] != "" {
			out = append(out, claim)
		}
	}
	return out
}
