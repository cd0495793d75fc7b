package mail_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"latchkey/provider/mail"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
	"latchkey/provider/testclock"
)

var letter = mail.Message{ID: "m-1", To: "ada@example.com", Lang: "de", Subject: "Grüße\r\nBcc: all@example.com",
	Text: "Hallo Ada,\n\n.\nhttps://id.example/x?link=" + strings.Repeat("a", 100) + "\n", HTML: "<p>Hallo Ada</p>",
	Date: testclock.Noon}

// parts reads a message as a mail program does: headers, and the bodies by type, in order.
func parts(t *testing.T, raw string) (netmail.Header, [][2]string) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s %v", kind, err)
	}
	var out [][2]string
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m.Header, out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		out = append(out, [2]string{kind, strings.ReplaceAll(string(body), "\r\n", "\n")})
	}
}

func checkLetter(t *testing.T, raw string) {
	t.Helper()
	h, bodies := parts(t, raw)
	if len(bodies) != 2 || bodies[0] != [2]string{"text/plain", letter.Text} || bodies[1][0] != "text/html" ||
		strings.TrimSpace(bodies[1][1]) != letter.HTML {
		t.Errorf("bodies: %q", bodies)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil || subject != "Grüße Bcc: all@example.com" {
		t.Errorf("subject %q", h.Get("Subject"))
	}
	for name, want := range map[string]string{"To": "<ada@example.com>", "Auto-Submitted": "auto-generated",
		"Content-Language": "de",
		"Message-Id":       "<m-1@id.example>", "Bcc": "", "Cc": "", "User-Agent": "", "X-Mailer": ""} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if from, err := netmail.ParseAddress(h.Get("From")); err != nil || from.Address != "noreply@id.example" {
		t.Errorf("from %q", h.Get("From"))
	}
}

func TestAMailServerTakesAMailOverTLSWithAuthentication(t *testing.T) {
	t.Parallel()
	for _, security := range []mail.Security{mail.StartTLS, mail.TLS} {
		s := serve(t, security)
		if err := s.clientWithPassword(smtpPassword).Send(t.Context(), letter); err != nil {
			t.Fatalf("%s: %v", security, err)
		}
		if len(s.messages()) != 1 || s.users[0] != "latchkey" || s.from[0] != "noreply@id.example" ||
			len(s.rcpt) != 1 || s.rcpt[0] != "ada@example.com" {
			t.Errorf("%s: from %q as %q to %q", security, s.from, s.users, s.rcpt)
		}
		checkLetter(t, s.messages()[0])
	}
	s := serve(t, mail.Plain)
	if err := s.clientWithPassword(smtpPassword).Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	if s.users[0] != "" {
		t.Error("the password crossed the network in clear")
	}
}

func TestNothingIsSentWhereTLSCannotBeHad(t *testing.T) {
	t.Parallel()
	bare := serve(t, mail.Plain)
	bare.security = mail.StartTLS
	if err := bare.clientWithPassword(smtpPassword).Send(t.Context(), letter); err == nil {
		t.Error("a server without STARTTLS")
	}
	stranger := serve(t, mail.StartTLS)
	stranger.roots = nil
	if err := stranger.clientWithPassword(smtpPassword).Send(t.Context(), letter); err == nil {
		t.Error("a certificate that nobody vouches for")
	}
	if len(bare.messages())+len(stranger.messages())+len(bare.users)+len(stranger.users) != 0 {
		t.Error("something was said")
	}
}

func TestAMailServersRefusalsAreToldApart(t *testing.T) {
	t.Parallel()
	s := serve(t, mail.StartTLS)
	for name, c := range map[string]struct {
		rcpt, data error
		forGood    bool
	}{
		"no such mailbox": {rcpt: &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1},
			Message: "no such mailbox"}, forGood: true},
		"full for now": {rcpt: &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2},
			Message: "mailbox full"}},
		"grey-listed": {rcpt: &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1},
			Message: "try again later"}},
		"unwanted": {data: &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1},
			Message: "looks like spam"}, forGood: true},
		"disk full": {data: &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1},
			Message: "insufficient system storage"}},
	} {
		s.set(c.rcpt, c.data)
		err := s.clientWithPassword(smtpPassword).Send(t.Context(), letter)
		if err == nil || errors.Is(err, mail.ErrRefused) != c.forGood {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.set(nil, nil)
	// What the operator can mend is tried again.
	err := s.clientWithPassword("another password").Send(t.Context(), letter)
	if err == nil || errors.Is(err, mail.ErrRefused) || strings.Contains(err.Error(), "another password") {
		t.Errorf("wrong password: %v", err)
	}
	c := s.client()
	c.Username, c.Password = "latchkey", func() (string, error) { return "", os.ErrNotExist }
	if err := c.Send(t.Context(), letter); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the password file is missing: %v", err)
	}
	for _, to := range []string{"", "ada", "ada@example.com, eve@example.com", "Ada <ada@example.com>",
		"ada@example.com\r\nRCPT TO:<eve@example.com>", "a@b@example.com", `"a b"@example.com`} {
		m := letter
		m.To = to
		if err := s.client().Send(t.Context(), m); !errors.Is(err, mail.ErrRefused) {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if len(s.messages()) != 0 {
		t.Errorf("%d were sent", len(s.messages()))
	}
}

func TestAnOddMailServerCostsNoMoreThanTheTimeout(t *testing.T) {
	t.Parallel()
	read := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, speak := range map[string]func(net.Conn){
		"silent":   read,
		"nonsense": func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n"); read(c) },
		"binary":   func(c net.Conn) { _, _ = c.Write([]byte{0, 1, 2, 0xff, '\n'}); read(c) },
		"hangs up": func(net.Conn) {},
		"unwilling": func(c net.Conn) {
			_, _ = io.WriteString(c, "554 5.3.2 not today\r\n")
			read(c)
		},
		"endless": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "220-"+strings.Repeat("x", 500)+"\r\n"); err != nil {
					return
				}
			}
		},
		"slow after the greeting": func(c net.Conn) {
			_, _ = io.WriteString(c, "220 mail.test\r\n")
			_, _ = bufio.NewReader(c).ReadString('\n')
			read(c)
		},
	} {
		done := make(chan error, 1)
		c := odd(t, speak)
		go func() { done <- c.Send(context.Background(), letter) }()
		select {
		case err := <-done:
			if err == nil || errors.Is(err, mail.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no end", name)
		}
	}
	unreachable := &mail.SMTP{Host: "127.0.0.1", Port: 1, Security: mail.StartTLS,
		From: mail.Sender{Address: "noreply@id.example"}}
	if err := unreachable.Send(t.Context(), letter); err == nil || errors.Is(err, mail.ErrRefused) {
		t.Errorf("unreachable: %v", err)
	}
}

func TestAFolderKeepsMailsForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mails")
	f := &mail.Folder{Dir: dir, From: mail.Sender{Name: "Example", Address: "noreply@id.example"}}
	if err := f.Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "m-1.eml" {
		t.Fatalf("%v %v", files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "m-1.eml"))
	if err != nil {
		t.Fatal(err)
	}
	checkLetter(t, string(raw))
}

// post is a queue whose transport a test holds.
type post struct {
	*mail.Queue
	store *storage.Store
	clock *testclock.Clock
	sent  chan mail.Message
	fail  error
	none  bool

	mu   sync.Mutex
	told []string // what became of the attempts
}

func (p *post) tell(sent, givenUp bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, fmt.Sprintf("sent %t, given up %t", sent, givenUp))
}

func newPost(t *testing.T, store *storage.Store) *post {
	t.Helper()
	p := &post{store: store, clock: testclock.New(), sent: make(chan mail.Message, 100)}
	compose := func(_ context.Context, m storage.Mail) (mail.Message, error) {
		if p.none {
			return mail.Message{}, mail.ErrNobody
		}
		return mail.Message{To: m.To, Subject: m.Kind}, nil
	}
	p.Queue = mail.NewQueue(store, p, compose, p.clock.Now, slog.New(slog.DiscardHandler), p.tell)
	return p
}

