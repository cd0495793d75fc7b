package registration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/outbound"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
)

func openRegistration(c *provider.Config) { c.Registration = registration.Open }

// object is JSON that a test writes.
type object map[string]any

// with returns a copy with members added, or removed where the value is nil.
func (o object) with(change object) object {
	out := maps.Clone(o)
	for k, v := range change {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

// goodMetadata is what an ordinary application registers.
var goodMetadata = object{"redirect_uris": []string{"https://a.test/cb"}, "client_name": "App A"}

func TestRegistrationIsClosedUnlessConfigured(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	if a := w.Register(goodMetadata); a.StatusCode != http.StatusNotFound {
		t.Errorf("%d", a.StatusCode)
	}
	if a := w.Json("POST", w.Issuer+"/register", w.InitialToken(), goodMetadata); a.StatusCode != http.StatusNotFound {
		t.Errorf("with an initial access token: %d", a.StatusCode)
	}
	if a := w.Json("GET", w.Issuer+"/register/x", "x", nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("management: %d", a.StatusCode)
	}
	if w.CountClients() != 0 {
		t.Error("a client was stored")
	}
}

func TestRegistrationAnswersWithEverythingRegistered(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	full := object{
		"redirect_uris": []string{"https://a.test/cb", "https://a.test/cb2?x=1"}, "response_types": []string{"code",
			"code id_token"},
		"grant_types": []string{"authorization_code", "implicit", "refresh_token"}, "application_type": "web",
		"contacts":    []string{"ada@a.test"},
		"client_name": "Bücher", "client_uri": "https://a.test", "logo_uri": "https://a.test/l.png",
		"policy_uri": "https://p.test/", "tos_uri": "https://t.test/",
		"scope": "openid email", "jwks": json.RawMessage(testClientJWKS), "subject_type": "public",
		"token_endpoint_auth_method":   "client_secret_post",
		"id_token_signed_response_alg": "ES256", "userinfo_signed_response_alg": "RS256",
		"request_object_signing_alg": "RS256",
		"default_max_age":            3600, "require_auth_time": true, "default_acr_values": []string{people.ACRPassword},
		"initiate_login_uri": "https://a.test/start",
		"request_uris":       []string{"https://a.test/r#v1"}, "post_logout_redirect_uris": []string{"https://a.test/bye"},
		"backchannel_logout_uri":              "https://a.test/bc",
		"backchannel_logout_session_required": true, "frontchannel_logout_uri": "https://a.test/fc",
		"frontchannel_logout_session_required": true,
		"software_id":                          "s", "software_version": "1",
	}
	a, c := w.Registered(full.with(object{"unknown": 1, "client_name#de": "x"}))
	if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" ||
		a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", a.Header)
	}
	raw, _ := json.Marshal(full)
	var want map[string]any
	_ = json.Unmarshal(raw, &want)
	maps.Copy(want, map[string]any{
		"client_id": c.ID, "client_id_issued_at": float64(w.Now().Unix()), "client_secret": a.Str("client_secret"),
		"client_secret_expires_at":  float64(0),
		"registration_access_token": a.Str("registration_access_token"), "registration_client_uri": w.Issuer +
			"/register/" + c.ID,
	})
	if !reflect.DeepEqual(a.JSON, want) {
		t.Errorf("got  %v\nwant %v", a.JSON, want)
	}
	if !w.ClientAuth.Secrets.Check(c, a.Str("client_secret"), w.Now()) || c.SealedSecret != nil || !c.Dynamic ||
		!c.WithoutPKCE || !c.LegacyAssertionAudience || c.SkipConsent || c.Type != clients.TypeWeb {
		t.Errorf("stored %+v", c)
	}
	if log := w.Log.String(); strings.Contains(log, a.Str("client_secret")) ||
		strings.Contains(log, a.Str("registration_access_token")) {
		t.Error("the log has a secret")
	}
	// The algorithms that were registered have keys from now on.
	jwks := w.Json("GET", w.Issuer+"/jwks", "", nil)
	algs := map[string]bool{}
	for _, k := range jwks.JSON["keys"].([]any) {
		algs[k.(map[string]any)["alg"].(string)] = true
	}
	if !algs["RS256"] || !algs["ES256"] {
		t.Errorf("published %v", algs)
	}
}

func TestRegistrationFillsInDefaults(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	a, c := w.Registered(goodMetadata)
	for name, want := range map[string]any{"token_endpoint_auth_method": "client_secret_basic",
		"application_type": "web", "subject_type": "public",
		"id_token_signed_response_alg": "RS256", "grant_types": []any{"authorization_code"},
		"response_types": []any{"code"}} {
		if !reflect.DeepEqual(a.JSON[name], want) {
			t.Errorf("%s is %v, want %v", name, a.JSON[name], want)
		}
	}
	if !slices.Equal(c.CORSOrigins, []string{"https://a.test"}) {
		t.Errorf("CORSOrigins %q", c.CORSOrigins)
	}
	// A public client has no secret, and always needs PKCE.
	a, c = w.Registered(goodMetadata.with(object{"token_endpoint_auth_method": "none"}))
	if _, ok := a.JSON["client_secret"]; ok || c.WithoutPKCE || !c.RequiresPKCE() || c.Type != clients.TypeSPA ||
		a.JSON["client_secret_expires_at"] != nil {
		t.Errorf("public: %v %+v", a.JSON, c)
	}
	_, c = w.Registered(object{"redirect_uris": []string{"com.example.app:/cb"}, "application_type": "native",
		"token_endpoint_auth_method": "none"})
	if c.Type != clients.TypeNative {
		t.Errorf("native: %+v", c)
	}
	_, c = w.Registered(object{"redirect_uris": []string{"com.example.app:/cb"}, "application_type": "native"})
	if c.Public() || !c.RequiresPKCE() {
		t.Errorf("RFC 8252 §8.5 native with a secret: %+v", c)
	}
	// client_secret_jwt needs the value of the secret.
	a, c = w.Registered(goodMetadata.with(object{"token_endpoint_auth_method": "client_secret_jwt"}))
	plain, err := w.Sealer.Open(c.SealedSecret, "client-secret:"+c.ID)
	if err != nil || string(plain) != a.Str("client_secret") {
		t.Errorf("sealed secret: %v", err)
	}
	a, _ = w.Registered(goodMetadata.with(object{"token_endpoint_auth_method": "private_key_jwt",
		"jwks": json.RawMessage(testClientJWKS)}))
	if a.Str("client_secret") != "" {
		t.Error("private_key_jwt was given a secret")
	}
}

const testClientJWKS = `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

func TestRegistrationRefusesWithTheStandardsWords(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	const meta, redirect = "invalid_client_metadata", "invalid_redirect_uri"
	for name, c := range map[string]struct {
		body   any
		status int
		code   string
	}{
		"null":    {"null", 400, meta},
		"list":    {"[]", 400, meta},
		"text":    {`""`, 400, meta},
		"number":  {"0", 400, meta},
		"nothing": {"", 400, meta},
		"half":    {`{"redirect_uris":`, 400, meta},
		"deep": {strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), 400,
			meta},
		"no UTF-8": {"{\"client_name\":\"\xff\"}", 400, meta},
		"empty":    {object{}, 400, redirect},
		"large": {`{"client_name":"` + strings.Repeat("x", 64<<10) + `"}`, 413,
			"invalid_request"},
		"5 MiB":               {strings.Repeat(" ", 5<<20), 413, "invalid_request"},
		"RFC 7591 §2 no list": {object{"redirect_uris": "https://a.test/cb"}, 400, meta},
		"many redirect_uris": {object{"redirect_uris": slices.Repeat([]string{"https://a.test/cb"}, 3000)},
			400, redirect},
		"RFC 6749 §3.1.2 fragment": {object{"redirect_uris": []string{"https://a.test/cb#x"}}, 400, redirect},
		"javascript":               {object{"redirect_uris": []string{"javascript:alert(1)"}}, 400, redirect},
		"http":                     {object{"redirect_uris": []string{"http://a.test/cb"}}, 400, redirect},
		"wildcard":                 {object{"redirect_uris": []string{"https://*.a.test/cb"}}, 400, redirect},
		"reserved parameter":       {object{"redirect_uris": []string{"https://a.test/cb?code=1"}}, 400, redirect},
		"single-word scheme": {object{"redirect_uris": []string{"myapp:/cb"}, "application_type": "native"},
			400, redirect},
		"initiate_login_uri http": {goodMetadata.with(object{"initiate_login_uri": "http://a.test/x"}), 400,
			meta},
		"logo_uri javascript": {goodMetadata.with(object{"logo_uri": "javascript:alert(1)"}), 400, meta},
		"tos_uri data":        {goodMetadata.with(object{"tos_uri": "data:text/html,x"}), 400, meta},
		"client_name bidi":    {goodMetadata.with(object{"client_name": "Bank\u202e"}), 400, meta},
		"client_name long": {goodMetadata.with(object{"client_name": strings.Repeat("x", 10_000)}), 400,
			meta},
		"password":        {goodMetadata.with(object{"grant_types": []string{"password"}}), 400, meta},
		"token exchange":  {goodMetadata.with(object{"grant_types": []string{"urn:ietf:params:oauth:grant-type:token-exchange"}}), 400, meta},
		"scope admin":     {goodMetadata.with(object{"scope": "admin"}), 400, meta},
		"default_max_age": {goodMetadata.with(object{"default_max_age": -1}), 400, meta},
		"RFC 7591 §2.1 inconsistent": {goodMetadata.with(object{"response_types": []string{"id_token"},
			"grant_types": []string{"authorization_code"}}), 400, meta},
		"alg none":                {goodMetadata.with(object{"id_token_signed_response_alg": "none"}), 400, meta},
		"request object alg none": {goodMetadata.with(object{"request_object_signing_alg": "none"}), 400, meta},
		"private_key_jwt without keys": {goodMetadata.with(object{"token_endpoint_auth_method": "private_key_jwt"}),
			400, meta},
		"jwks and jwks_uri": {goodMetadata.with(object{"jwks": json.RawMessage(testClientJWKS),
			"jwks_uri": "https://a.test/jwks"}), 400, meta},
		"pairwise at two hosts": {goodMetadata.with(object{"redirect_uris": []string{"https://a.test/cb",
			"https://b.test/cb"}, "subject_type": "pairwise"}), 400, meta},
		"frontchannel elsewhere": {goodMetadata.with(object{"frontchannel_logout_uri": "https://b.test/out"}),
			400, meta},
		"RFC 7591 §3.2.2 statement": {goodMetadata.with(object{"software_statement": "e30.e30."}), 400,
			"unapproved_software_statement"},
		"software statement, no string": {goodMetadata.with(object{"software_statement": []int{1}}), 400,
			"unapproved_software_statement"},
	} {
		a := w.Register(c.body)
		if a.StatusCode != c.status || a.Str("error") != c.code || a.Str("error_description") == "" ||
			a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.JSON)
		}
	}
	if n := w.CountClients(); n != 0 {
		t.Errorf("%d clients were stored", n)
	}
}

func TestRegistrationTakesJSONOnly(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded",
		"multipart/form-data; boundary=x", "application/json; charset=utf-7", "application/jsonx",
		"application/json-patch+json"} {
		r, _ := http.NewRequest("POST", w.Issuer+"/register",
			strings.NewReader(`{"redirect_uris":["https://a.test/cb"]}`))
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		if a := w.Send(r); a.StatusCode != http.StatusUnsupportedMediaType || a.Str("error") != "invalid_request" {
			t.Errorf("%q: %d %v", contentType, a.StatusCode, a.JSON)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH"} {
		if a := w.Json(method, w.Issuer+"/register", "", goodMetadata); a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.StatusCode)
		}
	}
	if n := w.CountClients(); n != 0 {
		t.Errorf("%d clients were stored", n)
	}
}

func TestRegistrationIsNotForOtherSites(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	w.AddClient("spa-p", func(c *clients.Client) { c.CORSOrigins = []string{"https://spa.test"} })
	for _, method := range []string{"OPTIONS", "POST"} {
		for _, origin := range []string{"https://spa.test", "https://evil.test", "null"} {
			r, _ := http.NewRequest(method, w.Issuer+"/register",
				strings.NewReader(`{"redirect_uris":["https://a.test/cb"]}`))
			r.Header.Set("Origin", origin)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Access-Control-Request-Method", "POST")
			if a := w.Send(r); a.Header.Get("Access-Control-Allow-Origin") != "" ||
				a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %s: %v", method, origin, a.Header)
			}
		}
	}
}

func TestServerSetFieldsCannotBeChosen(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	victim := w.AddClient("web-a")
	a, c := w.Registered(goodMetadata.with(object{
		"client_id": "web-a", "client_secret": "mine-mine-mine-mine-mine", "registration_access_token": "mine",
		"client_id_issued_at": 1, "client_secret_expires_at": 1,
		"registration_client_uri": "https://evil.test", "trusted": true, "first_party": true, "skip_consent": true,
		"SkipConsent": true, "without_pkce": true, "dynamic": false,
		"audience": []string{"https://api.test"}, "origins": []string{"https://evil.test"},
		"allowed_groups": []string{"x"}, "type": "service", "disabled": false,
		"claims_in_id_token": true, "opaque_access_tokens": true, "$set": object{"skip_consent": true},
		"__proto__": object{"skip_consent": true}, "_id": "web-a", "version": 7,
	}))
	if c.ID == "web-a" || a.Str("client_secret") == "mine-mine-mine-mine-mine" ||
		a.Str("registration_access_token") == "mine" || c.SkipConsent || !c.Dynamic || c.Audience != nil ||
		c.Origins != nil ||
		c.AllowedGroups != nil || c.Type != clients.TypeWeb || c.ClaimsInIDToken || c.OpaqueAccessTokens ||
		c.Version != 1 || !c.CreatedAt.Equal(w.Web.Now()) {
		t.Errorf("stored %+v", c)
	}
	for _, name := range []string{"trusted", "skip_consent", "audience", "_id", "$set", "dynamic"} {
		if _, ok := a.JSON[name]; ok {
			t.Errorf("%s was echoed", name)
		}
	}
	if got, err := w.Store.Client(context.Background(), "web-a"); err != nil || !reflect.DeepEqual(got.Metadata,
		victim.Metadata) {
		t.Errorf("the client whose identifier was named: %v", err)
	}
}

func TestInitialAccessTokens(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.Registration = registration.Token })
	at := w.Issuer + "/register"
	expired, token := w.InitialToken(), ""
	w.Clock.Advance(time.Hour)
	token = w.InitialToken()
	if err := w.Store.CreateToken(context.Background(), storage.Token{Hash: storage.Hash("access"),
		Kind: storage.TokenAccess, ExpiresAt: w.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"none": "", "unknown": "nonsense", "expired": expired,
		"of another kind": "access"} {
		a := w.Json("POST", at, value, goodMetadata)
		if code := a.Str("error"); a.StatusCode != 401 || code != "invalid_token" && value != "" || code != "" &&
			value == "" || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: %d %v %q", name, a.StatusCode, a.JSON, a.Header.Get("WWW-Authenticate"))
		}
		if hasError := strings.Contains(a.Header.Get("WWW-Authenticate"), "error="); hasError != (value != "") {
			t.Errorf("%s: %q (RFC 6750 §3.1)", name, a.Header.Get("WWW-Authenticate"))
		}
	}
	if a := w.Json("POST", at+"?access_token="+token, "", goodMetadata); a.StatusCode != 400 {
		t.Errorf("in the URL: %d", a.StatusCode)
	}
	// What was refused does not cost the token.
	if a := w.Json("POST", at, token, object{"redirect_uris": []string{"http://a.test/"}}); a.Str("error") != "invalid_redirect_uri" {
		t.Errorf("%d %v", a.StatusCode, a.JSON)
	}
	// Of fifty requests at once one gets a client.
	var created atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch a := w.Json("POST", at, token, goodMetadata); {
			case a.StatusCode == http.StatusCreated:
				created.Add(1)
			case a.StatusCode != 401 || a.Str("error") != "invalid_token":
				t.Errorf("%d %v", a.StatusCode, a.JSON)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || w.CountClients() != 1 {
		t.Errorf("%d created, %d stored", created.Load(), w.CountClients())
	}
	if strings.Contains(w.Log.String(), token) {
		t.Error("the log has the token")
	}
}

func TestOpenRegistrationIsLimitedPerAddress(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration, func(c *provider.Config) { c.RegistrationsPerHour = 3 })
	for i := range 3 {
		if a := w.Register(goodMetadata); a.StatusCode != http.StatusCreated {
			t.Fatalf("%d: %d %v", i, a.StatusCode, a.JSON)
		}
		w.Register("null") // costs nothing
	}
	w.Clock.Advance(10 * time.Minute)
	a := w.Register(goodMetadata)
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "3001" || w.CountClients() != 3 {
		t.Errorf("%d %q, %d stored", a.StatusCode, a.Header.Get("Retry-After"), w.CountClients())
	}
	w.Clock.Advance(50 * time.Minute)
	if a := w.Register(goodMetadata); a.StatusCode != http.StatusCreated {
		t.Errorf("an hour later: %d", a.StatusCode)
	}
}

// Many have a whole /48, which is 65536 networks.
func TestOpenRegistrationIsLimitedPerSiteToo(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration, func(c *provider.Config) {
		c.RegistrationsPerHour, c.TrustedProxies = 2, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	from := func(address string) int {
		t.Helper()
		r, err := http.NewRequest("POST", w.Issuer+"/register",
			strings.NewReader(`{"redirect_uris":["https://a.test/cb"]}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", address)
		return w.Send(r).StatusCode
	}
	for i := range 8 {
		if got := from(fmt.Sprintf("2001:db8:1:%x::1", i)); got != http.StatusCreated {
			t.Fatalf("%d: %d", i, got)
		}
	}
	if got := from("2001:db8:1:ff::1"); got != http.StatusTooManyRequests || w.CountClients() != 8 {
		t.Errorf("another network of the same site: %d, %d stored", got, w.CountClients())
	}
	if got := from("2001:db8:2::1"); got != http.StatusCreated {
		t.Errorf("another site: %d", got)
	}
}

