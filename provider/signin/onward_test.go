package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
)

// navigating sends what a browser sends along when it goes somewhere.
type navigating struct{ http.RoundTripper }

func (n navigating) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if r.Header.Get("Sec-Fetch-Site") == "" {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return n.RoundTripper.RoundTrip(r)
}

func TestABrowserIsLedOnFromAFormByAPageOfOurs(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	native := func(uri string) func(*clients.Client) {
		return func(c *clients.Client) { c.ApplicationType, c.RedirectURIs = "native", []string{uri} }
	}
	for _, c := range []clients.Client{
		w.AddClient("web", providertest.AsksConsent),
		w.AddClient("ipv6", native("http://[::1]:4711/cb")),
		w.AddClient("scheme", native("com.example.app:/cb")),
		w.AddClient("word", native("exampleapp:/cb")),
	} {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			w := w.In(t)
			b := w.Browser()
			b.Client.Transport = navigating{http.DefaultTransport}
			p := b.SignInAs(b.Open(w.Request(c)), "alice")
			if p.Has("consent-page") {
				p = b.Follow(b.Submit(p, "consent-allow", url.Values{"decision": {"allow"}}))
			}
			to := c.RedirectURIs[0] + "?code="
			if p.StatusCode != http.StatusOK || !p.Has("onward") || p.Header.Get("Location") != "" ||
				!strings.Contains(p.Body, `href="`+to) ||
				!strings.Contains(p.Body, `<noscript><meta http-equiv="refresh" content="0; url=`+to) {
				t.Errorf("%d %s %s", p.StatusCode, p.Header.Get("Location"), p.Body)
			}
			if cache := p.Header.Get("Cache-Control"); cache != "no-store" {
				t.Errorf("kept by caches: %q", cache)
			}
		})
	}
	web := w.AddClient("plain")
	t.Run("turning back is led on too", func(t *testing.T) {
		t.Parallel()
		b := w.In(t).Browser()
		b.Client.Transport = navigating{http.DefaultTransport}
		p := b.Submit(b.Open(w.Request(web)), "login-cancel", url.Values{"action": {"cancel"}})
		if p.StatusCode != http.StatusOK || !p.Has("onward") || !strings.Contains(p.Body, "error=access_denied") {
			t.Errorf("%d %s", p.StatusCode, p.Body)
		}
	})
	t.Run("programs and frames are redirected, and so is a browser that no form led here", func(t *testing.T) {
		t.Parallel()
		w := w.In(t)
		b := w.Browser()
		p := b.SignInAs(b.Open(w.Request(web)), "alice")
		if p.StatusCode != http.StatusSeeOther || p.Answer().Get("code") == "" {
			t.Errorf("a program: %d %s", p.StatusCode, p.Body)
		}
		for _, dest := range []string{"document", "iframe"} {
			r, err := http.NewRequest(http.MethodGet, w.Absolute(w.Request(web, "prompt", "none")), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", dest)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			if p := b.Do(r); p.StatusCode != http.StatusSeeOther || p.Answer().Get("code") == "" {
				t.Errorf("%s: %d %s", dest, p.StatusCode, p.Body)
			}
		}
	})
}

func TestMissingRedirectURIIsCalledMissing(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	c := w.AddClient("web")
	p := w.Browser().Get(w.Request(c, "redirect_uri", ""))
	if p.StatusCode != http.StatusBadRequest || !strings.Contains(p.Body, "redirect URI is missing") ||
		strings.Contains(p.Body, "not registered") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
}

func TestBackToAFinishedSignInThereIsAWayToTheApplication(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web", func(c *clients.Client) { c.ClientURI = "" })
	b := w.Browser()
	login := b.Open(w.Request(c))
	b.SignInAs(login, "alice")
	p := b.Get(login.Request.URL.String())
	if p.StatusCode != http.StatusBadRequest || !p.Has("error-back") ||
		!strings.Contains(p.Body, `href="https://web.example/"`) || !strings.Contains(p.Body, "done already") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
}
