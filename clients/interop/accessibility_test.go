package interop

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestPagesHaveNoFindingsOfAxe looks at the pages of a running provider with axe-core, as wide as a
// screen and as narrow as a phone that is zoomed in (WCAG 2.2 §1.4.10).
func TestPagesHaveNoFindingsOfAxe(t *testing.T) {
	t.Parallel()
	all := chromium(t)
	_, folder := node(t)
	source, err := os.ReadFile(filepath.Join(folder, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	mails := t.TempDir()
	l := serve(t, "localhost", "", "LATCHKEY_MAIL_MODE=folder", "LATCHKEY_MAIL_FROM=accounts@example.com",
		"LATCHKEY_MAIL_FOLDER="+mails,
		"LATCHKEY_SIGN_UP_MODE=open", "LATCHKEY_ACCOUNT_RECOVERY_WAIT=1h", "LATCHKEY_ACCOUNT_DELETE=true",
		"LATCHKEY_LOOK_ACCENT=#7a1f5c",
		"LATCHKEY_LOOK_WELCOME=Welcome", "LATCHKEY_LOOK_HELP_URI=https://example.com/help")
	app := l.register("Asks", "--redirect-uri", "https://asks.example/cb", "--client-uri", "https://asks.example/")
	page := newTab(t, all)
	text := func(expression string) string {
		t.Helper()
		said, err := chromedp.Run(page.ctx, chromedp.Evaluate[string](expression))
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	const run = `(async () => {
		const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]});
		const said = found.violations.map(v => v.id + " at " + v.nodes.map(n => n.target.join(" ")).join(", "));
		const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
		if (over > 0) said.push("scrolls sideways by " + over);
		document.documentElement.setAttribute("data-axe", said.join("; ") || "nothing");
	})(), ""`
	look := func(name, id string) {
		t.Helper()
		page.do(chromedp.WaitVisible("#" + id))
		for _, width := range []int64{1280, 320} {
			page.do(chromedp.EmulateViewport(width, 900))
			text(string(source) + `; ""`)
			text(`document.documentElement.removeAttribute("data-axe"), ""`)
			text(run)
			page.do(chromedp.WaitReady("html[data-axe]"))
			if found := text(`document.documentElement.getAttribute("data-axe")`); found != "nothing" {
				t.Errorf("%s, %d pixels: %s", name, width, found)
			}
		}
	}
	at := func(path, id string) {
		t.Helper()
		page.do(chromedp.Navigate(l.issuer + path))
		look(path, id)
	}
	// link waits for a mail with a link to this page.
	link := func(path string) string {
		t.Helper()
		address := regexp.MustCompile(regexp.QuoteMeta(l.issuer+path) + `\?link=(3D)?[\w-]+`)
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			names, _ := filepath.Glob(filepath.Join(mails, "*.eml"))
			for _, name := range names {
				mail, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				plain := strings.ReplaceAll(string(mail), "=\r\n", "")
				if found := address.FindString(plain); found != "" {
					return strings.Replace(found, "link=3D", "link=", 1)
				}
			}
		}
		t.Fatalf("no mail with a link to %s", path)
		return ""
	}

	at("/account", "login-page")
	at("/password/forgot", "forgot-page")
	page.do(chromedp.SendKeys("#username", username), chromedp.Click("#forgot-submit"))
	look("the mail is on its way", "forgot-sent")
	page.do(chromedp.Navigate(link("/password/reset")))
	look("a new password", "reset-page")
	at("/recovery", "forgot-page")
	page.do(chromedp.SendKeys("#username", username), chromedp.Click("#forgot-submit"),
		chromedp.WaitVisible("#forgot-sent"))
	page.do(chromedp.Navigate(link("/recovery/begin")))
	look("the way back", "step-page")
	at("/sign-up", "sign-up-page")
	page.do(chromedp.SendKeys("#email", "eve@example.com"), chromedp.Click("#sign-up-submit"),
		chromedp.WaitVisible("#forgot-sent"))
	page.do(chromedp.Navigate(link("/sign-up/finish")))
	look("an account of one's own", "finish-page")
	at("/nowhere", "op-error")

	page.do(chromedp.Navigate(l.issuer + "/authorize?" + url.Values{"client_id": {app.ID}, "response_type": {"code"},
		"redirect_uri":          {"https://asks.example/cb"},
		"scope":                 {"openid profile email offline_access"},
		"code_challenge":        {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
		"code_challenge_method": {"S256"}}.Encode()))
	look("the sign-in of an application", "login-page")
	page.do(chromedp.SendKeys("#username", username), chromedp.SendKeys("#password", password),
		chromedp.Click("#login-submit"))
	look("consent", "consent-page")
	for path, id := range map[string]string{
		"/account": "account-page", "/account/profile": "profile-page", "/account/address": "address-page",
		"/account/methods":  "methods-page",
		"/account/password": "password-page", "/account/sessions": "sessions-page",
		"/account/connections": "connections-page",
		"/account/activity":    "activity-page", "/account/language": "language-page", "/account/data": "data-page",
		"/logout": "logout-page",
	} {
		at(path, id)
	}
	page.do(chromedp.Navigate(l.issuer+"/account/methods"), chromedp.WaitVisible("#add-totp"),
		chromedp.Click("#add-totp"))
	look("an authenticator application", "totp-page")
	page.do(chromedp.Navigate(l.issuer+"/logout"), chromedp.WaitVisible("#logout-confirm"),
		chromedp.Click("#logout-confirm"))
	look("signed out", "logged-out")
}
