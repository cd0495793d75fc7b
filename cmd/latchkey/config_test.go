package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/latchkey/config"
)

// validated loads and validates a configuration from a file's text.
func validated(t testing.TB, text string, env ...string) (config.Config, error) {
	t.Helper()
	c, err := config.Load(writeFile(t, "latchkey.yaml", text), env, nil)
	if err == nil {
		err = c.Validate()
	}
	return c, err
}

func TestWhatCannotBeReadHidesNothingElseThatIsWrong(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "latchkey.yaml",
		"issuer: http://id.example.com\nlisen: x\nlog: {format: xml}\nlifetimes: {code: 1h, access_token: soon}\n")
	r := latchkey(t, "", []string{"LATCHKEY_REGISTRATION=perhaps"}, "config", "check", "--config", file, "--listen",
		"nowhere")
	for _, want := range []string{"latchkey.yaml:1: issuer: must be https",
		"latchkey.yaml:2: lisen: there is no such key", "latchkey.yaml:3: log.format:",
		"latchkey.yaml:4: lifetimes.access_token:",
		"latchkey.yaml:4: lifetimes.code:", "latchkey: LATCHKEY_REGISTRATION: must be", "latchkey: --listen: must be"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("nothing says %q in\n%s", want, r.stderr)
		}
	}
	if lines := strings.Count(r.stderr, "\n"); r.code != exitRefused || lines != 7 {
		t.Errorf("exit %d, %d lines:\n%s", r.code, lines, r.stderr)
	}
	t.Run("what was misspelt is not missing as well", func(t *testing.T) {
		r := latchkey(t, "", nil, "config", "check", "--config", writeFile(t, "latchkey.yaml",
			"isuer: https://id.example.com\ntls: {cert_fil: x, key_file: y}\n"))
		if strings.Count(r.stderr, "\n") != 2 || strings.Contains(r.stderr, "missing") || strings.Contains(r.stderr,
			"needs both") {
			t.Error(r.stderr)
		}
	})
}

