package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "revoke")
}
