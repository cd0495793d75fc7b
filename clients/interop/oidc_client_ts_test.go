package interop

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromium starts a browser with scripts.
func chromium(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		missing(t, "no Chromium: the clients in a browser are not tested; apt-get install chromium")
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

// tab is one page of a browser with scripts.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// newTab opens another page of the same browser: both have the same cookies, unless an option says
// otherwise.
func newTab(t *testing.T, all context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(all, options...)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a page: %v", err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancelTime)
	return &tab{t, ctx}
}

type action = chromedp.Action[chromedp.Void]

func (p *tab) do(actions ...action) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		page, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`location.href + " " + document.body.innerText`))
		p.t.Fatalf("%v at %s", err, page)
	}
}

func click(id string) action {
	return chromedp.Steps(chromedp.WaitVisible("#"+id), chromedp.Click("#"+id))
}

// says waits until the element with the id has a text that begins so.
func (p *tab) says(id, text string) {
	p.t.Helper()
	limit, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(limit, chromedp.WaitReady(`#`+id+`[data-text^="`+text+`"]`)); err != nil {
		page, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`location.href + " " + document.body.innerText`))
		p.t.Fatalf("#%s does not say %q: %v at %s", id, text, err, page)
	}
}

// signIn fills the sign-in page and agrees.
func signIn() action {
	return chromedp.Steps(chromedp.WaitVisible("#login-submit"), chromedp.SendKeys("#username", username),
		chromedp.SendKeys("#password", password),
		click("login-submit"), click("consent-allow"))
}

func TestOIDCClientTSInABrowser(t *testing.T) {
	t.Parallel()
	_, folder := node(t)
	all := chromium(t)
	l := serve(t, "127.0.0.1", "")

	var settings string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /settings.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(settings))
	})
	mux.HandleFunc("GET /spa.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "node/spa.js") })
	mux.HandleFunc("GET /oidc-client-ts.min.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(folder, "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "node/spa.html") })
	s := httptest.NewServer(mux) // at 127.0.0.1, so that it is of the provider's site and frames get its cookies
	t.Cleanup(s.Close)
	app := l.register("Board", "--type", "spa", "--redirect-uri", s.URL+"/", "--insecure-silent-loopback",
		"--post-logout-redirect-uri", s.URL+"/?bye")
	settings = `{"issuer": "` + l.issuer + `", "client_id": "` + app.ID + `"}`

	p := newTab(t, all)
	p.do(chromedp.Navigate(s.URL + "/"))
	p.says("state", "signed-out")
	p.do(click("sign-in"), signIn())
	p.says("state", "signed-in")
	p.says("who", l.sub+" ada@example.com")

	p.do(click("renew"))
	p.says("answer", "renewed true "+l.sub)
	p.do(click("renew"))
	p.says("answer", "renewed true "+l.sub)
	p.do(click("renew-silently"))
	p.says("answer", "renewed "+l.sub)

	// OIDC Session Management §3: the page that watches hears of a sign-out in another one.
	other := newTab(t, all)
	other.do(chromedp.Navigate(l.issuer+"/logout"), click("logout-confirm"), chromedp.WaitVisible("#logged-out"))
	p.says("state", "signed-out-elsewhere")
	p.do(click("renew-silently"))
	p.says("error", "ErrorResponse: ")

	p.do(chromedp.Navigate(s.URL+"/"), click("sign-in"), chromedp.WaitVisible("#login-submit"),
		chromedp.SendKeys("#username", username), chromedp.SendKeys("#password", password), click("login-submit"))
	p.says("state", "signed-in")
	p.do(click("revoke"))
	p.says("answer", "revoked")
	p.do(click("sign-out"))
	p.says("answer", "bye")
	p.says("state", "signed-out")
}
