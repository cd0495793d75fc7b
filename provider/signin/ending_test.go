package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
)

func TestAnExpiredSignInLeadsBackToTheApplication(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	c := w.AddClient("web-a", providertest.AsksConsent,
		func(c *clients.Client) { c.ClientURI = "https://web-a.example/home" })
	b := w.Browser()
	w.AddUser("alice")
	p := b.SignInAs(b.Open(w.Request(c)), "alice")
	w.Clock.Advance(24 * time.Hour)
	page := b.Submit(p, "consent-allow", url.Values{"decision": {"allow"}})
	if page.StatusCode != http.StatusBadRequest || !page.Has("error-back") || !strings.Contains(page.Body,
		`href="https://web-a.example/home"`) {
		t.Errorf("%d %s", page.StatusCode, page.Body)
	}
}

func TestTheSignInFormMayLeadToAnIPv6LoopbackAddress(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	c := w.AddClient("native", func(c *clients.Client) {
		c.ApplicationType, c.RedirectURIs = "native", []string{"http://[::1]/callback"}
	})
	p := w.Browser().Open(w.Request(c))
	csp := p.Header.Get("Content-Security-Policy")
	if strings.Contains(csp, "[") || !strings.Contains(csp, "form-action 'self' http:") {
		t.Errorf("browsers ignore an IPv6 address in a policy (CSP Level 3 §2.3.1): %s", csp)
	}
}
