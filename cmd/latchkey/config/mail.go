package config

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"latchkey/provider/mail"
	"latchkey/provider/people"
)

// Values of mail.mode.
const (
	mailOff    = "off"
	mailSMTP   = "smtp"
	mailFolder = "folder"
)

// checkMail tells bad what is wrong with the section mail.
func (c *Config) checkMail(bad func(key, format string, args ...any)) {
	m := &c.Mail
	switch m.Mode {
	case mailOff:
		return
	case mailSMTP, mailFolder:
	default:
		bad("mail.mode", "must be off, smtp or folder")
		return
	}
	switch {
	case m.From == "":
		bad("mail.from", "is missing; it is the address that mails come from, such as accounts@example.com")
	case mail.CheckAddress(m.From) != nil:
		bad("mail.from", "%v", mail.CheckAddress(m.From))
	}
	if m.Mode == mailFolder {
		return
	}
	host, _, err := smtpAddress(m.SMTP.Address)
	if err != nil {
		bad("mail.smtp.address", "%v", err)
	}
	hasPassword := m.SMTP.Password != "" || m.SMTP.PasswordFile != ""
	switch mail.Security(m.SMTP.Security) {
	case mail.StartTLS, mail.TLS:
		if (m.SMTP.User != "") != hasPassword {
			bad("mail.smtp", "needs both user and password_file, or neither")
		}
	case mail.Plain:
		if err == nil && !loopbackHost(host) {
			bad("mail.smtp.security", "none is for a server on this machine, and %s is another: everybody on the way could read the links. Use starttls or tls", host)
		}
		if m.SMTP.User != "" || hasPassword {
			bad("mail.smtp.security", "none would send the password in clear; use starttls or tls, or leave user and password out")
		}
	default:
		bad("mail.smtp.security", "must be starttls, tls or none")
	}
	if m.SMTP.Password != "" && m.SMTP.PasswordFile != "" {
		bad("mail.smtp.password_file", "is set, and so is mail.smtp.password; keep one of them")
	} else if m.SMTP.PasswordFile != "" {
		if _, err := ReadSecretFile("mail.smtp.password_file", m.SMTP.PasswordFile); err != nil {
			bad("mail.smtp.password_file", "%s", strings.TrimPrefix(err.Error(), "mail.smtp.password_file: "))
		}
	}
	if m.SMTP.CAFile != "" {
		if _, err := ReadCAs(m.SMTP.CAFile); err != nil {
			bad("mail.smtp.ca_file", "%v", err)
		}
	}
}

func smtpAddress(address string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(number)
	}
	if err != nil || host == "" || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("must be a name and a port, such as smtp.example.com:587")
	}
	return host, port, nil
}

// MailTransport is what sends mails, nil when none are sent.
func (c *Config) MailTransport() (mail.Transport, error) {
	from := mail.Sender{Name: c.Name, Address: c.Mail.From}
	switch c.Mail.Mode {
	case mailFolder:
		dir := c.Mail.Folder
		if dir == "" {
			dir = filepath.Join(c.Data, "mails")
		}
		return &mail.Folder{Dir: dir, From: from}, nil
	case mailSMTP:
		host, port, err := smtpAddress(c.Mail.SMTP.Address)
		if err != nil {
			return nil, fmt.Errorf("mail.smtp.address: %w", err)
		}
		var roots *x509.CertPool
		if c.Mail.SMTP.CAFile != "" {
			if roots, err = ReadCAs(c.Mail.SMTP.CAFile); err != nil {
				return nil, fmt.Errorf("mail.smtp.ca_file: %w", err)
			}
		}
		password := func() (string, error) {
			if c.Mail.SMTP.PasswordFile == "" {
				return c.Mail.SMTP.Password, nil
			}
			return ReadSecretFile("mail.smtp.password_file", c.Mail.SMTP.PasswordFile)
		}
		return &mail.SMTP{Host: host, Port: port, Security: mail.Security(c.Mail.SMTP.Security),
			Username: c.Mail.SMTP.User, Password: password,
			From: from, RootCAs: roots}, nil
	}
	return nil, nil //nolint:nilnil // none is a way to send no mails
}

// PasswordPolicy says which passwords may be set.
func (c *Config) PasswordPolicy() (people.PasswordPolicy, error) {
	p := people.PasswordPolicy{MinLength: c.Passwords.MinLength}
	if c.Passwords.BlocklistFile == "" {
		return p, nil
	}
	f, err := os.Open(c.Passwords.BlocklistFile)
	if err != nil {
		return p, err
	}
	defer f.Close()
	p.Blocked, err = people.ReadBlocklist(f)
	if err != nil {
		return p, fmt.Errorf("%s: %w", c.Passwords.BlocklistFile, err)
	}
	return p, nil
}
