package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"
)

// renewBefore is how long before its end a certificate should have been renewed.
const renewBefore = 7 * 24 * time.Hour

// CertificateWarnings says why browsers would refuse the certificate at the issuer's address, or
// soon will. Without a certificate, or with one that does not load, it says nothing: Validate does.
func CertificateWarnings(c *Config, now time.Time) []string {
	issuer, err := url.Parse(c.Issuer)
	if err != nil || c.TLS.CertFile == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil
	}
	var out []string
	warn := func(format string, args ...any) {
		out = append(out, "tls.cert_file: "+c.TLS.CertFile+" "+fmt.Sprintf(format, args...))
	}
	switch end := leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST"); {
	case now.After(leaf.NotAfter):
		warn("has expired, at %s; browsers refuse it", end)
	case now.Before(leaf.NotBefore):
		warn("is not valid before %s; browsers refuse it", leaf.NotBefore.UTC().Format("2006-01-02 15:04 MST"))
	case now.Add(renewBefore).After(leaf.NotAfter):
		warn("expires at %s", end)
	}
	if leaf.VerifyHostname(issuer.Hostname()) != nil {
		warn("is not for %s, the host of the issuer; browsers refuse it", issuer.Hostname())
	}
	return out
}
