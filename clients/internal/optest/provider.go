package optest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Client is a registered application.
type Client struct {
	ID, Secret            string // no secret: a public client
	RedirectURI           string
	AnyPort               bool // the port of RedirectURI may vary (RFC 8252 §7.3)
	PostLogoutRedirectURI string
	BackchannelLogoutURI  string
	Audience              string // aud of its access tokens; empty: the issuer
}

// Provider is the OpenID provider of a test. Its fields may be changed between requests, under
// Lock.
type Provider struct {
	Issuer string
	HTTP   *http.Client // reaches names below localhost

	sync.Mutex
	Now       func() time.Time
	Clients   map[string]Client
	Groups    []string
	Roles     []string
	MaxAge    int  // of the key set, seconds
	Down      bool // every request fails
	Ended     bool // userinfo takes no access token any more
	HideIss   bool // no iss in the response (RFC 9207), and none promised
	Deny      string
	Refuse    string // error of the token endpoint
	Edit      func(kind string, header, claims map[string]any)
	Response  func(q url.Values) // edits the authorization response
	SpoilNext bool               // the next signature is wrong
	keys      []signer

	sessions    map[string]map[string]string // sid -> client -> subject
	codes       map[string]grant
	refreshes   map[string]grant
	KeyFetches  int
	Discoveries int
	LastRequest url.Values           // of the authorization endpoint
	SignedInAt  map[string]time.Time // by session
	LogoutCodes []int                // what clients answered to logout tokens
}

type signer struct {
	id, alg string
	private crypto.Signer
}

type grant struct {
	client, sid, nonce, challenge, redirectURI, scope string
}

// Username is who signs in.
const Username = "alice"

// Subject is who that is.
const Subject = "subject-of-alice"

var rsaKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	out := make([]*rsa.PrivateKey, 2)
	for i := range out {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		out[i] = k
	}
	return out
})

