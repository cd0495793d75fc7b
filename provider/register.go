package provider

import (
	"net/http"

	"latchkey/provider/oauth"
)

func (p *Provider) register(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "register")
}

func (p *Provider) readRegistration(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "readRegistration")
}

func (p *Provider) updateRegistration(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "updateRegistration")
}

func (p *Provider) deleteRegistration(w http.ResponseWriter, r *http.Request) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "deleteRegistration")
}

// registrationLimits bounds open registration per client address.
type registrationLimits struct{}

func newRegistrationLimits(perHour int) *registrationLimits { return &registrationLimits{} }
