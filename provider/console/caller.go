package console

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/provider/access"
	"latchkey/provider/admin"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// caller is who calls the API, and with what.
type caller struct {
	actor      admin.Actor
	user       storage.User
	credential string   // kind and identifier, as in the log: what limits and idempotency keys are kept by
	scope      []string // what the credential permits
}

// Limits of the API.
const (
	perCredential = 600 // requests in a minute
	wrongPerHost  = 30  // wrong credentials in a minute, from one address
	limitWindow   = time.Minute
)

// challenge is what a 401 comes with (RFC 6750 §3).
const challenge = `Bearer realm="latchkey"`

// Resource is the identifier of the API: what the audience of an access token for it names
// (RFC 8707 §2).
func (c *Console) Resource() string { return c.Web.URL(Base) }

// authenticate finds out who calls. The problem is 401 for a credential that is missing or good
// for nothing, and 403 for one that is good and belongs to nobody who administers.
func (c *Console) authenticate(w http.ResponseWriter, r *http.Request) (caller, error) {
	address, now := c.Web.ClientAddress(r), c.Web.Now()
	if wait := c.wrong.Wait(address, now); wait > 0 {
		return caller{}, tooMany(wait)
	}
	if r.URL.Query().Has("access_token") {
		return caller{}, invalidParameter("access_token",
			"must not be in an address; send it in the Authorization header")
	}
	headers := r.Header.Values("Authorization")
	refuse := func(detail string, err error) (caller, error) {
		w.Header().Set("WWW-Authenticate", challenge)
		if len(headers) > 0 {
			w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
			c.wrong.Count(address, now)
		}
		return caller{}, unauthorized().With(detail).Because(err)
	}
	if len(headers) == 0 {
		return refuse("send an API key or an access token: Authorization: Bearer", nil)
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	presented := web.Presented{Value: value, DPoP: strings.EqualFold(scheme, "DPoP")}
	if len(headers) > 1 || !presented.DPoP && !strings.EqualFold(scheme, "Bearer") || value == "" {
		return refuse("the Authorization header must be there once, as Bearer and the value", nil)
	}
	var who caller
	var err error
	if id, secret, ok := admin.ParseAPIKey(value); ok && !presented.DPoP {
		who, err = c.byKey(r, id, secret, address)
	} else {
		who, err = c.byToken(w, r, presented)
	}
	var proof *oauth.Error
	if errors.As(err, &proof) && presented.DPoP {
		c.wrong.Count(address, now)
		return caller{}, unauthorized().With(proof.Description).Because(web.ChallengeToken(w, r, err))
	}
	if errors.Is(err, errCredential) || proof != nil {
		return refuse("the credential is unknown, has expired or was revoked", err)
	}
	if err != nil {
		return caller{}, err
	}
	who.actor.Address, who.actor.RequestID = address, web.RequestID(r)
	web.Mention(r, "sub", who.user.ID)
	web.Mention(r, "credential", who.credential)
	return who, nil
}

// errCredential says that a credential is good for nothing.
var errCredential = errors.New("not a valid credential")

// byKey finds the holder of an API key.
func (c *Console) byKey(r *http.Request, id, secret, address string) (caller, error) {
	k, err := c.Store.APIKey(r.Context(), id)
	if errors.Is(err, storage.ErrNotFound) {
		return caller{}, fmt.Errorf("%w: there is no such key", errCredential)
	}
	if err != nil {
		return caller{}, fmt.Errorf("load API key: %w", err)
	}
	now := c.Web.Now()
	switch {
	case subtle.ConstantTimeCompare([]byte(k.SecretHash), []byte(storage.Hash(secret))) != 1:
		return caller{}, fmt.Errorf("%w: the secret of key %s is another", errCredential, id)
	case !k.Valid(now):
		return caller{}, fmt.Errorf("%w: key %s is over", errCredential, id)
	}
	user, err := c.Store.User(r.Context(), k.UserID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && user.Disabled {
		return caller{}, fmt.Errorf("%w: whoever has key %s is gone or disabled", errCredential, id)
	}
	if err != nil {
		return caller{}, fmt.Errorf("load user of API key: %w", err)
	}
	if now.Sub(k.LastUsed) >= time.Minute || k.LastFrom != address {
		if err := c.Store.UseAPIKey(r.Context(), k, now, address); err != nil {
			return caller{}, err
		}
	}
	return caller{actor: c.actor(user), user: user, credential: "key:" + k.ID, scope: k.Scope}, nil
}

// byToken finds the holder of an access token that was issued for the API.
func (c *Console) byToken(w http.ResponseWriter, r *http.Request, presented web.Presented) (caller, error) {
	t, err := c.Grants.PresentedToken(w, r, strings.TrimPrefix(r.URL.Path, c.Web.Path), presented)
	if errors.Is(err, grants.ErrNoToken) {
		return caller{}, fmt.Errorf("%w: %w", errCredential, err)
	}
	if err != nil {
		return caller{}, err
	}
	if !slices.Contains(t.Audience, c.Resource()) {
		return caller{}, fmt.Errorf("%w: its audience is %q", errCredential, t.Audience)
	}
	holder, err := c.Grants.TokenHolder(r.Context(), t)
	if errors.Is(err, grants.ErrNoToken) {
		return caller{}, fmt.Errorf("%w: %w", errCredential, err)
	}
	if err != nil {
		return caller{}, err
	}
	web.Mention(r, "client_id", t.ClientID)
	if t.GrantID == "" {
		return caller{}, forbidden().With("an application by itself administers nothing; the token must be a person's")
	}
	if ok, err := c.SignIn.FactorPolicy.Proved(r.Context(), holder.Grant.ACR, holder.User); err != nil {
		return caller{}, err
	} else if !ok {
		return caller{}, forbidden().With("the person has or needs a second factor, and the token was given without it")
	}
	return caller{actor: c.actor(holder.User), user: holder.User, credential: "grant:" + t.GrantID,
		scope: access.GrantableScope(holder.Client, t.Scope)}, nil
}

func tooMany(wait time.Duration) *web.Problem {
	return web.NewProblem(http.StatusTooManyRequests, "too-many", "There are too many requests").RetryAfter(wait)
}
