package grants_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestAccessTokenIsAJWTOfItsOwnType(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.Clock.Advance(999 * time.Millisecond)
	alice, a := w.AddUser("alice", "staff"),
		w.AddClient("web-a", func(c *clients.Client) { c.Audience = []string{"https://api.test"} })
	if err := w.Store.PutGroup(t.Context(), storage.Group{Name: "staff",
		Roles: []string{"reader", "editor"}}); err != nil {
		t.Fatal(err)
	}
	got := w.Tokens(a, alice, "openid profile groups")
	header, at := w.Verified(got.Str("access_token"), "ES256")
	if header.ExtraHeaders["typ"] != "at+jwt" {
		t.Errorf("RFC 9068 §2.1: typ %v", header.ExtraHeaders["typ"])
	}
	now := float64(w.Web.Now().Unix())
	want := map[string]any{"iss": w.Issuer, "sub": alice.ID, "client_id": "web-a", "scope": "openid profile groups",
		"iat": now, "exp": now + 600,
		"auth_time": now, "acr": people.ACRPassword}
	for name, v := range want {
		if at[name] != v {
			t.Errorf("RFC 9068 §2.2: %s is %v, want %v", name, at[name], v)
		}
	}
	if aud, _ := at["aud"].([]any); !slices.Equal(aud, []any{"https://api.test", w.Issuer}) {
		t.Errorf("RFC 9068 §2.2: aud is %v, want the API and, for userinfo, the issuer", at["aud"])
	}
	if s, _ := at["jti"].(string); len(s) < 22 {
		t.Errorf("jti %v", at["jti"])
	}
	if !slices.Equal(at["roles"].([]any), []any{"editor", "reader"}) || !slices.Equal(at["groups"].([]any),
		[]any{"staff"}) {
		t.Errorf("RFC 9068 §2.2.3.1: %v", at)
	}
	for _, name := range []string{"nbf", "nonce", "name", "sid", "email"} {
		if _, has := at[name]; has {
			t.Errorf("%s does not belong there", name)
		}
	}
	if bare := providertest.ClaimsOf(t, w.Tokens(a, alice, "openid").Str("access_token")); bare["roles"] != nil ||
		bare["groups"] != nil {
		t.Errorf("without scope groups: %v", bare)
	}
	seen := map[any]bool{}
	for range 20 {
		seen[providertest.ClaimsOf(t, w.Tokens(a, alice, "openid").Str("access_token"))["jti"]] = true
	}
	if len(seen) != 20 {
		t.Error("jti repeats")
	}
}

func TestAccessTokenExpires(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	for _, c := range []clients.Client{w.AddClient("web-a"),
		w.AddClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })} {
		at := w.Tokens(c, alice, providertest.Offline).Str("access_token")
		w.Clock.Advance(10*time.Minute - time.Millisecond)
		providertest.MustWork(t, w.Whois(at))
		w.Clock.Advance(time.Millisecond)
		providertest.MustRefuse(t, w.Whois(at), http.StatusUnauthorized, oauth.InvalidToken)
		if got := w.Asks(c, at); got.JSON["active"] != false {
			t.Errorf("%v", got.JSON)
		}
	}
}

