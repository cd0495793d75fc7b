package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Security is how the connection to the mail server is protected.
type Security string

const (
	StartTLS Security = "starttls" // TLS is begun by STARTTLS and required (RFC 3207)
	TLS      Security = "tls"      // TLS from the first byte (RFC 8314 §3.3)
	Plain    Security = "none"     // nothing: for a server on this machine. No password is sent then
)

// SMTP sends by a mail server (RFC 5321, RFC 6409).
type SMTP struct {
	Host     string
	Port     int
	Security Security
	Username string // "": no authentication (RFC 4954)
	// Password is asked for at each mail, so that it can be changed without a restart. nil: none.
	Password func() (string, error)
	From     Sender
	RootCAs  *x509.CertPool // nil: the system's
	Timeout  time.Duration  // of one connection; 0: 30 seconds
}

const defaultTimeout = 30 * time.Second

// Send sends one message in a connection of its own. The error says what the server said, and never
// holds the password.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	msg, err := format(s.From, m)
	if err != nil {
		return err
	}
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conf := &tls.Config{ServerName: s.Host, RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}
	// The library leaves a connection open whose server does not speak SMTP, and bounds each step,
	// not all of them.
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var conn net.Conn
		var err error
		if s.Security == TLS {
			conn, err = (&tls.Dialer{Config: conf}).DialContext(ctx, network, address)
		} else {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		}
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	policy := gomail.TLSMandatory
	if s.Security == TLS || s.Security == Plain {
		policy = gomail.NoTLS // it is there already, or not wanted
	}
	options := []gomail.Option{
		gomail.WithPort(s.Port), gomail.WithTimeout(timeout), gomail.WithoutNoop(), gomail.WithTLSConfig(conf),
		gomail.WithTLSPolicy(policy),
		gomail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn,
			error) {
			return dial(ctx, network, address)
		}),
	}
	if s.Username != "" && s.Password != nil && s.Security != Plain {
		password, err := s.Password()
		if err != nil {
			return fmt.Errorf("password of the mail server: %w", err)
		}
		options = append(options, gomail.WithUsername(s.Username), gomail.WithPassword(password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain,
				gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(s.Host, options...)
	if err != nil {
		return fmt.Errorf("mail server %s: %w", s.Host, err)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	var refused *gomail.SendError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.ErrorCode() >= 500 &&
		(refused.Reason == gomail.ErrSMTPRcptTo || refused.Reason == gomail.ErrSMTPData ||
			refused.Reason == gomail.ErrSMTPDataClose):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("mail server %s: %w", s.Host, err)
}
