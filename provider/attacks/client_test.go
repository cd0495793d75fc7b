package attacks_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

var clientCredentials = url.Values{"grant_type": {"client_credentials"}}

func TestAttacksOnClientAuthentication(t *testing.T) {
	group(t,
		attack{"CA-1", "a request that proves a client in two ways is refused", func(c *trial) {
			a, b := c.client("a", providertest.Service), c.client("b", providertest.Service)
			good, of := providertest.Basic(a.ID+":"+providertest.TestSecret), providertest.With
			for name, got := range map[string]providertest.AnswerJSON{
				"header and secret": c.w.Try("/token", of(clientCredentials, "client_id", a.ID, "client_secret",
					providertest.TestSecret), good),
				"header and assertion": c.w.Try("/token", of(clientCredentials, "client_assertion", "x",
					"client_assertion_type", oauth.ClientAssertionTypeJWT), good),
				"header and another client": c.w.Try("/token", of(clientCredentials, "client_id", b.ID), good),
				"two headers": c.w.Try("/token", clientCredentials, good,
					providertest.Basic(b.ID+":"+providertest.TestSecret)),
				"the same header twice": c.w.Try("/token", clientCredentials, good, good),
				"secret and assertion": c.w.Try("/token", of(clientCredentials, "client_id", a.ID, "client_secret",
					providertest.TestSecret, "client_assertion", "x")),
			} {
				c.refused(name, got, http.StatusBadRequest, oauth.InvalidRequest)
			}
			c.works(c.w.Try("/token", clientCredentials, good))
		}},
		attack{"CA-2", "a client is let in by the method it is registered for and by no other", func(c *trial) {
			// its secret of before is still stored
			old := func(m *clients.Client) { m.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT }
			basic, jwt, spa := c.client("basic"), c.client("jwt", old), c.client("spa", providertest.Public)
			form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"},
				"redirect_uri": {"https://a.example/cb"}}
			as := func(client clients.Client, also ...string) url.Values {
				return providertest.With(providertest.With(form, "client_id", client.ID), also...)
			}
			for name, got := range map[string]providertest.AnswerJSON{
				"basic by post":     c.w.Try("/token", as(basic, "client_secret", providertest.TestSecret)),
				"basic by its name": c.w.Try("/token", as(basic)),
				"jwt by the secret of before": c.w.Try("/token", form,
					providertest.Basic(jwt.ID+":"+providertest.TestSecret)),
				"jwt by a guess":             c.w.Try("/token", as(jwt, "client_secret", "guess")),
				"jwt with an empty password": c.w.Try("/token", form, providertest.Basic(jwt.ID+":")),
				"jwt by its name":            c.w.Try("/token", as(jwt)),
				"spa with a secret":          c.w.Try("/token", as(spa, "client_secret", "x")),
				"spa with a header":          c.w.Try("/token", form, providertest.Basic(spa.ID+":x")),
			} {
				c.refused(name, got, http.StatusUnauthorized, oauth.InvalidClient)
			}
			u := c.user("alice")
			code, _ := c.w.Authorized(basic, u, "openid")
			c.works(c.w.Redeem(basic, code))
			code, _ = c.w.Authorized(spa, u, "openid")
			c.works(c.w.Redeem(spa, code))
		}},
		attack{"CA-3", "no endpoint for programs does anything for a confidential client that proves nothing",
			func(c *trial) {
				alice := c.user("alice")
				a := c.client("web", func(m *clients.Client) {
					m.GrantTypes = append(m.GrantTypes,
						oauth.GrantClientCredentials)
				})
				got := c.w.Tokens(a, alice, providertest.Offline)
				code, _ := c.w.Authorized(a, alice, "openid")
				for _, id := range []string{a.ID, ""} {
					for path, forms := range map[string][]url.Values{
						"/token": {redeem(a, code), {"grant_type": {"refresh_token"},
							"refresh_token": {got.Str("refresh_token")}}, clientCredentials},
						"/introspect": {{"token": {got.Str("access_token")}}},
						"/revoke":     {{"token": {got.Str("refresh_token")}}},
					} {
						for _, form := range forms {
							c.refused(path, c.w.Try(path, providertest.With(form, "client_id", id)),
								http.StatusUnauthorized, oauth.InvalidClient)
						}
					}
				}
				c.works(c.w.Whois(got.Str("access_token")))
				c.works(c.w.Renew(a, got.Str("refresh_token")))
				c.works(c.w.Redeem(a, code))
			}},
		attack{"CA-5", "nothing in the address of a token request counts or is logged", func(c *trial) {
			secret := c.name + "secret-in-the-address"
			a := c.client("svc", providertest.Service, func(m *clients.Client) {
				m.TokenEndpointAuthMethod, m.SecretHash = oauth.AuthClientSecretPost,
					c.w.ClientAuth.Secrets.Hash(secret)
			})
			q := func(names ...string) string {
				all := url.Values{"client_id": {a.ID}, "client_secret": {secret}, "grant_type": {"client_credentials"}}
				some := url.Values{}
				for _, n := range names {
					some[n] = all[n]
				}
				return some.Encode()
			}
			for _, where := range [][2]string{{q("client_id", "client_secret", "grant_type"), ""},
				{q("client_id", "client_secret"), q("grant_type")}, {q("client_secret"), q("client_id", "grant_type")},
				{q("grant_type"), q("client_id", "client_secret")}} {
				body, err := url.ParseQuery(where[1])
				c.must(err)
				if got := c.w.Try("/token?"+where[0], body); got.StatusCode != http.StatusBadRequest &&
					got.StatusCode != http.StatusUnauthorized || got.Str("access_token") != "" {
					c.Errorf("%v: %d %v", where, got.StatusCode, got.JSON)
				}
			}
			if p := c.w.Browser().Get("/token?" + q("client_id", "client_secret",
				"grant_type")); p.StatusCode != http.StatusMethodNotAllowed || p.Header.Get("Allow") != "POST" {
				c.Errorf("GET: %d %v", p.StatusCode, p.Header)
			}
			if strings.Contains(c.w.Log.String(), secret) {
				c.Error("the secret is in the log")
			}
			c.works(c.w.Try("/token", providertest.With(clientCredentials, "client_id", a.ID, "client_secret", secret)))
		}},
	)
}

