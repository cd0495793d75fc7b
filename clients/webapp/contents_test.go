package webapp_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/clients/api"
	"latchkey/clients/internal/optest"
	"latchkey/clients/webapp"
)

// somebodyElse signs in as another subject than everybody else of this world.
func (w *world) somebodyElse(t *testing.T) *optest.Browser {
	t.Helper()
	w.op.With(func() {
		w.op.Edit = func(kind string, _, claims map[string]any) {
			if kind != "" {
				claims["sub"] = "subject-of-bob"
			}
		}
	})
	defer w.op.With(func() { w.op.Edit = nil })
	return w.signedIn(t)
}

// field reads a hidden field of the form that holds the text.
func field(t *testing.T, b *optest.Browser, action, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(b.Body, `action="`+action+`"`)
	_, rest, ok2 := strings.Cut(rest, `name="`+name+`" value="`)
	value, _, ok3 := strings.Cut(rest, `"`)
	if !ok || !ok2 || !ok3 {
		t.Fatalf("no %s in a form to %s:\n%s", name, action, b.Body)
	}
	return value
}

func TestNotesAreKeptChangedAndRemovedByTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "notes.json")
	config := func(c *webapp.Config) {
		if c.ClientID == "notes" {
			c.File = file
		}
	}
	w := newWorld(t, config)
	b := w.signedIn(t)
	b.Click("note-add", "text", "  milk & <b>honey</b>\r\nbread ")
	if !strings.Contains(b.Body, "milk &amp; &lt;b&gt;honey&lt;/b&gt;\nbread</p>") {
		t.Fatalf("not there: %s", b.Body)
	}
	id := field(t, b, "/notes/remove", "id")
	b.Post(w.notes+"/notes", url.Values{"csrf": {csrf(b)}, "id": {id}, "text": {"only bread"}})
	if strings.Contains(b.Body, "milk") || strings.Count(b.Body, `action="/notes/remove"`) != 1 {
		t.Errorf("after a change: %s", b.Body)
	}

	other := w.somebodyElse(t)
	if strings.Contains(other.Body, "bread") {
		t.Error("somebody else reads it")
	}
	other.Post(w.notes+"/notes", url.Values{"csrf": {csrf(other)}, "id": {id}, "text": {"mine now"}})
	other.Post(w.notes+"/notes/remove", url.Values{"csrf": {csrf(other)}, "id": {id}})
	if b.Get(w.notes + "/"); !strings.Contains(b.Body, "only bread") || strings.Contains(b.Body, "mine now") {
		t.Errorf("somebody else changed it: %s", b.Body)
	}
	for name, text := range map[string]string{"empty": " \n", "too long": strings.Repeat("ä", 4001)} {
		if b.Post(w.notes+"/notes", url.Values{"csrf": {csrf(b)}, "text": {text}}); b.Status != http.StatusBadRequest ||
			!b.Has("error") {
			t.Errorf("%s: %d", name, b.Status)
		}
	}
	if b.Post(w.notes+"/notes", url.Values{"csrf": {"wrong"},
		"text": {"by another site"}}); b.Status != http.StatusForbidden || strings.Contains(b.Body, "by another site") {
		t.Errorf("a form of another site: %d", b.Status)
	}

	again := newWorld(t, config) // as after a restart
	if b := again.signedIn(t); !strings.Contains(b.Body, "only bread") {
		t.Error("gone after a restart")
	}
	b = again.signedIn(t)
	if b.Post(again.notes+"/notes/remove", url.Values{"csrf": {csrf(b)}, "id": {id}}); strings.Contains(b.Body,
		"only bread") {
		t.Error("not removed")
	}
	for range 201 {
		if b.Post(again.notes+"/notes", url.Values{"csrf": {csrf(b)}, "text": {"x"}}); b.Status != http.StatusOK {
			break
		}
	}
	if n := strings.Count(b.Body, `action="/notes/remove"`); b.Status != http.StatusConflict || n != 200 {
		t.Errorf("a person may keep %d notes, then %d", n, b.Status)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := webapp.New(t.Context(), webapp.Config{Name: "N", ClientID: "n", ClientSecret: "s",
		BaseURL: "http://n.localhost", Issuer: "http://id.localhost", File: file})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a broken file: %v", err)
	}
}

