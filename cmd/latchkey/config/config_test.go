package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// someKey is a master key.
const someKey = "u6vbPp5XvFgRLw2kKfyqXhGqz0oJ8Jm9o0O1f3b3l2E="

// validated loads and validates a configuration from a file's text.
func validated(t testing.TB, text string, env ...string) (Config, error) {
	t.Helper()
	c, err := Load(writeFile(t, "latchkey.yaml", text), env, nil)
	if err == nil {
		err = c.Validate()
	}
	return c, err
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheIssuerIsHTTPSOrOnThisMachine(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://id.example.com", "https://example.com/id", "https://id.example.com:8443",
		"http://localhost:8080", "http://id.localhost:9700",
		"http://127.0.0.1:8080", "http://[::1]:8080", "https://[2001:db8::1]:8443"} {
		if err := CheckIssuer(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "id.example.com", "http://id.example.com", "http://10.0.0.1",
		"http://0.0.0.0:8080", "https://", "https://id.example.com?x", "https://id.example.com?",
		"https://id.example.com#x", "https://u:p@id.example.com", " https://id.example.com", "https://id.example.com ",
		"https://ID.example.com", "https://id.example.com:443",
		"https://id.example.com//id", "https://id.example.com/a/../b", "https://id.example.com/%69d",
		"ftp://id.example.com", "javascript:alert(1)", "https://id.example.com/",
		"http://localhost.example.com", "http://notlocalhost", "https://id.example.com\n", "https://id.exa mple.com",
		"http://127.0.0.1.example.com"} {
		if err := CheckIssuer(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		} else if !strings.Contains(err.Error(), "http") {
			t.Errorf("%q: no example in %q", bad, err)
		}
	}
}

func TestATrailingSlashIsTakenAwayAndSaid(t *testing.T) {
	t.Parallel()
	c, err := validated(t, "issuer: http://localhost:8080/\n")
	if err != nil || c.Issuer != "http://localhost:8080" || !strings.Contains(strings.Join(c.Warnings(), "\n"),
		"slash") {
		t.Errorf("%q %v %v", c.Issuer, c.Warnings(), err)
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
sign_up: {mode: everybody, domains: ["@example.com"]}
look: {accent: "#ffee00", logo_file: /does/not/exist.png}
account: {editable: [name, shoe_size], recovery_wait: 1m}
outbound: {allow_private: [::/0], ca_file: /does/not/exist.pem}
passwords: {memory_kib: 1024, passes: 1, attempts_per_account: 0, min_length: 7, blocklist_file: /does/not/exist}
mail: {mode: smtp, from: nobody, smtp: {address: mail.example.com, security: ssl, password_file: /does/not/exist, ca_file: /does/not/exist.pem}}
mongodb: mongodb://db1/latchkey?w=1
tls: {cert_file: /does/not/exist.crt}
name: ""
`)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range []string{"issuer:", "listen:", "metrics_listen:", "trusted_proxies: 0.0.0.0/0",
		`trusted_proxies: "proxy.example.com"`, "log.format:", "log.level:", "lifetimes.code:",
		"lifetimes.session_idle:",
		"lifetimes.refresh_grace:", "registration:", "registrations_per_hour:", "outbound.allow_private:",
		"outbound.ca_file:", "passwords:", "passwords.min_length:", "passwords.blocklist_file:",
		"mail.from:", "sign_up.mode:", "sign_up.domains:", "look.logo_file:", "account.editable:",
		"account.recovery_wait:", "mail.smtp.address:", "mail.smtp.security:", "mail.smtp.password_file:",
		"mail.smtp.ca_file:", "mongodb:", "tls:", "name:"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in\n%v", key, err)
		}
	}
	var fs Faults
	if !errors.As(err, &fs) || len(fs) < 18 {
		t.Errorf("%d faults", len(fs))
	}
}

func TestMailIsConfiguredSafely(t *testing.T) {
	t.Parallel()
	const start = "issuer: http://localhost:8080\nmail: {from: accounts@example.com, "
	for text, want := range map[string]string{
		"mode: folder}": "",
		"mode: smtp, smtp: {address: \"smtp.example.com:587\"}}":                "",
		"mode: smtp, smtp: {address: \"smtp.example.com:465\", security: tls}}": "",
		"mode: smtp, smtp: {address: \"localhost:25\", security: none}}":        "",
		"mode: post}": "mail.mode: must be",
		"mode: smtp, smtp: {address: \"smtp.example.com:25\", security: none}}":                          "everybody on the way",
		"mode: smtp, smtp: {address: \"localhost:25\", security: none, user: u, password: p}}":           "in clear",
		"mode: smtp, smtp: {address: \"smtp.example.com:587\", user: u}}":                                "both user and password_file",
		"mode: smtp, smtp: {address: \"smtp.example.com:587\", password: p}}":                            "both user and password_file",
		"mode: smtp, smtp: {address: \"smtp.example.com:587\", user: u, password: p, password_file: f}}": "keep one of them",
		"mode: smtp}": "mail.smtp.address",
	} {
		c, err := validated(t, start+text+"\n")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if want == "" {
			if transport, err := c.MailTransport(); transport == nil || err != nil {
				t.Errorf("%s: %v %v", text, transport, err)
			}
		}
	}
	c, err := validated(t, "issuer: http://localhost:8080\n")
	if err != nil {
		t.Fatal(err)
	}
	if transport, err := c.MailTransport(); transport != nil || err != nil {
		t.Errorf("off: %v %v", transport, err)
	}
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
		_, err := Load(writeFile(t, "latchkey.yaml", text), nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestAFlagBeatsTheEnvironmentAndTheEnvironmentTheFile(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "latchkey.yaml",
		"issuer: http://file.localhost\nlisten: 127.0.0.1:1\nname: File\ntrusted_proxies: [10.0.0.1]\nmaster_key_file: key\n")
	env := []string{"LATCHKEY_ISSUER=http://env.localhost", "LATCHKEY_LISTEN=127.0.0.1:2",
		"LATCHKEY_TRUSTED_PROXIES=10.0.0.2, 10.0.0.3", "LATCHKEY_LIFETIMES_SESSION_IDLE=3h",
		"LATCHKEY_MASTER_KEY=" + someKey, "LATCHKEY_OUTBOUND_ALLOW_LOOPBACK=true", "PATH=/bin",
		"LATCHKEY_SERVICE_HOST=10.0.0.9", "LATCHKEY_PORT_8080_TCP_ADDR=10.0.0.9",
		"LATCHKEY_PORT=tcp://10.0.0.9:8080"}
	c, err := Load(file, env, map[string]string{"listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "http://env.localhost" || c.Listen != "127.0.0.1:3" || c.Name != "File" ||
		!reflect.DeepEqual(c.TrustedProxies, []string{"10.0.0.2", "10.0.0.3"}) ||
		c.Lifetimes.SessionIdle != Duration(3*time.Hour) || !c.Outbound.AllowLoopback {
		t.Errorf("%+v", c)
	}
	if c.MasterKey != someKey || c.MasterKeyFile != "" {
		t.Errorf("the environment's key should replace the file's: %q %q", c.MasterKey, c.MasterKeyFile)
	}
	t.Run("a path in a file is meant from there", func(t *testing.T) {
		c, err := Load(file, nil, nil)
		if err != nil || c.MasterKeyFile != filepath.Join(filepath.Dir(file), "key") {
			t.Errorf("%q %v", c.MasterKeyFile, err)
		}
	})
	t.Run("an unknown variable is a fault", func(t *testing.T) {
		_, err := Load("", []string{"LATCHKEY_ISUER=x"}, nil)
		if err == nil || !strings.Contains(err.Error(), "LATCHKEY_ISSUER") {
			t.Error(err)
		}
	})
	t.Run("both forms of a secret are a fault", func(t *testing.T) {
		_, err := Load("", []string{"LATCHKEY_MASTER_KEY=" + someKey, "LATCHKEY_MASTER_KEY_FILE=/x"}, nil)
		if err == nil || !strings.Contains(err.Error(), "keep one of them") || strings.Contains(err.Error(), someKey) {
			t.Error(err)
		}
	})
	t.Run("a file with a secret is nobody else's", func(t *testing.T) {
		open := writeFile(t, "latchkey.yaml", "master_key: "+someKey+"\n")
		if err := os.Chmod(open, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(open, nil, nil); err == nil || !strings.Contains(err.Error(), "chmod 600") ||
			strings.Contains(err.Error(), someKey) {
			t.Error(err)
		}
	})
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "10m": 10 * time.Minute,
		"12h": 12 * time.Hour, "30d": 720 * time.Hour, "1h30m": 90 * time.Minute, "0s": 0} {
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
		if _, err := ReadYAML("fuzz", text, &c); err != nil {
			return
		}
		_ = c.Validate()
	})
}

func TestTemplatesOfAnOperatorAreCheckedAtTheStart(t *testing.T) {
	t.Parallel()
	own := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(own, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Default()
	c.Issuer, c.Templates = "http://localhost:8080", own
	put("messages/en.json", `{"messages": {"home": "Take me home"}}`)
	if err := c.Validate(); err != nil {
		t.Errorf("good words: %v", err)
	}
	t.Run("mounted by Kubernetes", func(t *testing.T) {
		mount := c
		mount.Templates = t.TempDir()
		if err := os.Symlink(own, filepath.Join(mount.Templates, "..data")); err != nil {
			t.Skip(err)
		}
		if err := os.Symlink("..data/messages", filepath.Join(mount.Templates, "messages")); err != nil {
			t.Fatal(err)
		}
		if err := mount.Validate(); err != nil {
			t.Error(err)
		}
	})
	for name, bad := range map[string]struct{ file, text, want string }{
		"a message that no page asks for": {"messages/en.json", `{"messages": {"login.nonsense": "x"}}`,
			"login.nonsense"},
		"a file that replaces nothing":   {"lojin.html", "x", "lojin.html"},
		"a template that does not parse": {"layout.html", "{{if}}", "layout"},
	} {
		t.Run(name, func(t *testing.T) {
			put(bad.file, bad.text)
			defer os.Remove(filepath.Join(own, bad.file))
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "templates: ") ||
				!strings.Contains(err.Error(), bad.want) {
				t.Error(err)
			}
		})
	}
	c.Templates = filepath.Join(own, "nowhere")
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "templates: ") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestEverySecretFileIsReadWhenTheConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	mode := func(name, text string, mode os.FileMode) string {
		t.Helper()
		file := writeFile(t, name, text)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, test := range map[string]struct{ file, want string }{
		"good":                  {mode("uri", "mongodb://u:p@db1/latchkey\n", 0o600), ""},
		"missing":               {filepath.Join(t.TempDir(), "none"), "no such file"},
		"readable by everybody": {mode("uri", "mongodb://u:p@db1/latchkey", 0o644), "chmod 600"},
		"empty":                 {mode("uri", "", 0o600), "one line"},
		"something else":        {mode("uri", "postgres://u:p55word@db1", 0o600), "must begin with mongodb://"},
		"a weaker promise":      {mode("uri", "mongodb://u:p55word@db1/?w=1", 0o600), "w=majority"},
	} {
		_, err := validated(t, "issuer: http://localhost:8080\nmongodb_file: "+test.file+"\n")
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), "mongodb_file: ") ||
			!strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %s", name, err, test.want)
		case err != nil && strings.Contains(err.Error(), "p55word"):
			t.Errorf("%s: the secret is in %v", name, err)
		}
	}
}
