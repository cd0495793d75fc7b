package web

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"latchkey/keys"
	"latchkey/provider/oauth"
)

// errNoCredentials says that a request carried no token at all: the answer then names no error
// (RFC 6750 §3.1).
var errNoCredentials = errors.New("the request carries no access token")

// Presented is an access token as a request presents it.
type Presented struct {
	Value string
	// DPoP reports that it came by the scheme DPoP, and not as a bearer token (RFC 9449 §7.1).
	DPoP bool
}

// BearerToken finds the access token of a request that takes no other than a bearer token, see
// PresentedToken.
func BearerToken(r *http.Request) (string, error) {
	t, err := PresentedToken(r)
	if err == nil && t.DPoP {
		err = errNoCredentials
	}
	return t.Value, err
}

// PresentedToken finds the access token of a request: in the Authorization header or in a form
// body, and in exactly one of them (RFC 6750 §2). In a URL it would end up in logs and histories,
// and is refused there whatever else is sent (RFC 9700 §4.3.2).
func PresentedToken(r *http.Request) (Presented, error) {
	if r.URL.Query().Has("access_token") {
		return Presented{}, oauth.Errorf(oauth.InvalidRequest,
			"an access token must not be sent in the URL; use the Authorization header (RFC 6750 section 5.3)")
	}
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return Presented{}, oauth.Errorf(oauth.InvalidRequest, "more than one Authorization header")
	}
	inBody := ""
	if mediatype, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost &&
		err == nil && mediatype == "application/x-www-form-urlencoded" {
		form, err := oauth.ParseBody(r)
		if err != nil {
			return Presented{}, err
		}
		inBody = form.Get("access_token")
	}
	if len(headers) == 0 {
		if inBody == "" {
			return Presented{}, errNoCredentials
		}
		return Presented{Value: inBody}, nil
	}
	if inBody != "" {
		return Presented{}, oauth.Errorf(oauth.InvalidRequest,
			"the access token must be sent in one way only (RFC 6750 section 2)")
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	t := Presented{Value: value, DPoP: strings.EqualFold(scheme, "DPoP")}
	if !t.DPoP && !strings.EqualFold(scheme, "Bearer") {
		return Presented{}, errNoCredentials
	}
	if value == "" {
		return Presented{}, oauth.Errorf(oauth.InvalidRequest, "the Authorization header has no token")
	}
	return t, nil
}

const (
	bearerChallenge = `Bearer realm="latchkey"`
	dpopChallenge   = `DPoP realm="latchkey"`
)

// Challenge puts the problem into WWW-Authenticate too (RFC 6750 §3).
func Challenge(w http.ResponseWriter, err error) error {
	if errors.Is(err, errNoCredentials) {
		w.Header().Set("WWW-Authenticate", bearerChallenge)
		return oauth.Errorf(oauth.InvalidToken,
			"an access token is needed: Authorization: Bearer (RFC 6750)").Because(err)
	}
	return challenge(w, bearerChallenge, err)
}

// ChallengeToken is Challenge where a token may be bound to a key: the scheme is the one that was
// tried, or both where nothing was (RFC 9449 §7.1).
func ChallengeToken(w http.ResponseWriter, r *http.Request, err error) error {
	dpop := dpopChallenge + `, algs="` + strings.Join(keys.ProofAlgorithms, " ") + `"`
	if errors.Is(err, errNoCredentials) {
		err = Challenge(w, err)
		w.Header().Add("WWW-Authenticate", dpop)
		return err
	}
	var e *oauth.Error
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	proof := errors.As(err, &e) && (e.Code == oauth.InvalidDPoPProof || e.Code == oauth.UseDPoPNonce)
	if !proof && !strings.EqualFold(scheme, "DPoP") {
		return Challenge(w, err)
	}
	if proof {
		copied := *e
		err = copied.WithStatus(http.StatusUnauthorized)
	}
	return challenge(w, dpop, err)
}

func challenge(w http.ResponseWriter, scheme string, err error) error {
	var e *oauth.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case oauth.InvalidRequest, oauth.InvalidToken, oauth.InsufficientScope, oauth.InvalidDPoPProof,
		oauth.UseDPoPNonce:
		value := fmt.Sprintf(`%s, error="%s", error_description="%s"`, scheme, e.Code, e.Description)
		if e.Code == oauth.InsufficientScope {
			value += `, scope="openid"`
		}
		w.Header().Set("WWW-Authenticate", value)
	}
	return err
}
