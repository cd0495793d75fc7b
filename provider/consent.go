package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) showConsent(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "showConsent")
}

func (p *Provider) consent(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "consent")
}