func picture(t *testing.T, width int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, width, 2))
	m.SetGray(1, 1, color.Gray{Y: 200})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hang(t *testing.T, b *optest.Browser, base, value, caption string, data []byte) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"csrf": value, "caption": caption} {
		if err := form.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	part, err := form.CreateFormFile("picture", "x.html")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(data)
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	b.PostBody(base+"/pictures", form.FormDataContentType(), &body)
}

func TestPicturesHangForEverybodyWhoIsSignedInAndComeDownByTheirOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *webapp.Config) { c.Kind = webapp.KindPhotos })
	b := w.signedIn(t)
	if n := strings.Count(b.Body, "<img "); n != 6 || !strings.Contains(b.Body, "Northern lights") {
		t.Errorf("%d pictures at first", n)
	}
	hang(t, b, w.notes, csrf(b), `A <dot> & "more"`, picture(t, 3))
	if strings.Count(b.Body, "<img ") != 7 || !strings.Contains(b.Body, "hung by Alice &lt;Example&gt;") ||
		!strings.Contains(b.Body, "A &lt;dot&gt; &amp; &#34;more&#34;") {
		t.Fatalf("%d %s", b.Status, b.Body)
	}
	id := field(t, b, "/pictures/remove", "id")
	other := w.somebodyElse(t)
	if !strings.Contains(other.Body, "/pictures/"+id) || strings.Contains(other.Body, "/pictures/remove") {
		t.Errorf("somebody else sees: %s", other.Body)
	}
	other.Post(w.notes+"/pictures/remove", url.Values{"csrf": {csrf(other)}, "id": {id}})
	for address, want := range map[string]string{"/pictures/" + id: "image/png",
		"/pictures/light.svg": "image/svg+xml"} {
		if other.Get(w.notes + address); other.Status != http.StatusOK || other.Header.Get("Content-Type") != want ||
			other.Header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(other.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", address, other.Status, other.Header)
		}
		if stranger := optest.NewBrowser(t).Get(w.notes + address); stranger.Status != http.StatusForbidden {
			t.Errorf("%s to a stranger: %d", address, stranger.Status)
		}
	}
	b.Get(w.notes + "/")
	for name, test := range map[string]struct {
		csrf, caption string
		data          []byte
		want          int
	}{
		"no caption":     {csrf(b), " ", picture(t, 3), 400},
		"a long caption": {csrf(b), strings.Repeat("x", 81), picture(t, 3), 400},
		"no picture":     {csrf(b), "x", nil, 400},
		"a page":         {csrf(b), "x", []byte("<!doctype html><script>alert(1)</script>"), 400},
		"a drawing with a script": {csrf(b), "x",
			[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), 400},
		"too wide":          {csrf(b), "x", picture(t, 6001), 400},
		"too heavy":         {csrf(b), "x", append(picture(t, 3), make([]byte, 1<<20)...), 400},
		"far too heavy":     {csrf(b), "x", append(picture(t, 3), make([]byte, 3<<20)...), 400},
		"from another site": {"wrong", "x", picture(t, 3), 403},
	} {
		if hang(t, b, w.notes, test.csrf, test.caption, test.data); b.Status != test.want || !b.Has("error") ||
			strings.Count(b.Body, "<img ") != 7 {
			t.Errorf("%s: %d, %d pictures", name, b.Status, strings.Count(b.Body, "<img "))
		}
	}
	for range 8 {
		hang(t, b, w.notes, csrf(b), "another", picture(t, 3))
	}
	if n := strings.Count(b.Body, "/pictures/remove"); b.Status != http.StatusConflict || n != 8 {
		t.Errorf("a person may hang %d, then %d", n, b.Status)
	}
	if b.Post(w.notes+"/pictures/remove", url.Values{"csrf": {csrf(b)}, "id": {id}}); strings.Contains(b.Body, id) {
		t.Error("it does not come down")
	}
}