func TestOpaqueAccessTokens(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a := w.AddUser("alice"), w.AddClient("web-a", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	got := w.Tokens(a, alice, "openid profile")
	at := got.Str("access_token")
	if strings.Contains(at, ".") || !strings.HasPrefix(at, grants.OpaquePrefix) ||
		got.JSON["expires_in"] != float64(600) {
		t.Fatalf("%v", got.JSON)
	}
	if who := w.Whois(at); who.JSON["sub"] != alice.ID || who.JSON["name"] != "Alice Example" {
		t.Errorf("%v", who.JSON)
	}
	for n := 1; n <= 8; n++ {
		providertest.MustRefuse(t, w.Whois(at[:len(at)-n]), http.StatusUnauthorized, oauth.InvalidToken)
	}
	for _, bad := range []string{at + "A", at + "=", strings.ToUpper(at), strings.TrimPrefix(at, grants.OpaquePrefix),
		storage.Hash(at), grants.CodePrefix + strings.TrimPrefix(at, grants.OpaquePrefix)} {
		providertest.MustRefuse(t, w.Whois(bad), http.StatusUnauthorized, oauth.InvalidToken)
	}
	if strings.Contains(w.Log.String(), at) {
		t.Error("a token is in the log")
	}
}

func TestIDToken(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.InsecureAllowNone = true })
	alice := w.AddUser("alice")
	for alg, half := range map[string]func(string) []byte{
		"RS256": func(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:16] },
		"ES256": func(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:16] },
		"PS256": func(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:16] },
		"EdDSA": func(s string) []byte { h := sha512.Sum512([]byte(s)); return h[:32] },
	} {
		t.Run("signed with "+alg, func(t *testing.T) {
			c := w.AddClient("web-"+alg, func(c *clients.Client) { c.IDTokenSignedResponseAlg = alg })
			got := w.Tokens(c, alice, "openid profile email")
			_, id := w.Verified(got.Str("id_token"), alg)
			now := float64(w.Web.Now().Unix())
			for name, v := range map[string]any{"iss": w.Issuer, "sub": alice.ID, "aud": c.ID, "nonce": "N1",
				"iat": now, "exp": now + 600, "auth_time": now, "acr": people.ACRPassword,
				"at_hash": base64.RawURLEncoding.EncodeToString(half(got.Str("access_token")))} {
				if id[name] != v {
					t.Errorf("OIDC Core §2: %s is %v, want %v", name, id[name], v)
				}
			}
			allowed := []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash"}
			for name := range id {
				if !slices.Contains(allowed, name) {
					t.Errorf("%s was not asked for", name)
				}
			}
		})
	}
	t.Run("by default it is RS256", func(t *testing.T) {
		c := w.AddClient("unsaid", func(c *clients.Client) { c.IDTokenSignedResponseAlg = "" })
		w.Verified(w.Tokens(c, alice, "openid").Str("id_token"), "RS256")
	})
	t.Run("a claim that was asked for one by one is there, no other is", func(t *testing.T) {
		c := w.AddClient("one")
		id := providertest.ClaimsOf(t, w.Tokens(c, alice, "openid profile", func(g *storage.Grant) {
			g.Claims.IDToken = map[string]oauth.ClaimRequest{"email": {}, "unheard_of": {},
				"sub": {Values: []string{"mallory"}}, "aud": {Values: []string{"x"}}, "auth_time": {Essential: true}}
		}).Str("id_token"))
		if id["email"] != "alice@example.com" || id["name"] != nil || id["unheard_of"] != nil ||
			id["sub"] != alice.ID || id["aud"] != "one" || id["email_verified"] != nil {
			t.Errorf("OIDC Core §5.5: %v", id)
		}
	})
	t.Run("a client may be set to have the scopes' claims in it", func(t *testing.T) {
		c := w.AddClient("lazy", func(c *clients.Client) { c.ClaimsInIDToken = true })
		id := providertest.ClaimsOf(t, w.Tokens(c, alice, "openid profile groups").Str("id_token"))
		if id["name"] != "Alice Example" || id["preferred_username"] != "alice" || id["email"] != nil ||
			len(id["roles"].([]any)) != 0 {
			t.Errorf("%v", id)
		}
	})
	t.Run("sid is for clients that hear of sign-outs", func(t *testing.T) {
		for id, bend := range map[string]func(*clients.Client){
			"back":  func(c *clients.Client) { c.BackchannelLogoutURI = "https://back.example/out" },
			"front": func(c *clients.Client) { c.FrontchannelLogoutURI = "https://front.example/out" },
		} {
			var session string
			got := providertest.ClaimsOf(t, w.Tokens(w.AddClient(id, bend), alice, "openid",
				func(g *storage.Grant) { session = g.SessionID }).Str("id_token"))
			if got["sid"] != session {
				t.Errorf("Back-Channel Logout §2.1, Front-Channel Logout §3: %v", got)
			}
		}
	})
	t.Run("without scope openid there is none", func(t *testing.T) {
		if got := w.Tokens(w.AddClient("oauth"), alice, "profile"); got.JSON["id_token"] != nil {
			t.Errorf("%v", got.JSON)
		}
	})
	t.Run("the authorization endpoint's own hashes", func(t *testing.T) {
		c := w.AddClient("hybrid")
		_, grant := w.Authorized(c, alice, "openid profile")
		both := grants.Issuance{Client: c, Grant: grant, User: alice, Scope: grant.Scope, Nonce: "n", Code: "code",
			AccessToken: true, IDToken: true}
		made, err := w.Grants.Issue(t.Context(), both)
		if err != nil {
			t.Fatal(err)
		}
		if id := providertest.ClaimsOf(t, made.IDToken); id["c_hash"] != grants.HalfHash("RS256", "code") ||
			id["at_hash"] != grants.HalfHash("RS256", made.AccessToken) || id["name"] != nil {
			t.Errorf("OIDC Core §3.3.2.11: %v", id)
		}
		if made, err = w.Grants.Issue(t.Context(), grants.Issuance{Client: c, Grant: grant, User: alice,
			Scope: grant.Scope, Nonce: "n", IDToken: true}); err != nil {
			t.Fatal(err)
		}
		if id := providertest.ClaimsOf(t, made.IDToken); id["name"] != "Alice Example" || id["at_hash"] != nil ||
			id["c_hash"] != nil {
			t.Errorf("OIDC Core §5.4: %v", id)
		}
	})
	t.Run("unsigned only where the provider allows it", func(t *testing.T) {
		none := func(c *clients.Client) { c.IDTokenSignedResponseAlg = "none" }
		c := w.AddClient("none", none)
		got := w.Tokens(c, alice, "openid").Str("id_token")
		if !strings.HasSuffix(got, ".") || providertest.ClaimsOf(t, got)["sub"] != alice.ID {
			t.Errorf("%q", got)
		}
		strict := providertest.New(t)
		bob := strict.AddUser("bob")
		c = strict.AddClient("none", none)
		code, _ := strict.Authorized(c, bob, "openid")
		providertest.MustRefuse(t, strict.Redeem(c, code), http.StatusBadRequest, oauth.UnauthorizedClient)
	})
}

