package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "userinfo")
}