func TestTheLedgerIsKeptByTheAPI(t *testing.T) {
	t.Parallel()
	const audience = "http://api.localhost"
	late := &optest.Late{}
	address := optest.Serve(t, "api.localhost", late)
	w := newWorld(t, func(c *webapp.Config) {
		c.Kind, c.APIs = webapp.KindLedger, []webapp.API{{Name: "API", URL: address}}
	})
	h, err := api.New(api.Config{Audience: audience, Issuer: w.op.Issuer, HTTPClient: optest.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	late.Handler = h
	w.op.With(func() {
		c := w.op.Clients["notes"]
		c.Audience = audience
		w.op.Clients["notes"] = c
	})
	b := w.signedIn(t)
	if b.Text("balance") != "€0.00" {
		t.Fatalf("at first: %q\n%s", b.Text("balance"), b.Body)
	}
	b.Click("entry-add", "what", "Wages", "amount", "1234,5", "way", "in")
	b.Click("entry-add", "what", "Café <x>", "amount", "4.05", "way", "out")
	if b.Text("balance") != "€1,230.45" || !strings.Contains(b.Body, "Café &lt;x&gt;") ||
		!strings.Contains(b.Body, "\u2212€4.05") {
		t.Fatalf("afterwards: %q\n%s", b.Text("balance"), b.Body)
	}
	for _, amount := range []string{"", "0", "-1", "1e3", "1,234.50", "1.234", "0x10", "99999999", "1000000.01",
		"NaN"} {
		if b.Post(w.notes+"/entries", url.Values{"csrf": {csrf(b)}, "what": {"x"},
			"amount": {amount}}); b.Status != http.StatusBadRequest || !b.Has("error") {
			t.Errorf("amount %q: %d", amount, b.Status)
		}
	}
	b.Post(w.notes+"/entries/remove", url.Values{"csrf": {csrf(b)}, "id": {field(t, b, "/entries/remove", "id")}})
	if b.Text("balance") != "€1,234.50" {
		t.Errorf("without the coffee: %q", b.Text("balance"))
	}
	if b.Post(w.notes+"/entries/remove", url.Values{"csrf": {csrf(b)}, "id": {"../admin"}}); b.Status != http.StatusOK {
		t.Errorf("an entry that is not there: %d", b.Status)
	}
	late.Handler = http.NotFoundHandler()
	if b.Get(w.notes + "/"); b.Status != http.StatusOK || !strings.Contains(b.Body, "404 Not Found") ||
		!b.Has("sign-out-everywhere") {
		t.Errorf("without its API: %d %s", b.Status, b.Body)
	}
}

func TestThePagesSpeakTheBrowsersLanguage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for header, want := range map[string][2]string{
		"":                           {"en", "Sign in"},
		"de":                         {"de", "Anmelden"},
		"de-AT,de;q=0.9,en;q=0.8":    {"de", "Anmelden"},
		"fr-CA, en;q=0.5":            {"fr", "Se connecter"},
		"pt, en;q=0.5":               {"en", "Sign in"},
		"ja":                         {"en", "Sign in"},
		"*":                          {"en", "Sign in"},
		"de;q=0, en":                 {"en", "Sign in"},
		"<script>":                   {"en", "Sign in"},
		strings.Repeat("de,", 10000): {"de", "Anmelden"},
	} {
		req, err := http.NewRequest(http.MethodGet, w.notes+webapp.SignedOutPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", header)
		res, err := optest.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		res.Body.Close()
		if !strings.Contains(b.String(), `<html lang="`+want[0]+`"`) || !strings.Contains(b.String(),
			`href="/sign-in">`+want[1]+`</a>`) || res.Header.Get("Vary") != "Accept-Language" {
			t.Errorf("%.40q: %s", header, b.String())
		}
	}
}
