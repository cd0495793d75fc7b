package account

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// passkeyPlace names the session and the user that a challenge of the page is for.
func passkeyPlace(u storage.User, s storage.Session) string { return "account " + u.ID + " " + s.ID }

// passkeysOf puts the user's passkeys on the page, with a challenge for a new one, and with what
// the browser tells the authenticators that it knows of (WebAuthn §5.1.10, signal methods).
func (p *Pages) passkeysOf(page *templates.Methods, u storage.User, s storage.Session) error {
	if p.Passkeys == nil {
		return nil
	}
	ids := []string{}
	for _, k := range u.Factors.Passkeys {
		ids = append(ids, k.ID())
		page.Passkeys = append(page.Passkeys, templates.ShownPasskey{
			ID: k.ID(), Name: k.Name, Model: people.Model(k.AAGUID), Synced: k.Synced, Required: k.Required,
			Added: k.CreatedAt, LastUsed: k.LastUsed,
			LastWayIn: len(u.Factors.Passkeys) == 1 && u.PasswordHash == "",
		})
	}
	page.RequireOffered = !u.Factors.Required() && len(ids) > 0 && u.PasswordHash != ""
	signal, err := json.Marshal(map[string]any{
		"rpId": p.Passkeys.RPID, "userId": base64.RawURLEncoding.EncodeToString(people.UserHandle(u.ID)),
		"allAcceptedCredentialIds": ids,
		"name":                     u.Username, "displayName": page.Person.Name,
	})
	if err != nil {
		return fmt.Errorf("write the signal: %w", err)
	}
	page.Passkey.Signal = string(signal)
	if len(ids) >= people.MostPasskeys {
		return nil
	}
	begun, err := p.Passkeys.BeginRegistration(u, passkeyPlace(u, s), people.Registration{})
	if err != nil {
		return err
	}
	page.Passkey.Options, page.Passkey.State = begun.Options, begun.State
	return nil
}

// addPasskey registers the passkey that has answered. The password alone is not enough any more
// then.
func (p *Pages) addPasskey(w http.ResponseWriter, r *http.Request, form oauth.Parameters, u storage.User,
	s storage.Session) error {
	if p.Passkeys == nil {
		return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
	}
	added, codes, err := p.Passkeys.Register(r.Context(), u, passkeyPlace(u, s), form.Get("state"), form.Get("answer"),
		form.Get("name"), web.Device(r.UserAgent()), true)
	switch {
	case errors.Is(err, people.ErrCeremonyOver):
		return web.RefusePage(http.StatusBadRequest, templates.PasskeyTooLate).Because(err)
	case errors.Is(err, people.ErrPasskeyWrong):
		return web.RefusePage(http.StatusBadRequest, templates.PasskeyRefused).Because(err)
	case errors.Is(err, people.ErrPasskeyKnown), errors.Is(err, storage.ErrConflict):
		return web.RefusePage(http.StatusConflict, templates.PasskeyNotAdded).Because(err)
	case err != nil:
		return err
	}
	p.record(r, u, s.ID, verbAddMethod, "passkey", added.ID())
	if _, err := p.Sessions.Prove(w, r, s, people.ByNewPasskey()); err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	if len(codes) > 0 {
		return p.showRecoveryCodes(w, r, u, codes)
	}
	return p.done(w, methodsPath, "passkey")
}

// requirePasskeys has the passkeys asked for after a password. Who asks for that without having
// used one in this session is asked for it at once.
func (p *Pages) requirePasskeys(w http.ResponseWriter, r *http.Request, u storage.User, s storage.Session) error {
	if p.Passkeys == nil {
		return gone(templates.MethodGone)
	}
	codes, err := p.Passkeys.Require(r.Context(), u)
	if errors.Is(err, storage.ErrNotFound) {
		return gone(templates.MethodGone)
	}
	if err != nil {
		return err
	}
	p.record(r, u, s.ID, verbRequirePasskeys, "user", u.ID)
	if len(codes) > 0 {
		return p.showRecoveryCodes(w, r, u, codes)
	}
	return p.done(w, methodsPath, "required")
}

// changePasskey renames or removes a passkey.
func (p *Pages) changePasskey(w http.ResponseWriter, r *http.Request, form oauth.Parameters, u storage.User,
	s storage.Session) error {
	id, err := base64.RawURLEncoding.DecodeString(form.Get("id"))
	if err != nil || len(id) == 0 {
		return gone(templates.MethodGone)
	}
	verb, notice := verbRenameMethod, "renamed"
	if form.Get("action") == "remove-passkey" {
		verb, notice = verbRemoveMethod, "passkey-removed"
		_, err = p.Store.RemovePasskey(r.Context(), u.ID, id)
	} else {
		err = p.Store.RenamePasskey(r.Context(), u.ID, id, people.FactorName(form.Get("name")))
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return gone(templates.MethodGone)
	case errors.Is(err, storage.ErrConflict):
		return web.RefusePage(http.StatusConflict, templates.LastWayIn)
	case err != nil:
		return fmt.Errorf("%s: %w", verb, err)
	}
	p.record(r, u, s.ID, verb, "passkey", form.Get("id"))
	return p.done(w, methodsPath, notice)
}