// forge writes a JWS by hand; mac signs it as HS256 with whatever key there is.
func forge(header string, claims any, signature []byte) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64(payload) + "." + b64(signature)
}

func mac(claims any, secret []byte) string {
	unsigned := strings.TrimSuffix(forge(`{"alg":"HS256"}`, claims, nil), ".")
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(unsigned))
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// spellings are the bytes as which somebody may know a public key.
func spellings(c *trial, public any) map[string][]byte {
	c.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	c.must(err)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: public, KeyID: "k"})
	c.must(err)
	return map[string][]byte{"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"JWK": jwk}
}

func TestAttacksOnClientAssertions(t *testing.T) {
	// authenticates makes a client with a key, and checks first that it gets in.
	authenticates := func(c *trial, name string) (clients.Client, any, func(change map[string]any,
		header map[jose.HeaderKey]any) string) {
		key := providertest.EcKey(c)
		client := c.client(name, providertest.ByKey(c, "ES256", map[string]any{"k": key.Public()}))
		sign := func(change map[string]any, header map[jose.HeaderKey]any) string {
			return providertest.SignJWT(c, jose.ES256, key, c.w.AssertionOf(client.ID, change), header)
		}
		c.works(c.w.Assert(sign(nil, providertest.Kid("k"))))
		return client, key, sign
	}
	no := func(c *trial, what, assertion string, also ...string) {
		c.Helper()
		c.refused(what, c.w.Assert(assertion, also...), http.StatusUnauthorized, oauth.InvalidClient)
		c.w.Forgive()
	}
	group(t,
		attack{"PJ-1", "an assertion authenticates once, at all endpoints and instances together, and after a restart",
			func(c *trial) {
				_, _, sign := authenticates(c, "jwt")
				two := c.instances()
				form := func(jwt string, also ...string) url.Values {
					return providertest.With(url.Values{"client_assertion_type": {oauth.ClientAssertionTypeJWT},
						"client_assertion": {jwt}}, also...)
				}
				one := sign(nil, nil)
				c.works(c.w.Assert(one))
				for path, also := range map[string][]string{"/token": {"grant_type", "client_credentials"},
					"/introspect": {"token", "x"}, "/revoke": {"token", "x"}} {
					for range 2 {
						c.refused(path, two.post(path, clients.Client{}, form(one, also...)), http.StatusUnauthorized,
							oauth.InvalidClient)
					}
				}
				for range 5 {
					c.w.Forgive()
					two = c.instances() // both with a count of failures of their own
					jwt := sign(nil, nil)
					won, lost := providertest.AtOnce(12, func() providertest.AnswerJSON {
						return two.post("/token", clients.Client{}, form(jwt, "grant_type", "client_credentials"))
					})
					c.control(len(won) == 1, "%d were let in by one assertion", len(won))
					for _, l := range lost {
						c.refused("a loser", l, http.StatusUnauthorized, oauth.InvalidClient)
					}
				}
			}},
		attack{"PJ-2", "an assertion is addressed to the issuer, exactly and alone", func(c *trial) {
			_, _, sign := authenticates(c, "jwt")
			own := c.w.Issuer
			for _, aud := range []any{"https://evil.example", "https://evil.example/token",
				[]string{own, "https://evil.example"}, own + ".evil.example", own + "/token", nil, "", 1,
				map[string]any{"x": own}, own + "/", []any{own, 1}, []string{}} {
				no(c, "aud", sign(map[string]any{"aud": aud}, nil))
			}
		}},
		attack{"PJ-3", "an assertion is verified by the registered algorithm and never by a public key as a shared secret", func(c *trial) {
			client, key, sign := authenticates(c, "jwt")
			claims := func() map[string]any { return c.w.AssertionOf(client.ID, nil) }
			for _, alg := range []string{"none", "None", "nOnE", "NONE", ""} {
				no(c, "alg "+alg, forge(`{"alg":"`+alg+`"}`, claims(), nil))
			}
			no(c, "no alg", forge(`{"kid":"k"}`, claims(), make([]byte, 64)))
			no(c, "zeros", forge(`{"alg":"ES256","kid":"k"}`, claims(), make([]byte, 64)))
			no(c, "no signature", forge(`{"alg":"ES256","kid":"k"}`, claims(), nil))
			for name, secret := range spellings(c, publicOf(key)) {
				no(c, "HS256 with the public key in "+name, mac(claims(), secret))
			}
			no(c, "HS256 with the published keys", mac(claims(), []byte(c.w.Browser().Get("/jwks").Body)))
			for name, secret := range spellings(c, c.w.Published().Keys[0].Key) {
				no(c, "HS256 with ours in "+name, mac(claims(), secret))
			}
			no(c, "RS256", providertest.SignJWT(c, jose.RS256, providertest.RsaKey(), claims(), providertest.Kid("k")))
			good := sign(nil, providertest.Kid("k"))
			no(c, "another header", strings.Replace(good, strings.Split(good, ".")[0],
				base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES384","kid":"k"}`)), 1))

			id := c.name + "hs"
			sealed, err := c.w.Sealer.Seal([]byte(providertest.TestSecret), clients.SealedSecretData(id))
			c.must(err)
			c.client("hs", providertest.Service, func(m *clients.Client) {
				m.TokenEndpointAuthMethod, m.TokenEndpointAuthAlg, m.SealedSecret = oauth.AuthClientSecretJWT, "HS256",
					sealed
			})
			c.works(c.w.Assert(mac(c.w.AssertionOf(id, nil), []byte(providertest.TestSecret))))
			for name, secret := range map[string][]byte{"empty": {}, "its name": []byte(id), "a NUL": {0}} {
				no(c, "HS256 by a secret that is "+name, mac(c.w.AssertionOf(id, nil), secret))
			}
			no(c, "ES256 for a client with a secret", providertest.SignJWT(c, jose.ES256, key, c.w.AssertionOf(id, nil),
				map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: publicOf(key)}}))
		}},
		attack{"PJ-4", "a key that an assertion brings or points to is never used or fetched", func(c *trial) {
			client, _, _ := authenticates(c, "jwt")
			_, foreign, _ := authenticates(c, "other")
			bird, evil := c.canary(), providertest.EcKey(c)
			cert := base64.StdEncoding.EncodeToString([]byte("no certificate"))
			kid := func(k string) map[jose.HeaderKey]any { return providertest.Kid(k) }
			for name, header := range map[string]map[jose.HeaderKey]any{
				"jwk": {"jwk": jose.JSONWebKey{Key: evil.Public()}}, "jku": {"jku": bird.URL + "/k", "kid": "k"},
				"x5u": {"x5u": bird.URL + "/k"}, "x5c": {"x5c": []string{cert}},
				"a URL": kid(bird.URL + "/k"), "a path": kid("../../../dev/null"), "SQL": kid("' OR 1=1--"),
				"ours": kid(c.w.Published().Keys[0].KeyID), "its own": kid("k"),
			} {
				no(c, name, providertest.SignJWT(c, jose.ES256, evil, c.w.AssertionOf(client.ID, nil), header))
			}
			no(c, "an operator", forge(`{"alg":"ES256","kid":{"$ne":null}}`, c.w.AssertionOf(client.ID, nil),
				make([]byte, 64)))
			no(c, "another client's", providertest.SignJWT(c, jose.ES256, foreign, c.w.AssertionOf(client.ID, nil),
				kid("k")))
			if n := bird.count(); n != 0 {
				c.Errorf("%d calls of an address in a header", n)
			}
		}},
		attack{"PJ-5", "who issued an assertion, whom it is about and who asks are one client", func(c *trial) {
			client, _, sign := authenticates(c, "jwt")
			web := c.client("web")
			for name, change := range map[string]map[string]any{
				"iss differs": {"iss": web.ID}, "sub differs": {"sub": web.ID}, "both are another": {"iss": web.ID,
					"sub": web.ID}, "no sub": {"sub": nil}, "no iss": {"iss": nil},
				"a list": {"sub": []string{client.ID}},
				"nobody": {"iss": "nobody", "sub": "nobody"}, "empty": {"iss": "", "sub": ""},
				"upper case": {"iss": strings.ToUpper(client.ID), "sub": strings.ToUpper(client.ID)},
			} {
				no(c, name, sign(change, nil))
			}
			no(c, "client_id differs", sign(nil, nil), "client_id", web.ID)
			c.works(c.w.Assert(sign(nil, nil), "client_id", client.ID))
		}},
	)
}

