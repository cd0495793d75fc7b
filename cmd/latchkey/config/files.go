package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"latchkey/keys"
)

// maxSecretFile bounds what is read as a secret.
const maxSecretFile = 64 << 10

// ReadSecretFile reads a secret that is alone in a file. The key is named in errors, the value
// never.
func ReadSecretFile(key, path string) (string, error) {
	f, err := keys.OpenSecret(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: %s is not a file", key, path)
	}
	if keys.Exposed(f, info, 0o007) {
		return "", fmt.Errorf("%s: %s can be read or written by everybody; run: chmod 600 %s", key, path, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	value := strings.TrimRight(string(text), "\r\n")
	if value == "" || strings.ContainsAny(value, "\r\n") {
		return "", fmt.Errorf("%s: %s must have the value in one line and nothing else", key, path)
	}
	return value, nil
}

// exposed reports whether the file at path holds a secret that others than intended can read or
// write, see keys.Exposed.
func exposed(path string, bits fs.FileMode) bool {
	f, err := keys.OpenSecret(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && keys.Exposed(f, info, bits)
}

// How often ReadCertificate tries, and how long it waits in between.
const (
	certificateTries = 5
	certificatePause = 100 * time.Millisecond
)

// ReadCertificate reads a certificate and its key. Two files that are being replaced may not fit
// together for a moment: they are read again then.
func ReadCertificate(certFile, keyFile string) (tls.Certificate, error) {
	return readCertificate(certFile, keyFile, func() { time.Sleep(certificatePause) })
}

func readCertificate(certFile, keyFile string, pause func()) (pair tls.Certificate, err error) {
	for n := range certificateTries {
		if n > 0 {
			pause()
		}
		if pair, err = tls.LoadX509KeyPair(certFile, keyFile); err == nil {
			break
		}
		if missing(certFile) || missing(keyFile) {
			break
		}
	}
	return pair, err
}

// missing reports whether nothing is at path, not even a link to what is being replaced.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// ReadCAs reads certificate authorities, to be trusted beside those of the system.
func ReadCAs(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseCAs(path, text)
}

func parseCAs(path string, text []byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", path)
	}
	return pool, nil
}
