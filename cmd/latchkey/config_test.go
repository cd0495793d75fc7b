package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// validated loads and validates a configuration from a file's text.
func validated(t testing.TB, text string, env ...string) (Config, error) {
	t.Helper()
	c, err := loadConfig(writeFile(t, "latchkey.yaml", text), env, nil)
	if err == nil {
		err = c.Validate()
	}
	return c, err
}

func TestTheIssuerIsHTTPSOrOnThisMachine(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://id.example.com", "https://example.com/id", "https://id.example.com:8443", "http://localhost:8080", "http://id.localhost:9700",
		"http://127.0.0.1:8080", "http://[::1]:8080", "https://[2001:db8::1]:8443"} {
		if err := checkIssuer(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "id.example.com", "http://id.example.com", "http://10.0.0.1", "http://0.0.0.0:8080", "https://", "https://id.example.com?x", "https://id.example.com?",
		"https://id.example.com#x", "https://u:p@id.example.com", " https://id.example.com", "https://id.example.com ", "https://ID.example.com", "https://id.example.com:443",
		"https://id.example.com//id", "https://id.example.com/a/../b", "https://id.example.com/%69d", "ftp://id.example.com", "javascript:alert(1)", "https://id.example.com/",
		"http://localhost.example.com", "http://notlocalhost", "https://id.example.com\n", "https://id.exa mple.com", "http://127.0.0.1.example.com"} {
		if err := checkIssuer(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		} else if !strings.Contains(err.Error(), "http") {
			t.Errorf("%q: no example in %q", bad, err)
		}
	}
}

func TestATrailingSlashIsTakenAwayAndSaid(t *testing.T) {
	t.Parallel()
	c, err := validated(t, "issuer: http://localhost:8080/\n")
	if err != nil || c.Issuer != "http://localhost:8080" || !strings.Contains(strings.Join(c.warnings(), "\n"), "slash") {
		t.Errorf("%q %v %v", c.Issuer, c.warnings(), err)
	}
}

func TestAllFaultsAreToldAtOnceEachWithItsKey(t *testing.T) {
	t.Parallel()
	_, err := validated(t, `
issuer: http://id.example.com
listen: nowhere
metrics_listen: ":9464"
trusted_proxies: [0.0.0.0/0, proxy.example.com]
log: {format: xml, level: loud}
lifetimes: {code: 11m, session_idle: 13h, refresh_grace: 1h}
registration: everybody
registrations_per_hour: -1
outbound: {allow_private: [::/0], ca_file: /does/not/exist.pem}
passwords: {memory_kib: 1024, passes: 1, attempts_per_account: 0}
mongodb: mongodb://db1/latchkey?w=1
tls: {cert_file: /does/not/exist.crt}
name: ""
`)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range []string{"issuer:", "listen:", "metrics_listen:", "trusted_proxies: 0.0.0.0/0", `trusted_proxies: "proxy.example.com"`, "log.format:", "log.level:", "lifetimes.code:", "lifetimes.session_idle:",
		"lifetimes.refresh_grace:", "registration:", "registrations_per_hour:", "outbound.allow_private:", "outbound.ca_file:", "passwords:", "mongodb:", "tls:", "name:"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in\n%v", key, err)
		}
	}
	var fs faults
	if !errors.As(err, &fs) || len(fs) < 18 {
		t.Errorf("%d faults", len(fs))
	}
}

func TestWhatCannotBeReadHidesNothingElseThatIsWrong(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "latchkey.yaml", "issuer: http://id.example.com\nlisen: x\nlog: {format: xml}\nlifetimes: {code: 1h, access_token: soon}\n")
	r := latchkey(t, "", []string{"LATCHKEY_REGISTRATION=perhaps"}, "config", "check", "--config", file, "--listen", "nowhere")
	for _, want := range []string{"latchkey.yaml:1: issuer: must be https", "latchkey.yaml:2: lisen: there is no such key", "latchkey.yaml:3: log.format:", "latchkey.yaml:4: lifetimes.access_token:",
		"latchkey.yaml:4: lifetimes.code:", "latchkey: LATCHKEY_REGISTRATION: must be", "latchkey: --listen: must be"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("nothing says %q in\n%s", want, r.stderr)
		}
	}
	if lines := strings.Count(r.stderr, "\n"); r.code != exitFailed || lines != 7 {
		t.Errorf("exit %d, %d lines:\n%s", r.code, lines, r.stderr)
	}
	t.Run("what was misspelt is not missing as well", func(t *testing.T) {
		r := latchkey(t, "", nil, "config", "check", "--config", writeFile(t, "latchkey.yaml", "isuer: https://id.example.com\ntls: {cert_fil: x, key_file: y}\n"))
		if strings.Count(r.stderr, "\n") != 2 || strings.Contains(r.stderr, "missing") || strings.Contains(r.stderr, "needs both") {
			t.Error(r.stderr)
		}
	})
}

func TestUnknownKeysAreErrorsWithTheLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"issuer: http://localhost\nlisten: 127.0.0.1:1\nisuer: x\n": "latchkey.yaml:3: isuer: there is no such key here; did you mean issuer?",
		"tls:\n  cert_fiel: x\n":                                    "latchkey.yaml:2: tls.cert_fiel: there is no such key here; did you mean cert_file?",
		"issuer: a\nissuer: b\n":                                    ":2",
		"listen: [a]\n":                                             "latchkey.yaml:1: listen: must be text",
		"insecure_allow_none: perhaps\n":                            "latchkey.yaml:1: insecure_allow_none: must be true or false",
		"registrations_per_hour: many\n":                            "latchkey.yaml:1: registrations_per_hour: must be a whole number",
		"lifetimes: {code: soon}\n":                                 "latchkey.yaml:1: lifetimes.code: must be a duration",
		"trusted_proxies: 10.0.0.1\n":                               "latchkey.yaml:1: trusted_proxies: must be a list",
		"- a\n":                                                     "must be a mapping",
		"a: b: c\n":                                                 "is not YAML",
		"issuer: a\n---\nissuer: b\n":                               "more than one document",
		"master_key: x\nmaster_key_file: y\n":                       "keep one of them",
		"mongodb: mongodb://a\nmongodb_file: /etc/x\n":              "keep one of them",
	} {
		_, err := loadConfig(writeFile(t, "latchkey.yaml", text), nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestAFlagBeatsTheEnvironmentAndTheEnvironmentTheFile(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "latchkey.yaml", "issuer: http://file.localhost\nlisten: 127.0.0.1:1\nname: File\ntrusted_proxies: [10.0.0.1]\nmaster_key_file: key\n")
	env := []string{"LATCHKEY_ISSUER=http://env.localhost", "LATCHKEY_LISTEN=127.0.0.1:2", "LATCHKEY_TRUSTED_PROXIES=10.0.0.2, 10.0.0.3", "LATCHKEY_LIFETIMES_SESSION_IDLE=3h",
		"LATCHKEY_MASTER_KEY=" + otherKey, "LATCHKEY_OUTBOUND_ALLOW_LOOPBACK=true", "PATH=/bin", "LATCHKEY_SERVICE_HOST=10.0.0.9", "LATCHKEY_PORT_8080_TCP_ADDR=10.0.0.9", "LATCHKEY_PORT=tcp://10.0.0.9:8080"}
	c, err := loadConfig(file, env, map[string]string{"listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "http://env.localhost" || c.Listen != "127.0.0.1:3" || c.Name != "File" || !reflect.DeepEqual(c.TrustedProxies, []string{"10.0.0.2", "10.0.0.3"}) ||
		c.Lifetimes.SessionIdle != Duration(3*time.Hour) || !c.Outbound.AllowLoopback {
		t.Errorf("%+v", c)
	}
	if c.MasterKey != otherKey || c.MasterKeyFile != "" {
		t.Errorf("the environment's key should replace the file's: %q %q", c.MasterKey, c.MasterKeyFile)
	}
	t.Run("a path in a file is meant from there", func(t *testing.T) {
		c, err := loadConfig(file, nil, nil)
		if err != nil || c.MasterKeyFile != filepath.Join(filepath.Dir(file), "key") {
			t.Errorf("%q %v", c.MasterKeyFile, err)
		}
	})
	t.Run("an unknown variable is a fault", func(t *testing.T) {
		_, err := loadConfig("", []string{"LATCHKEY_ISUER=x"}, nil)
		if err == nil || !strings.Contains(err.Error(), "LATCHKEY_ISSUER") {
			t.Error(err)
		}
	})
	t.Run("both forms of a secret are a fault", func(t *testing.T) {
		_, err := loadConfig("", []string{"LATCHKEY_MASTER_KEY=" + otherKey, "LATCHKEY_MASTER_KEY_FILE=/x"}, nil)
		if err == nil || !strings.Contains(err.Error(), "keep one of them") || strings.Contains(err.Error(), otherKey) {
			t.Error(err)
		}
	})
	t.Run("a file with a secret is nobody else's", func(t *testing.T) {
		open := writeFile(t, "latchkey.yaml", "master_key: "+otherKey+"\n")
		if err := os.Chmod(open, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := loadConfig(open, nil, nil); err == nil || !strings.Contains(err.Error(), "chmod 600") || strings.Contains(err.Error(), otherKey) {
			t.Error(err)
		}
	})
}

func TestNoCommandPrintsASecret(t *testing.T) {
	t.Parallel()
	const uri = "mongodb://latchkey:pa55word-of-mongo@127.0.0.1:1/x"
	env := []string{"LATCHKEY_MASTER_KEY=" + otherKey, "LATCHKEY_MONGODB=" + uri, "LATCHKEY_ISSUER=http://localhost:8080"}
	for _, args := range [][]string{{"config", "check"}, {"config", "check", "--json"}} {
		r := latchkey(t, "", env, args...)
		if r.code != exitOK || !strings.Contains(r.stdout, "[redacted]") {
			t.Errorf("%v: exit %d %s", args, r.code, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, otherKey) || strings.Contains(r.stdout+r.stderr, "pa55word") {
			t.Errorf("%v prints a secret: %s", args, r.stdout)
		}
	}
	r := latchkey(t, "", []string{"LATCHKEY_MASTER_KEY=notakey-pa55word", "LATCHKEY_ISSUER=http://localhost:8080"}, "config", "check")
	if r.code != exitFailed || !strings.Contains(r.stderr, "LATCHKEY_MASTER_KEY") || strings.Contains(r.stderr, "pa55word") {
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
	for _, key := range []string{"registration:", "registrations_per_hour:", "outbound.allow_loopback:", "insecure_allow_none:", "insecure_public_clients_without_pkce:"} {
		if !strings.Contains(out, "warning: "+key) {
			t.Errorf("no warning of %s in\n%s", key, out)
		}
	}
	c := defaultConfig()
	c.Issuer, c.TrustedProxies = "https://id.example.com", []string{"127.0.0.1"}
	if err := c.Validate(); err != nil || len(c.warnings()) > 0 {
		t.Errorf("the default with an issuer: %v, warned of: %v", err, c.warnings())
	}
}

func TestCertificatesThatBrowsersRefuseAreWarnedOf(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certFile, keyFile := makeCertificate(t, folder, "id")
	out := succeed(t, "", "config", "check", "--issuer", "https://id.example.com", "--data", folder, "--config", writeFile(t, "latchkey.yaml",
		"tls: {cert_file: "+certFile+", key_file: "+keyFile+"}\n"))
	if !strings.Contains(out, "warning: tls.cert_file: "+certFile+" is not for id.example.com") {
		t.Errorf("no warning of another host's certificate in\n%s", out)
	}
	c := defaultConfig()
	c.Issuer, c.TLS.CertFile, c.TLS.KeyFile = "https://localhost", certFile, keyFile
	for _, test := range []struct {
		after time.Duration
		want  string
	}{
		{2 * time.Hour, "has expired, at "},
		{-2 * time.Hour, "is not valid before "},
		{0, "expires at "},
	} {
		got := certificateWarnings(&c, time.Now().Add(test.after))
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
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
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
		if err == nil || !strings.Contains(err.Error(), "tls.cert_file") || !strings.Contains(err.Error(), "trusted_proxies") {
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
				if n := tls.CipherSuiteName(id); !strings.HasPrefix(n, "TLS_ECDHE_") || !strings.Contains(n, "GCM") && !strings.Contains(n, "POLY1305") {
					t.Errorf("%s has no forward secrecy or authentication", n)
				}
			}
		}
	})
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "10m": 10 * time.Minute, "12h": 12 * time.Hour, "30d": 720 * time.Hour, "1h30m": 90 * time.Minute, "0s": 0} {
		var d, again Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v %v", text, time.Duration(d), err)
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s is written %s", text, d)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "soon", "10", "99999999d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted as %v", text, d)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add([]byte("issuer: http://localhost\ntls: {cert_file: a}\n"))
	f.Add([]byte("a: &a [*a]\nissuer: *a"))
	f.Add([]byte(`{"issuer": "x", "trusted_proxies": ["a"], "lifetimes": {"code": "1m"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c Config
		if _, err := readYAML("fuzz", text, &c); err != nil {
			return
		}
		_ = c.Validate()
	})
}
