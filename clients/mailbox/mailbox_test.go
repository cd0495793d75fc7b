package mailbox

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = "To: <ada@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= <script>\r\nContent-Language: de\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Hallo <b>Ada</b>: http://id.localhost:9700/password/reset?link=3Dabc und so\r\n--b\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<p>Hallo</p><script>alert(1)</script>\r\n--b--\r\n"

func get(b *Box, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestMailsAreShownToWhoKnowsTheAddress(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "mails")
	b := New(folder)
	if w := get(b, "GET", b.Path()); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `id="empty"`) {
		t.Fatalf("without a folder: %d %s", w.Code, w.Body)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"one.eml": sample, "nonsense.eml": "\x00\x01", ".new-1": sample,
		"other.txt": sample} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := get(b, "GET", b.Path())
	for _, want := range []string{"Grüße &lt;script&gt;", "ada@example.com", "Hallo &lt;b&gt;Ada&lt;/b&gt;",
		`href="http://id.localhost:9700/password/reset?link=abc"`, `lang="de"`, "not a mail"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q is missing\n%s", want, w.Body)
		}
	}
	if n := strings.Count(w.Body.String(), "<article"); n != 2 {
		t.Errorf("%d mails", n)
	}
	if w := get(b, "GET", b.Path()+"one.eml"); w.Code != http.StatusOK ||
		!strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") || !strings.Contains(w.Body.String(),
		"<p>Hallo</p>") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for path, status := range map[string]int{"/": 404, "/x/": 404, "/" + strings.ToLower(b.key) + "/": 404, b.Path() +
		"nothing.eml": 404, b.Path() + "..%2f..%2fetc%2fpasswd": 404, b.Path() + "other.txt": 404, b.Path() +
		"style.css": 200} {
		if w := get(b, "GET", path); w.Code != status || strings.Contains(w.Body.String(), b.key) && status != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get(b, "POST", b.Path()); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func FuzzPieces(f *testing.F) {
	f.Add("see http://a.example/x and https://b.example")
	f.Fuzz(func(t *testing.T, text string) {
		var whole strings.Builder
		for _, p := range pieces(text) {
			whole.WriteString(p.Text + p.Link)
		}
		if whole.String() != text {
			t.Errorf("%q became %q", text, whole.String())
		}
	})
}
