package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) showAccounts(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "showAccounts")
}

func (p *Provider) chooseAccount(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "chooseAccount")
}
