package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestTheDemonstrationInABrowser does what the demonstration suggests, in a real browser.
func TestTheDemonstrationInABrowser(t *testing.T) {
	t.Parallel()
	all := chromium(t)
	info, flask := startDemo(t)
	site := map[string]string{}
	for _, s := range slices.Concat(info.Applications, info.APIs) {
		site[s.Name] = s.URL
	}
	password := map[string]string{}
	for _, p := range info.People {
		password[p.Username] = p.Password
	}

	signIn := func(w *window, who string) {
		t.Helper()
		w.do(chromedp.WaitVisible("#login-submit"), chromedp.SendKeys("#username", who), chromedp.SendKeys("#password",
			password[who]), chromedp.Click("#login-submit"))
	}
	call := func(w *window, button string, want int) {
		t.Helper()
		// The answer before must not be taken for this one.
		if _, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](`document.querySelector("#api-answer")?.removeAttribute("data-status"), true`)); err != nil {
			t.Fatal(err)
		}
		w.do(chromedp.Click("#"+button), chromedp.WaitVisible(`#api-answer[data-status="`+strconv.Itoa(want)+`"]`))
	}

	t.Run("one sign-in opens every application, and one sign-out closes them", func(t *testing.T) {
		w := newWindow(t, all)
		w.do(chromedp.Navigate(site["Notes"]+"/"), chromedp.WaitVisible("#signed-out"))
		w.screenshot("notes-signed-out")
		w.do(chromedp.Click("#sign-in"), chromedp.WaitVisible("#login-page"))
		w.screenshot("sign-in")
		signIn(w, "alice")
		w.do(chromedp.WaitVisible("#signed-in"))
		w.screenshot("notes")
		for _, name := range []string{"Photos", "Ledger", "Board"} {
			w.do(chromedp.Navigate(site[name]+"/"), chromedp.WaitVisible("#signed-in")) // without a click
			w.screenshot(strings.ToLower(name))
		}
		// In the single-page application, which calls the APIs from the browser.
		call(w, "call-me", 200)
		call(w, "call-admin", 403)
		if flask {
			call(w, "call-flask-me", 200)
			call(w, "call-flask-admin", 403)
		}
		// And in one with a server.
		w.do(chromedp.Navigate(site["Photos"]+"/"), chromedp.WaitVisible("#signed-in"))
		call(w, "call-public", 200)
		call(w, "call-me", 200)
		call(w, "call-admin", 403)
		call(w, "call-anonymous", 401)
		call(w, "call-tampered", 401)
		if flask {
			call(w, "call-flask-me", 200)
			call(w, "call-flask-admin", 403)
			call(w, "call-flask-tampered", 401)
		}
		w.screenshot("api-refuses")

		board := w.tab()
		board.do(chromedp.Navigate(site["Board"]+"/"), chromedp.WaitVisible("#signed-in"))
		w.do(chromedp.Click("#sign-out-everywhere"))
		w.do(chromedp.WaitVisible("#logged-out"))
		w.screenshot("signed-out")
		for _, name := range []string{"Notes", "Photos", "Ledger"} {
			if text := w.text("#logged-out"); !strings.Contains(text, name) {
				t.Errorf("the signed-out page does not say what became of %s: %s", name, text)
			}
		}
		board.do(chromedp.WaitVisible("#signed-out")) // an open page notices by itself
		if text := board.text("body"); strings.Contains(text, "Alice") {
			t.Errorf("the page of the single-page application still names her: %s", text)
		}
		for _, name := range []string{"Notes", "Photos", "Ledger", "Board"} {
			w.do(chromedp.Navigate(site[name]+"/"), chromedp.WaitVisible("#signed-out"))
		}
		w.do(chromedp.Navigate(site["Notes"]+"/"), chromedp.WaitVisible("#sign-in"), chromedp.Click("#sign-in"),
			chromedp.WaitVisible("#login-page"))
	})

	t.Run("an administrator reaches what is for administrators", func(t *testing.T) {
		w := newWindow(t, all)
		w.do(chromedp.Navigate(site["Ledger"]+"/"), chromedp.WaitVisible("#sign-in"), chromedp.Click("#sign-in"))
		signIn(w, "bob")
		w.do(chromedp.WaitVisible("#signed-in"))
		call(w, "call-admin", 200)
		if flask {
			call(w, "call-flask-admin", 200)
		}
		w.do(chromedp.Navigate(info.Account), chromedp.WaitVisible("#account-page"))
		w.screenshot("account")
	})

	t.Run("who may not use an application is told so, and is not let in", func(t *testing.T) {
		w := newWindow(t, all)
		w.do(chromedp.Navigate(site["Ledger"]+"/"), chromedp.WaitVisible("#sign-in"), chromedp.Click("#sign-in"))
		signIn(w, "carol")
		w.do(chromedp.WaitVisible("#refused"))
		w.screenshot("refused")
		if text := w.text("#refused"); !strings.Contains(text, "Ledger") ||
			!strings.Contains(text, "help@example.com") {
			t.Errorf("the page does not say which and whom to ask: %s", text)
		}
		w.do(chromedp.Navigate(site["Ledger"]+"/"), chromedp.WaitVisible("#signed-out"))
		w.do(chromedp.Navigate(site["Notes"]+"/"), chromedp.WaitVisible("#signed-in"))
	})
}

