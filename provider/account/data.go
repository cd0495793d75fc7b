package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowData lets a person have what is kept about them, and leave. It wants a fresh proof.
func (p *Pages) ShowData(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.freshPerson(w, r, dataPath)
	if err != nil || !ok {
		return err
	}
	return p.renderData(w, r, http.StatusOK, session, user, "")
}

func (p *Pages) renderData(w http.ResponseWriter, r *http.Request, status int, s storage.Session, u storage.User,
	problem string) error {
	frame, err := p.frame(w, r, u, dataPath, methodsCSRF(s))
	if err != nil {
		return err
	}
	return p.Web.Render(w, r, status, templates.Data{Frame: frame, MayDelete: p.MayDelete, Problem: problem})
}

// ChangeData hands out what is kept about the person, or deletes the account.
func (p *Pages) ChangeData(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.freshForm(w, r, dataPath)
	if err != nil || !ok {
		return err
	}
	switch action := form.Get("action"); {
	case action == "export":
		return p.export(w, r, session, user)
	case action == "delete" && p.MayDelete:
		if typed, err := people.CanonicalUsername(form.Get("username")); err != nil || typed != user.Username {
			return p.renderData(w, r, http.StatusBadRequest, session, user, templates.DeleteWrong)
		}
		return p.deleteAccount(w, r, session, user)
	}
	return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
}

// deleteAccount deletes the account of the person for good.
func (p *Pages) deleteAccount(w http.ResponseWriter, r *http.Request, session storage.Session,
	user storage.User) error {
	_, err := p.Admin.DeleteSelf(r.Context(), p.actor(r, user))
	if errors.Is(err, admin.ErrLastOwner) {
		return p.renderData(w, r, http.StatusConflict, session, user, templates.DeleteLastOwner)
	}
	if err != nil && !errors.Is(err, admin.ErrNotFound) {
		return err
	}
	if err := p.Letters.Notice(r, user, templates.MailDeleted, nil); err != nil {
		web.Note(r, err) // the account is gone all the same
	}
	if err := p.Sessions.ClearCookies(w, r); err != nil {
		return err
	}
	return p.Web.Render(w, r, http.StatusOK, templates.Deleted{})
}

// export is what is kept about a person, for them and for programs. Nothing in it lets anybody in.
type export struct {
	Issuer     string            `json:"issuer"`
	ExportedAt time.Time         `json:"exported_at"`
	Account    storage.User      `json:"account"`
	Methods    []exportedMethod  `json:"sign_in_methods"`
	Sessions   []exportedSession `json:"sessions"`
	Consents   []exportedConsent `json:"consents"`
	Grants     []exportedGrant   `json:"access"`
	Events     []exportedEvent   `json:"events"`
	More       bool              `json:"older_events_left_out,omitempty"`
}

type exportedMethod struct {
	Kind     string    `json:"kind"`
	Name     string    `json:"name,omitempty"`
	Model    string    `json:"model,omitempty"`  // of a passkey's authenticator
	Synced   bool      `json:"synced,omitempty"` // the passkey may be on other devices, too
	Added    time.Time `json:"added,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Left     int       `json:"codes_left,omitempty"`
}

type exportedSession struct {
	ID        string    `json:"id"`
	SignedIn  time.Time `json:"signed_in"`
	LastSeen  time.Time `json:"last_seen"`
	ExpiresAt time.Time `json:"expires_at"`
	UserAgent string    `json:"user_agent,omitempty"`
	Address   string    `json:"address,omitempty"`
	Clients   []string  `json:"clients,omitempty"`
}

type exportedConsent struct {
	ClientID  string    `json:"client_id"`
	Scope     []string  `json:"scope"`
	Claims    []string  `json:"claims,omitempty"`
	Resource  []string  `json:"resource,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

type exportedGrant struct {
	ClientID  string    `json:"client_id"`
	Scope     []string  `json:"scope"`
	Resource  []string  `json:"resource,omitempty"`
	Offline   bool      `json:"offline,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	LastUsed  time.Time `json:"last_used,omitzero"`
	ExpiresAt time.Time `json:"expires_at"`
}

type exportedEvent struct {
	Time    time.Time       `json:"time"`
	Verb    string          `json:"verb"`
	By      string          `json:"by"` // you, administrator or system
	Outcome string          `json:"outcome"`
	Reason  string          `json:"reason,omitempty"`
	Client  string          `json:"client,omitempty"`
	Session string          `json:"session,omitempty"`
	Address string          `json:"address,omitempty"`
	Before  json.RawMessage `json:"before,omitempty"`
	After   json.RawMessage `json:"after,omitempty"`
}

// maxExported bounds the events and the sessions of an export.
const maxExported = 10_000

// export answers with the file.
func (p *Pages) export(w http.ResponseWriter, r *http.Request, session storage.Session, user storage.User) error {
	out, err := p.kept(r.Context(), user)
	if err != nil {
		return err
	}
	body, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("write what is kept: %w", err)
	}
	p.record(r, user, session.ID, verbExport, "user", user.ID)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="account.json"`)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the person has gone away: nothing to do about it
	return nil
}

