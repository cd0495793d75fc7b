package oauth

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// AuthorizationRequest is a validated authorization request (RFC 6749 §4.1.1, OIDC Core §3.1.2.1).
type AuthorizationRequest struct {
	ClientID      string   `bson:"client_id" json:"client_id"`
	RedirectURI   string   `bson:"redirect_uri" json:"redirect_uri"`
	ResponseType  string   `bson:"response_type" json:"response_type"` // canonical order, see ResponseType.String
	ResponseMode  string   `bson:"response_mode" json:"response_mode"` // never empty
	Scope         []string `bson:"scope" json:"scope"`
	State         string   `bson:"state,omitempty" json:"state,omitempty"`
	Nonce         string   `bson:"nonce,omitempty" json:"nonce,omitempty"`
	CodeChallenge string   `bson:"code_challenge,omitempty" json:"code_challenge,omitempty"` // always S256
	Prompt        []string `bson:"prompt,omitempty" json:"prompt,omitempty"`
	MaxAge        *int64   `bson:"max_age,omitempty" json:"max_age,omitempty"` // seconds
	Display       string   `bson:"display,omitempty" json:"display,omitempty"`
	UILocales     []string `bson:"ui_locales,omitempty" json:"ui_locales,omitempty"`
	LoginHint     string   `bson:"login_hint,omitempty" json:"login_hint,omitempty"`
	// checked at once, never stored
	IDTokenHint string `bson:"-" json:"-"`
	// sub of a verified id_token_hint
	HintSubject string        `bson:"hint_subject,omitempty" json:"hint_subject,omitempty"`
	ACRValues   []string      `bson:"acr_values,omitempty" json:"acr_values,omitempty"`
	Claims      ClaimsRequest `bson:"claims" json:"claims"`
	Resource    []string      `bson:"resource,omitempty" json:"resource,omitempty"` // RFC 8707 §2
	// it came as a signed request object (RFC 9101)
	SignedObject bool `bson:"signed_object,omitempty" json:"signed_object,omitempty"`
	// thumbprint of the key that the code is bound to (RFC 9449 §10)
	DPoPJKT string `bson:"dpop_jkt,omitempty" json:"dpop_jkt,omitempty"`
	// which pushed request it came as (RFC 9126); it is used up with the answer
	Pushed string `bson:"pushed,omitempty" json:"pushed,omitempty"`
}

// PromptCreate asks for a new account (Initiating User Registration §4.1). Where people make no
// accounts, it is as if it had not been asked for.
const PromptCreate = "create"

// HasPrompt reports whether prompt contains v (OIDC Core §3.1.2.1).
func (r AuthorizationRequest) HasPrompt(v string) bool { return slices.Contains(r.Prompt, v) }

// HasScope reports whether the request asks for scope s.
func (r AuthorizationRequest) HasScope(s string) bool { return slices.Contains(r.Scope, s) }

// ClaimsRequest is the claims parameter (OIDC Core §5.5).
type ClaimsRequest struct {
	Userinfo map[string]ClaimRequest `bson:"userinfo,omitempty" json:"userinfo,omitempty"`
	IDToken  map[string]ClaimRequest `bson:"id_token,omitempty" json:"id_token,omitempty"`
}

// ClaimRequest says how one claim is wanted (OIDC Core §5.5.1).
type ClaimRequest struct {
	Essential bool     `bson:"essential,omitempty" json:"essential,omitempty"`
	Values    []string `bson:"values,omitempty" json:"values,omitempty"` // value or values, as far as they are strings
}

// Empty reports whether nothing was asked for.
func (c ClaimsRequest) Empty() bool { return len(c.Userinfo) == 0 && len(c.IDToken) == 0 }

const (
	maxClaims      = 16 << 10
	maxClaimsDepth = 8
)

// ParseClaims reads the claims parameter: JSON with the members userinfo and id_token, others are
// ignored (OIDC Core §5.5).
func ParseClaims(s string) (ClaimsRequest, error) {
	var out ClaimsRequest
	if s == "" {
		return out, nil
	}
	bad := func(why string) (ClaimsRequest, error) {
		return ClaimsRequest{}, Errorf(InvalidRequest,
			"claims must be a JSON object as in OpenID Connect Core section 5.5: %s", why)
	}
	if len(s) > maxClaims {
		return bad("it is longer than 16384 bytes")
	}
	if depth(s) > maxClaimsDepth {
		return bad("it is nested too deeply")
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &top); err != nil || top == nil {
		return bad("it is not a JSON object")
	}
	for member, into := range map[string]*map[string]ClaimRequest{"userinfo": &out.Userinfo, "id_token": &out.IDToken} {
		raw, ok := top[member]
		if !ok || bytes.Equal(raw, []byte("null")) {
			continue
		}
		var wanted map[string]json.RawMessage
		if err := json.Unmarshal(raw, &wanted); err != nil {
			return bad(member + " is not an object")
		}
		if len(wanted) > 100 {
			return bad(member + " names more than 100 claims")
		}
		*into = make(map[string]ClaimRequest, len(wanted))
		for name, how := range wanted {
			// A name is kept as a field of a stored document; nothing that we can answer looks
			// otherwise.
			if name == "" || len(name) > 100 || strings.ContainsAny(name, "$.\x00") {
				continue
			}
			var c struct {
				Essential bool              `json:"essential"`
				Value     json.RawMessage   `json:"value"`
				Values    []json.RawMessage `json:"values"`
			}
			if err := json.Unmarshal(how, &c); err != nil {
				return bad("claim " + name + " is neither null nor an object")
			}
			req := ClaimRequest{Essential: c.Essential}
			for _, v := range append(c.Values, c.Value) {
				var str string
				if len(v) > 0 && json.Unmarshal(v, &str) == nil && str != "" {
					req.Values = append(req.Values, str)
				}
			}
			(*into)[name] = req
		}
	}
	return out, nil
}

