package attacks_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// bound makes a public client whose tokens are bound, its key and a user, and checks first that it
// gets tokens, and gets userinfo with them.
func bound(c *trial) (clients.Client, *ecdsa.PrivateKey, storage.User, providertest.AnswerJSON) {
	c.Helper()
	client := c.client("dpop", providertest.Public, func(m *clients.Client) { m.DPoPBoundAccessTokens = true })
	alice, key := c.user("alice"), providertest.EcKey(c)
	got := c.w.BoundTokens(client, alice, providertest.Offline, key)
	if got.Str("token_type") != "DPoP" {
		c.Errorf("token_type %q", got.Str("token_type"))
	}
	c.works(c.whois(key, got.Str("access_token"), nil))
	return client, key, alice, got
}

// whois asks userinfo with a proof by the key.
func (c *trial) whois(key *ecdsa.PrivateKey, token string, change map[string]any) providertest.AnswerJSON {
	claims := providertest.ATH(token)
	for k, v := range change {
		claims[k] = v
	}
	return c.w.WhoisProving("DPoP", token, c.w.Proof(key, "GET", "/userinfo", claims))
}

// badProofs are proofs that are none, each for a request of the method to the path. token is the
// access token that comes with them, if one does.
func badProofs(c *trial, key *ecdsa.PrivateKey, method, path, token string) map[string]string {
	other := providertest.EcKey(c)
	ath := map[string]any{}
	if token != "" {
		ath = providertest.ATH(token)
	}
	claims := func(change map[string]any) map[string]any {
		out := c.w.ProofOf(method, path, ath)
		for k, v := range change {
			if out[k] = v; v == nil {
				delete(out, k)
			}
		}
		return out
	}
	header := func(name string, value any) map[jose.HeaderKey]any {
		h := providertest.ProofHeader(key)
		if h[jose.HeaderKey(name)] = value; value == nil {
			delete(h, jose.HeaderKey(name))
		}
		return h
	}
	sign := func(h map[jose.HeaderKey]any) string {
		return providertest.SignJWT(c, jose.ES256, key, claims(nil), h)
	}
	raw := func(jwk string) string {
		return sign(header("jwk", json.RawMessage(jwk)))
	}
	public, err := json.Marshal(jose.JSONWebKey{Key: key.Public()})
	c.must(err)
	private, err := json.Marshal(jose.JSONWebKey{Key: key})
	c.must(err)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	c.must(err)
	short, err := json.Marshal(jose.JSONWebKey{Key: small.Public()})
	c.must(err)
	good := sign(header("x", 1))
	parts := strings.Split(good, ".")
	proofs := map[string]string{
		"garbage": "garbage", "empty": "", "two dots": "..", "two in one": good + "," + good,
		"no typ": sign(header("typ", nil)), "typ JWT": sign(header("typ", "JWT")),
		"typ at+jwt": sign(header("typ", "at+jwt")),
		"no jwk":     sign(header("jwk", nil)), "a private jwk": raw(string(private)),
		"a jwk of another": raw(`{"kty":"oct","k":"AAAA"}`),
		"off the curve": raw(`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) +
			`","y":"` + strings.Repeat("A", 43) + `"}`),
		"a short RSA":   raw(string(short)),
		"a huge RSA":    raw(`{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("A", 5000) + `"}`),
		"crit":          sign(header("crit", []string{"x"})),
		"another's key": providertest.SignJWT(c, jose.ES256, other, claims(nil), header("x", 1)),
		"alg none":      forge(`{"typ":"dpop+jwt","alg":"none","jwk":`+string(public)+`}`, claims(nil), nil),
		"zeros": forge(`{"typ":"dpop+jwt","alg":"ES256","jwk":`+string(public)+`}`, claims(nil),
			make([]byte, 64)),
		"RS256": providertest.SignJWT(c, jose.RS256, providertest.RsaKey(), claims(nil),
			map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: providertest.RsaKey().Public()}}),
		"another payload": parts[0] + "." + parts[1] + "A" + "." + parts[2],
		"jti too long":    c.w.Proof(key, method, path, claims(map[string]any{"jti": strings.Repeat("x", 257)})),
	}
	for alg, secret := range spellings(c, key.Public()) {
		proofs["HS256 by "+alg] = providertest.SignJWT(c, jose.HS256, secret, claims(nil),
			map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}})
		break
	}
	for _, name := range []string{"jti", "htm", "htu", "iat"} {
		change := claims(map[string]any{name: nil})
		proofs["no "+name] = providertest.SignJWT(c, jose.ES256, key, change, header("x", 1))
		proofs[name+" a list"] = providertest.SignJWT(c, jose.ES256, key, claims(map[string]any{name: []string{"x"}}),
			header("x", 1))
	}
	return proofs
}

