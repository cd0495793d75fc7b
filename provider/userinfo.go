package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"latchkey/keys"
	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// userinfo tells an application about the person who let it (OIDC Core §5.3).
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	value, err := bearerToken(r)
	if err != nil {
		return challenge(w, err)
	}
	t, err := p.readAccessToken(ctx, value)
	if err != nil {
		return challenge(w, refuseToken(err))
	}
	mention(r, "client_id", t.ClientID)
	holder, err := p.inForce(ctx, t)
	if err != nil {
		return challenge(w, refuseToken(err))
	}
	scope := access.GrantableScope(holder.client, t.Scope)
	if t.GrantID == "" || !slices.Contains(scope, oauth.ScopeOpenID) {
		return challenge(w, oauth.Errorf(oauth.InsufficientScope, "the access token does not have scope openid"))
	}
	mention(r, "sub", holder.user.ID)
	named := access.GrantableClaims(holder.client, claimsOfRequest(holder.grant.Claims.Userinfo))
	claims, err := p.personClaims(ctx, holder.user, append(claimsOfScope(scope), named...))
	if err != nil {
		return err
	}
	claims["sub"] = p.subject(holder.client, holder.user.ID)
	return p.writeUserinfo(ctx, w, holder.client, claims)
}

// writeUserinfo writes the claims as JSON, or as the JWT that the client is registered for (OIDC Core §5.3.2).
func (p *Provider) writeUserinfo(ctx context.Context, w http.ResponseWriter, client clients.Client, claims map[string]any) error {
	alg, encryption := client.UserinfoSignedResponseAlg, client.UserinfoEncryptedResponseAlg
	if alg == "" && encryption == "" {
		writeJSON(w, http.StatusOK, claims)
		return nil
	}
	var body, cty string
	var err error
	switch {
	case alg == "":
		plain, jsonErr := json.Marshal(claims)
		body, err = string(plain), jsonErr
	case alg == "none" && p.InsecureAllowNone:
		claims["iss"], claims["aud"] = p.Issuer, client.ID
		cty = "JWT"
		body, err = keys.InsecureUnsigned(claims)
	default:
		claims["iss"], claims["aud"] = p.Issuer, client.ID
		cty = "JWT"
		body, err = p.sign(ctx, alg, "", claims)
	}
	if err == nil && encryption != "" {
		body, err = p.encryptTo(ctx, client, []byte(body), encryption, client.UserinfoEncryptedResponseEnc, cty)
	}
	if err != nil {
		return fmt.Errorf("make userinfo response: %w", err)
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = w.Write([]byte(body))
	return nil
}

// errNoCredentials says that a request carried no token at all: the answer then names no error (RFC 6750 §3.1).
var errNoCredentials = errors.New("the request carries no access token")

// bearerToken finds the access token of a request: in the Authorization header or in a form body, and in exactly one of them (RFC 6750 §2). In
// a URL it would end up in logs and histories, and is refused there whatever else is sent (RFC 9700 §4.3.2).
func bearerToken(r *http.Request) (string, error) {
	if r.URL.Query().Has("access_token") {
		return "", oauth.Errorf(oauth.InvalidRequest, "an access token must not be sent in the URL; use the Authorization header (RFC 6750 section 5.3)")
	}
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", oauth.Errorf(oauth.InvalidRequest, "more than one Authorization header")
	}
	inBody := ""
	if mediatype, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && err == nil && mediatype == "application/x-www-form-urlencoded" {
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
		return "", oauth.Errorf(oauth.InvalidRequest, "the access token must be sent in one way only (RFC 6750 section 2)")
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

// refuseToken says in the words of RFC 6750 §3.1 that a token is not good; a fault of the store stays what it is.
func refuseToken(err error) error {
	if errors.Is(err, errNoToken) {
		return oauth.Errorf(oauth.InvalidToken, "the access token is unknown, has expired or was revoked").Because(err)
	}
	return err
}

// challenge puts the problem into WWW-Authenticate too (RFC 6750 §3).
func challenge(w http.ResponseWriter, err error) error {
	const realm = `Bearer realm="latchkey"`
	if errors.Is(err, errNoCredentials) {
		w.Header().Set("WWW-Authenticate", realm)
		return oauth.Errorf(oauth.InvalidToken, "an access token is needed: Authorization: Bearer (RFC 6750)").Because(err)
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

// holder is whom an access token was issued to and for.
type holder struct {
	client clients.Client
	grant  storage.Grant // zero when no person is involved
	user   storage.User  // zero when no person is involved
}

// inForce decides whether what an access token was issued for still stands: userinfo and introspection ask the same question as the token endpoint
// does, see standing. The error is errNoToken, or a fault of the store.
func (p *Provider) inForce(ctx context.Context, t issued) (holder, error) {
	client, err := p.Store.Client(ctx, t.ClientID)
	if errors.Is(err, storage.ErrNotFound) {
		return holder{}, fmt.Errorf("%w: its client is gone", errNoToken)
	}
	if err != nil {
		return holder{}, fmt.Errorf("load client: %w", err)
	}
	if t.GrantID == "" {
		if d := access.DecideClient(client); !d.Allowed {
			return holder{}, fmt.Errorf("%w: %s", errNoToken, d.Reason)
		}
		return holder{client: client}, nil
	}
	grant, err := p.Store.Grant(ctx, t.GrantID)
	if errors.Is(err, storage.ErrNotFound) {
		return holder{}, fmt.Errorf("%w: its grant is gone", errNoToken)
	}
	if err != nil {
		return holder{}, fmt.Errorf("load grant: %w", err)
	}
	user, err := p.standing(ctx, client, grant)
	var refused *oauth.Error
	if errors.As(err, &refused) {
		return holder{}, fmt.Errorf("%w: %w", errNoToken, err)
	}
	if err != nil {
		return holder{}, err
	}
	return holder{client, grant, user}, nil
}
