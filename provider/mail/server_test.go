package mail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"latchkey/provider/mail"
)

// server is a mail server on loopback, of somebody else's making, that keeps what it is sent.
type server struct {
	mu       sync.Mutex
	got      []string // messages as they came
	rcpt     []string
	from     []string
	users    []string // who authenticated
	security mail.Security
	port     int
	roots    *x509.CertPool

	refuseRcpt, refuseData error
}

const smtpPassword = "the password of the mail server"

func (s *server) NewSession(*smtp.Conn) (smtp.Session, error) { return &conversation{server: s}, nil }

type conversation struct {
	*server
	user string
}

func (c *conversation) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *conversation) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "latchkey" || password != smtpPassword {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8},
				Message: "Authentication credentials invalid"}
		}
		c.user = username
		return nil
	}), nil
}

func (c *conversation) Mail(from string, _ *smtp.MailOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.from, c.users = append(c.from, from), append(c.users, c.user)
	return nil
}

func (c *conversation) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuseRcpt != nil {
		return c.refuseRcpt
	}
	c.rcpt = append(c.rcpt, to)
	return nil
}

func (c *conversation) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuseData != nil {
		return c.refuseData
	}
	c.got = append(c.got, string(b))
	return nil
}

func (c *conversation) Reset()        {}
func (c *conversation) Logout() error { return nil }

func (s *server) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

func (s *server) set(rcpt, data error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseRcpt, s.refuseData = rcpt, data
}

// certificate is one for mail.test and its authority.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// serve starts a mail server. Without tls it offers neither STARTTLS nor TLS.
func serve(t *testing.T, security mail.Security) *server {
	t.Helper()
	s := &server{security: security}
	cert, roots := certificate(t)
	s.roots = roots
	backend := smtp.NewServer(s)
	backend.Domain, backend.ErrorLog = "mail.test", log.New(io.Discard, "", 0)
	backend.ReadTimeout, backend.WriteTimeout = time.Minute, time.Minute
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	switch security {
	case mail.TLS:
		l = tls.NewListener(l, conf)
	case mail.StartTLS:
		backend.TLSConfig = conf
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = backend.Serve(l)
	}()
	t.Cleanup(func() {
		_ = backend.Close()
		<-ended
	})
	return s
}

// client is a transport to the server.
func (s *server) client() *mail.SMTP {
	return &mail.SMTP{Host: "127.0.0.1", Port: s.port, Security: s.security, RootCAs: s.roots,
		From: mail.Sender{Name: "Example\r\nBcc: all@example.com", Address: "noreply@id.example"}}
}

func (s *server) clientWithPassword(password string) *mail.SMTP {
	c := s.client()
	c.Username, c.Password = "latchkey", func() (string, error) { return password, nil }
	return c
}

// odd answers every connection by what speak does with it.
func odd(t *testing.T, speak func(net.Conn)) *mail.SMTP {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var speaking sync.WaitGroup
	speaking.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			speaking.Go(func() {
				defer c.Close()
				speak(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		speaking.Wait()
	})
	return &mail.SMTP{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: mail.Plain,
		From:    mail.Sender{Name: "Example", Address: "noreply@id.example"},
		Timeout: 300 * time.Millisecond}
}