func publicOf(key any) any {
	return (&jose.JSONWebKey{Key: key}).Public().Key
}

func TestAttacksOnRequestObjects(t *testing.T) {
	// signs makes a client that has to sign, a browser that is signed in, and checks first that a
	// good object leads to a code.
	signs := func(c *trial) (clients.Client, any, *providertest.Browser, func(map[string]any) string) {
		key := providertest.EcKey(c)
		client := c.client("jar", providertest.SignsRequests(c, key.Public()), func(m *clients.Client) {
			m.RedirectURIs = append(m.RedirectURIs, m.RedirectURIs[0]+"/second")
		})
		b, _, _ := c.signedIn("alice")
		sign := func(change map[string]any) string {
			return providertest.SignJWT(c, jose.ES256, key, c.w.ObjectOf(client, change), providertest.Kid("k"))
		}
		c.code(b.Get(c.w.Request(client, "request", sign(nil))))
		return client, key, b, sign
	}
	group(t,
		attack{"RO-1", "a client that has to sign its requests is not heard without a good signature of its own",
			func(c *trial) {
				client, key, b, sign := signs(c)
				evil, claims := providertest.EcKey(c), c.w.ObjectOf(client, nil)
				parts := strings.Split(sign(nil), ".")
				objects := map[string]string{
					"none": forge(`{"alg":"none"}`, claims, nil), "None": forge(`{"alg":"None"}`, claims, nil),
					"zeros": forge(`{"alg":"ES256","kid":"k"}`, claims, make([]byte, 64)),
					"another payload": parts[0] + "." + strings.Split(sign(map[string]any{"scope": "openid email"}),
						".")[1] + "." + parts[2], "a bit": parts[0] + "." + parts[1] + ".AAAA" + parts[2][4:],
					"another's key": providertest.SignJWT(c, jose.ES256, evil, claims, providertest.Kid("k")),
					"RS256":         providertest.SignJWT(c, jose.RS256, providertest.RsaKey(), claims, providertest.Kid("k")),
					"a key of its own": providertest.SignJWT(c, jose.ES256, evil, claims,
						map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: evil.Public()}}), "garbage": "garbage",
				}
				for name, secret := range spellings(c, publicOf(key)) {
					objects["HS256 by "+name] = mac(claims, secret)
				}
				for name, object := range objects {
					c.refusedThere(name, b.Get(c.w.Request(client, "request", object)), client, oauth.InvalidRequestObject)
				}
				c.refusedThere("nothing signed", b.Get(c.w.Request(client)), client, oauth.InvalidRequest)
			}},
		attack{"RO-2", "a redirect URI inside a request object counts once its signature is good", func(c *trial) {
			client, _, b, _ := signs(c)
			evil := providertest.EcKey(c)
			for _, uri := range []string{"https://evil.example/", client.RedirectURIs[0]} {
				for name, object := range map[string]string{"forged": providertest.SignJWT(c, jose.ES256, evil,
					c.w.ObjectOf(client, map[string]any{"redirect_uri": uri}), providertest.Kid("k")),
					"unsigned": forge(`{"alg":"none"}`, c.w.ObjectOf(client, map[string]any{"redirect_uri": uri}),
						nil)} {
					p := b.Get(c.w.Request(client, "request", object, "redirect_uri", ""))
					if strings.Contains(p.Header.Get("Location"), "evil.example") || p.Answer().Has("code") {
						c.Errorf("%s: %s", name, p.Header.Get("Location"))
					}
					if uri == "https://evil.example/" {
						c.refusedHere(name, p)
						c.refusedHere(name+" beside", b.Get(c.w.Request(client, "request", object, "redirect_uri",
							uri)))
					}
				}
			}
		}},
		attack{"RO-3", "beside a signed request object nothing else in the request counts", func(c *trial) {
			client, _, b, sign := signs(c)
			p := b.Get(c.w.Request(client, "request", sign(nil), "scope", "openid email", "state", "outside", "nonce",
				"outside", "redirect_uri", client.RedirectURIs[1], "code_challenge", strings.Repeat("A", 43),
				"response_mode", "fragment", "prompt", "login", "resource", "https://evil.example"))
			if !strings.HasPrefix(p.Header.Get("Location"), client.RedirectURIs[0]+"?") ||
				p.Answer().Get("state") != "inside" {
				c.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
			}
			got := c.works(c.w.Redeem(client, c.code(p)))
			if got.Str("scope") != "openid" || providertest.ClaimsOf(c, got.Str("id_token"))["nonce"] != "inside" {
				c.Errorf("%v", got.JSON)
			}
			other := c.client("other")
			if p := b.Get(c.w.Request(client, "request", sign(nil), "client_id", other.ID)); p.Answer().Has("code") ||
				strings.Contains(p.Header.Get("Location"), client.ID) {
				c.Errorf("another client_id outside: %d %s", p.StatusCode, p.Header.Get("Location"))
			}
			for name, change := range map[string]map[string]any{"another client": {"client_id": other.ID},
				"an object inside": {"request": "x"}, "a reference inside": {"request_uri": "https://a.example/r"}} {
				c.refusedThere(name, b.Get(c.w.Request(client, "request", sign(change))), client,
					oauth.InvalidRequestObject, oauth.InvalidRequest)
			}
			c.refusedThere("both", b.Get(c.w.Request(client, "request", sign(nil), "request_uri",
				"https://a.example/r")), client, oauth.InvalidRequest)
			c.refusedThere("PKCE only outside",
				b.Get(c.w.Request(client, "request", sign(map[string]any{"code_challenge": nil}))), client,
				oauth.InvalidRequest)
		}},
		attack{"RO-6", "a request_uri is fetched from registered addresses alone, and tells nothing of what is behind others", func(c *trial) {
			client, key, b, sign := signs(c)
			_ = key
			bird := c.canary()
			host := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/moved" {
					http.Redirect(rw, r, bird.URL, http.StatusFound)
					return
				}
				_, _ = rw.Write([]byte(sign(nil)))
			}))
			c.Cleanup(host.Close)
			c.change(client, func(m *clients.Client) { m.RequestURIs = []string{host.URL + "/r", host.URL + "/moved"} })
			c.code(b.Get(c.w.Request(client, "request_uri", host.URL+"/r")))
			plain := c.client("plain")
			for _, uri := range []string{bird.URL + "/r", "http://localhost:27017/", "http://[::1]:9/",
				"http://169.254.169.254/", "file:///etc/passwd", "gopher://127.0.0.1:9/_x", "https://2130706433/",
				"https://0x7f000001/", "https://0177.0.0.1/",
				strings.Replace(bird.URL, "://", "://127.0.0.1@", 1), host.URL + "/R", host.URL + "/r?x", host.URL +
					"/moved"} {
				c.refusedThere(uri, b.Get(c.w.Request(client, "request_uri", uri)), client, oauth.InvalidRequestURI)
				c.refusedThere(uri+" of a client without any", b.Get(c.w.Request(plain, "request_uri", uri)), plain,
					oauth.RequestURINotSupported)
			}
			if n := bird.count(); n != 0 {
				c.Errorf("%d calls", n)
			}
		}},
	)
}
