// Package mailbox shows the mails in a folder on a page: for a demonstration, in which no mail
// leaves the machine. Whoever reads the page can use the links in the mails, so it answers below an
// address that nobody guesses, and nowhere else.
package mailbox

import (
	"bytes"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

//go:embed page.html style.css
var files embed.FS

var page = template.Must(template.ParseFS(files, "page.html"))

const (
	most     = 100     // mails on the page
	mostSize = 1 << 20 // bytes of one
)

// Box is the page.
type Box struct {
	folder, key string
}

// New makes the page of the mails in a folder, which need not be there yet: one file each, whose
// name ends with .eml (RFC 5322). It is found below Path.
func New(folder string) *Box { return &Box{folder: folder, key: rand.Text()} }

// Path is where the page is.
func (b *Box) Path() string { return "/" + b.key + "/" }

// message is a mail as it is shown.
type message struct {
	File, To, Subject, Lang, When string
	Words                         []piece
	HTML                          string
	Link                          string // of the mail as HTML
}

// piece is a stretch of the text of a mail, or a link in it.
type piece struct{ Text, Link string }

// ServeHTTP answers below Path: the list of mails, KEY/FILE the HTML of one.
func (b *Box) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	name, found := strings.CutPrefix(r.URL.Path, b.Path())
	switch {
	case !found:
		http.Error(w, "The mailbox has another address. The demonstration prints it when it starts.",
			http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "This address accepts only GET and HEAD requests.", http.StatusMethodNotAllowed)
	case name == "":
		b.list(w)
	case name == "style.css":
		text, _ := files.ReadFile(name)
		h.Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(text)
	default:
		b.one(w, name)
	}
}

func (b *Box) list(w http.ResponseWriter) {
	all, err := b.messages()
	if err != nil {
		http.Error(w, "The mails cannot be read: "+err.Error(), http.StatusInternalServerError)
		return
	}
	var out bytes.Buffer
	if err := page.Execute(&out, struct {
		Base  string
		Mails []message
	}{b.Path(), all}); err != nil {
		http.Error(w, "The page cannot be written: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes())
}

// one shows the HTML of a mail, in a sandbox: it may be opened and followed, and runs nothing.
func (b *Box) one(w http.ResponseWriter, name string) {
	m, err := b.read(name)
	if err != nil || m.HTML == "" {
		http.Error(w, "There is no such mail.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Security-Policy",
		"sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation; "+
			"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, m.HTML)
}

// messages are the newest mails, the newest first.
func (b *Box) messages() ([]message, error) {
	entries, err := os.ReadDir(b.folder)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	type dated struct {
		name string
		at   time.Time
	}
	var all []dated
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && fileName(e.Name()) && info.Mode().IsRegular() {
			all = append(all, dated{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b dated) int { return b.at.Compare(a.at) })
	var out []message
	for _, d := range all[:min(len(all), most)] {
		m, err := b.read(d.name)
		if err != nil {
			m = message{File: d.name, Subject: "This file is not a mail: " + err.Error()}
		}
		out = append(out, m)
	}
	return out, nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*\.eml$`)

func fileName(name string) bool { return plainName.MatchString(name) && fs.ValidPath(name) }

// read reads one mail: its text, and what is the same as HTML.
func (b *Box) read(name string) (message, error) {
	if !fileName(name) {
		return message{}, fs.ErrNotExist
	}
	f, err := os.Open(filepath.Join(b.folder, name))
	if err != nil {
		return message{}, err
	}
	defer f.Close()
	in, err := mail.ReadMessage(io.LimitReader(f, mostSize))
	if err != nil {
		return message{}, err
	}
	words := new(mime.WordDecoder)
	header := func(key string) string {
		text := in.Header.Get(key)
		if decoded, err := words.DecodeHeader(text); err == nil {
			text = decoded
		}
		return text
	}
	m := message{File: name, To: strings.Trim(header("To"), "<>"), Subject: header("Subject"),
		Lang: header("Content-Language"),
		Link: path.Join(b.Path(), name)}
	if at, err := in.Header.Date(); err == nil {
		m.When = at.Local().Format("15:04:05")
	}
	text, err := m.parts(in)
	m.Words = pieces(text)
	return m, err
}

// parts finds the text and the HTML of a mail (RFC 2046 §5.1.4).
func (m *message) parts(in *mail.Message) (text string, err error) {
	kind, params, err := mime.ParseMediaType(in.Header.Get("Content-Type"))
	if err != nil {
		return "", fmt.Errorf("its type: %w", err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return body(in.Body, in.Header.Get("Content-Transfer-Encoding"))
	}
	parts := multipart.NewReader(in.Body, params["boundary"])
	for {
		part, err := parts.NextPart() // decodes quoted-printable by itself
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return text, fmt.Errorf("a part: %w", err)
		}
		content, err := body(part, part.Header.Get("Content-Transfer-Encoding"))
		if err != nil {
			return text, err
		}
		if kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); kind == "text/html" {
			m.HTML = content
		} else {
			text = content
		}
	}
}

func body(in io.Reader, encoding string) (string, error) {
	if strings.EqualFold(encoding, "quoted-printable") {
		in = quotedprintable.NewReader(in)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("its text: %w", err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n"), nil
}

var link = regexp.MustCompile(`https?://[^\s<>"]+`)

// pieces cuts a text at its links.
func pieces(text string) []piece {
	var out []piece
	for text != "" {
		at := link.FindStringIndex(text)
		if at == nil {
			return append(out, piece{Text: text})
		}
		if at[0] > 0 {
			out = append(out, piece{Text: text[:at[0]]})
		}
		out = append(out, piece{Link: text[at[0]:at[1]]})
		text = text[at[1]:]
	}
	return out
}
