package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parameters are the parameters of one request, each present at most once (RFC 6749 §3.1, §3.2);
// resource alone may repeat (RFC 8707 §2).
type Parameters struct {
	one      map[string]string
	Resource []string
}

const (
	maxParameters = 64
	// MaxBody is the largest request body, in bytes, that is read from outside. A signed request
	// object and a client assertion fit; nothing legitimate is larger.
	MaxBody = 256 << 10
)

// Get returns the value of a parameter, "" when it is absent. A parameter without a value
// counts as absent (RFC 6749 §3.1).
func (p Parameters) Get(name string) string { return p.one[name] }

// Has reports whether the parameter was sent with a value.
func (p Parameters) Has(name string) bool { return p.one[name] != "" }

// With returns a copy in which name has the given value ("" removes it).
func (p Parameters) With(name, value string) Parameters {
	q := Parameters{one: make(map[string]string, len(p.one)+1), Resource: p.Resource}
	for k, v := range p.one {
		q.one[k] = v
	}
	if value == "" {
		delete(q.one, name)
	} else {
		q.one[name] = value
	}
	return q
}

// Values writes the parameters back as a form.
func (p Parameters) Values() url.Values {
	v := url.Values{}
	for k, s := range p.one {
		v.Set(k, s)
	}
	if len(p.Resource) > 0 {
		v["resource"] = append([]string(nil), p.Resource...)
	}
	return v
}

// NewParameters checks a decoded form: no parameter twice, valid UTF-8, no NUL, a bounded number.
// On a repeated parameter the error comes with everything that was unambiguous, so that a
// caller who knows client and redirect URI can still answer there.
func NewParameters(form url.Values) (Parameters, error) {
	p := Parameters{one: make(map[string]string, len(form))}
	if len(form) > maxParameters {
		return p, Errorf(InvalidRequest, "the request has more than %d parameters", maxParameters)
	}
	var bad error
	for name, values := range form {
		if slices.ContainsFunc(values, func(v string) bool {
			return !utf8.ValidString(v) ||
				strings.ContainsRune(v, 0)
		}) {
			bad = Errorf(InvalidRequest, "%s is not valid UTF-8 text", described(name))
			continue // it reaches nobody, not even along with the error
		}
		switch {
		case name == "resource":
			for _, v := range values {
				if v != "" {
					p.Resource = append(p.Resource, v)
				}
			}
		case len(values) > 1:
			bad = Errorf(InvalidRequest, "%s is repeated; each may be sent only once (RFC 6749 section 3.1)",
				described(name))
		case len(values) == 1 && values[0] != "":
			p.one[name] = values[0]
		}
	}
	return p, bad
}

// namedParameters are those that an error may name. Any other name is the sender's own text, and
// people would read it on our page.
var namedParameters = []string{
	"acr_values", "action", "authorization_details", "auth_req_id", "binding_message", "claims", "claims_locales",
	"client_assertion",
	"client_assertion_type", "client_id", "client_notification_token", "client_secret", "code", "code_challenge",
	"code_challenge_method",
	"code_verifier", "csrf", "decision", "device_code", "display", "dpop_jkt", "grant_type", "i", "id_token_hint",
	"login_hint",
	"login_hint_token", "logout_hint", "max_age", "method", "nonce", "password", "post_logout_redirect_uri", "prompt",
	"redirect_uri", "refresh_token",
	"registration", "rel", "request", "request_uri", "requested_expiry", "resource", "response_mode", "response_type",
	"scope", "state",
	"subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "audience",
	"token", "token_type_hint",
	"ui_locales", "user_code", "username",
}

// described names a parameter in an error.
func described(name string) string {
	if slices.Contains(namedParameters, name) {
		return "parameter " + name
	}
	return "a parameter"
}

// ParseQuery reads the parameters of a GET request.
func ParseQuery(rawQuery string) (Parameters, error) {
	form, err := url.ParseQuery(rawQuery)
	if err != nil {
		return Parameters{one: map[string]string{}},
			Errorf(InvalidRequest, "the query is not application/x-www-form-urlencoded").Because(err)
	}
	return NewParameters(form)
}

// ParseBody reads the parameters of a POST request from its body alone: what stands in the
// URL is ignored there (RFC 6749 §2.3.1, §3.2), because URLs end up in logs.
func ParseBody(r *http.Request) (Parameters, error) {
	empty := Parameters{one: map[string]string{}}
	mediatype, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediatype != "application/x-www-form-urlencoded" {
		return empty, Errorf(InvalidRequest, "Content-Type must be application/x-www-form-urlencoded")
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return empty, Errorf(InvalidRequest, "the charset of the body must be UTF-8")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return empty, Errorf(InvalidRequest, "the body is larger than %d bytes",
				MaxBody).WithStatus(http.StatusRequestEntityTooLarge)
		}
		return empty, Errorf(InvalidRequest, "the body could not be read").Because(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return empty, Errorf(InvalidRequest, "the body is not application/x-www-form-urlencoded").Because(err)
	}
	return NewParameters(form)
}