// startDemo starts the demonstration as main does, and reports whether the API in Flask runs in it.
func startDemo(t testing.TB, more ...string) (demoInfo, bool) {
	t.Helper()
	r := start(t, nil, append([]string{"demo", "--json", "--port", strconv.Itoa(freePorts(t, portsEnd))}, more...)...)
	r.await(r.stdout, "\n}\n")
	info := into[demoInfo](t, r.stdout.String())
	if info.FlaskHint != "" {
		if os.Getenv("CI") == "true" {
			t.Errorf("without the API in Flask: %s", info.FlaskHint)
		} else {
			t.Logf("without the API in Flask: %s", info.FlaskHint)
		}
	}
	return info, info.FlaskHint == ""
}

// chromium starts the browser. Where there is none the test is skipped, or fails if CI=true.
func chromium(t testing.TB) context.Context {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
		allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
		t.Cleanup(cancel)
		ctx, cancelBrowser := chromedp.NewContext(allocated)
		t.Cleanup(cancelBrowser)
		if err := chromedp.Do(ctx); err != nil {
			t.Fatalf("start %s: %v", path, err)
		}
		return ctx
	}
	const hint = "no Chromium: the demonstration is not tried in a browser; apt-get install chromium"
	if os.Getenv("CI") == "true" {
		t.Fatal(hint)
	}
	t.Skip(hint)
	return nil
}

// window is a browser's window with cookies of its own.
type window struct {
	t   *testing.T
	ctx context.Context
	dir string
}

func newWindow(t *testing.T, all context.Context) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(all, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancelTime)
	dir := os.Getenv("LATCHKEY_TEST_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	return &window{t, ctx, dir}
}

// tab opens another tab of the same browser.
func (w *window) tab() *window {
	w.t.Helper()
	ctx, cancel := chromedp.NewContext(w.ctx)
	w.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		w.t.Fatalf("open a tab: %v", err)
	}
	return &window{w.t, ctx, w.dir}
}

func (w *window) do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, actions...); err != nil {
		w.screenshot("failed")
		address, _ := chromedp.Run(w.ctx, chromedp.Location())
		body, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		w.t.Fatalf("at %s: %v\n%s", address, err, body)
	}
}

func (w *window) text(selector string) string {
	w.t.Helper()
	text, err := chromedp.Run(w.ctx, chromedp.TextContent(selector))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(strings.Fields(text), " ")
}

// screenshot keeps a picture of the page, for whoever wants to look: LATCHKEY_TEST_SCREENSHOTS
// names the folder.
func (w *window) screenshot(name string) {
	w.t.Helper()
	picture, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		w.t.Logf("picture of %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(w.dir, name+".png"), picture, 0o644); err != nil {
		w.t.Error(err)
	}
}
