package config

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"strings"

	"latchkey/keys"
)

// maxSecretFile bounds what is read as a secret.
const maxSecretFile = 64 << 10

// ReadSecretFile reads a secret that is alone in a file. The key is named in errors, the value
// never.
func ReadSecretFile(key, path string) (string, error) {
	f, err := os.Open(path)
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
	if keys.Exposed(path, info, 0o007) {
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
