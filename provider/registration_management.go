package provider

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// A client manages its own registration with the registration access token that it was given (RFC 7592). The token stays the same for as
// long as the client lives: a client that lost the answer to an update can still read what became of it.

// readRegistration tells a client what is registered (RFC 7592 §2.1). The secret is not told again: only its hash is kept.
func (p *Provider) readRegistration(w http.ResponseWriter, r *http.Request) error {
	client, token, err := p.manages(r)
	if err != nil {
		return challenge(w, err)
	}
	writeJSON(w, http.StatusOK, p.registration(client, "", token))
	return nil
}

// updateRegistration replaces what a client says about itself (RFC 7592 §2.2), checked as at registration.
func (p *Provider) updateRegistration(w http.ResponseWriter, r *http.Request) error {
	old, token, err := p.manages(r)
	if err != nil {
		return challenge(w, err)
	}
	if old.Disabled {
		return errDisabledClient()
	}
	metadata, rest, err := readMetadata(r)
	if err != nil {
		return err
	}
	given, err := p.checkIdentity(old, rest)
	if err != nil {
		return err
	}
	client, err := p.dynamicClient(old, metadata)
	if err != nil {
		return err
	}
	if err := p.checkAddresses(r.Context(), client); err != nil {
		return err
	}
	secret, err := p.carrySecret(old, &client, given)
	if err != nil {
		return err
	}
	if err := EnsureKeys(r.Context(), p.Keys, client.Metadata); err != nil {
		return err
	}
	switch err := p.Store.UpdateClient(r.Context(), client); {
	case errors.Is(err, storage.ErrNotFound):
		return challenge(w, errRegistrationToken(err))
	case errors.Is(err, storage.ErrConflict):
		return oauth.Errorf(oauth.InvalidRequest, "the registration was changed by somebody else at the same time; read it and try again").Because(err).WithStatus(http.StatusConflict)
	case err != nil:
		return fmt.Errorf("update registered client: %w", err)
	}
	writeJSON(w, http.StatusOK, p.registration(client, secret, token))
	return nil
}

// deleteRegistration ends a client with everything that was granted to it (RFC 7592 §2.3).
func (p *Provider) deleteRegistration(w http.ResponseWriter, r *http.Request) error {
	client, _, err := p.manages(r)
	if err != nil {
		return challenge(w, err)
	}
	if client.Disabled {
		return errDisabledClient()
	}
	err = p.Store.DeleteClient(r.Context(), client.ID, p.now())
	if errors.Is(err, storage.ErrNotFound) {
		return challenge(w, errRegistrationToken(err))
	}
	if err != nil {
		return fmt.Errorf("delete registered client: %w", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// manages returns the client that the path names, if the request carries its registration access token. Whether there is no such client, or it has
// no such token, or the token is another's: the answer is the same (RFC 7592 §2).
func (p *Provider) manages(r *http.Request) (client clients.Client, token string, err error) {
	if token, err = bearerToken(r); err != nil {
		return client, "", err
	}
	id := variable(r, "client_id")
	client, err = p.Store.Client(r.Context(), id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return client, "", fmt.Errorf("load client of registration: %w", err)
	}
	// A client that does not exist has no hash, and neither has one that an administrator made: nothing equals that.
	if subtle.ConstantTimeCompare([]byte(storage.Hash(token)), []byte(client.RegistrationTokenHash)) != 1 {
		return clients.Client{}, "", errRegistrationToken(err)
	}
	mention(r, "client_id", client.ID)
	return client, token, nil
}

func errRegistrationToken(cause error) error {
	return oauth.Errorf(oauth.InvalidToken, "the registration access token does not belong to a client at this address").Because(cause)
}

func errDisabledClient() error {
	return oauth.Errorf(oauth.AccessDenied, "an administrator has disabled this client; its registration cannot be changed")
}

// checkIdentity insists that an update names the client that it is for, and its secret if it names one (RFC 7592 §2.2). It returns that secret.
func (p *Provider) checkIdentity(client clients.Client, rest map[string]json.RawMessage) (secret string, err error) {
	var id string
	if raw, ok := rest["client_id"]; !ok || json.Unmarshal(raw, &id) != nil || id != client.ID {
		return "", oauth.Errorf(oauth.InvalidClientMetadata, "client_id must be there and be the client's own; it cannot be changed (RFC 7592 section 2.2)")
	}
	raw, ok := rest["client_secret"]
	if !ok || string(raw) == "null" {
		return "", nil
	}
	if json.Unmarshal(raw, &secret) != nil || !p.secrets.Check(client, secret, p.now()) {
		return "", oauth.Errorf(oauth.InvalidClientMetadata, "client_secret must be the client's own; it cannot be chosen or changed (RFC 7592 section 2.2)")
	}
	return secret, nil
}

// carrySecret takes the secret over from the client as it was, as far as its way to authenticate needs one, and returns a new one if there was none
// or its value is needed and not known.
func (p *Provider) carrySecret(old clients.Client, client *clients.Client, given string) (secret string, err error) {
	switch {
	case !client.UsesSecret():
		client.SecretHash, client.SealedSecret = nil, nil
		return "", nil
	case len(old.SecretHash) == 0:
		secret = clients.NewSecret()
		return secret, client.SetSecret(secret, p.secrets, p.Sealer)
	case client.TokenEndpointAuthMethod != oauth.AuthClientSecretJWT:
		client.SealedSecret = nil
		return "", nil
	case len(old.SealedSecret) > 0:
		return "", nil
	case given != "":
		return given, client.SetSecret(given, p.secrets, p.Sealer)
	}
	secret = clients.NewSecret()
	return secret, client.SetSecret(secret, p.secrets, p.Sealer)
}
