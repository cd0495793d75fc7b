package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowActivity shows a person what happened with their account, in plain words.
func (p *Pages) ShowActivity(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	session, user, ok, err := p.visitor(w, r, activityPath)
	if err != nil || !ok {
		return err
	}
	frame, err := p.frame(w, r, user, activityPath, sessionCSRF(session))
	if err != nil {
		return err
	}
	before := query.Get("before")
	if len(before) > 100 {
		before = ""
	}
	events, err := p.eventsOf(r.Context(), user.ID, before, pageSize+1)
	if err != nil {
		return err
	}
	out := templates.Activity{Frame: frame}
	if before != "" {
		out.Pager.NewerURL = p.Web.Path + activityPath
	}
	if len(events) > pageSize {
		events = events[:pageSize]
		out.Pager.OlderURL = p.Web.Path + activityPath + "?before=" + url.QueryEscape(events[pageSize-1].ID)
	}
	names, devices := clientNames{store: p.Store, known: map[string]clients.Client{}}, map[string]string{}
	for _, e := range events {
		row := templates.ActivityEvent{
			Verb: e.Verb, Time: e.Time, Count: e.Count, Refused: e.Outcome == storage.OutcomeRefused,
			Admin: e.Actor.ID != user.ID && e.Actor.Kind != storage.ActorSystem && e.Actor.ID+e.Actor.Name != "",
		}
		if e.Actor.ID == user.ID || e.Actor.ID+e.Actor.Name == "" { // where an administrator sits is not theirs to know
			row.Address = templates.AccountSession{Address: e.Address}.Place()
		}
		if row.App, err = p.appOf(r.Context(), e, &names); err != nil {
			return err
		}
		if e.Actor.ID == user.ID && e.SessionID != "" {
			if row.Device, err = p.deviceOf(r.Context(), e.SessionID, devices); err != nil {
				return err
			}
		}
		out.Events = append(out.Events, row)
	}
	return p.Web.Render(w, r, http.StatusOK, out)
}

// appOf is the name of the application that an event is about, or through which it came about.
func (p *Pages) appOf(ctx context.Context, e storage.Event, names *clientNames) (string, error) {
	id, name := e.ClientID, ""
	if e.Object.Kind == "client" {
		id, name = e.Object.ID, e.Object.Name
	}
	if id == "" {
		return name, nil
	}
	c, ok, err := names.client(ctx, id)
	if err == nil && ok {
		name = c.Name()
	}
	return cmp.Or(name, id), err
}

// deviceOf is the browser of a session; "" for one that is not kept any more.
func (p *Pages) deviceOf(ctx context.Context, id string, known map[string]string) (string, error) {
	name, ok := known[id]
	if ok {
		return name, nil
	}
	s, err := p.Store.Session(ctx, id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return "", fmt.Errorf("load session: %w", err)
	}
	known[id] = web.Device(s.UserAgent)
	return known[id], nil
}

// eventsOf lists the events of a user, newest first, at most limit, those below the ID before: what
// they did, and what was done to their account.
func (p *Pages) eventsOf(ctx context.Context, userID, before string, limit int) ([]storage.Event, error) {
	did, err := p.Store.Events(ctx, storage.EventFilter{Actor: userID}, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	met, err := p.Store.Events(ctx, storage.EventFilter{Object: userID}, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	all := append(did, met...)
	slices.SortFunc(all, func(a, b storage.Event) int { return strings.Compare(b.ID, a.ID) })
	all = slices.CompactFunc(all, func(a, b storage.Event) bool { return a.ID == b.ID })
	return all[:min(limit, len(all))], nil
}
