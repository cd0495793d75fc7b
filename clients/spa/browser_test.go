package spa_test

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"latchkey/clients/api"
	"latchkey/clients/internal/optest"
	"latchkey/clients/spa"
)

// browser starts Chromium, or ends the test: visibly skipped on a laptop, failed where everything
// has to run.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		const hint = "no Chromium: the script is not tested; apt-get install chromium"
		if os.Getenv("CI") == "true" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	allocated, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

type world struct {
	t    *testing.T
	ctx  context.Context
	op   *optest.Provider
	base string
}

const audience = "http://api.localhost"

// newWorld gives each test a provider, an API and an application of its own, in a window of its own
// without cookies.
func newWorld(t *testing.T, all context.Context) *world {
	t.Helper()
	w := &world{t: t, op: optest.New(t)}
	lateAPI := &optest.Late{}
	apiURL := optest.Serve(t, "api.localhost", lateAPI)
	w.base = newApplication(t, spa.Config{Issuer: w.op.Issuer, APIs: []spa.API{{Name: "API", URL: apiURL}},
		Resources: []string{audience}})
	h, err := api.New(api.Config{Audience: audience, Issuer: w.op.Issuer, AllowedOrigins: []string{w.base},
		HTTPClient: optest.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	lateAPI.Handler = h
	w.op.With(func() {
		w.op.Clients["board"] = optest.Client{ID: "board", RedirectURI: w.base + spa.CallbackPath,
			PostLogoutRedirectURI: w.base + spa.SignedOutPath, Audience: audience}
	})
	ctx, cancel := chromedp.NewContext(all, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancelTime)
	w.ctx = ctx
	return w
}

type action = chromedp.Action[chromedp.Void]

func (w *world) run(actions ...action) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, actions...); err != nil {
		page, _ := chromedp.Run(w.ctx, chromedp.Location())
		w.t.Fatalf("at %s: %v", page, err)
	}
}

// read runs an action that has a value.
func read[T any](w *world, a chromedp.Action[T]) T {
	w.t.Helper()
	value, err := chromedp.Run(w.ctx, a)
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}

func (w *world) text(id string) string {
	w.t.Helper()
	return strings.TrimSpace(read(w, chromedp.TextContent("#"+id)))
}

func shown(id string) action { return chromedp.WaitVisible("#" + id) }

func click(id string) action {
	return chromedp.Steps(shown(id), chromedp.Click("#"+id))
}

func signIn(w *world) action {
	return chromedp.Steps(chromedp.Navigate(w.base+"/"), click("sign-in"), shown("login-submit"),
		chromedp.SendKeys("input[name=username]", optest.Username), click("login-submit"))
}

