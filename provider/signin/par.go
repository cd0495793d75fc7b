package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/provider/clientauth"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

const (
	// pushedPrefix begins every reference to a pushed request (RFC 9126 §2.2).
	pushedPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedTTL is how long a reference may be opened. A user who is asked something has longer:
	// the request is an interaction by then.
	pushedTTL = time.Minute
	// maxPushed bounds the parameters of a pushed request, in bytes.
	maxPushed = 64 << 10
	// maxPushedReference bounds a reference that holds the request itself, in characters. It is
	// longer than the 512 of RFC 9101 §5.2 only where nobody vouches for the client.
	maxPushedReference = 2 << 10
	// pushedAgain is how long a sign-in that took too long may begin once more with a pushed
	// request. That the request was used is remembered for longer.
	pushedAgain = 24 * time.Hour

	// kindPushed is the kind under which used requests are kept.
	kindPushed = "pushed-request"

	// A client that an administrator vouches for pushes so many units in a window, to one instance.
	pushedUnits  = 10_000
	pushedUnit   = 4 << 10 // bytes
	pushedWindow = time.Minute
)

// NewPushLimit makes the limit of Pages.Pushes.
func NewPushLimit() *web.Limit { return web.NewLimit(pushedUnits, pushedWindow) }

// pushed is what is kept of a pushed request.
type pushed struct {
	ID       string     `json:"id"`
	ClientID string     `json:"client_id"`
	Form     url.Values `json:"form"` // of the request object, if there was one
	// it came as a signed request object
	Signed    bool      `json:"signed,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// PushAuthorizationRequest is the pushed authorization request endpoint (RFC 9126 §2): a client
// sends its authorization request ahead, and gets a reference to it.
func (p *Pages) PushAuthorizationRequest(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	// 1. Who is the client?
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	client, err := p.Clients.Authenticate(ctx, r, params)
	if err != nil {
		return err
	}
	// 2. What does it ask for? Beside a request object nothing counts (RFC 9126 §3).
	if params.Has("request_uri") {
		return oauth.Errorf(oauth.InvalidRequest, "request_uri must not be pushed (RFC 9126 section 2.1)")
	}
	form := params.Values()
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		form.Del(name)
	}
	form.Set("client_id", client.ID)
	if object := params.Get("request"); object != "" {
		form = url.Values{"client_id": {client.ID}, "request": {object}}
	}
	asked, err := oauth.NewParameters(form)
	if err != nil {
		return err
	}
	if asked, err = p.requestObject(ctx, client, asked); err != nil {
		return err
	}
	// 3. May it, and would the answer reach it? All of it is asked again when the reference is used
	// (RFC 9126 §7.4).
	proof, err := p.Clients.ReadProof(w, r, "/par", clientauth.NonceServer, "")
	if err != nil {
		return err
	}
	if jkt := asked.Get("dpop_jkt"); proof.JKT != "" && jkt != "" && jkt != proof.JKT {
		return oauth.Errorf(oauth.InvalidDPoPProof,
			"dpop_jkt is not the thumbprint of the key of the DPoP proof (RFC 9449 section 10.1)")
	}
	if proof.JKT != "" {
		asked = asked.With("dpop_jkt", proof.JKT)
	}
	redirect, err := client.Redirect(asked.Get("redirect_uri"))
	if err != nil {
		return err
	}
	now := p.Web.Now()
	reference := storage.Random()
	kept := pushed{ID: storage.Hash(reference), ClientID: client.ID, Form: asked.Values(),
		Signed: params.Has("request") && p.signsObjects(client), ExpiresAt: now.Add(pushedTTL)}
	req, err := oauth.ParseAuthorization(asked)
	if err != nil {
		return err
	}
	req.ClientID, req.RedirectURI, req.SignedObject, req.Pushed = client.ID, redirect.String(), kept.Signed, kept.ID
	if err := p.mayAsk(ctx, client, &req); err != nil {
		return err
	}
	// 4. Keep it.
	if err := p.Clients.UseProof(ctx, proof); err != nil {
		return err
	}
	if reference, err = p.keepPushed(w, r, client, reference, kept); err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusCreated, map[string]any{"request_uri": pushedPrefix + reference,
		"expires_in": int64(pushedTTL / time.Second)})
	return nil
}

// signsObjects reports whether the request objects of the client are signed ones.
func (p *Pages) signsObjects(client clients.Client) bool {
	return client.RequireSignedRequestObject || !p.Grants.InsecureAllowNone
}

// keepPushed keeps a request and returns its reference. Where nobody vouches for the client,
// anybody could fill the store: the request travels sealed in its own reference then, and is stored
// within the limits of interactions if it is too large for that.
func (p *Pages) keepPushed(w http.ResponseWriter, r *http.Request, client clients.Client, reference string,
	kept pushed) (string, error) {
	now := p.Web.Now()
	plain, err := json.Marshal(kept)
	if err != nil {
		return "", err
	}
	if len(plain) > maxPushed {
		return "", oauth.Errorf(oauth.InvalidRequest, "the request is larger than %d bytes",
			maxPushed).WithStatus(http.StatusRequestEntityTooLarge)
	}
	var wait time.Duration
	if client.Public() || client.Dynamic {
		sealed, ok, err := p.sealed(plain, pushedPrefix, maxPushedReference)
		if err != nil || ok {
			return sealed, err
		}
		wait = p.stored.take(p.Web.ClientAddress(r), largePerNetwork, largeMost, now)
	} else {
		for range 1 + len(plain)/pushedUnit {
			wait = max(wait, p.Pushes.Count(client.ID, now))
		}
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return "", oauth.Errorf(oauth.TemporarilyUnavailable,
			"too many pushed requests; wait as long as Retry-After says").WithStatus(http.StatusTooManyRequests)
	}
	sealed, err := p.Sealer.Seal(plain, pushedPrefix+kept.ID)
	if err != nil {
		return "", fmt.Errorf("seal pushed request: %w", err)
	}
	err = p.Store.CreatePushedRequest(r.Context(), storage.PushedRequest{ID: kept.ID, ClientID: client.ID,
		Sealed: sealed, CreatedAt: now, ExpiresAt: kept.ExpiresAt})
	if err != nil {
		return "", fmt.Errorf("store pushed request: %w", err)
	}
	return reference, nil
}

// isPushed reports whether a request_uri names a pushed request.
func isPushed(uri string) bool { return strings.HasPrefix(uri, pushedPrefix) }

// pushedRequest finds the request that the client pushed and that was not used yet
// (RFC 9126 §4). Why there is none is not told, but to the log.
func (p *Pages) pushedRequest(ctx context.Context, client clients.Client, uri string) (pushed, error) {
	gone := func(why string) (pushed, error) {
		return pushed{}, oauth.Errorf(oauth.InvalidRequestURI,
			"request_uri is unknown, has expired, was used before, or is another client's").Because(errors.New(why))
	}
	now, reference := p.Web.Now(), strings.TrimPrefix(uri, pushedPrefix)
	if len(uri) > len(pushedPrefix)+maxPushedReference {
		return gone("it is too long")
	}
	plain, sealed := p.unsealed(reference, pushedPrefix, maxPushedReference)
	if !sealed {
		stored, err := p.Store.PushedRequest(ctx, storage.Hash(reference))
		if errors.Is(err, storage.ErrNotFound) {
			return gone("there is no such request")
		}
		if err != nil {
			return pushed{}, fmt.Errorf("load pushed request: %w", err)
		}
		if plain, err = p.Sealer.Open(stored.Sealed, pushedPrefix+stored.ID); err != nil {
			return pushed{}, fmt.Errorf("open pushed request: %w", err)
		}
	}
	var kept pushed
	if err := json.Unmarshal(plain, &kept); err != nil {
		return pushed{}, fmt.Errorf("read pushed request: %w", err)
	}
	switch {
	case kept.ClientID != client.ID:
		return gone(fmt.Sprintf("client %q pushed it", kept.ClientID))
	case !now.Before(kept.ExpiresAt):
		return gone("it expired at " + kept.ExpiresAt.Format(time.RFC3339))
	}
	spent, err := p.Store.Spent(ctx, kindPushed, kept.ID, now)
	if err != nil {
		return pushed{}, fmt.Errorf("look up pushed request: %w", err)
	}
	if spent {
		return gone("it was used")
	}
	return kept, nil
}

// spendPushed uses up the pushed request that an authorization request came as, if it did. Of any
// number of browsers and tabs exactly one gets true (RFC 9126 §4, §7.3).
func (p *Pages) spendPushed(ctx context.Context, req oauth.AuthorizationRequest) (bool, error) {
	if req.Pushed == "" {
		return true, nil
	}
	now := p.Web.Now()
	// Whatever was begun with it before now ends within that time.
	err := p.Store.Spend(ctx, kindPushed, req.Pushed, now, now.Add(p.InteractionTTL+pushedAgain+pushedTTL))
	if errors.Is(err, storage.ErrConsumed) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("use pushed request: %w", err)
	}
	return true, nil
}

// pushedAnew reports whether a sign-in that took too long may begin once more: always, if its
// request was not pushed, else as long as it is remembered whether that was used.
func (p *Pages) pushedAnew(ctx context.Context, old storage.Interaction) (bool, error) {
	if old.Request.Pushed == "" {
		return true, nil
	}
	now := p.Web.Now()
	if now.Sub(old.CreatedAt) >= pushedAgain {
		return false, nil
	}
	spent, err := p.Store.Spent(ctx, kindPushed, old.Request.Pushed, now)
	if err != nil {
		return false, fmt.Errorf("look up pushed request: %w", err)
	}
	return !spent, nil
}