func TestNoCommandPrintsASecret(t *testing.T) {
	t.Parallel()
	const uri = "mongodb://latchkey:pa55word-of-mongo@127.0.0.1:1/x"
	env := []string{"LATCHKEY_MASTER_KEY=" + otherKey, "LATCHKEY_MONGODB=" + uri,
		"LATCHKEY_ISSUER=http://localhost:8080"}
	for _, args := range [][]string{{"config", "check"}, {"config", "check", "--json"}} {
		r := latchkey(t, "", env, args...)
		if r.code != exitOK || !strings.Contains(r.stdout, "[redacted]") {
			t.Errorf("%v: exit %d %s", args, r.code, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, otherKey) || strings.Contains(r.stdout+r.stderr, "pa55word") {
			t.Errorf("%v prints a secret: %s", args, r.stdout)
		}
	}
	r := latchkey(t, "", []string{"LATCHKEY_MASTER_KEY=notakey-pa55word", "LATCHKEY_ISSUER=http://localhost:8080"},
		"config", "check")
	if r.code != exitRefused || !strings.Contains(r.stderr, "LATCHKEY_MASTER_KEY") || strings.Contains(r.stderr,
		"pa55word") {
		t.Errorf("a bad key: exit %d %s", r.code, r.stderr)
	}
}

func TestConfigCheckWarnsOfWhatOnlyCertificationNeeds(t *testing.T) {
	t.Parallel()
	out := succeed(t, "", "config", "check", "--config", writeFile(t, "latchkey.yaml", `
issuer: http://localhost:8080
registration: open
registrations_per_hour: 0
outbound: {allow_loopback: true}
insecure_allow_none: true
insecure_public_clients_without_pkce: true
`))
	for _, key := range []string{"registration:", "registrations_per_hour:", "outbound.allow_loopback:",
		"insecure_allow_none:", "insecure_public_clients_without_pkce:"} {
		if !strings.Contains(out, "warning: "+key) {
			t.Errorf("no warning of %s in\n%s", key, out)
		}
	}
	c := config.Default()
	c.Issuer, c.TrustedProxies = "https://id.example.com", []string{"127.0.0.1"}
	if err := c.Validate(); err != nil || len(c.Warnings()) > 0 {
		t.Errorf("the default with an issuer: %v, warned of: %v", err, c.Warnings())
	}
}

func TestCertificatesThatBrowsersRefuseAreWarnedOf(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certFile, keyFile := makeCertificate(t, folder, "id")
	out := succeed(t, "", "config", "check", "--issuer", "https://id.example.com", "--data", folder, "--config",
		writeFile(t, "latchkey.yaml",
			"tls: {cert_file: "+certFile+", key_file: "+keyFile+"}\n"))
	if !strings.Contains(out, "warning: tls.cert_file: "+certFile+" is not for id.example.com") {
		t.Errorf("no warning of another host's certificate in\n%s", out)
	}
	c := config.Default()
	c.Issuer, c.TLS.CertFile, c.TLS.KeyFile = "https://localhost", certFile, keyFile
	for _, test := range []struct {
		after time.Duration
		want  string
	}{
		{2 * time.Hour, "has expired, at "},
		{-2 * time.Hour, "is not valid before "},
		{0, "expires at "},
	} {
		got := config.CertificateWarnings(&c, time.Now().Add(test.after))
		if len(got) != 1 || !strings.Contains(got[0], test.want) {
			t.Errorf("after %s: %q", test.after, got)
		}
	}
}

// makeCertificate writes a certificate and its key.
func makeCertificate(t testing.TB, folder, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames:  []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	rewrite(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	rewrite(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), 0o600)
	return certFile, keyFile
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder, other := t.TempDir(), t.TempDir()
	certFile, keyFile := makeCertificate(t, folder, "first")
	_, otherKeyFile := makeCertificate(t, other, "other")

	t.Run("https without certificate and proxy is refused, with both ways out", func(t *testing.T) {
		_, err := validated(t, "issuer: https://id.example.com\n")
		if err == nil || !strings.Contains(err.Error(), "tls.cert_file") || !strings.Contains(err.Error(),
			"trusted_proxies") {
			t.Error(err)
		}
	})
	t.Run("a key of another certificate is refused", func(t *testing.T) {
		if _, err := validated(t, "issuer: https://localhost:8443\ntls: {cert_file: "+certFile+", key_file: "+otherKeyFile+"}\n"); err == nil || !strings.Contains(err.Error(), "tls:") {
			t.Error(err)
		}
	})
	t.Run("a key that everybody can read is refused", func(t *testing.T) {
		c, k := makeCertificate(t, t.TempDir(), "open")
		if err := os.Chmod(k, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := validated(t, "issuer: https://localhost:8443\ntls: {cert_file: "+c+", key_file: "+k+"}\n"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Error(err)
		}
	})
	t.Run("http with a certificate is refused", func(t *testing.T) {
		if _, err := validated(t, "issuer: http://localhost:8443\ntls: {cert_file: "+certFile+", key_file: "+keyFile+"}\n"); err == nil || !strings.Contains(err.Error(), "issuer") {
			t.Error(err)
		}
	})
	t.Run("a new certificate is taken up, half of one is not", func(t *testing.T) {
		c, err := loadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		name := func() string {
			c.looked = time.Time{}
			cert, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			return cert.Leaf.Subject.CommonName
		}
		if name() != "first" {
			t.Fatal(name())
		}
		if err := os.Rename(otherKeyFile, keyFile); err != nil {
			t.Fatal(err)
		}
		if name() != "first" {
			t.Error("half of a change was taken up")
		}
		if err := os.Rename(filepath.Join(other, "tls.crt"), certFile); err != nil {
			t.Fatal(err)
		}
		if name() != "other" {
			t.Error("the new certificate was not taken up")
		}
		if conf := c.config(); conf.MinVersion != tls.VersionTLS12 || len(conf.CipherSuites) == 0 {
			t.Error("TLS is too weak")
		} else {
			for _, id := range conf.CipherSuites {
				for _, weak := range tls.InsecureCipherSuites() {
					if weak.ID == id {
						t.Errorf("%s is weak", weak.Name)
					}
				}
				if n := tls.CipherSuiteName(id); !strings.HasPrefix(n, "TLS_ECDHE_") || !strings.Contains(n, "GCM") &&
					!strings.Contains(n, "POLY1305") {
					t.Errorf("%s has no forward secrecy or authentication", n)
				}
			}
		}
	})
}
