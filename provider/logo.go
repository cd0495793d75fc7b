package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) logo(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "logo")
}