func TestEncryptedIDTokenAndUserinfo(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, key := w.AddUser("alice"), providertest.EcKey(t)
	for alg, private := range map[string]any{"RSA-OAEP-256": providertest.RsaKey(), "ECDH-ES": key} {
		for _, enc := range []string{"A128GCM", "A256GCM", "A128CBC-HS256", ""} {
			id := "enc-" + alg + enc
			c := w.AddClient(id, func(c *clients.Client) {
				c.JWKS = providertest.JwksOf(t, map[string]any{"e": key.Public(), "r": providertest.RsaKey().Public()})
				c.IDTokenEncryptedResponseAlg, c.IDTokenEncryptedResponseEnc = alg, enc
				c.UserinfoEncryptedResponseAlg, c.UserinfoEncryptedResponseEnc, c.UserinfoSignedResponseAlg = alg, enc,
					"RS256"
			})
			open := func(jwe string) string {
				t.Helper()
				parsed, err := jose.ParseEncryptedCompact(jwe, []jose.KeyAlgorithm{jose.KeyAlgorithm(alg)},
					[]jose.ContentEncryption{jose.A128GCM, jose.A256GCM, jose.A128CBC_HS256})
				if err != nil {
					t.Fatalf("%s %s: %v", alg, enc, err)
				}
				if parsed.Header.ExtraHeaders["cty"] != "JWT" {
					t.Errorf("RFC 7519 §5.2: cty %v", parsed.Header.ExtraHeaders["cty"])
				}
				plain, err := parsed.Decrypt(private)
				if err != nil {
					t.Fatal(err)
				}
				return string(plain)
			}
			got := w.Tokens(c, alice, "openid")
			if _, claims := w.Verified(open(got.Str("id_token")), "RS256"); claims["sub"] != alice.ID ||
				claims["aud"] != id {
				t.Errorf("OIDC Core §2: %v", claims)
			}
			r, err := http.NewRequest("GET", w.Issuer+"/userinfo", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+got.Str("access_token"))
			p := w.Browser().Do(r)
			if p.Header.Get("Content-Type") != "application/jwt" {
				t.Errorf("%v", p.Header)
			}
			if _, claims := w.Verified(open(p.Body), "RS256"); claims["sub"] != alice.ID || claims["aud"] != id ||
				claims["iss"] != w.Issuer {
				t.Errorf("OIDC Core §5.3.2: %v", claims)
			}
		}
	}
}

func TestPairwiseSubjects(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, bob := w.AddUser("alice"), w.AddUser("bob")
	pairwise := func(sector string, uris ...string) func(*clients.Client) {
		return func(c *clients.Client) {
			c.SubjectType, c.SectorHost = "pairwise", sector
			if len(uris) > 0 {
				c.RedirectURIs = uris
			}
		}
	}
	a, b := w.AddClient("a", pairwise("")), w.AddClient("b", pairwise(""))
	a2 := w.AddClient("a2", pairwise("", "https://a.example/elsewhere"))
	shared1, shared2 := w.AddClient("s1", pairwise("sector.example")), w.AddClient("s2", pairwise("sector.example"))
	sub := func(c clients.Client, u storage.User) string {
		t.Helper()
		got := w.Tokens(c, u, providertest.Offline)
		id := providertest.ClaimsOf(t, got.Str("id_token"))["sub"].(string)
		at := providertest.ClaimsOf(t, got.Str("access_token"))["sub"]
		who := w.Whois(got.Str("access_token")).JSON["sub"]
		intro := w.Asks(c, got.Str("access_token")).JSON
		again := providertest.ClaimsOf(t, w.Renew(c, got.Str("refresh_token")).Str("id_token"))["sub"]
		if at != id || who != id || intro["sub"] != id || again != id || intro["username"] != nil {
			t.Errorf("%s: %v %v %v %v %v", c.ID, id, at, who, intro, again)
		}
		return id
	}
	seen := map[string]bool{}
	for _, s := range []string{sub(a, alice), sub(b, alice), sub(shared1, alice), sub(a, bob), sub(b, bob),
		sub(shared1, bob), alice.ID, bob.ID} {
		if seen[s] {
			t.Errorf("OIDC Core §8.1: %q twice", s)
		}
		seen[s] = true
	}
	for _, same := range [][2]clients.Client{{a, a2}, {shared1, shared2}, {b, b}} {
		if sub(same[0], alice) != sub(same[1], alice) {
			t.Errorf("OIDC Core §8.1: within the sector of %s it is the same, every time", same[0].ID)
		}
	}
}

