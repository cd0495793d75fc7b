package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Client loads a client that may act. An unknown and a disabled one look the same from outside.
func (p *Pages) Client(ctx context.Context, id string) (clients.Client, error) {
	if id == "" {
		return clients.Client{}, oauth.Errorf(oauth.InvalidRequest, "client_id is missing")
	}
	unknown := web.RefusePage(http.StatusBadRequest, templates.ClientUnknown)
	if len(id) > 256 {
		return clients.Client{}, unknown.Because(errors.New("client_id is longer than 256 characters"))
	}
	c, err := p.Store.Client(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return c, unknown.Because(fmt.Errorf("client_id %q is not registered", id))
	}
	if err != nil {
		return c, fmt.Errorf("load client: %w", err)
	}
	if c.Disabled {
		return clients.Client{}, unknown.Because(fmt.Errorf("client %q is disabled", id))
	}
	if !c.UnusedUntil.IsZero() && !p.Web.Now().Before(c.UnusedUntil) {
		return clients.Client{}, unknown.Because(fmt.Errorf("client %q registered itself, and nobody used it for too long", id))
	}
	return c, nil
}

// verifyRedirect answers the first question of every authorization request: may this client be
// answered at this address? The person sees nothing of a wrong address; the log sees exactly what
// was received and what was registered.
func verifyRedirect(client clients.Client, uri string) (clients.Redirect, error) {
	redirect, err := client.Redirect(uri)
	if err != nil {
		problem := templates.RedirectUnknown
		if uri == "" {
			problem = templates.RedirectMissing
		}
		return redirect, web.RefusePage(http.StatusBadRequest, problem).
			BackTo(client.ClientURI, client.Name()).
			Because(fmt.Errorf("redirect_uri received %q, registered %q: %w", web.Clip(uri, 500), client.RedirectURIs, err))
	}
	return redirect, nil
}

// requiresPKCE reports whether a request of the client without code_challenge is refused.
func (p *Pages) requiresPKCE(client clients.Client) bool {
	if p.InsecurePublicWithoutPKCE && client.Dynamic && client.Public() {
		return false
	}
	return client.RequiresPKCE()
}
