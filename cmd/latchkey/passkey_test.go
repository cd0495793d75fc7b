package main

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// TestPasskeysInABrowser makes a passkey with a virtual authenticator and signs in by it: by the
// button, by autofill, and after a password.
func TestPasskeysInABrowser(t *testing.T) {
	t.Parallel()
	all := chromium(t)
	info, _ := startDemo(t)
	site, password := map[string]string{}, map[string]string{}
	for _, s := range info.Applications {
		site[s.Name] = s.URL
	}
	for _, p := range info.People {
		password[p.Username] = p.Password
	}
	authenticator := func(w *window) {
		t.Helper()
		w.do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			if _, err := cdp.Call(ctx, tab, webauthn.Enable, webauthn.EnableParams{}); err != nil {
				return err
			}
			_, err := cdp.Call(ctx, tab, webauthn.AddVirtualAuthenticator,
				webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
					Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
					HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
					AutomaticPresenceSimulation: true,
				}})
			return err
		}))
	}
	account := strings.TrimSuffix(info.Account, "/")
	w := newWindow(t, all)
	authenticator(w)

	// After a password, on the account page.
	w.do(chromedp.Navigate(account+"/methods"), chromedp.WaitVisible("#login-submit"))
	w.screenshot("sign-in-with-passkey")
	w.do(chromedp.SendKeys("#username", "alice"), chromedp.SendKeys("#password", password["alice"]),
		chromedp.Click("#login-submit"))
	w.do(chromedp.WaitVisible("#passkey-use"))
	w.screenshot("methods-without-passkey")
	w.do(chromedp.Click("#passkey-use"), chromedp.WaitVisible("#recovery-page"), chromedp.Click("#recovery-continue"),
		chromedp.WaitVisible("#passkey-0"))
	w.screenshot("methods-with-passkey")

	// It is asked for after the password, unless the browser fills it in before.
	w.do(chromedp.Navigate(account+"/sessions"), chromedp.WaitVisible("#sessions-page"))
	w.do(chromedp.Navigate(strings.TrimSuffix(account, "/account")+"/logout"), chromedp.WaitVisible("#logout-confirm"),
		chromedp.Click("#logout-confirm"), chromedp.WaitVisible("#logged-out"))
	w.do(chromedp.Navigate(site["Notes"]+"/"), chromedp.WaitVisible("#sign-in"), chromedp.Click("#sign-in"))
	// Chromium's virtual authenticator answers the autofill by itself: nobody has to choose.
	w.do(chromedp.WaitVisible("#signed-in"))
	w.screenshot("signed-in-by-passkey")
	if text := w.text("body"); !strings.Contains(text, "Alice") {
		t.Errorf("not signed in as Alice: %s", text)
	}
}