// New starts a provider at a host name of its own. Keys: rs-1 (RS256, signs), es-1 (ES256), ed-1
// (EdDSA).
func New(t testing.TB, clients ...Client) *Provider {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{
		HTTP: HTTPClient(), Now: time.Now, Clients: map[string]Client{}, Groups: []string{"staff"}, MaxAge: 300,
		keys:     []signer{{"rs-1", "RS256", rsaKeys()[0]}, {"es-1", "ES256", ec}, {"ed-1", "EdDSA", ed}},
		sessions: map[string]map[string]string{}, codes: map[string]grant{}, refreshes: map[string]grant{},
		SignedInAt: map[string]time.Time{},
	}
	for _, c := range clients {
		p.Clients[c.ID] = c
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", p.jwks)
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.HandleFunc("/userinfo", p.userinfo)
	mux.HandleFunc("/logout", p.logout)
	p.Issuer = Serve(t, "id.localhost", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Lock()
		down := p.Down
		p.Unlock()
		if down {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		if r.Method == http.MethodOptions {
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return p
}

// With changes the provider under its lock.
func (p *Provider) With(change func()) {
	p.Lock()
	defer p.Unlock()
	change()
}

// Rotate replaces the first key by another one with a new id, and returns that.
func (p *Provider) Rotate() string {
	p.Lock()
	defer p.Unlock()
	p.keys[0] = signer{"rs-2", "RS256", rsaKeys()[1]}
	return "rs-2"
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	p.Lock()
	defer p.Unlock()
	p.Discoveries++
	writeJSON(w, map[string]any{
		"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token",
		"userinfo_endpoint": p.Issuer + "/userinfo", "jwks_uri": p.Issuer + "/jwks", "end_session_endpoint": p.Issuer +
			"/logout",
		"authorization_response_iss_parameter_supported": !p.HideIss,
		"id_token_signing_alg_values_supported":          []string{"RS256", "ES256", "EdDSA"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "none"},
	})
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	p.Lock()
	defer p.Unlock()
	p.KeyFetches++
	var set jose.JSONWebKeySet
	for _, k := range p.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: k.alg, Use: "sig"})
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", p.MaxAge))
	writeJSON(w, set)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.Lock()
	defer p.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q := r.Form
	client, ok := p.Clients[q.Get("client_id")]
	if !ok || !client.redirects(q.Get("redirect_uri")) {
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest)
		return
	}
	p.LastRequest = r.URL.Query()
	var sid string
	if c, err := r.Cookie("op"); err == nil && p.sessions[c.Value] != nil {
		sid = c.Value
	}
	answer := url.Values{"state": {q.Get("state")}}
	if !p.HideIss {
		answer.Set("iss", p.Issuer)
	}
	posted := r.Method == http.MethodPost && r.PostForm.Get("username") == Username
	if age, err := strconv.Atoi(q.Get("max_age")); err == nil && sid != "" &&
		p.Now().Sub(p.SignedInAt[sid]) > time.Duration(age)*time.Second {
		if !posted {
			sid = "" // ask again (OIDC Core §3.1.2.1)
		}
	}
	if posted && sid != "" {
		p.SignedInAt[sid] = p.Now()
	}
	switch {
	case p.Deny != "":
		answer.Set("error", p.Deny)
		answer.Set("error_description", "because <b>the test</b> says so")
	case q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("state") == "" ||
		q.Get("nonce") == "":
		answer.Set("error", "invalid_request")
	case sid == "" && q.Get("prompt") == "none":
		answer.Set("error", "login_required")
	case sid == "" && !posted:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><title>Sign in</title><form method="post"><input name="username"><button id="login-submit">Sign in</button></form>`)
		return
	default:
		if sid == "" {
			sid = rand.Text()
			p.sessions[sid], p.SignedInAt[sid] = map[string]string{}, p.Now()
			http.SetCookie(w, &http.Cookie{Name: "op", Value: sid, HttpOnly: true, Path: "/"})
		}
		p.sessions[sid][client.ID] = Subject
		code := rand.Text()
		p.codes[code] = grant{client.ID, sid, q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri"),
			q.Get("scope")}
		answer.Set("code", code)
	}
	if p.Response != nil {
		p.Response(answer)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

func (c Client) redirects(uri string) bool {
	if !c.AnyPort {
		return uri == c.RedirectURI
	}
	want, err1 := url.Parse(c.RedirectURI)
	got, err2 := url.Parse(uri)
	return err1 == nil && err2 == nil && got.Scheme == want.Scheme && got.Hostname() == want.Hostname() &&
		got.Path == want.Path
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.Lock()
	defer p.Unlock()
	refuse := func(status int, code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "the test says so"})
	}
	if p.Refuse != "" {
		refuse(http.StatusBadRequest, p.Refuse)
		return
	}
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "invalid_request")
		return
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id = r.PostForm.Get("client_id")
	}
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	client, ok := p.Clients[id]
	if !ok || client.Secret != secret || basic != (client.Secret != "") {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	var g grant
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		g, ok = p.codes[r.PostForm.Get("code")]
		delete(p.codes, r.PostForm.Get("code"))
		challenge := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		ok = ok && g.redirectURI == r.PostForm.Get("redirect_uri") &&
			g.challenge == base64.RawURLEncoding.EncodeToString(challenge[:])
	case "refresh_token":
		g, ok = p.refreshes[r.PostForm.Get("refresh_token")]
		delete(p.refreshes, r.PostForm.Get("refresh_token"))
		g.nonce = ""
	default:
		ok = false
	}
	if !ok || g.client != id {
		refuse(http.StatusBadRequest, "invalid_grant")
		return
	}
	access := p.accessToken(client, g)
	half := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.Issuer, "aud": id, "sub": Subject, "sid": g.sid, "iat": p.Now().Unix(),
		"exp":     p.Now().Add(5 * time.Minute).Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(half[:16]), "preferred_username": Username,
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300,
		"id_token": p.sign("id_token", map[string]any{"typ": "JWT"}, claims)}
	if slices.Contains(strings.Fields(g.scope), "offline_access") {
		refresh := rand.Text()
		p.refreshes[refresh] = g
		answer["refresh_token"] = refresh
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, answer)
}

func (p *Provider) accessToken(c Client, g grant) string {
	aud := c.Audience
	if aud == "" {
		aud = p.Issuer
	}
	return p.sign("access_token", map[string]any{"typ": "at+jwt"}, map[string]any{
		"iss": p.Issuer, "aud": aud, "sub": Subject, "client_id": c.ID, "scope": g.scope, "jti": rand.Text(),
		"iat": p.Now().Unix(), "exp": p.Now().Add(5 * time.Minute).Unix(), "groups": p.Groups, "roles": p.Roles,
		"auth_time": p.SignedInAt[g.sid].Unix(),
	})
}

// AccessToken signs an access token for the audience with edited header and claims. A nil value
// removes.
func (p *Provider) AccessToken(audience string, header, claims map[string]any) string {
	p.Lock()
	defer p.Unlock()
	h := map[string]any{"typ": "at+jwt"}
	c := map[string]any{
		"iss": p.Issuer, "aud": audience, "sub": Subject, "client_id": "app", "scope": "openid", "jti": rand.Text(),
		"iat": p.Now().Unix(), "exp": p.Now().Add(5 * time.Minute).Unix(), "roles": p.Roles,
	}
	merge(h, header)
	merge(c, claims)
	return p.sign("", h, c)
}

// LogoutToken signs a logout token for the client with edited header and claims
// (Back-Channel Logout §2.4). A nil value removes.
func (p *Provider) LogoutToken(client, sid string, header, claims map[string]any) string {
	p.Lock()
	defer p.Unlock()
	return p.logoutToken(client, sid, header, claims)
}

func (p *Provider) logoutToken(client, sid string, header, claims map[string]any) string {
	h := map[string]any{"typ": "logout+jwt"}
	c := map[string]any{
		"iss": p.Issuer, "aud": client, "sub": Subject, "sid": sid, "jti": rand.Text(),
		"iat": p.Now().Unix(), "exp": p.Now().Add(2 * time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	merge(h, header)
	merge(c, claims)
	return p.sign("", h, c)
}

func merge(into, from map[string]any) {
	maps.Copy(into, from)
	for k, v := range into {
		if v == nil {
			delete(into, k)
		}
	}
}

// sign makes a JWT by hand, so that a test can put into the header what no library would. The
// header's kid chooses the key; without one the first key signs and is named. An alg of "none"
// leaves the signature empty, HS256 signs with the first public key's modulus as the secret.
func (p *Provider) sign(kind string, header, claims map[string]any) string {
	if p.Edit != nil && kind != "" {
		p.Edit(kind, header, claims)
	}
	key := p.keys[0]
	id, _ := header["kid"].(string)
	_, named := header["kid"]
	for _, k := range p.keys {
		if k.id == id {
			key = k
		}
	}
	if !named {
		if _, no := header["no_kid"]; no {
			delete(header, "no_kid")
		} else {
			header["kid"] = key.id
		}
	}
	alg, ok := header["alg"].(string)
	if !ok {
		alg = key.alg
		header["alg"] = alg
	}
	input := encode(header) + "." + encode(claims)
	sig := signature(alg, key, input)
	if p.SpoilNext {
		p.SpoilNext = false
		sig[0] ^= 1
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// Session returns the ids of the provider's sessions.
func (p *Provider) Sessions() []string {
	p.Lock()
	defer p.Unlock()
	return slices.Collect(maps.Keys(p.sessions))
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	p.Lock()
	defer p.Unlock()
	if p.Ended || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	claims := map[string]any{"sub": Subject, "name": "Alice <Example>", "preferred_username": Username,
		"email": "alice@example.com", "groups": p.Groups, "roles": p.Roles}
	if p.Edit != nil {
		p.Edit("userinfo", nil, claims)
	}
	writeJSON(w, claims)
}

// logout ends the browser's session, tells every client that it reached, and sends the browser
// back.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	type message struct{ uri, token string }
	var tell []message
	q := r.URL.Query()
	p.Lock()
	hint := strings.Split(q.Get("id_token_hint"), ".")
	client := p.Clients[q.Get("client_id")]
	ok := len(hint) == 3 && client.ID != "" && q.Get("post_logout_redirect_uri") == client.PostLogoutRedirectURI
	if c, err := r.Cookie("op"); err == nil && ok {
		for id, subject := range p.sessions[c.Value] {
			if uri := p.Clients[id].BackchannelLogoutURI; uri != "" {
				tell = append(tell, message{uri, p.logoutToken(id, c.Value, nil, map[string]any{"sub": subject})})
			}
		}
		delete(p.sessions, c.Value)
	}
	p.Unlock()
	if !ok {
		http.Error(w, "bad logout request", http.StatusBadRequest)
		return
	}
	for _, m := range tell {
		code := PostForm(r.Context(), p.HTTP, m.uri, url.Values{"logout_token": {m.token}})
		p.With(func() { p.LogoutCodes = append(p.LogoutCodes, code) })
	}
	http.Redirect(w, r, q.Get("post_logout_redirect_uri")+"?"+url.Values{"state": {q.Get("state")}}.Encode(),
		http.StatusSeeOther)
}

// PostForm posts a form and returns the status; zero when there was no answer.
func PostForm(ctx context.Context, c *http.Client, uri string, form url.Values) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, strings.NewReader(form.Encode()))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := c.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func signature(alg string, key signer, input string) []byte {
	switch alg {
	case "none":
		return nil
	case "HS256":
		der := rsaKeys()[0].N.Bytes()
		return hmacSHA256(der, input)
	}
	digest := sha256.Sum256([]byte(input))
	switch k := key.private.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			sig, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:],
				&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			if err != nil {
				panic(err)
			}
			return sig
		}
		sig, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
		if err != nil {
			panic(err)
		}
		return sig
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			panic(err)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(input))
	}
	panic("no such key")
}

func writeJSON(w http.ResponseWriter, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	_ = json.NewEncoder(w).Encode(v)
}
