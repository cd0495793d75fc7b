package interop

import (
	"context"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestNoPolicyOfABrowserSwallowsASignIn sends a browser to applications that browsers block after
// a form (CSP Level 3 §6.4.1): one that leads on to another host, one at [::1], one with a scheme
// of its own, and one that is answered by a form; with scripts and without.
func TestNoPolicyOfABrowserSwallowsASignIn(t *testing.T) {
	t.Parallel()
	all := chromium(t)
	l := serve(t, "localhost", "")

	application := func(host string, leadsOn bool) *httptest.Server {
		t.Helper()
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("no %s on this machine: %v", host, err)
		}
		s := httptest.NewUnstartedServer(nil)
		_ = s.Listener.Close()
		s.Listener = listener
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		mux := http.NewServeMux()
		mux.HandleFunc("/cb", func(w http.ResponseWriter, r *http.Request) {
			got := "code"
			if r.FormValue("code") == "" {
				got = "nothing"
			}
			if leadsOn { // to another host than the one that is registered
				http.Redirect(w, r, "http://127.0.0.1:"+port+"/home?got="+got, http.StatusSeeOther)
				return
			}
			fmt.Fprintf(w, `<p id="arrived" data-text="%s">`, html.EscapeString(got))
		})
		mux.HandleFunc("/home", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `<p id="arrived" data-text="%s">`, html.EscapeString(r.FormValue("got")))
		})
		s.Config.Handler = mux
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	hops := strings.Replace(application("127.0.0.1", true).URL, "127.0.0.1", "localhost", 1) + "/cb"
	ipv6 := application("::1", false).URL + "/cb"

	const arrived = `#arrived[data-text="code"]`
	for _, c := range []struct {
		name, uri string
		flags     []string
		mode      string
	}{
		{"a callback that leads on to another host", hops, []string{"--type", "web"}, ""},
		{"a form that leads on to another host", hops, []string{"--type", "web"}, "form_post"},
		{"a loopback address of IPv6", ipv6, []string{"--type", "native"}, ""},
		{"a scheme of its own", "com.example.onward:/cb", []string{"--type", "native"}, ""},
	} {
		for _, scripts := range []bool{true, false} {
			app := l.register(c.name, append(c.flags, "--redirect-uri", c.uri)...) // each asks the person
			t.Run(fmt.Sprintf("%s, scripts %v", c.name, scripts), func(t *testing.T) {
				t.Parallel()
				p := newTab(t, all, chromedp.WithNewBrowserContext())
				p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
					_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled,
						emulation.SetScriptExecutionDisabledParams{Value: !scripts})
					return err
				}), chromedp.Navigate(l.issuer+"/authorize?"+url.Values{"client_id": {app.ID}, "response_type": {"code"},
					"redirect_uri": {c.uri}, "response_mode": {c.mode}, "scope": {"openid profile"},
					"code_challenge":        {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
					"code_challenge_method": {"S256"}}.Encode()), signIn())
				switch {
				case strings.HasPrefix(c.uri, "com."): // there is nothing on this machine that opens it
					p.do(chromedp.WaitVisible(`#onward-continue[href^="` + c.uri + `?code="]`))
				case c.mode == "form_post" && !scripts:
					p.do(click("form-post-continue"), chromedp.WaitReady(arrived))
				default:
					p.do(chromedp.WaitReady(arrived))
				}
			})
		}
	}
}
