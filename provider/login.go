package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "showLogin")
}

func (p *Provider) login(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "login")
}