func TestStandardClaims(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	full := storage.User{ID: "sub-full", Username: "full", CreatedAt: w.Web.Now(), UpdatedAt: w.Web.Now(),
		Groups: []string{"g"}, Claims: storage.Claims{
			Name: "N", GivenName: "G", FamilyName: "F", MiddleName: "M", Nickname: "K", Profile: "https://p.test",
			Picture: "https://p.test/p", Website: "https://w.test",
			Email: "e@x.test", EmailVerified: true, Gender: "x", Birthdate: "2000-01-01", Zoneinfo: "Europe/Berlin",
			Locale: "de-DE", PhoneNumber: "+49 1", PhoneNumberVerified: true,
			Address: &storage.Address{Formatted: "all", StreetAddress: "s", Locality: "l", Region: "r", PostalCode: "p",
				Country: "c"},
		}}
	if err := w.Store.CreateUser(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	a := w.AddClient("web-a")
	ask := func(u storage.User, scope string, bend ...func(*storage.Grant)) map[string]any {
		t.Helper()
		got := w.Whois(w.Tokens(a, u, scope, bend...).Str("access_token"))
		providertest.MustWork(t, got)
		if got.JSON["sub"] != u.ID {
			t.Errorf("OIDC Core §5.3.2: sub %v", got.JSON["sub"])
		}
		delete(got.JSON, "sub")
		return got.JSON
	}
	for scope, want := range map[string][]string{
		"openid": nil,
		"openid profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username",
			"profile", "picture", "website", "gender", "birthdate", "zoneinfo",
			"locale", "updated_at"},
		"openid email":   {"email", "email_verified"},
		"openid address": {"address"},
		"openid phone":   {"phone_number", "phone_number_verified"},
		"openid groups":  {"groups", "roles"},
	} {
		got := ask(full, scope)
		slices.Sort(want)
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
			t.Errorf("OIDC Core §5.4 %s: %v", scope, names)
		}
	}
	got := ask(full, "openid profile email address phone groups")
	if got["updated_at"] != float64(w.Web.Now().Unix()) || got["email_verified"] != true ||
		got["phone_number_verified"] != true || got["preferred_username"] != "full" {
		t.Errorf("OIDC Core §5.1: %v", got)
	}
	if address, _ := got["address"].(map[string]any); len(address) != 6 || address["postal_code"] != "p" {
		t.Errorf("OIDC Core §5.1.1: %v", got["address"])
	}
	t.Run("what is not known is left out", func(t *testing.T) {
		bare := storage.User{ID: "sub-bare", Username: "bare", CreatedAt: w.Web.Now(),
			Claims: storage.Claims{Email: "b@x.test", Address: &storage.Address{}}}
		if err := w.Store.CreateUser(t.Context(), bare); err != nil {
			t.Fatal(err)
		}
		got := ask(bare, "openid profile email address phone")
		delete(got, "updated_at")
		if want := (map[string]any{"preferred_username": "bare", "email": "b@x.test",
			"email_verified": false}); !maps.Equal(got, want) {
			t.Errorf("OIDC Core §5.3.2: %v", got)
		}
	})
	t.Run("OIDC Core §5.5 the claims parameter asks one by one", func(t *testing.T) {
		got := ask(full, "openid", func(g *storage.Grant) {
			g.Claims.Userinfo = map[string]oauth.ClaimRequest{"name": {Essential: true}, "phone_number": {},
				"nonsense": {}, "sub": {}}
		})
		if !maps.Equal(got, map[string]any{"name": "N", "phone_number": "+49 1"}) {
			t.Errorf("%v", got)
		}
	})
}
