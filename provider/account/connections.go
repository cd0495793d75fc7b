package account

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowConnections shows a person which applications they have let in.
func (p *Pages) ShowConnections(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.visitor(w, r, connectionsPath)
	if err != nil || !ok {
		return err
	}
	frame, err := p.frame(w, r, user, connectionsPath, sessionCSRF(session))
	if err != nil {
		return err
	}
	apps, err := p.connected(r.Context(), p.Web.Language(r), user.ID)
	if err != nil {
		return err
	}
	out := templates.Connections{Frame: frame}
	out.Apps, out.Pager = page(p, r, connectionsPath, apps)
	return p.Web.Render(w, r, http.StatusOK, out)
}

// connected lists the applications that hold something of the person: a consent for the next time,
// or a grant that works now. Grants of sessions that are over hold nothing, unless they were given
// for the time after.
func (p *Pages) connected(ctx context.Context, lang, userID string) ([]templates.AccountApp, error) {
	sessions, err := p.Store.SessionsOfUser(ctx, userID, p.Web.Now())
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
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
	lives := map[string]bool{}
	for _, s := range sessions {
		lives[s.ID] = true
	}
	for _, g := range grants {
		if !g.Offline && !lives[g.SessionID] {
			continue
		}
		c := add(g.ClientID, g.CreatedAt, g.Scope, access.RequestedClaims(oauth.AuthorizationRequest{Claims: g.Claims}),
			g.Resource)
		if g.LastUsed.After(c.lastUsed) {
			c.lastUsed = g.LastUsed
		}
		c.offline = c.offline || g.Offline
	}
	names := clientNames{store: p.Store, known: map[string]clients.Client{}}
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
			ClientID: id, App: p.Web.App(client, clients.Redirect{}), Since: c.since, LastUsed: c.lastUsed,
			Offline: c.offline,
			Scopes: p.Web.Templates.Scopes(lang, c.scope, oauth.ClaimsBeyond(c.scope, c.claims), c.resource,
				func(string, string) bool { return true }),
		})
	}
	sortByName(out, func(a templates.AccountApp) (string, string) { return a.App.Name, a.ClientID })
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

// ChangeConnections disconnects an application.
func (p *Pages) ChangeConnections(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.sessionForm(w, r, connectionsPath)
	if err != nil || !ok {
		return err
	}
	if form.Get("action") != "disconnect" {
		return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
	}
	return p.disconnect(w, r, user, session.ID, form.Get("client_id"))
}

// disconnect takes back all that the person gave an application. It will have to ask again.
func (p *Pages) disconnect(w http.ResponseWriter, r *http.Request, user storage.User, sessionID,
	clientID string) error {
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
	return p.done(w, connectionsPath, "disconnected")
}
