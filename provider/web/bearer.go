package web

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"latchkey/provider/oauth"
)

// errNoCredentials says that a request carried no token at all: the answer then names no error
// (RFC 6750 §3.1).
var errNoCredentials = errors.New("the request carries no access token")

// BearerToken finds the access token of a request: in the Authorization header or in a form body,
// and in exactly one of them (RFC 6750 §2). In a URL it would end up in logs and histories, and is
// refused there whatever else is sent (RFC 9700 §4.3.2).
func BearerToken(r *http.Request) (string, error) {
	if r.URL.Query().Has("access_token") {
		return "", oauth.Errorf(oauth.InvalidRequest,
			"an access token must not be sent in the URL; use the Authorization header (RFC 6750 section 5.3)")
	}
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", oauth.Errorf(oauth.InvalidRequest, "more than one Authorization header")
	}
	inBody := ""
	if mediatype, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost &&
		err == nil && mediatype == "application/x-www-form-urlencoded" {
		form, err := oauth.ParseBody(r)
		if err != nil {
			return "", err
		}
		inBody = form.Get("access_token")
	}
	if len(headers) == 0 {
		if inBody == "" {
			return "", errNoCredentials
		}
		return inBody, nil
	}
	if inBody != "" {
		return "", oauth.Errorf(oauth.InvalidRequest,
			"the access token must be sent in one way only (RFC 6750 section 2)")
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoCredentials
	}
	if value == "" {
		return "", oauth.Errorf(oauth.InvalidRequest, "the Authorization header has no token")
	}
	return value, nil
}

// Challenge puts the problem into WWW-Authenticate too (RFC 6750 §3).
func Challenge(w http.ResponseWriter, err error) error {
	const realm = `Bearer realm="latchkey"`
	if errors.Is(err, errNoCredentials) {
		w.Header().Set("WWW-Authenticate", realm)
		return oauth.Errorf(oauth.InvalidToken,
			"an access token is needed: Authorization: Bearer (RFC 6750)").Because(err)
	}
	var e *oauth.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case oauth.InvalidRequest, oauth.InvalidToken, oauth.InsufficientScope:
		value := fmt.Sprintf(`%s, error="%s", error_description="%s"`, realm, e.Code, e.Description)
		if e.Code == oauth.InsufficientScope {
			value += `, scope="openid"`
		}
		w.Header().Set("WWW-Authenticate", value)
	}
	return err
}
