package interop

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser follows redirects, links and forms as a person without scripts does: it signs in where it
// is asked who it is, agrees to what it is asked for, and confirms that it wants to sign out.
type browser struct {
	t      testing.TB
	client *http.Client

	url    *url.URL // of the page that is shown
	status int
	header http.Header
	body   string
}

// dial reaches names below localhost at 127.0.0.1 (RFC 6761 §6.3).
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, client: &http.Client{
		Jar: jar, Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send makes one request and shows its answer, without following a redirect.
func (b *browser) send(method, address string, form url.Values) {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		// A browser names the page that a form stands on.
		req.Header.Set("Origin", b.url.Scheme+"://"+b.url.Host)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		b.t.Fatal(err)
	}
	b.url, b.status, b.header, b.body = req.URL, res.StatusCode, res.Header, string(text)
}

// follow opens an address and answers whatever is asked on the way, until it is sent to an address
// that begins with until, which it returns and does not open. Without until it goes on to a page
// that asks nothing and returns that page's address.
func (b *browser) follow(address, until string) string {
	b.t.Helper()
	method, form := http.MethodGet, url.Values(nil)
	for range 30 {
		if until != "" && strings.HasPrefix(address, until) && method == http.MethodGet {
			return address
		}
		b.send(method, address, form)
		method, form = http.MethodGet, nil
		if b.status >= 300 && b.status < 400 {
			address = b.resolve(b.header.Get("Location"))
			continue
		}
		switch {
		case b.has("login-submit"):
			address, form = b.submit("login-submit", "username", username, "password", password)
		case b.has("consent-allow"):
			address, form = b.submit("consent-allow")
		case b.has("logout-confirm"):
			address, form = b.submit("logout-confirm")
		case b.has("logged-out-continue") && until != "":
			address = b.resolve(attribute(b.tag("logged-out-continue"), "href"))
			continue
		case b.has("form-post"):
			address, form = b.submit("form-post")
			if until != "" && strings.HasPrefix(address, until) {
				return address + "#" + form.Encode()
			}
		case until == "":
			return b.url.String()
		default:
			b.t.Fatalf("nothing to do at %s, status %d:\n%s", b.url, b.status, b.body)
		}
		method = http.MethodPost
	}
	b.t.Fatalf("going round in circles at %s", b.url)
	return ""
}

var (
	forms  = regexp.MustCompile(`(?s)<form[^>]*>.*?</form>`)
	inputs = regexp.MustCompile(`<input[^>]*>`)
)

// submit fills the form that the element with the id is in, or that is in it, and returns where it
// goes and what it says.
func (b *browser) submit(id string, values ...string) (address string, form url.Values) {
	b.t.Helper()
	for _, text := range forms.FindAllString(b.body, -1) {
		if !strings.Contains(text, `id="`+id+`"`) && id != "form-post" {
			continue
		}
		form = url.Values{}
		for _, input := range inputs.FindAllString(text, -1) {
			if name := attribute(input, "name"); name != "" && attribute(input, "type") != "checkbox" {
				form.Set(name, attribute(input, "value"))
			}
		}
		if tag := b.tag(id); strings.HasPrefix(tag, "<button") && attribute(tag, "name") != "" {
			form.Set(attribute(tag, "name"), attribute(tag, "value"))
		}
		for i := 0; i+1 < len(values); i += 2 {
			form.Set(values[i], values[i+1])
		}
		open, _, _ := strings.Cut(text, ">")
		return b.resolve(attribute(open+">", "action")), form
	}
	b.t.Fatalf("#%s is in no form at %s", id, b.url)
	return "", nil
}

func (b *browser) resolve(ref string) string {
	b.t.Helper()
	u, err := b.url.Parse(ref)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.String()
}

func (b *browser) has(id string) bool { return b.tag(id) != "" }

func (b *browser) tag(id string) string {
	return regexp.MustCompile(`<[a-z0-9]+ [^>]*id="` + regexp.QuoteMeta(id) + `"[^>]*>`).FindString(b.body)
}

func attribute(tag, name string) string {
	m := regexp.MustCompile(`\s` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}