func TestTheSinglePageApplicationInABrowser(t *testing.T) {
	t.Parallel()
	all := browser(t)

	t.Run("somebody signs in, calls the API as both roles and signs out everywhere", func(t *testing.T) {
		w := newWorld(t, all)
		w.run(signIn(w), shown("signed-in"))
		if got := w.text("who"); got != "Alice <Example>" {
			t.Errorf("who: %q", got)
		}
		if got := w.text("signature-state"); !strings.HasPrefix(got, "Signature verified: RS256 with the key rs-1,") {
			t.Errorf("signature: %q", got)
		}
		address, stored := read(w, chromedp.Location()),
			read(w, chromedp.Evaluate[int](`sessionStorage.length + localStorage.length`))
		if address != w.base+"/" || stored != 0 {
			t.Errorf("after signing in: at %s, %d entries stored", address, stored)
		}
		call := func(id, want string) {
			t.Helper()
			w.run(click(id), shown("api-answer"), chromedp.WaitVisible(`#api-answer[data-status="`+want+`"]`))
		}
		call("call-public", "200")
		call("call-me", "200")
		call("call-admin", "403")
		if got := w.text("www-authenticate"); !strings.Contains(got, `error="insufficient_scope"`) {
			t.Errorf("403: %q", got)
		}
		call("call-tampered", "401")
		if got := w.text("www-authenticate"); !strings.Contains(got, `error="invalid_token"`) {
			t.Errorf("401: %q", got)
		}
		w.op.With(func() {
			w.op.Roles = []string{"admin"}
			q := w.op.LastRequest
			if q.Get("code_challenge_method") != "S256" || q.Get("resource") != audience || len(q.Get("nonce")) != 43 ||
				q.Has("prompt") {
				t.Errorf("request: %v", q)
			}
		})
		// A reload forgets; the provider still knows, so that nothing is asked.
		w.run(chromedp.Reload(), shown("signed-in"))
		call("call-admin", "200")
		w.run(click("sign-out-everywhere"), shown("signed-out"), shown("note"))
		if got := w.text("note"); got != "You were signed out everywhere." {
			t.Errorf("note: %q", got)
		}
		if n := len(w.op.Sessions()); n != 0 {
			t.Errorf("%d sessions left", n)
		}
		w.run(click("sign-in-silently"), shown("error"))
		if got := w.text("error"); !strings.Contains(got, "login_required") {
			t.Errorf("silent attempt without a session: %q", got)
		}
	})

	t.Run("an open page notices that the session has ended", func(t *testing.T) {
		w := newWorld(t, all)
		w.run(signIn(w), shown("signed-in"))
		w.op.With(func() { w.op.Ended = true })
		w.run(chromedp.Evaluate[chromedp.Void](`dispatchEvent(new Event("focus"))`), shown("signed-out"), shown("note"))
		if body := read(w, chromedp.Evaluate[string](`document.body.textContent`)); strings.Contains(body, "Alice") ||
			!strings.Contains(w.text("note"), "has ended") {
			t.Errorf("note %q, page %s", w.text("note"), body)
		}
	})

	t.Run("RFC 9470 a step-up challenge is followed and the call made again", func(t *testing.T) {
		w := newWorld(t, all)
		w.op.With(func() { w.op.Roles = []string{"admin"} })
		w.run(signIn(w), shown("signed-in"))
		w.op.With(func() {
			for sid := range w.op.SignedInAt {
				w.op.SignedInAt[sid] = time.Now().Add(-time.Hour)
			}
		})
		w.run(chromedp.Reload(), shown("signed-in"), click("call-admin"), shown("login-submit"))
		w.op.With(func() {
			if got := w.op.LastRequest.Get("max_age"); got != "300" {
				t.Errorf("max_age: %q", got)
			}
		})
		w.run(chromedp.SendKeys("input[name=username]", optest.Username), click("login-submit"),
			chromedp.WaitVisible(`#api-answer[data-status="200"]`))
	})

	t.Run("the ledger of the API is shown and written to", func(t *testing.T) {
		w := newWorld(t, all)
		w.run(signIn(w), shown("signed-in"), chromedp.SendKeys("#what", "Train"), chromedp.SendKeys("#amount", "12,5"),
			click("entry-add"), chromedp.WaitVisible("#entries li"))
		if got := w.text("balance"); got != "-€12.50" {
			t.Errorf("balance: %q", got)
		}
	})

	t.Run("who asked to be forgotten is not signed in again by a reload", func(t *testing.T) {
		w := newWorld(t, all)
		w.run(signIn(w), shown("signed-in"), click("sign-out-here"), shown("signed-out"), chromedp.Reload(),
			shown("sign-in"), click("sign-in"), shown("signed-in"))
	})

	t.Run("the page forgets without leaving anything behind", func(t *testing.T) {
		w := newWorld(t, all)
		w.run(signIn(w), shown("signed-in"), click("call-me"), shown("api-answer"), click("sign-out-here"),
			shown("signed-out"))
		body := read(w, chromedp.Evaluate[string](`document.body.textContent`))
		if strings.Contains(body, "Alice") || strings.Contains(body, optest.Subject) {
			t.Errorf("left behind: %s", body)
		}
	})

	t.Run("every other algorithm of the list", func(t *testing.T) {
		w := newWorld(t, all)
		for _, kid := range []string{"es-1", "ed-1"} {
			w.op.With(func() {
				w.op.Edit = func(kind string, header, claims map[string]any) {
					if kind == "id_token" {
						header["kid"] = kid
						delete(claims, "at_hash")
					}
				}
			})
			if kid == "es-1" {
				w.run(signIn(w))
			} else {
				w.run(chromedp.Navigate(w.base + "/"))
			}
			w.run(shown("signed-in"))
			if got := w.text("signature-state"); !strings.Contains(got, kid) {
				t.Errorf("%s: %q", kid, got)
			}
		}
	})

	refused := map[string]struct {
		change func(*optest.Provider)
		words  string
	}{
		"RFC 9207 §2.4 another issuer": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Set("iss", "http://evil.localhost") }
		}, "another sign-in service"},
		"RFC 9207 §2.4 no issuer although promised": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Del("iss") }
		}, "another sign-in service"},
		"RFC 6749 §10.12 another state": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Set("state", "x") }
		}, "does not belong"},
		"RFC 6749 §3.1 a parameter twice": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Add("code", "x") }
		}, "garbled"},
		"RFC 6749 §4.1.2.1 refused": {func(p *optest.Provider) { p.Deny = "access_denied" },
			"because <b>the test</b> says so (access_denied)"},
		"RFC 6749 §5.2 the code is refused": {func(p *optest.Provider) { p.Refuse = "invalid_grant" },
			"/token answered 400 invalid_grant"},
		"OIDC Core §3.1.3.7 another nonce":            {edit("id_token", "nonce", "x"), "nonce"},
		"OIDC Core §3.1.3.7 another audience":         {edit("id_token", "aud", "x"), "for another application"},
		"OIDC Core §3.1.3.7 another authorized party": {edit("id_token", "azp", "x"), "issued to another"},
		"OIDC Core §3.1.3.7 another issuer":           {edit("id_token", "iss", "x"), "another issuer"},
		"OIDC Core §3.1.3.7 expired":                  {edit("id_token", "exp", 1), "expired"},
		"OIDC Core §3.1.3.8 at_hash of another token": {edit("id_token", "at_hash", "x"),
			"does not belong to the ID token"},
		"OIDC Core §5.3.2 userinfo about somebody else": {edit("userinfo", "sub", "x"), "somebody else"},
		"RFC 8725 §3.1 alg none":                        {head("alg", "none"), "not accepted"},
		"RFC 8725 §3.1 HS256":                           {head("alg", "HS256"), "not accepted"},
		"RFC 8725 §3.1 an algorithm the key is not for": {head("alg", "PS256"), "unknown key"},
		"RFC 7515 §4.1.4 an unknown key":                {head("kid", "x"), "unknown key"},
		"RFC 7515 §4.1.11 a critical header":            {head("crit", []string{"x"}), "not accepted"},
		"RFC 7515 §5.2 another key's signature": {func(p *optest.Provider) {
			p.Edit = func(kind string, _, _ map[string]any) {
				if kind == "id_token" {
					p.SpoilNext = true
				}
			}
		}, "signature of the ID token is wrong"},
	}
	w := newWorld(t, all)
	for name, test := range refused {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.op.With(func() { w.op.Deny, w.op.Refuse, w.op.Edit, w.op.Response = "", "", nil, nil; test.change(w.op) })
			w.run(chromedp.Navigate(w.base+"/"), click("sign-in"), chromedp.WaitVisible("#error, #login-submit"))
			if read(w, chromedp.Evaluate[bool](`!!document.getElementById("login-submit")`)) {
				w.run(chromedp.SendKeys("input[name=username]", optest.Username), click("login-submit"))
			}
			w.run(shown("error"), shown("signed-out"))
			in := read(w, chromedp.Evaluate[bool](`!document.getElementById("signed-in").hidden`))
			if got := w.text("error"); !strings.Contains(got, test.words) || in {
				t.Errorf("error %q, signed in %v", got, in)
			}
		})
	}
}

func edit(kind, claim string, value any) func(*optest.Provider) {
	return func(p *optest.Provider) {
		p.Edit = func(k string, _, claims map[string]any) {
			if k == kind {
				claims[claim] = value
			}
		}
	}
}

func head(name string, value any) func(*optest.Provider) {
	return func(p *optest.Provider) {
		p.Edit = func(k string, header, _ map[string]any) {
			if k == "id_token" {
				header[name] = value
			}
		}
	}
}