func depth(s string) int {
	deepest, now := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		}
	}
	return deepest
}

// maxState bounds, in characters, what is sent back to a client or goes into its ID token.
const maxState = 4096

// ErrStateTooLong refuses a request whose state could not be sent back: the client could not tell
// which of its requests an answer without it belongs to (RFC 6749 §4.1.2.1), so there is none, and
// the user reads why.
var ErrStateTooLong = Errorf(InvalidRequest, "state may have %d characters at most", maxState)

// ParseAuthorization reads everything of an authorization request but client_id and redirect_uri,
// which must have been checked before (they decide where an error may go). It knows the grammar
// only: what the client may ask for is decided elsewhere. The ResponseMode of the result is valid
// even when an error is returned, so that the error can be delivered as asked.
func ParseAuthorization(p Parameters) (AuthorizationRequest, error) {
	req := AuthorizationRequest{
		State:       p.Get("state"),
		Nonce:       p.Get("nonce"),
		Display:     short(p.Get("display"), 20),
		LoginHint:   short(p.Get("login_hint"), 512),
		IDTokenHint: p.Get("id_token_hint"),
		Resource:    p.Resource,
	}
	if len(req.State) > maxState {
		req.State = ""
		return req, ErrStateTooLong
	}
	rt, rtErr := ParseResponseType(p.Get("response_type"))
	req.ResponseType, req.ResponseMode = rt.String(), rt.DefaultMode()
	switch mode := p.Get("response_mode"); mode {
	case "":
	case ModeFragment, ModeFormPost:
		req.ResponseMode = mode
	case ModeQuery:
		if rt.FrontChannel() {
			return req, Errorf(InvalidRequest, "response_mode query cannot carry tokens; use fragment or form_post")
		}
		req.ResponseMode = mode
	default:
		return req, Errorf(InvalidRequest, "response_mode must be query, fragment or form_post")
	}
	if rtErr != nil {
		return req, rtErr
	}
	if len(req.Nonce) > maxState {
		return req, Errorf(InvalidRequest, "nonce may have %d characters at most", maxState)
	}
	var err error
	if req.Scope, err = ParseScope(p.Get("scope")); err != nil {
		return req, err
	}
	if rt.IDToken && req.Nonce == "" {
		return req, Errorf(InvalidRequest, "nonce is required when an ID token comes from the authorization endpoint (OpenID Connect Core section 3.2.2.1)")
	}
	if rt.IDToken && !req.HasScope(ScopeOpenID) {
		return req, Errorf(InvalidScope, "response_type id_token needs scope openid")
	}
	if err = CheckChallenge(p.Get("code_challenge"), p.Get("code_challenge_method")); err != nil {
		return req, err
	}
	req.CodeChallenge = p.Get("code_challenge")
	for _, v := range strings.Fields(p.Get("prompt")) {
		switch v {
		case "none", "login", "consent", "select_account", PromptCreate:
			if !slices.Contains(req.Prompt, v) {
				req.Prompt = append(req.Prompt, v)
			}
		default:
			return req, Errorf(InvalidRequest, "prompt must be none, login, consent, select_account or create")
		}
	}
	if req.HasPrompt("none") && len(req.Prompt) > 1 {
		return req, Errorf(InvalidRequest, "prompt none cannot be combined with another value (OpenID Connect Core section 3.1.2.1)")
	}
	if s := p.Get("max_age"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > 1<<40 {
			return req, Errorf(InvalidRequest, "max_age must be a number of seconds, 0 or more")
		}
		req.MaxAge = &n
	}
	req.UILocales = firstFields(p.Get("ui_locales"), 10)
	req.ACRValues = firstFields(p.Get("acr_values"), 10)
	if req.Claims, err = ParseClaims(p.Get("claims")); err != nil {
		return req, err
	}
	if req.DPoPJKT = p.Get("dpop_jkt"); req.DPoPJKT != "" && !thumbprint.MatchString(req.DPoPJKT) {
		return req, Errorf(InvalidRequest,
			"dpop_jkt must be the SHA-256 thumbprint of a JWK in base64url, 43 characters (RFC 9449 section 10)")
	}
	if len(req.Resource) > 10 {
		return req, Errorf(InvalidTarget, "more than 10 resource parameters")
	}
	return req, nil
}

// thumbprint is what a SHA-256 looks like in base64url (RFC 7638 §3).
var thumbprint = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// short is s unless it is longer than n bytes: what is only a hint is not worth an error, and is
// not stored at any length either.
func short(s string, n int) string {
	if len(s) > n {
		return ""
	}
	return s
}

// firstFields splits a space-separated list and keeps at most n short values.
func firstFields(s string, n int) []string {
	var out []string
	for _, f := range strings.Fields(s) {
		if len(f) <= 200 && len(out) < n {
			out = append(out, f)
		}
	}
	return out
}
