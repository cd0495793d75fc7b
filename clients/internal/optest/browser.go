package optest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// HTTPClient reaches names below localhost at 127.0.0.1 (RFC 6761 §6.3) and follows no redirect to
// anywhere strange.
func HTTPClient() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err == nil && strings.HasSuffix(host, ".localhost") {
				address = net.JoinHostPort("127.0.0.1", port)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
}

// Serve runs a handler under a host name below localhost and returns its address.
func Serve(t testing.TB, host string, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + net.JoinHostPort(host, u.Port())
}

// Late is a handler that is set after its address is known.
type Late struct{ http.Handler }

// ServeHTTP passes on to the handler.
func (l *Late) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.Handler.ServeHTTP(w, r) }

// Browser follows links, forms and redirects and keeps cookies.
type Browser struct {
	t      testing.TB
	client *http.Client

	URL    *url.URL // of the page shown
	Status int
	Header http.Header
	Body   string
}

// NewBrowser opens a browser without cookies.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := HTTPClient()
	c.Jar = jar
	return &Browser{t: t, client: c}
}

// Jar holds the cookies.
func (b *Browser) Jar() http.CookieJar { return b.client.Jar }

// Get opens an address.
func (b *Browser) Get(address string) *Browser {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// Post posts a form.
func (b *Browser) Post(address string, form url.Values) *Browser {
	b.t.Helper()
	return b.PostBody(address, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// PostBody posts a body of the given kind.
func (b *Browser) PostBody(address, kind string, body io.Reader) *Browser {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	return b.do(req)
}

func (b *Browser) do(req *http.Request) *Browser {
	b.t.Helper()
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.URL, b.Status, b.Header, b.Body = res.Request.URL, res.StatusCode, res.Header, string(body)
	return b
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*>.*?</form>`)
	inputPattern = regexp.MustCompile(`<input[^>]*>`)
)

// Click follows the link or presses the button with the id. Values fill the form.
func (b *Browser) Click(id string, values ...string) *Browser {
	b.t.Helper()
	tag := b.tag(id)
	if tag == "" {
		b.t.Fatalf("no #%s on %s:\n%s", id, b.URL, b.Body)
	}
	if strings.HasPrefix(tag, "<a ") {
		return b.Get(b.resolve(Attr(tag, "href")))
	}
	for _, form := range formPattern.FindAllString(b.Body, -1) {
		if !strings.Contains(form, `id="`+id+`"`) {
			continue
		}
		data := url.Values{}
		for _, input := range inputPattern.FindAllString(form, -1) {
			data.Set(Attr(input, "name"), Attr(input, "value"))
		}
		if name := Attr(tag, "name"); name != "" {
			data.Set(name, Attr(tag, "value"))
		}
		for i := 0; i+1 < len(values); i += 2 {
			data.Set(values[i], values[i+1])
		}
		open, _, _ := strings.Cut(form, ">")
		return b.Post(b.resolve(Attr(open+">", "action")), data)
	}
	b.t.Fatalf("#%s is in no form on %s", id, b.URL)
	return b
}

func (b *Browser) resolve(ref string) string {
	u, err := b.URL.Parse(ref)
	if err != nil {
		b.t.Fatal(err)
	}
	if ref == "" {
		u = b.URL
	}
	return u.String()
}

// Has reports whether the page has an element with the id.
func (b *Browser) Has(id string) bool { return b.tag(id) != "" }

// Attribute of the element with the id.
func (b *Browser) Attribute(id, name string) string { return Attr(b.tag(id), name) }

func (b *Browser) tag(id string) string {
	return regexp.MustCompile(`<[a-z0-9]+ [^>]*id="` + regexp.QuoteMeta(id) + `"[^>]*>`).FindString(b.Body)
}

// Text is what stands between the element's tags, without tags.
func (b *Browser) Text(id string) string {
	tag := b.tag(id)
	if tag == "" {
		return ""
	}
	name := strings.Fields(tag)[0][1:]
	_, rest, _ := strings.Cut(b.Body, tag)
	inner, _, _ := strings.Cut(rest, "</"+name+">")
	return strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(inner, " "))), " ")
}

// Attr reads an attribute of a tag.
func Attr(tag, name string) string {
	m := regexp.MustCompile(`\s` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

func hmacSHA256(secret []byte, input string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(input))
	return h.Sum(nil)
}
