package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/clients/localhost"
	"latchkey/provider/storage/storagetest"
)

const samplesSecret = "0123456789abcdef0123456789abcdef0123456789abcdef"

// selfSigned makes a certificate for a domain and the names below it, as files.
func selfSigned(t testing.TB, domain string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain},
		DNSNames:  []string{domain, "*." + domain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certFile, keyFile = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return certFile, keyFile, pool
}

// trusting is a client that finds names below localhost and believes the authorities in pool.
func trusting(pool *x509.CertPool) *http.Client {
	c := localhost.Client(20 * time.Second)
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	return c
}

// proxyInGo stands in for the proxy of docker-compose.yml: requests for the provider go to the
// instances in turn.
func proxyInGo(t testing.TB, port int, certFile, keyFile string, instances []string, samples string) {
	t.Helper()
	var turn atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		to := samples
		if strings.HasPrefix(r.In.Host, "id.") {
			to = instances[int(turn.Add(1))%len(instances)]
		}
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}}
	go func() { _ = server.ServeTLS(l, certFile, keyFile) }()
	t.Cleanup(func() { _ = server.Close() })
}

// proxyNginx runs the proxy's own configuration, with this machine's addresses in place of the
// containers'.
func proxyNginx(t testing.TB, port int, certFile, keyFile string, instances []string, samples, domain string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil { // not everybody's PATH has it
		program, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no nginx here to run docs/deploy/nginx/latchkey.conf.template with")
		}
		t.Skip("no nginx here to run docs/deploy/nginx/latchkey.conf.template with")
	}
	text, err := os.ReadFile(filepath.Join(top, "docs/deploy/nginx/latchkey.conf.template"))
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(program, "-v").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("${DOMAIN}", domain, "latchkey1:8080", instances[0], "latchkey2:8080", instances[1],
		"samples:9000", samples,
		"/etc/nginx/tls/tls.crt", certFile, "/etc/nginx/tls/tls.key", keyFile,
		"listen 80 ", "listen 127.0.0.1:"+strconv.Itoa(port+1)+" ", "listen 443 ",
		"listen 127.0.0.1:"+strconv.Itoa(port)+" ").Replace(string(text))
	var major, minor, patch int
	if m := regexp.MustCompile(`nginx/(\d+)\.(\d+)\.(\d+)`).FindStringSubmatch(string(said)); m != nil {
		major, _ = strconv.Atoi(m[1])
		minor, _ = strconv.Atoi(m[2])
		patch, _ = strconv.Atoi(m[3])
	}
	if major < 1 || major == 1 && (minor < 25 || minor == 25 && patch < 1) {
		conf = strings.ReplaceAll(conf, "http2 on;", "") // a directive that this version does not have yet
	}
	folder := t.TempDir()
	main := fmt.Sprintf("daemon off;\nmaster_process off;\nerror_log stderr warn;\npid %[1]s/pid;\nevents {}\nhttp {\n"+
		"client_body_temp_path %[1]s/body;\nproxy_temp_path %[1]s/proxy;\nfastcgi_temp_path %[1]s/f;\nuwsgi_temp_path %[1]s/u;\nscgi_temp_path %[1]s/s;\n%[2]s\n}\n", folder, conf)
	file := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(file, []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", file, "-p", folder, "-e", "stderr"}
	if out, err := exec.Command(program, append(args, "-t")...).CombinedOutput(); err != nil {
		t.Fatalf("nginx refuses the configuration: %s", out)
	}
	var words bytes.Buffer
	run := exec.Command(program, args...)
	run.Stderr = &words
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
		if t.Failed() {
			t.Logf("nginx: %s", &words)
		}
	})
}

