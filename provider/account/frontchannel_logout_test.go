package account_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/templates"
)

func TestFrontChannelLogout(t *testing.T) {
	t.Parallel()

	t.Run("Front-Channel Logout §3 the page loads every application's frame with exactly iss and sid, and then goes back with state", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI),
			func(c *clients.Client) { c.FrontchannelLogoutURI = "https://shop.example/front" })
		mail := w.AddClient("mail", func(c *clients.Client) { c.FrontchannelLogoutURI = `https://mail.example:8443/front?a=b&c="x"` })
		wiki := w.AddClient("wiki", rp.Hears)
		unreached := w.AddClient("unreached",
			func(c *clients.Client) { c.FrontchannelLogoutURI = "https://unreached.example/front" })
		b, s := w.SignedIn(w.AddUser("alice"))
		for _, c := range []clients.Client{shop, mail, wiki} {
			w.Granted(s, c)
		}
		p := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
			providertest.OutURI, "state", "S&1"))
		if !strings.HasPrefix(p.Header.Get("Location"), "/logout") || w.StillSignedIn(b, s) {
			t.Fatalf("%d %q", p.StatusCode, p.Header.Get("Location"))
		}
		p = b.Follow(p)
		if !p.Has("logged-out") {
			t.Fatal(p.Body)
		}
		suffix := "iss=" + url.QueryEscape(w.Issuer) + "&sid=" + s.ID
		want := []string{`https://mail.example:8443/front?a=b&c="x"&` + suffix, "https://shop.example/front?" + suffix}
		got := p.Frames()
		if len(got) != 2 || got[0] != want[0] && got[0] != html.EscapeString(want[0]) && !strings.HasPrefix(got[0],
			"https://mail.example:8443/front?a=b&c=%22x%22&"+suffix) || got[1] != want[1] {
			t.Errorf("frames %q, want %q", got, want)
		}
		csp := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-src https://mail.example:8443 https://shop.example") ||
			strings.Contains(csp, unreached.ID) ||
			!strings.Contains(csp, "frame-ancestors 'none'") || p.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s", csp)
		}
		if seconds, to := p.Refresh(); seconds != "2" || to != providertest.OutURI+"?state=S%261" {
			t.Errorf("after %q to %q", seconds, to)
		}
		// Loaded again, the page is the same; nobody else can load the frames.
		if p := w.Browser().Get(p.Request.URL.RequestURI()); len(p.Frames()) != 0 || p.StatusCode != http.StatusOK {
			t.Errorf("another browser gets %q", p.Frames())
		}
	})

	t.Run("without a post_logout_redirect_uri the page stays, and the frames are loaded once", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		shop := w.AddClient("shop", rp.Hears,
			func(c *clients.Client) { c.FrontchannelLogoutURI = "https://shop.example/front" })
		b, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		p := b.Follow(b.Submit(b.Get("/logout"), "logout-confirm", nil))
		_, to := p.Refresh()
		if len(p.Frames()) != 1 || !strings.Contains(to, "/logout/done") {
			t.Fatalf("%q %q", p.Frames(), to)
		}
		if p = b.Get(to); len(p.Frames()) != 0 || !p.Has("logged-out") ||
			strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-src") {
			t.Errorf("looking again loads %q", p.Frames())
		}
	})

	t.Run("the address that the page goes on to is checked again", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI),
			func(c *clients.Client) { c.FrontchannelLogoutURI = "https://shop.example/front" })
		b, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		p := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
			providertest.OutURI))
		shop, err := w.Store.Client(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		shop.PostLogoutRedirectURIs = nil
		if err := w.Store.UpdateClient(t.Context(), shop); err != nil {
			t.Fatal(err)
		}
		if p = b.Follow(p); strings.Contains(p.Body, providertest.OutURI) {
			t.Error("the page leads to an address that is not registered any more")
		}
	})
}

func TestFrontchannelFrame(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://a.example/f":      "https://a.example/f?iss=https%3A%2F%2Fop.example%2Fid&sid=S",
		"https://a.example/f?":     "https://a.example/f?iss=https%3A%2F%2Fop.example%2Fid&sid=S",
		"https://a.example/f?x=y":  "https://a.example/f?x=y&iss=https%3A%2F%2Fop.example%2Fid&sid=S",
		"https://a.example/f?x=y&": "https://a.example/f?x=y&iss=https%3A%2F%2Fop.example%2Fid&sid=S",
		"https://a.example/f#x":    "https://a.example/f?iss=https%3A%2F%2Fop.example%2Fid&sid=S",
		"javascript:alert(1)":      "", "data:text/html,x": "", "//a.example/f": "", "/f": "", "": "",
		"com.example:/f": "", "https:///f": "", "%": "",
	} {
		if got := session.FrontchannelFrame(clients.Client{Metadata: clients.Metadata{FrontchannelLogoutURI: uri}},
			"https://op.example/id", "S"); got != want {
			t.Errorf("%q: %q, want %q", uri, got, want)
		}
	}
}

// A source in the policy is never anything but the origin of a frame.
func FuzzFrontchannelFrame(f *testing.F) {
	for _, s := range []string{"https://a.example/f?x", "https://a.example; script-src *", "http://[::1]:80/'",
		"https://a b/", "https://a.example,*/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		frame := session.FrontchannelFrame(clients.Client{Metadata: clients.Metadata{FrontchannelLogoutURI: uri}},
			"https://op.example", "S")
		if frame != "" && !strings.HasPrefix(frame, "https://") && !strings.HasPrefix(frame, "http://") &&
			!strings.HasPrefix(strings.ToLower(frame), "http") {
			t.Fatalf("%q is framed as %q", uri, frame)
		}
		_, source, framed := strings.Cut(templates.LoggedOut{Frames: []string{frame}}.Policy().String(), "frame-src ")
		source, _, _ = strings.Cut(source, ";")
		if framed && strings.ContainsAny(source, " ;,'\"*\n") {
			t.Errorf("%q allows %q", uri, source)
		}
	})
}
