package interop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// apacheModules finds Apache's program and modules, or ends the test.
func apacheModules(t testing.TB) (program, modules string) {
	t.Helper()
	for _, name := range []string{"apache2", "/usr/sbin/apache2", "httpd", "/usr/sbin/httpd"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	for _, folder := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"} {
		if _, err := os.Stat(filepath.Join(folder, "mod_auth_openidc.so")); err == nil {
			modules = folder
		}
	}
	if program == "" || modules == "" {
		missing(t, "no Apache with mod_auth_openidc: it is not tested; apt-get install apache2-bin libapache2-mod-auth-openidc")
	}
	return program, modules
}

// apache starts an Apache that lets people pass to the application behind it as mod_auth_openidc
// says who they are, and API calls by what introspection or the published keys say of their token.
// Everything it writes is in a folder of the test's.
func apache(t *testing.T, address string, settings map[string]string) {
	t.Helper()
	program, modules := apacheModules(t)
	folder := t.TempDir()
	config := `ServerRoot "{folder}"
ServerName {address}
Listen {address}
PidFile "{folder}/pid"
DefaultRuntimeDir "{folder}"
Mutex sem
ErrorLog /dev/stderr
LogLevel notice auth_openidc:warn
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
StartServers 1
ServerLimit 2
ThreadsPerChild 8
MaxRequestWorkers 16
{user}
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {id}
OIDCClientSecret {secret}
OIDCRedirectURI http://{address}/private/redirect_uri
OIDCCryptoPassphrase only-for-this-test
OIDCScope "openid profile email groups offline_access"
OIDCPKCEMethod S256
OIDCResponseMode {mode}
OIDCRemoteUserClaim preferred_username
OIDCInfoHook access_token iat userinfo id_token refresh_token
OIDCDefaultLoggedOutURL http://{address}/bye
OIDCOAuthServerMetadataURL {issuer}/.well-known/oauth-authorization-server
OIDCOAuthRemoteUserClaim sub
OIDCOAuthSSLValidateServer Off
{api}
<Location /private/>
  AuthType openid-connect
  Require claim groups:staff
</Location>
<Location /private/redirect_uri>
  AuthType openid-connect
  Require valid-user
</Location>
<Location /others/>
  AuthType openid-connect
  Require claim groups:others
</Location>
<Location /api/>
  AuthType oauth20
  Require claim sub:{sub}
</Location>
ProxyPass /private/redirect_uri !
ProxyPass / {behind}/
`
	settings["folder"], settings["address"], settings["modules"] = folder, address, modules
	if os.Geteuid() == 0 {
		// It answers as somebody with fewer rights, who must exist.
		settings["user"] = "User nobody\nGroup nogroup"
	}
	for name, value := range settings {
		config = strings.ReplaceAll(config, "{"+name+"}", value)
	}
	config = strings.ReplaceAll(config, "{user}", "")
	file := filepath.Join(folder, "apache.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command(program, "-f", file, "-DFOREGROUND"), "resuming normal operations")
}

// relay passes requests on to a host and says afterwards what became of them.
func relay(t *testing.T, host string) (address string, answers chan int) {
	answers = make(chan int, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequest(r.Method, "http://"+host+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header, req.ContentLength = r.Header.Clone(), r.ContentLength
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
		answers <- res.StatusCode
	}))
	t.Cleanup(s.Close)
	return s.URL, answers
}