// Two instances that share a database answer in turn behind a proxy, so whatever one of them kept
// to itself would be missing in the next request.
func TestTheSamplesBehindAProxyBeforeTwoInstances(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"a proxy in Go", "nginx with its own configuration"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			base := "latchkey.localhost"
			certFile, keyFile, pool := selfSigned(t, base)
			port := freePorts(t, 5)
			domain := base + ":" + strconv.Itoa(port)
			at := func(i int) string { return "127.0.0.1:" + strconv.Itoa(port+i) }
			env := []string{"LATCHKEY_ISSUER=https://id." + domain, "LATCHKEY_MONGODB=" + storagetest.MongoURI(t),
				"LATCHKEY_MASTER_KEY=" + otherKey,
				"LATCHKEY_TRUSTED_PROXIES=127.0.0.1", "LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json",
				"LATCHKEY_DATA=" + t.TempDir(),
				"LATCHKEY_OUTBOUND_ALLOW_LOOPBACK=true", "LATCHKEY_OUTBOUND_CA_FILE=" + certFile, samplesSecretEnv +
					"=" + samplesSecret}
			for i := 2; i <= 3; i++ {
				r := start(t, env, "serve", "--listen", at(i))
				r.await(r.stderr, `"msg":"ready"`)
			}
			for i, want := range []string{"created", "unchanged"} {
				r := latchkey(t, "", env, "samples", "register", "--domain", domain, "--json")
				shown := regexp.MustCompile(`"client_secret",\s+"(before|after)"`).MatchString(r.stdout)
				if r.code != exitOK || strings.Count(r.stdout, `"action": "`+want+`"`) != 6 || shown ||
					strings.Contains(r.stdout, samplesSecret) {
					t.Fatalf("registered %d times: exit %d\n%s%s", i+1, r.code, r.stdout, r.stderr)
				}
			}
			if r := latchkey(t, testPassword+"\n", env, "user", "create", "ada", "--group", "staff",
				"--password-stdin"); r.code != exitOK {
				t.Fatal(r.stderr)
			}
			handler, err := sampleSet{issuer: "https://id." + domain, domain: domain,
				secret: samplesSecret}.handler(t.Context(), trusting(pool), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			samples := httptest.NewServer(handler)
			t.Cleanup(samples.Close)
			behind := strings.TrimPrefix(samples.URL, "http://")
			if kind == "a proxy in Go" {
				proxyInGo(t, port, certFile, keyFile, []string{at(2), at(3)}, behind)
			} else {
				proxyNginx(t, port, certFile, keyFile, []string{at(2), at(3)}, behind, base)
			}

			ada := newPerson(t)
			jar := ada.client.Jar
			ada.client = trusting(pool)
			ada.client.Jar = jar
			answers(t, ada.client, "https://id."+domain+"/readyz")
			ada.open("https://notes."+domain+"/sign-in").must("login-page").press("login-submit", "username", "ada",
				"password", testPassword)
			if ada.sees("consent-page") {
				ada.press("consent-allow")
			}
			if ada.url.Host != "notes."+domain || !strings.Contains(ada.body, "ada") {
				t.Fatalf("at %s, %d:\n%s", ada.url, ada.status, ada.body)
			}
			ada.open("https://ledger." + domain + "/sign-in")
			if ada.sees("login-page") {
				t.Fatal("the second application asked for the password again")
			}
			if ada.sees("consent-page") {
				ada.press("consent-allow")
			}
			if ada.url.Host != "ledger."+domain {
				t.Fatalf("at %s, %d:\n%s", ada.url, ada.status, ada.body)
			}
			ada.open("https://ledger." + domain + "/").must("signed-in").press("call-me")
			if !strings.Contains(ada.body, "The token is good.") {
				t.Errorf("the API said:\n%s", ada.body)
			}
			// The notice to the other application takes the way that it takes in a network of
			// containers: by its public address, through the proxy.
			ada.open("https://notes." + domain + "/").must("signed-in").press("sign-out-everywhere")
			if ada.sees("logout-confirm") {
				ada.press("logout-confirm")
			}
			for tries := 0; ada.open("https://ledger." + domain + "/").sees("signed-in"); tries++ {
				if tries == 200 {
					t.Fatal("signing out everywhere left the other application signed in")
				}
				<-time.After(50 * time.Millisecond)
			}
		})
	}
}

// answers waits until a proxy has started.
func answers(t testing.TB, client *http.Client, address string) {
	t.Helper()
	var last error
	for range 200 {
		resp, err := client.Get(address)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("%s", resp.Status)
		}
		last = err
		select {
		case <-t.Context().Done():
			t.Fatal(last)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal(last)
}

func TestTheSamplesRunAsAProcessAndAnswerTheirHealthcheck(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + strconv.Itoa(freePorts(t, 1))
	env := []string{samplesSecretEnv + "=" + samplesSecret}
	r := start(t, env, "samples", "serve", "--listen", addr, "--issuer", "https://id.example.com", "--domain",
		"example.com")
	r.await(r.stderr, "msg=ready")
	if check := latchkey(t, "", nil, "samples", "healthcheck", "--listen", addr); check.code != exitOK {
		t.Errorf("healthcheck: %d %s", check.code, check.stderr)
	}
	for host, want := range map[string]int{"notes.example.com": http.StatusOK, "board.example.com": http.StatusOK,
		"evil.example.com": http.StatusMisdirectedRequest} {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
		}
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("stopped with %d: %s", code, r.stderr)
	}
	if check := latchkey(t, "", nil, "samples", "healthcheck", "--listen", addr); check.code != exitFailed {
		t.Errorf("healthcheck of nothing: %d", check.code)
	}
}

func TestTheSamplesSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  []string
		args []string
		code int
		want string
	}{
		{nil, []string{"--issuer", "https://id.example.com", "--domain", "example.com"}, exitFailed, samplesSecretEnv},
		{[]string{samplesSecretEnv + "=short"}, []string{"--issuer", "https://id.example.com", "--domain",
			"example.com"}, exitFailed, "32 characters"},
		{[]string{samplesSecretEnv + "=" + samplesSecret}, []string{"--issuer", "https://id.example.com"}, exitUsage,
			"--domain"},
		{[]string{samplesSecretEnv + "=" + samplesSecret}, []string{"--issuer", "https://id.example.com", "--domain",
			"https://example.com/"}, exitUsage, "--domain"},
		{[]string{samplesSecretEnv + "=" + samplesSecret}, []string{"--domain", "example.com"}, exitRefused, "issuer"},
		{[]string{samplesSecretEnv + "=" + samplesSecret}, []string{"--issuer", "https://id.example.com", "--domain",
			"example.com", "--listen", "9000"}, exitRefused, "--listen"},
	} {
		r := latchkey(t, "", c.env, append([]string{"samples", "serve"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || strings.Contains(r.stderr, samplesSecret) {
			t.Errorf("%q: exit %d, %s", c.args, r.code, r.stderr)
		}
	}
}
