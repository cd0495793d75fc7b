package cli_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/clients/cli"
	"latchkey/clients/internal/optest"
)

func newProvider(t *testing.T) *optest.Provider {
	return optest.New(t, optest.Client{ID: "whoami", RedirectURI: "http://127.0.0.1/callback", AnyPort: true})
}

func login(t *testing.T, p *optest.Provider, open func(string) error) (*cli.Tokens, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	tokens, err := cli.Login(ctx, cli.Config{Issuer: p.Issuer, ClientID: "whoami", HTTPClient: optest.HTTPClient(),
		OpenBrowser: open, Out: &out})
	return tokens, out.String(), err
}

// person signs in in a browser of their own.
func person(t *testing.T, b *optest.Browser) func(string) error {
	return func(address string) error {
		go func() {
			b.Get(address)
			if b.Has("login-submit") {
				b.Click("login-submit", "username", optest.Username)
			}
		}()
		return nil
	}
}

func TestLoginSignsInAndSaysWho(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	tokens, out, err := login(t, p, person(t, optest.NewBrowser(t)))
	if err != nil {
		t.Fatal(err)
	}
	if tokens.AccessToken == "" || tokens.IDToken == "" || tokens.RefreshToken != "" ||
		tokens.Claims["sub"] != optest.Subject || tokens.Claims["email"] != "alice@example.com" {
		t.Errorf("claims: %v", tokens.Claims)
	}
	if !strings.Contains(out, "\n  "+p.Issuer+"/authorize?") ||
		!strings.Contains(out, "Signed in as Alice <Example> ("+optest.Subject+").") || strings.Contains(out, "eyJ") {
		t.Errorf("output: %s", out)
	}
	p.With(func() {
		q := p.LastRequest
		u, err := url.Parse(q.Get("redirect_uri"))
		if err != nil || u.Hostname() != "127.0.0.1" || u.Port() == "" || u.Path != "/callback" ||
			q.Get("code_challenge_method") != "S256" || len(q.Get("nonce")) < 26 {
			t.Errorf("request: %v", q)
		}
	})
}

func TestLoginGoesOnWhenNoBrowserCanBeOpened(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := optest.NewBrowser(t)
	_, out, err := login(t, p, func(address string) error {
		_ = person(t, b)(address)
		return errors.New("no display")
	})
	if err != nil || !strings.Contains(out, "could not be opened (no display)") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestLoginReportsAWrongAnswerAndIgnoresAForeignOne(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*optest.Provider)
		words  string
	}{
		"RFC 6749 §4.1.2.1 refused": {func(p *optest.Provider) { p.Deny = "access_denied" },
			"the provider refused: access_denied because"},
		"RFC 9207 §2.4 another issuer": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Set("iss", "http://evil.localhost") }
		}, `from the issuer "http://evil.localhost"`},
		"RFC 9207 §2.4 no issuer although promised": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Del("iss") }
		}, "from the issuer"},
		"RFC 6749 §3.1 a parameter twice": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Add("code", "x") }
		}, "more than once"},
		"RFC 6749 §4.1.2 neither code nor error": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Del("code") }
		}, "neither a code nor an error"},
		"RFC 6749 §5.2 the code is refused": {func(p *optest.Provider) { p.Refuse = "invalid_grant" },
			`answered "invalid_grant"`},
		"OIDC Core §3.1.3.7 another nonce": {idToken("nonce", "x"), "nonce is not ours"},
		"OIDC Core §3.1.3.7 another audience": {
			idToken("aud", "notes"), "verify the ID token"},
		"OIDC Core §3.1.3.7 another authorized party": {idToken("azp", "notes"), "azp is another client"},
		"OIDC Core §3.1.3.8 at_hash":                  {idToken("at_hash", "AAAA"), "verify the ID token"},
		"OIDC Core §5.3.2 userinfo of somebody else": {func(p *optest.Provider) {
			p.Edit = func(kind string, _, claims map[string]any) {
				if kind == "userinfo" {
					claims["sub"] = "mallory"
				}
			}
		}, "sub is not that of the ID token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.With(func() { test.change(p) })
			tokens, _, err := login(t, p, person(t, optest.NewBrowser(t)))
			if err == nil || tokens != nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%v", err)
			}
		})
	}
}

func idToken(claim string, value any) func(*optest.Provider) {
	return func(p *optest.Provider) {
		p.Edit = func(kind string, _, claims map[string]any) {
			if kind == "id_token" {
				claims[claim] = value
			}
		}
	}
}

func TestOtherRequestsAtTheLoopbackPortChangeNothing(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := optest.NewBrowser(t)
	tokens, _, err := login(t, p, func(address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		callback := u.Query().Get("redirect_uri")
		for _, test := range []struct {
			method, address string
			want            int
		}{
			{"GET", callback, 400},
			{"GET", callback + "?code=planted", 400},
			{"GET", callback + "?code=planted&state=guessed", 400},
			{"GET", callback + "?error=access_denied&state=", 400},
			{"GET", callback + "?code=x&state=a&state=" + u.Query().Get("state"), 400},
			{"POST", callback + "?code=planted&state=" + u.Query().Get("state"), 405},
			{"GET", strings.TrimSuffix(callback, "/callback") + "/favicon.ico", 404},
		} {
			req, err := http.NewRequest(test.method, test.address, nil)
			if err != nil {
				return err
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			res.Body.Close()
			if res.StatusCode != test.want {
				t.Errorf("%s %s: %s", test.method, test.address, res.Status)
			}
		}
		return person(t, b)(address)
	})
	if err != nil || tokens == nil {
		t.Errorf("the login itself: %v", err)
	}
}

func TestLoginStopsWaitingWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := cli.Login(ctx, cli.Config{Issuer: p.Issuer, ClientID: "whoami", HTTPClient: optest.HTTPClient(),
		OpenBrowser: func(string) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestFaultsOfTheConfigurationAreNamed(t *testing.T) {
	t.Parallel()
	_, err := cli.Login(t.Context(), cli.Config{Issuer: "id.localhost"})
	if err == nil || !strings.Contains(err.Error(), `issuer "id.localhost"`) || !strings.Contains(err.Error(),
		"client id is missing") {
		t.Errorf("%v", err)
	}
}
