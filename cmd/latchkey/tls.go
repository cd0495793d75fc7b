package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"latchkey/cmd/latchkey/config"
)

// certificate is the provider's own, read again when its files have changed: whoever renews it need
// not tell us.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   [2]os.FileInfo
	looked  time.Time
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = 5 * time.Second

// stamp is what tells a file from another, or from itself after a change; nil if it is not there.
func stamp(file string) os.FileInfo {
	info, err := os.Stat(file)
	if err != nil {
		return nil
	}
	return info
}

// changed reports whether a file is another one, or was written to. The time alone would not do:
// file systems count it in ticks.
func changed(before, now os.FileInfo) bool {
	if before == nil || now == nil {
		return before != now
	}
	return !os.SameFile(before, now) || !before.ModTime().Equal(now.ModTime()) || before.Size() != now.Size()
}

func loadCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger, stamp: [2]os.FileInfo{stamp(certFile),
		stamp(keyFile)}}
	pair, err := config.ReadCertificate(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c.current = &pair
	return c, nil
}

// get is for tls.Config.GetCertificate. While the files are being replaced they may not fit
// together; then the last good pair stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if s := c.stamps(); changed(c.stamp[0], s[0]) || changed(c.stamp[1], s[1]) {
			c.read(s)
		}
	}
	return c.current, nil
}

// reload reads the files again, whether they have changed or not.
func (c *certificate) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read(c.stamps())
}

// expires is when the certificate in use ends.
func (c *certificate) expires() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Leaf.NotAfter
}

func (c *certificate) stamps() [2]os.FileInfo {
	return [2]os.FileInfo{stamp(c.certFile), stamp(c.keyFile)}
}

func (c *certificate) read(stamps [2]os.FileInfo) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.logger.Warn("certificate not read again; the one before stays", "reason", err.Error())
		return
	}
	c.current, c.stamp = &pair, stamps
	c.logger.Info("certificate read again", "file", c.certFile, "expires", pair.Leaf.NotAfter.UTC())
}

// config is TLS as the provider speaks it: 1.2 or newer, with 1.2 only suites that have forward
// secrecy and authenticated encryption.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.get,
		NextProtos:     []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}
