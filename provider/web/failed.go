package web

import (
	"errors"
	"net/http"
	"slices"

	"latchkey/provider/oauth"
)

// Failed is a request of a client that was refused, as an administrator needs it to find out why.
// It holds no secret: of the parameters, those that every browser on the way sees anyway.
type Failed struct {
	RequestID string
	ClientID  string // as it was sent; there may be no such client
	Route     string // the path of the endpoint
	Status    int
	Error     string // the error code, "" for a page
	Reason    string // what the log has
	Received  map[string]string
}

// receivedParameters are what is kept of an authorization or logout request.
var receivedParameters = []string{"redirect_uri", "response_type", "response_mode", "scope", "code_challenge_method",
	"prompt", "resource", "post_logout_redirect_uri"}

// ordinary are refusals that belong to the normal run of things: an application that asks whether
// somebody is signed in hears that nobody is.
var ordinary = []oauth.Code{oauth.LoginRequired, oauth.ConsentRequired, oauth.InteractionRequired,
	oauth.AccountSelectionRequired, oauth.AccessDenied}

// maxReceived bounds one value that is kept, in bytes.
const maxReceived = 500

// failed tells whoever wants to know of a refused request of a client.
func (s *Site) failed(r *http.Request, ev *event, status int) {
	if s.tellFailed == nil || ev.err == nil || status >= 500 && status != http.StatusServiceUnavailable ||
		status == statusGone {
		return
	}
	f := Failed{RequestID: ev.id, Route: ev.route, Status: status, Reason: Clip(ev.err.Error(), 2*maxReceived),
		Received: map[string]string{}}
	for _, a := range ev.attrs {
		if a.Key == "client_id" {
			f.ClientID = Clip(a.Value.String(), 200)
		}
		if a.Key == "grant_type" {
			f.Received["grant_type"] = Clip(a.Value.String(), maxReceived)
		}
	}
	if f.ClientID == "" {
		return
	}
	var page *PageError
	if !errors.As(ev.err, &page) {
		code := oauth.AsError(ev.err).Code
		if slices.Contains(ordinary, code) {
			return
		}
		f.Error = string(code)
	}
	query := r.URL.Query()
	for _, name := range receivedParameters {
		if value := query.Get(name); value != "" {
			f.Received[name] = Clip(value, maxReceived)
		}
	}
	if query.Has("response_type") && query.Get("code_challenge") != "" {
		f.Received["code_challenge"] = "yes"
	}
	if r.Method == http.MethodPost {
		f.Received["client_authentication"] = "body"
		if _, _, basic := r.BasicAuth(); basic {
			f.Received["client_authentication"] = "Authorization: Basic"
		}
	}
	s.tellFailed(r, f)
}
