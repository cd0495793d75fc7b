package registration

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// A client manages its own registration with the registration access token that it was given
// (RFC 7592). The token stays the same for as long as the client lives: a client that lost the
// answer to an update can still read what became of it.

// Read tells a client what is registered (RFC 7592 §2.1). The secret is not told again: only its
// hash is kept.
func (ep *Endpoints) Read(w http.ResponseWriter, r *http.Request) error {
	client, token, err := ep.manages(r)
	if err != nil {
		return web.Challenge(w, err)
	}
	web.WriteJSON(w, http.StatusOK, ep.registration(client, "", token))
	return nil
}

// Update replaces what a client says about itself (RFC 7592 §2.2), checked as at registration.
func (ep *Endpoints) Update(w http.ResponseWriter, r *http.Request) error {
	old, token, err := ep.manages(r)
	if err != nil {
		return web.Challenge(w, err)
	}
	if old.Disabled {
		return errDisabledClient()
	}
	metadata, rest, err := readMetadata(r)
	if err != nil {
		return err
	}
	metadata = completed(metadata, ep.loopback())
	given, err := ep.checkIdentity(old, rest)
	if err != nil {
		return err
	}
	if !dynamicClient(old, metadata).UsesSecret() {
		given = "" // it goes with the old way to authenticate
	}
	client, secret, err := ep.Admin.UpdateClient(r.Context(), ep.actor(r, old), old.ID, admin.ClientChange{
		Seen: old.Version, Secret: given, Policy: ep.policy(),
		Change: func(c *clients.Client) error {
			*c = dynamicClient(*c, metadata)
			return nil
		},
		Check: func(_ context.Context, c clients.Client) error { return ep.checkAddresses(c) },
	})
	switch {
	case errors.Is(err, admin.ErrNotFound):
		return web.Challenge(w, errRegistrationToken(err))
	case errors.Is(err, admin.ErrConflict):
		return oauth.Errorf(oauth.InvalidRequest,
			"the registration was changed by another request at the same time; read it and try again").Because(err).WithStatus(http.StatusConflict)
	case err != nil:
		return fmt.Errorf("update registered client: %w", err)
	}
	web.WriteJSON(w, http.StatusOK, ep.registration(client, secret, token))
	return nil
}

// Delete ends a client with everything that was granted to it (RFC 7592 §2.3).
func (ep *Endpoints) Delete(w http.ResponseWriter, r *http.Request) error {
	client, _, err := ep.manages(r)
	if err != nil {
		return web.Challenge(w, err)
	}
	if client.Disabled {
		return errDisabledClient()
	}
	err = ep.Admin.DeleteClient(r.Context(), ep.actor(r, client), client.ID)
	if errors.Is(err, admin.ErrNotFound) {
		return web.Challenge(w, errRegistrationToken(err))
	}
	if err != nil {
		return fmt.Errorf("delete registered client: %w", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// manages returns the client that the path names, if the request carries its registration access
// token. Whether there is no such client, or it has no such token, or the token is another's: the
// answer is the same (RFC 7592 §2).
func (ep *Endpoints) manages(r *http.Request) (client clients.Client, token string, err error) {
	if token, err = web.BearerToken(r); err != nil {
		return client, "", err
	}
	id := web.Variable(r, "client_id")
	client, err = ep.Store.Client(r.Context(), id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return client, "", fmt.Errorf("load client of registration: %w", err)
	}
	// A client that does not exist has no hash, and neither has one that an administrator made:
	// nothing equals that.
	if subtle.ConstantTimeCompare([]byte(storage.Hash(token)), []byte(client.RegistrationTokenHash)) != 1 {
		return clients.Client{}, "", errRegistrationToken(err)
	}
	web.Mention(r, "client_id", client.ID)
	return client, token, nil
}

func errRegistrationToken(cause error) error {
	return oauth.Errorf(oauth.InvalidToken,
		"the registration access token does not belong to a client at this address").Because(cause)
}

func errDisabledClient() error {
	return oauth.Errorf(oauth.AccessDenied,
		"an administrator has disabled this client; its registration cannot be changed")
}

// checkIdentity insists that an update names the client that it is for, and its secret if it names
// one (RFC 7592 §2.2). It returns that secret.
func (ep *Endpoints) checkIdentity(client clients.Client, rest map[string]json.RawMessage) (secret string, err error) {
	var id string
	if raw, ok := rest["client_id"]; !ok || json.Unmarshal(raw, &id) != nil || id != client.ID {
		return "", oauth.Errorf(oauth.InvalidClientMetadata,
			"client_id must be there and be the client's own; it cannot be changed (RFC 7592 section 2.2)")
	}
	raw, ok := rest["client_secret"]
	if !ok || string(raw) == "null" {
		return "", nil
	}
	if json.Unmarshal(raw, &secret) != nil || !ep.Secrets.Check(client, secret, ep.Web.Now()) {
		return "", oauth.Errorf(oauth.InvalidClientMetadata,
			"client_secret must be the client's own; it cannot be chosen or changed (RFC 7592 section 2.2)")
	}
	return secret, nil
}