func TestSectorIdentifierURI(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	sector := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		switch r.URL.Path {
		case "/good":
			_, _ = rw.Write([]byte(`["https://b.test/cb","https://a.test/cb","https://c.test/"]`))
		case "/object":
			_, _ = rw.Write([]byte(`{"0":"https://a.test/cb"}`))
		case "/moved":
			http.Redirect(rw, r, "/good", http.StatusFound)
		case "/large":
			_, _ = rw.Write([]byte(`["https://b.test/cb","https://a.test/cb"` + strings.Repeat(" ", admin.MaxSector) + `]`))
		case "/part":
			_, _ = rw.Write([]byte(`["https://a.test/cb","https://b.test/cb/"]`))
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(sector.Close)
	w := providertest.New(t, openRegistration)
	m := goodMetadata.with(object{"redirect_uris": []string{"https://a.test/cb", "https://b.test/cb"},
		"subject_type": "pairwise"})
	_, c := w.Registered(m.with(object{"sector_identifier_uri": sector.URL + "/good"}))
	if c.SectorHost != "127.0.0.1" || calls.Load() != 1 {
		t.Errorf("sector %q, %d calls", c.SectorHost, calls.Load())
	}
	said := ""
	for _, path := range []string{"/object", "/moved", "/large", "/part", "/nothing"} {
		calls.Store(0)
		a := w.Register(m.with(object{"sector_identifier_uri": sector.URL + path}))
		if a.StatusCode != 400 || a.Str("error") != "invalid_client_metadata" || calls.Load() != 1 {
			t.Errorf("%s: %d %v, %d calls", path, a.StatusCode, a.JSON, calls.Load())
		}
		if said == "" {
			said = a.Str("error_description")
		}
		if a.Str("error_description") != said {
			t.Errorf("%s is told apart: %q", path, a.Str("error_description"))
		}
	}
	// It is checked for public subjects too (OIDC Registration §5).
	if a := w.Register(m.with(object{"subject_type": "public", "sector_identifier_uri": sector.URL +
		"/part"})); a.Str("error") != "invalid_client_metadata" {
		t.Errorf("public: %d %v", a.StatusCode, a.JSON)
	}
	if n := w.CountClients(); n != 1 {
		t.Errorf("%d clients were stored", n)
	}
}

func TestRegistrationCallsNobodyInside(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	canary := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { calls.Add(1) }))
	t.Cleanup(canary.Close)
	at, _ := url.Parse(canary.URL)
	w := providertest.New(t, openRegistration,
		func(c *provider.Config) { c.Outbound = outbound.New(outbound.Config{}) })
	for _, host := range []string{"127.0.0.1:" + at.Port(), "localhost:" + at.Port(), "[::1]:" + at.Port(),
		"app.localhost:" + at.Port(), "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1",
		"0.0.0.0", "[fd00::1]", "[fe80::1]", "224.0.0.1"} {
		for _, member := range []string{"jwks_uri", "sector_identifier_uri", "backchannel_logout_uri", "logo_uri",
			"request_uris"} {
			var value any = "https://" + host + "/x"
			if member == "request_uris" {
				value = []any{value}
			}
			if a := w.Register(goodMetadata.with(object{member: value})); a.StatusCode != 400 ||
				a.Str("error") != "invalid_client_metadata" {
				t.Errorf("%s at %s: %d %v", member, host, a.StatusCode, a.JSON)
			}
		}
	}
	if calls.Load() != 0 || w.CountClients() != 0 {
		t.Errorf("%d calls, %d clients", calls.Load(), w.CountClients())
	}
	// The same is possible where the operator allows it: the refusals above are no accident.
	w = providertest.New(t, openRegistration)
	w.Registered(goodMetadata.with(object{"jwks_uri": canary.URL + "/x"}))
}

