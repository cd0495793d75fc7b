package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) metadata(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "metadata")
}

func (p *Provider) webfinger(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "webfinger")
}

func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "jwks")
}