func TestAttacksOnDPoP(t *testing.T) {
	here := func(c *trial, what string, a providertest.AnswerJSON) {
		c.Helper()
		c.refused(what, a, http.StatusBadRequest, oauth.InvalidDPoPProof)
	}
	there := func(c *trial, what string, a providertest.AnswerJSON, codes ...oauth.Code) {
		c.Helper()
		c.refused(what, a, http.StatusUnauthorized, codes...)
		if !strings.Contains(a.Header.Get("WWW-Authenticate"), "DPoP ") &&
			!strings.Contains(a.Header.Get("WWW-Authenticate"), "Bearer ") {
			c.Errorf("%s: %v", what, a.Header)
		}
	}
	group(t,
		attack{"DP-1", "a proof that is no good DPoP proof is refused", func(c *trial) {
			client, key, alice, got := bound(c)
			for what, proof := range badProofs(c, key, "POST", "/token", "") {
				code, _ := c.w.Authorized(client, alice, "openid")
				here(c, what, c.w.CallProving("/token", client, c.w.RedeemForm(client, code), proof))
			}
			for what, proof := range badProofs(c, key, "GET", "/userinfo", got.Str("access_token")) {
				there(c, what, c.w.WhoisProving("DPoP", got.Str("access_token"), proof), oauth.InvalidDPoPProof)
			}
			// None of that used anything up.
			code, _ := c.w.Authorized(client, alice, "openid")
			one, two := c.w.Proof(key, "POST", "/token", nil), c.w.Proof(key, "POST", "/token", nil)
			here(c, "two", c.w.CallProving("/token", client, c.w.RedeemForm(client, code), one, two))
			c.works(c.w.CallProving("/token", client, c.w.RedeemForm(client, code), one))
		}},
		attack{"DP-2", "a proof is good for one method and address", func(c *trial) {
			client, key, alice, got := bound(c)
			host := strings.TrimPrefix(c.w.Issuer, "http://")
			ask := func(change map[string]any) providertest.AnswerJSON {
				code, _ := c.w.Authorized(client, alice, "openid")
				return c.w.CallProving("/token", client, c.w.RedeemForm(client, code),
					c.w.Proof(key, "POST", "/token", change))
			}
			for what, change := range map[string]map[string]any{
				"htm GET": {"htm": "GET"}, "htm post": {"htm": "post"}, "userinfo": {"htu": c.w.Issuer + "/userinfo"},
				"another host": {"htu": "http://evil.example/token"}, "https": {"htu": "https://" + host + "/token"},
				"a suffix": {"htu": c.w.Issuer + "/token/"}, "dots": {"htu": c.w.Issuer + "/userinfo/../token"},
				"a user": {"htu": "http://u@" + host + "/token"}, "no scheme": {"htu": "//" + host + "/token"},
				"a path": {"htu": "/token"}, "escaped": {"htu": c.w.Issuer + "/%74oken"},
				"no path": {"htu": c.w.Issuer},
			} {
				here(c, what, ask(change))
			}
			for what, htu := range map[string]string{"a query": c.w.Issuer + "/token?x=1",
				"a fragment": c.w.Issuer + "/token#x", "upper case": "HTTP://" + strings.ToUpper(host) + "/token"} {
				if a := ask(map[string]any{"htu": htu}); a.StatusCode != http.StatusOK {
					c.Errorf("%s: %d %v", what, a.StatusCode, a.JSON)
				}
			}
			there(c, "the token endpoint's", c.whois(key, got.Str("access_token"),
				map[string]any{"htu": c.w.Issuer + "/token"}), oauth.InvalidDPoPProof)
			there(c, "of POST", c.whois(key, got.Str("access_token"), map[string]any{"htm": "POST"}),
				oauth.InvalidDPoPProof)
		}},
		attack{"DP-3", "a proof is used once", func(c *trial) {
			client, key, alice, got := bound(c)
			two, token := c.instances(), got.Str("access_token")
			claims := c.w.ProofOf("GET", "/userinfo", providertest.ATH(token))
			proof := providertest.SignJWT(c, jose.ES256, key, claims, providertest.ProofHeader(key))
			ask := func(proof string) providertest.AnswerJSON {
				r, err := http.NewRequest(http.MethodGet, two.base()+"/userinfo", nil)
				c.must(err)
				r.Header.Set("Authorization", "DPoP "+token)
				r.Header.Set("DPoP", proof)
				return c.w.Send(r)
			}
			c.works(ask(proof))
			there(c, "twice", ask(proof), oauth.InvalidDPoPProof)
			there(c, "twice, at the other instance", ask(proof), oauth.InvalidDPoPProof)
			for range 5 {
				proof := c.w.Proof(key, "GET", "/userinfo", providertest.ATH(token))
				won, _ := providertest.AtOnce(20, func() providertest.AnswerJSON { return ask(proof) })
				if len(won) != 1 {
					c.Errorf("%d of 20 at once got an answer", len(won))
				}
			}
			// The same jti by another key is another proof.
			other := providertest.EcKey(c)
			theirs := c.w.BoundTokens(client, alice, "openid", other).Str("access_token")
			claims["ath"] = providertest.ATH(theirs)["ath"]
			c.works(c.w.WhoisProving("DPoP", theirs, providertest.SignJWT(c, jose.ES256, other, claims,
				providertest.ProofHeader(other))))
			// A proof is remembered for as long as it is good.
			edge := c.w.Proof(key, "GET", "/userinfo", map[string]any{"iat": c.w.Web.Now().Unix() + 59,
				"ath": providertest.ATH(token)["ath"]})
			c.works(ask(edge))
			for range 4 {
				c.w.Clock.Advance(44 * time.Second)
				there(c, "at the edge", ask(edge), oauth.InvalidDPoPProof)
			}
			// At the token endpoint, too.
			code, _ := c.w.Authorized(client, alice, providertest.Offline)
			proof = c.w.Proof(key, "POST", "/token", nil)
			first := c.works(c.w.CallProving("/token", client, c.w.RedeemForm(client, code), proof))
			here(c, "for a refresh token", c.w.CallProving("/token", client,
				c.w.RenewForm(client, first.Str("refresh_token")), proof))
			c.works(c.w.CallProving("/token", client, c.w.RenewForm(client, first.Str("refresh_token")),
				c.w.Proof(key, "POST", "/token", nil)))
		}},
		attack{"DP-4", "a proof is fresh: by its clock, or by a nonce where one is required", func(c *trial) {
			client, key, alice, _ := bound(c)
			now := c.w.Web.Now().Unix()
			ask := func(w *providertest.World, client clients.Client, alice storage.User,
				change map[string]any) providertest.AnswerJSON {
				code, _ := w.Authorized(client, alice, "openid")
				return w.CallProving("/token", client, w.RedeemForm(client, code),
					w.Proof(key, "POST", "/token", change))
			}
			for _, off := range []int64{-10, 10} {
				c.works(ask(c.w, client, alice, map[string]any{"iat": now + off}))
			}
			for what, change := range map[string]map[string]any{"an hour ago": {"iat": now - 3600},
				"in an hour": {"iat": now + 3600}, "expired": {"exp": now - 60}, "not yet": {"nbf": now + 61}} {
				here(c, what, ask(c.w, client, alice, change))
			}

			w := c.fresh(func(p *provider.Config) { p.RequireDPoPNonce = true }).In(c)
			client = w.AddClient(c.name+"nonce", providertest.Public,
				func(m *clients.Client) { m.DPoPBoundAccessTokens = true })
			alice = w.AddUser(c.name + "nonce")
			first := ask(w, client, alice, nil)
			c.refused("no nonce", first, http.StatusBadRequest, oauth.UseDPoPNonce)
			nonce := first.Header.Get("DPoP-Nonce")
			got := c.works(ask(w, client, alice, map[string]any{"nonce": nonce, "iat": now - 3600}))
			token := got.Str("access_token")
			userinfo := func(nonce string) providertest.AnswerJSON {
				return w.WhoisProving("DPoP", token, w.Proof(key, "GET", "/userinfo",
					map[string]any{"ath": providertest.ATH(token)["ath"], "nonce": nonce}))
			}
			there(c, "a nonce of the token endpoint", userinfo(nonce), oauth.UseDPoPNonce)
			c.works(userinfo(userinfo("").Header.Get("DPoP-Nonce")))
			for _, bad := range []string{"", "x", nonce + "A", userinfo("").Header.Get("DPoP-Nonce"),
				strings.Repeat("A", 32)} {
				c.refused("nonce "+bad, ask(w, client, alice, map[string]any{"nonce": bad}), http.StatusBadRequest,
					oauth.UseDPoPNonce)
			}
			w.Clock.Advance(6 * time.Minute)
			c.refused("a stale nonce", ask(w, client, alice, map[string]any{"nonce": nonce}), http.StatusBadRequest,
				oauth.UseDPoPNonce)
		}},
		attack{"DP-5", "a bound token is worth nothing without a proof by its key", func(c *trial) {
			client, key, alice, got := bound(c)
			other, token := providertest.EcKey(c), got.Str("access_token")
			proof := func(key *ecdsa.PrivateKey, change map[string]any) string {
				return c.w.Proof(key, "GET", "/userinfo", change)
			}
			good := providertest.ATH(token)
			there(c, "no ath", c.w.WhoisProving("DPoP", token, proof(key, nil)), oauth.InvalidDPoPProof)
			there(c, "another's ath", c.w.WhoisProving("DPoP", token, proof(key, providertest.ATH("x"))),
				oauth.InvalidDPoPProof)
			there(c, "another key", c.w.WhoisProving("DPoP", token, proof(other, good)), oauth.InvalidToken)
			there(c, "no proof", c.w.WhoisProving("DPoP", token), oauth.InvalidDPoPProof)
			there(c, "as a bearer token", c.w.Whois(token), oauth.InvalidToken)
			there(c, "as a bearer token, with a proof", c.w.WhoisProving("Bearer", token, proof(key, good)),
				oauth.InvalidToken)
			r, err := http.NewRequest(http.MethodPost, c.w.Issuer+"/userinfo",
				strings.NewReader(url.Values{"access_token": {token}}.Encode()))
			c.must(err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("DPoP", c.w.Proof(key, "POST", "/userinfo", good))
			there(c, "in a body", c.w.Send(r), oauth.InvalidToken)
			free := c.w.Tokens(c.client("free"), alice, "openid").Str("access_token")
			c.works(c.w.Whois(free))
			there(c, "a bearer token as a bound one",
				c.w.WhoisProving("DPoP", free, proof(key, providertest.ATH(free))),
				oauth.InvalidToken)
			opaque := c.client("opaque", func(m *clients.Client) { m.OpaqueAccessTokens = true })
			mine := c.w.BoundTokens(opaque, alice, "openid", key).Str("access_token")
			c.works(c.whois(key, mine, nil))
			there(c, "an opaque one as a bearer token", c.w.Whois(mine), oauth.InvalidToken)
			api := c.client("api", providertest.API(c.w.Issuer))
			for _, t := range []string{token, mine} {
				a := c.w.Asks(api, t)
				cnf, _ := a.JSON["cnf"].(map[string]any)
				if a.JSON["active"] != true || a.Str("token_type") != "DPoP" || cnf["jkt"] != providertest.JKT(c, key) {
					c.Errorf("introspection: %v", a.JSON)
				}
			}
			_ = client
		}},
		attack{"DP-6", "a code bound to a key is redeemed with that key", func(c *trial) {
			client, key, _, _ := bound(c)
			b, _, _ := c.signedIn("bob")
			other, jkt := providertest.EcKey(c), providertest.JKT(c, key)
			redeem := func(code string, key *ecdsa.PrivateKey) providertest.AnswerJSON {
				return c.w.CallProving("/token", client, c.w.RedeemForm(client, code),
					c.w.Proof(key, "POST", "/token", nil))
			}
			pushed := func(key *ecdsa.PrivateKey, change ...string) providertest.AnswerJSON {
				return c.w.CallProving("/par", client, providertest.MustQuery(c, c.w.Request(client, change...)),
					c.w.Proof(key, "POST", "/par", nil))
			}
			plain := client
			plain.ID, plain.DPoPBoundAccessTokens = c.name+"plain", false
			plain = c.w.AddClient(plain.ID, providertest.Public)
			for how, target := range map[string]string{
				"dpop_jkt":         c.w.Request(client, "dpop_jkt", jkt),
				"dpop_jkt, pushed": c.w.MustPush(client, "dpop_jkt", jkt),
				"a proof":          c.w.Pushed(client, c.works(pushed(key)).Str("request_uri")),
				"a proof and the jkt": c.w.Pushed(client, c.works(pushed(key, "dpop_jkt", jkt)).Str("request_uri"),
					"dpop_jkt", providertest.JKT(c, other)),
			} {
				code := c.code(b.Get(target))
				c.refused(how+", another key", redeem(code, other), http.StatusBadRequest, oauth.InvalidGrant)
				here(c, how+", no proof", c.w.Redeem(client, code))
				c.works(redeem(code, key))
			}
			here(c, "a proof by one key and the jkt of another", pushed(other, "dpop_jkt", jkt))
			c.refused("no thumbprint", c.w.Push(client, "dpop_jkt", "x"), http.StatusBadRequest, oauth.InvalidRequest)
			code := c.code(b.Get(c.w.Request(plain, "dpop_jkt", jkt)))
			here(c, "of a client that is free to", c.w.Redeem(plain, code))
		}},
		attack{"DP-7", "a bound refresh token stays bound", func(c *trial) {
			client, key, alice, got := bound(c)
			other := providertest.EcKey(c)
			renew := func(client clients.Client, token string, key *ecdsa.PrivateKey) providertest.AnswerJSON {
				return c.w.CallProving("/token", client, c.w.RenewForm(client, token),
					c.w.Proof(key, "POST", "/token", nil))
			}
			token := got.Str("refresh_token")
			c.refused("another key", renew(client, token, other), http.StatusBadRequest, oauth.InvalidGrant)
			here(c, "no proof", c.w.Renew(client, token))
			next := c.works(renew(client, token, key))
			c.works(c.whois(key, next.Str("access_token"), nil))
			here(c, "no proof for the next", c.w.Renew(client, next.Str("refresh_token")))
			// Who need not use proofs, and did, goes on with them.
			free, web := c.client("free", providertest.Public), c.client("web")
			mine := c.w.BoundTokens(free, alice, providertest.Offline, key).Str("refresh_token")
			c.refused("another key", renew(free, mine, other), http.StatusBadRequest, oauth.InvalidGrant)
			here(c, "a public client without a proof", c.w.Renew(free, mine))
			c.works(renew(free, mine, key))
			theirs := c.w.BoundTokens(web, alice, providertest.Offline, key).Str("refresh_token")
			here(c, "a confidential client without a proof", c.w.Renew(web, theirs))
			if a := c.works(renew(web, theirs, other)); a.Str("token_type") != "DPoP" {
				c.Errorf("%v", a.JSON)
			}
		}},
		attack{"DP-8", "a client whose tokens are to be bound gets no others", func(c *trial) {
			client, key, alice, _ := bound(c)
			code, _ := c.w.Authorized(client, alice, "openid")
			here(c, "a code", c.w.Redeem(client, code))
			service := c.client("service", providertest.Service,
				func(m *clients.Client) { m.DPoPBoundAccessTokens = true })
			form := url.Values{"grant_type": {"client_credentials"}}
			here(c, "client_credentials", c.w.Call("/token", service, form))
			a := c.works(c.w.CallProving("/token", service, form, c.w.Proof(key, "POST", "/token", nil)))
			if a.Str("token_type") != "DPoP" {
				c.Errorf("%v", a.JSON)
			}
			c.works(c.w.CallProving("/token", client, c.w.RedeemForm(client, code),
				c.w.Proof(key, "POST", "/token", nil)))
			hybrid := c.client("hybrid", func(m *clients.Client) {
				m.ResponseTypes, m.GrantTypes = []string{"code token"}, append(m.GrantTypes, "implicit")
				m.DPoPBoundAccessTokens = true
			})
			b, _, _ := c.signedIn("bob")
			c.refusedThere("a token from the front channel", b.Get(c.w.Request(hybrid, "response_type", "code token")),
				hybrid, oauth.InvalidRequest)
		}},
		attack{"DP-9", "a proof costs little, whatever is in it", func(c *trial) {
			client, key, alice, _ := bound(c)
			code, _ := c.w.Authorized(client, alice, "openid")
			form := c.w.RedeemForm(client, code)
			header := providertest.ProofHeader(key)
			header["x"] = strings.Repeat("x", 16<<10)
			begun := time.Now()
			here(c, "a large header", c.w.CallProving("/token", client, form,
				providertest.SignJWT(c, jose.ES256, key, c.w.ProofOf("POST", "/token", nil), header)))
			here(c, "RSA of 16384 bits", c.w.CallProving("/token", client, form, forge(
				`{"typ":"dpop+jwt","alg":"PS256","jwk":{"kty":"RSA","e":"AQAB","n":"`+strings.Repeat("_", 2731)+`"}}`,
				c.w.ProofOf("POST", "/token", nil), make([]byte, 2048))))
			if took := time.Since(begun); took > 5*time.Second {
				c.Errorf("refusing took %s", took)
			}
			c.works(c.w.CallProving("/token", client, form, c.w.Proof(key, "POST", "/token", nil)))
		}},
	)
}