func TestPublicClientsNeedPKCEUnlessTheCertificationSuiteRuns(t *testing.T) {
	t.Parallel()
	public := goodMetadata.with(object{"token_endpoint_auth_method": "none"})
	for name, c := range map[string]struct {
		insecure bool
		body     object
		wants    bool
	}{
		"public": {false, public, true}, "public, insecure": {true, public, false},
		"confidential": {false, goodMetadata, false}, "confidential, insecure": {true, goodMetadata, false},
	} {
		w := providertest.New(t, openRegistration,
			func(cfg *provider.Config) { cfg.InsecurePublicWithoutPKCE = c.insecure })
		_, client := w.Registered(c.body)
		p := w.Browser().Get(w.Request(client, "code_challenge", "", "code_challenge_method", ""))
		if got := p.Answer().Get("error") == "invalid_request"; got != c.wants {
			t.Errorf("%s: %d %s", name, p.StatusCode, p.Header.Get("Location"))
		}
	}
	// A public client of the administrator's needs it whatever is insecure.
	w := providertest.New(t, openRegistration, func(cfg *provider.Config) { cfg.InsecurePublicWithoutPKCE = true })
	client := w.AddClient("spa-p", func(c *clients.Client) { c.TokenEndpointAuthMethod, c.SecretHash = "none", nil })
	if p := w.Browser().Get(w.Request(client, "code_challenge", "", "code_challenge_method",
		"")); p.Answer().Get("error") != "invalid_request" {
		t.Errorf("an administrator's: %d %s", p.StatusCode, p.Header.Get("Location"))
	}
}