func TestModAuthOpenIDCProtectsAFolder(t *testing.T) {
	t.Parallel()
	apacheModules(t)
	l := serve(t, "127.0.0.1", "")
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<title>Behind</title><p id="seen">%s %s %s</p>`, r.URL.Path, r.Header.Get("OIDC_CLAIM_email"),
			r.Header.Get("OIDC_CLAIM_groups"))
	}))
	t.Cleanup(application.Close)

	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			l := *l
			l.t = t
			address := freeAddress(t)
			backChannel, answers := relay(t, address)
			base := "http://" + address
			app := l.register("Apache "+mode, "--redirect-uri", base+"/private/redirect_uri",
				"--post-logout-redirect-uri", base+"/bye",
				"--backchannel-logout-uri", backChannel+"/private/redirect_uri?logout=backchannel", "--skip-consent")
			apache(t, address, map[string]string{"issuer": l.issuer, "id": app.ID, "secret": app.Secret, "mode": mode,
				"behind": application.URL, "sub": l.sub,
				"api": "OIDCOAuthClientID " + app.ID + "\nOIDCOAuthClientSecret " + app.Secret})

			b := newBrowser(t)
			expect := func(path, text string) {
				t.Helper()
				at := b.follow(base+path, "")
				if b.status != http.StatusOK || at != base+path || !strings.Contains(b.body, text) {
					t.Fatalf("%s led to %s, status %d: %s", path, at, b.status, b.body)
				}
			}
			expect("/private/a", "/private/a ada@example.com staff")
			if b.send(http.MethodGet, base+"/others/a", nil); b.status != http.StatusUnauthorized &&
				b.status != http.StatusForbidden {
				t.Errorf("somebody without the group: %d", b.status)
			}
			b.send(http.MethodGet, base+"/private/redirect_uri?info=json", nil)
			if b.status != http.StatusOK || !strings.Contains(b.body, `"preferred_username": "ada"`) {
				t.Errorf("what it knows: %d %s", b.status, b.body)
			}

			// The person signs out at the provider: Apache is told, and forgets.
			b.follow(l.issuer+"/logout", "")
			select {
			case status := <-answers:
				if status != http.StatusOK {
					t.Errorf("the logout token was answered with %d", status)
				}
			case <-time.After(time.Minute):
				t.Fatal("nobody told Apache")
			}
			if b.send(http.MethodGet, base+"/private/a", nil); b.status != http.StatusFound ||
				!strings.HasPrefix(b.header.Get("Location"), l.issuer+"/authorize?") {
				t.Errorf("after back-channel logout: %d %s", b.status, b.header.Get("Location"))
			}

			// And the other way round.
			expect("/private/b", "/private/b ada@example.com")
			if at := b.follow(base+"/private/redirect_uri?logout="+base+"/bye", base+"/bye"); !strings.HasPrefix(at,
				base+"/bye") {
				t.Errorf("after signing out: %s", at)
			}
			b.send(http.MethodGet, l.issuer+"/account", nil)
			if b.status == http.StatusOK {
				t.Errorf("still signed in at the provider: %s", b.body)
			}
		})
	}
}

func TestModAuthOpenIDCIntrospectsAccessTokens(t *testing.T) {
	t.Parallel()
	apacheModules(t)
	l := serve(t, "127.0.0.1", "")
	const api = "https://api.example.com"
	resource := l.register("API", "--type", "api", "--audience", api)
	callers := map[string]application{
		"JWT":    l.register("JWT", "--type", "service", "--audience", api),
		"opaque": l.register("Opaque", "--type", "service", "--audience", api, "--opaque-access-tokens"),
	}
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w,
			"behind")
	}))
	t.Cleanup(behind.Close)
	for name, caller := range callers {
		address := freeAddress(t)
		apache(t, address, map[string]string{"issuer": l.issuer, "id": resource.ID, "secret": resource.Secret,
			"mode": "query", "behind": behind.URL, "sub": caller.ID,
			"api": "OIDCOAuthClientID " + resource.ID + "\nOIDCOAuthClientSecret " + resource.Secret})
		token := l.clientCredentials(caller, "resource", api)
		for bearer, status := range map[string]int{token: 200, "nonsense": 401, "": 401} {
			req, err := http.NewRequest(http.MethodGet, "http://"+net.JoinHostPort("127.0.0.1",
				address[strings.LastIndex(address, ":")+1:])+"/api/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			if bearer != "" {
				req.Header.Set("Authorization", "Bearer "+bearer)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("%s: %q: %d %s", name, bearer, res.StatusCode, body)
			}
		}
	}
}

func TestModAuthOpenIDCWatchesTheSession(t *testing.T) {
	t.Parallel()
	apacheModules(t)
	all := chromium(t)
	l := serve(t, "127.0.0.1", "")
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<title>Behind</title><p id="at">%s</p>`, r.URL.Path)
		if strings.HasPrefix(r.URL.Path, "/private/") {
			for _, side := range []string{"op", "rp"} {
				fmt.Fprintf(w, `<iframe id="openidc-%s" title="%s" width="1" height="1" src="/private/redirect_uri?session=iframe_%s&amp;poll=200"></iframe>`, side, side, side)
			}
		}
	}))
	t.Cleanup(behind.Close)
	address := freeAddress(t)
	base := "http://" + address
	app := l.register("Watch", "--redirect-uri", base+"/private/redirect_uri", "--post-logout-redirect-uri",
		base+"/private/a")
	apache(t, address, map[string]string{"issuer": l.issuer, "id": app.ID, "secret": app.Secret, "mode": "query",
		"behind": behind.URL, "sub": l.sub, "api": ""})
	p := newTab(t, all)
	p.do(chromedp.Navigate(base+"/private/a"), signIn(), chromedp.WaitVisible("#at"))
	other := newTab(t, all)
	other.do(chromedp.Navigate(l.issuer+"/logout"), click("logout-confirm"), chromedp.WaitVisible("#logged-out"))
	// The module notices, asks again with prompt=none, hears login_required, signs the person out
	// of the application and comes back to the page, which nobody may see who is not signed in.
	p.do(chromedp.WaitVisible("#login-submit"))
}