func (p *post) Send(_ context.Context, m mail.Message) error {
	p.sent <- m
	return p.fail
}

func (p *post) due(t *testing.T, want int) {
	t.Helper()
	n, err := p.SendDue(t.Context())
	if err != nil || n != want {
		t.Fatalf("%d attempts, want %d: %v", n, want, err)
	}
}

func (p *post) only(t *testing.T) storage.Mail {
	t.Helper()
	all, err := p.store.Mails(t.Context(), "", 10)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d mails: %v", len(all), err)
	}
	return all[0]
}

func TestAMailIsTriedAgainLaterAndLater(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		p := newPost(t, s)
		p.fail = fmt.Errorf("no\n answer")
		if err := p.Put(t.Context(), storage.Mail{Kind: "reset", To: "ada@example.com"}, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, wait := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second} {
			p.due(t, 1)
			p.due(t, 0)
			if m := p.only(t); m.LastError != "no answer" || !m.DoneAt.IsZero() ||
				!m.NextAt.Equal(p.clock.Now().Add(wait)) {
				t.Errorf("after %v: %+v", wait, m)
			}
			p.clock.Advance(wait)
		}
		// A new process goes on where the old one stopped.
		next := newPost(t, s)
		next.clock = p.clock
		next.Queue = mail.NewQueue(s, next, func(_ context.Context, m storage.Mail) (mail.Message, error) {
			return mail.Message{To: m.To, Subject: m.Kind}, nil
		}, p.clock.Now, slog.New(slog.DiscardHandler), next.tell)
		next.due(t, 1)
		if !slices.Equal(p.told, slices.Repeat([]string{"sent false, given up false"}, 4)) ||
			!slices.Equal(next.told, []string{"sent true, given up true"}) {
			t.Errorf("they told %v %v", p.told, next.told)
		}
		m := next.only(t)
		if sent := <-next.sent; sent.To != "ada@example.com" || sent.ID != m.ID+"-5" || m.LastError != "" ||
			m.DoneAt.IsZero() {
			t.Errorf("%+v %+v", sent, m)
		}
		next.clock.Advance(time.Hour)
		next.due(t, 0)
	})
}

func TestAMailIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(*post){
		"when it is refused for good": func(p *post) {
			p.fail = fmt.Errorf("%w: no such mailbox",
				mail.ErrRefused)
		},
		"when there is nobody to write to":        func(p *post) { p.none = true },
		"when the next attempt would be too late": func(p *post) { p.fail = errors.New("busy") },
	} {
		store, err := storage.OpenSQLite(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		p := newPost(t, store)
		bend(p)
		if err := p.Put(t.Context(), storage.Mail{Kind: "reset", To: "ada@example.com"}, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		p.due(t, 1)
		if m := p.only(t); m.DoneAt.IsZero() || m.LastError == "" {
			t.Errorf("%s: %+v", name, m)
		}
		if want := "sent false, given up true"; p.none != (len(p.told) == 0) || !p.none && p.told[0] != want {
			t.Errorf("%s: it told %v", name, p.told)
		}
		p.clock.Advance(time.Hour)
		p.due(t, 0)
	}
}

func TestRunSendsAtOnceWhatIsPut(t *testing.T) {
	t.Parallel()
	store, err := storage.OpenSQLite(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	p := newPost(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(ctx)
	}()
	for range 10 {
		if err := p.Put(t.Context(), storage.Mail{Kind: "reset", To: "ada@example.com"}, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		<-p.sent
	}
	cancel()
	<-ended
}
