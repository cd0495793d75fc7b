package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowSessions shows a person where they are signed in.
func (p *Pages) ShowSessions(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.visitor(w, r, sessionsPath)
	if err != nil || !ok {
		return err
	}
	frame, err := p.frame(w, r, user, sessionsPath, sessionCSRF(session))
	if err != nil {
		return err
	}
	all, err := p.Store.SessionsOfUser(r.Context(), user.ID, p.Web.Now())
	if err != nil {
		return fmt.Errorf("list sessions: %w", err)
	}
	// The browser at hand comes first, however long the list is.
	if i := slices.IndexFunc(all, func(s storage.Session) bool { return s.ID == session.ID }); i > 0 {
		this := all[i]
		all = slices.Insert(slices.Delete(all, i, i+1), 0, this)
	}
	out := templates.Sessions{Frame: frame, Others: len(all) > 1}
	shown, pager := page(p, r, sessionsPath, all)
	out.Pager = pager
	names := clientNames{store: p.Store, known: map[string]clients.Client{}}
	for _, s := range shown {
		row := templates.AccountSession{
			ID: s.ID, Device: web.Device(s.UserAgent), Address: s.Address, SignedInAt: s.AuthTime, LastSeen: s.LastSeen,
			Current: s.ID == session.ID,
		}
		reached, err := p.Sessions.ReachedIDs(r.Context(), s.ID)
		if err != nil {
			return err
		}
		for _, id := range reached[:min(len(reached), pageSize)] {
			if c, ok, err := names.client(r.Context(), id); err != nil {
				return err
			} else if ok {
				row.Apps = append(row.Apps, c.Name())
			}
		}
		out.Sessions = append(out.Sessions, row)
	}
	return p.Web.Render(w, r, http.StatusOK, out)
}

// sessionForm reads a form of a page whose forms are about a session. ok is false when nobody is
// signed in: the browser has been led to the page, which asks to sign in and does nothing else.
func (p *Pages) sessionForm(w http.ResponseWriter, r *http.Request, path string) (f oauth.Parameters, s storage.Session,
	u storage.User, ok bool, err error) {
	if f, err = oauth.ParseBody(r); err != nil {
		return f, s, u, false, err
	}
	if s, u, ok, err = p.signedInPerson(r); err != nil {
		return f, s, u, false, err
	}
	if !ok {
		return f, s, u, false, p.Web.SeeOther(w, path, "")
	}
	return f, s, u, true, p.Web.CheckCSRF(r, f.Get("csrf"), sessionCSRF(s))
}

// ChangeSessions ends sessions. What the form names must be the person's own: another's is as
// unknown as what never existed.
func (p *Pages) ChangeSessions(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.sessionForm(w, r, sessionsPath)
	if err != nil || !ok {
		return err
	}
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
		return p.done(w, sessionsPath, "session-ended")
	case "end-other-sessions":
		if err := p.Sessions.EndBut(ctx, user.ID, session.ID); err != nil {
			return err
		}
		p.record(r, user, session.ID, verbSignOutOthers, "user", user.ID)
		return p.done(w, sessionsPath, "sessions-ended")
	}
	return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
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

// sortByName sorts what has a name as people look it up; what has the same by a second text.
func sortByName[T any](all []T, name func(T) (string, string)) {
	slices.SortFunc(all, func(a, b T) int {
		nameA, thenA := name(a)
		nameB, thenB := name(b)
		return cmp.Or(strings.Compare(strings.ToLower(nameA), strings.ToLower(nameB)), strings.Compare(thenA, thenB))
	})
}
