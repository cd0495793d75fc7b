package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pairOf is a certificate and its key as they stand in files.
func pairOf(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &about, &about, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func TestACertificateIsReadAgainWhenItIsBeingReplaced(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	_, old := pairOf(t)
	cert, key := pairOf(t)
	if err := errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, old, 0o600)); err != nil {
		t.Fatal(err)
	}
	waited := 0
	if _, err := readCertificate(certFile, keyFile, func() { waited++ }); err == nil || waited != certificateTries-1 {
		t.Errorf("a key of another certificate: waited %d times, %v", waited, err)
	}
	if _, err := readCertificate(certFile, keyFile, func() {
		if err := os.WriteFile(keyFile, key, 0o600); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Error(err)
	}
	if _, err := readCertificate(certFile, filepath.Join(folder, "none"), func() {
		t.Error("it waits for a file that is not there")
	}); err == nil {
		t.Error("read without a key")
	}
}
