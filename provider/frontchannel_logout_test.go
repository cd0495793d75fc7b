package provider

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/provider/clients"
)

var (
	frameTag   = regexp.MustCompile(`<iframe\b([^>]*)>`)
	refreshTag = regexp.MustCompile(`<meta http-equiv="refresh" content="([^"]*)"`)
)

func (p page) frames() []string {
	var out []string
	for _, m := range frameTag.FindAllStringSubmatch(p.body, -1) {
		out = append(out, attributes(m[1])["src"])
	}
	return out
}

// refresh is what the page does by itself: after how many seconds, and where it goes then.
func (p page) refresh() (seconds, to string) {
	m := refreshTag.FindStringSubmatch(p.body)
	if m == nil {
		return "", ""
	}
	seconds, to, _ = strings.Cut(html.UnescapeString(m[1]), ";")
	_, to, _ = strings.Cut(to, "=")
	return seconds, strings.Trim(to, `'" `)
}

func TestFrontChannelLogout(t *testing.T) {
	t.Parallel()

	t.Run("Front-Channel Logout §3 the page loads every application's frame with exactly iss and sid, and then goes back with state", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		shop := w.addClient("shop", signsOutTo(outURI), func(c *clients.Client) { c.FrontchannelLogoutURI = "https://shop.example/front" })
		mail := w.addClient("mail", func(c *clients.Client) { c.FrontchannelLogoutURI = `https://mail.example:8443/front?a=b&c="x"` })
		wiki := w.addClient("wiki", rp.hears)
		unreached := w.addClient("unreached", func(c *clients.Client) { c.FrontchannelLogoutURI = "https://unreached.example/front" })
		b, s := w.signedIn(w.addUser("alice"))
		for _, c := range []clients.Client{shop, mail, wiki} {
			w.granted(s, c)
		}
		p := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI, "state", "S&1"))
		if !strings.HasPrefix(p.Header.Get("Location"), "/logout") || w.stillSignedIn(b, s) {
			t.Fatalf("%d %q", p.StatusCode, p.Header.Get("Location"))
		}
		p = b.follow(p)
		if !p.has("logged-out") {
			t.Fatal(p.body)
		}
		suffix := "iss=" + url.QueryEscape(w.Issuer) + "&sid=" + s.ID
		want := []string{`https://mail.example:8443/front?a=b&c="x"&` + suffix, "https://shop.example/front?" + suffix}
		got := p.frames()
		if len(got) != 2 || got[0] != want[0] && got[0] != html.EscapeString(want[0]) && !strings.HasPrefix(got[0], "https://mail.example:8443/front?a=b&c=%22x%22&"+suffix) || got[1] != want[1] {
			t.Errorf("frames %q, want %q", got, want)
		}
		csp := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-src https://mail.example:8443 https://shop.example") || strings.Contains(csp, unreached.ID) ||
			!strings.Contains(csp, "frame-ancestors 'none'") || p.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s", csp)
		}
		if seconds, to := p.refresh(); seconds != "2" || to != outURI+"?state=S%261" {
			t.Errorf("after %q to %q", seconds, to)
		}
		// Loaded again, the page is the same; nobody else can load the frames.
		if p := w.browser().get(p.Request.URL.RequestURI()); len(p.frames()) != 0 || p.StatusCode != http.StatusOK {
			t.Errorf("another browser gets %q", p.frames())
		}
	})

	t.Run("without a post_logout_redirect_uri the page stays, and the frames are loaded once", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		shop := w.addClient("shop", rp.hears, func(c *clients.Client) { c.FrontchannelLogoutURI = "https://shop.example/front" })
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		p := b.follow(b.submit(b.get("/logout"), "logout-confirm", nil))
		_, to := p.refresh()
		if len(p.frames()) != 1 || !strings.Contains(to, "/logout/done") {
			t.Fatalf("%q %q", p.frames(), to)
		}
		if p = b.get(to); len(p.frames()) != 0 || !p.has("logged-out") || strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-src") {
			t.Errorf("looking again loads %q", p.frames())
		}
	})

	t.Run("the address that the page goes on to is checked again", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI), func(c *clients.Client) { c.FrontchannelLogoutURI = "https://shop.example/front" })
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		p := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI))
		shop, err := w.Store.Client(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		shop.PostLogoutRedirectURIs = nil
		if err := w.Store.UpdateClient(t.Context(), shop); err != nil {
			t.Fatal(err)
		}
		if p = b.follow(p); strings.Contains(p.body, outURI) {
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
		"javascript:alert(1)":      "", "data:text/html,x": "", "//a.example/f": "", "/f": "", "": "", "com.example:/f": "", "https:///f": "", "%": "",
	} {
		if got := frontchannelFrame(clients.Client{Metadata: clients.Metadata{FrontchannelLogoutURI: uri}}, "https://op.example/id", "S"); got != want {
			t.Errorf("%q: %q, want %q", uri, got, want)
		}
	}
}

// A source in the policy is never anything but the origin of a frame.
func FuzzFrontchannelFrame(f *testing.F) {
	for _, s := range []string{"https://a.example/f?x", "https://a.example; script-src *", "http://[::1]:80/'", "https://a b/", "https://a.example,*/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		frame := frontchannelFrame(clients.Client{Metadata: clients.Metadata{FrontchannelLogoutURI: uri}}, "https://op.example", "S")
		if frame != "" && !strings.HasPrefix(frame, "https://") && !strings.HasPrefix(frame, "http://") && !strings.HasPrefix(strings.ToLower(frame), "http") {
			t.Fatalf("%q is framed as %q", uri, frame)
		}
		rec := &headerOnly{h: http.Header{}}
		allowFrames(rec, []string{frame})
		if csp := rec.h.Get("Content-Security-Policy"); csp != "" {
			source := strings.TrimPrefix(csp, pageCSP+"; frame-src ")
			if strings.ContainsAny(source, " ;,'\"*\n") {
				t.Errorf("%q allows %q", uri, source)
			}
		}
	})
}

type headerOnly struct {
	http.ResponseWriter
	h http.Header
}

func (w *headerOnly) Header() http.Header { return w.h }