func TestUnsignedIDTokensOnlyWhereAllowed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration, func(c *provider.Config) { c.InsecureAllowNone = true })
	_, c := w.Registered(goodMetadata.with(object{"id_token_signed_response_alg": "none",
		"request_object_signing_alg": "none"}))
	if c.IDTokenSignedResponseAlg != "none" {
		t.Errorf("%+v", c.Metadata)
	}
}

func TestARegisteredClientSignsPeopleIn(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	w.AddUser("alice")
	a, c := w.Registered(goodMetadata.with(object{"grant_types": []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_method":    "client_secret_post",
		"request_object_encryption_alg": "ECDH-ES"}))
	if c.RequestObjectEncryptionEnc != keys.DefaultContentEncryption {
		t.Errorf("enc %q", c.RequestObjectEncryptionEnc)
	}
	code := w.Browser().Code(c, "alice")
	r, _ := http.NewRequest("POST", w.Issuer+"/token",
		strings.NewReader(url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {code},
			"redirect_uri":  {c.RedirectURIs[0]},
			"code_verifier": {providertest.TestVerifier}, "client_id": {c.ID},
			"client_secret": {a.Str("client_secret")}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	tokens := w.Send(r)
	if tokens.StatusCode != 200 || tokens.Str("access_token") == "" || tokens.Str("id_token") == "" {
		t.Fatalf("%d %v", tokens.StatusCode, tokens.JSON)
	}
	// RFC 7592 §2.3: with the client everything ends that was granted to it.
	if gone := w.Json("DELETE", a.Str("registration_client_uri"), a.Str("registration_access_token"),
		nil); gone.StatusCode != http.StatusNoContent {
		t.Fatalf("%d %v", gone.StatusCode, gone.JSON)
	}
	if u := w.Json("GET", w.Issuer+"/userinfo", tokens.Str("access_token"), nil); u.StatusCode != 401 {
		t.Errorf("userinfo after the end: %d %v", u.StatusCode, u.JSON)
	}
}

func TestARegistrationThatNobodyUsesExpires(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration, func(c *provider.Config) { c.RegistrationUnused = time.Hour })
	w.AddUser("alice")
	body := map[string]any{"redirect_uris": []string{"https://app.example/cb"},
		"token_endpoint_auth_method": "client_secret_basic"}
	_, unused := w.Registered(body)
	_, used := w.Registered(body)
	_, late := w.Registered(body)
	b := w.Browser()
	p := b.SignInAs(b.Open(w.Request(used)), "alice")
	if p = b.Follow(b.Submit(p, "consent-allow", providertest.Allow)); p.Answer().Get("code") == "" {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	w.Clock.Advance(time.Hour + time.Second)
	// What has run out is not used any more, whether or not it has been removed yet.
	if p := b.Open(w.Request(late)); p.StatusCode != http.StatusBadRequest || !p.Has("op-error") {
		t.Errorf("a registration that has run out: %d", p.StatusCode)
	}
	if _, err := w.Store.Purge(t.Context(), w.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]error{unused.ID: storage.ErrNotFound, late.ID: storage.ErrNotFound, used.ID: nil} {
		if _, err := w.Store.Client(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
	if p := b.Open(w.Request(unused)); p.StatusCode != http.StatusBadRequest || !p.Has("op-error") {
		t.Errorf("a registration that has gone: %d", p.StatusCode)
	}
	if p := b.Open(w.Request(used)); p.Answer().Get("code") == "" {
		t.Errorf("one that was used: %d", p.StatusCode)
	}
}
