package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) account(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "account")
}

func (p *Provider) changeAccount(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "changeAccount")
}

func (p *Provider) home(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "home")
}