// kept is everything that is kept about a user.
func (p *Pages) kept(ctx context.Context, user storage.User) (export, error) {
	out := export{Issuer: p.Web.Issuer, ExportedAt: p.Web.Now(), Account: user, Methods: []exportedMethod{},
		Sessions: []exportedSession{},
		Consents: []exportedConsent{}, Grants: []exportedGrant{}, Events: []exportedEvent{}}
	if user.PasswordHash != "" {
		out.Methods = append(out.Methods, exportedMethod{Kind: "password"})
	}
	for _, t := range user.Factors.Confirmed() {
		out.Methods = append(out.Methods, exportedMethod{Kind: "totp", Name: t.Name, Added: t.ConfirmedAt,
			LastUsed: t.LastUsed})
	}
	for _, k := range user.Factors.Passkeys {
		out.Methods = append(out.Methods, exportedMethod{Kind: "passkey", Name: k.Name, Model: people.Model(k.AAGUID),
			Added: k.CreatedAt, LastUsed: k.LastUsed, Synced: k.Synced})
	}
	if n := user.Factors.RecoveryLeft(); n > 0 {
		out.Methods = append(out.Methods, exportedMethod{Kind: "recovery_codes", Left: n})
	}
	sessions, err := p.Store.SessionsOfUser(ctx, user.ID, p.Web.Now())
	if err != nil {
		return out, fmt.Errorf("list sessions: %w", err)
	}
	for _, s := range sessions[:min(len(sessions), maxExported)] {
		out.Sessions = append(out.Sessions, exportedSession{ID: s.ID, SignedIn: s.AuthTime, LastSeen: s.LastSeen,
			ExpiresAt: s.ExpiresAt,
			UserAgent: s.UserAgent, Address: s.Address, Clients: s.Clients})
	}
	consents, err := p.Store.ConsentsOfUser(ctx, user.ID)
	if err != nil {
		return out, fmt.Errorf("list consents: %w", err)
	}
	for _, c := range consents {
		out.Consents = append(out.Consents, exportedConsent{c.ClientID, c.Scope, c.Claims, c.Resource, c.CreatedAt,
			c.UpdatedAt})
	}
	grants, err := p.Store.GrantsOfUser(ctx, user.ID, p.Web.Now())
	if err != nil {
		return out, fmt.Errorf("list grants: %w", err)
	}
	for _, g := range grants {
		out.Grants = append(out.Grants, exportedGrant{g.ClientID, g.Scope, g.Resource, g.Offline, g.CreatedAt,
			g.LastUsed, g.ExpiresAt})
	}
	events, err := p.eventsOf(ctx, user.ID, "", maxExported+1)
	if err != nil {
		return out, err
	}
	out.More = len(events) > maxExported
	for _, e := range events[:min(len(events), maxExported)] {
		row := exportedEvent{Time: e.Time, Verb: e.Verb, By: "administrator", Outcome: e.Outcome, Reason: e.Reason,
			Client: e.ClientID, Before: e.Before, After: e.After}
		switch {
		case e.Actor.ID == user.ID:
			row.By, row.Address, row.Session = "you", e.Address, e.SessionID
		case e.Actor.Kind == storage.ActorSystem:
			row.By = "system"
		case e.Actor.ID+e.Actor.Name == "":
			row.By, row.Address = "unknown", e.Address
		}
		out.Events = append(out.Events, row)
	}
	return out, nil
}
