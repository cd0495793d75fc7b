package main

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"latchkey/provider/failpoint"
)

// mortal is a server of the build that dies at a chosen point, with an application and a browser.
type mortal struct {
	t            *testing.T
	binary, data string
	port         int
	issuer       string
	app          *application
	config       oauth2.Config
	verifier     string
	who          *person
	server       *exec.Cmd
	log          *output
}

// start starts the server, which is to die at the point, "" for none.
func (m *mortal) start(p failpoint.Point) {
	m.t.Helper()
	m.log = &output{more: make(chan struct{}, 1)}
	m.server = exec.Command(m.binary, "serve", "--data", m.data, "--listen", "127.0.0.1:"+strconv.Itoa(m.port), "--issuer", m.issuer) //nolint:gosec // ours
	m.server.Env = append(os.Environ(), "LATCHKEY_METRICS_LISTEN=", "LATCHKEY_OUTBOUND_ALLOW_LOOPBACK=true",
		"FAILPOINT="+string(p))
	m.server.Stderr = m.log
	if err := m.server.Start(); err != nil {
		m.t.Fatal(err)
	}
	limit := time.After(time.Minute)
	for !strings.Contains(m.log.String(), "msg=ready") {
		select {
		case <-m.log.more:
		case <-limit:
			m.t.Fatalf("it is not ready: %s", m.log)
		}
	}
}

func (m *mortal) kill() {
	_ = m.server.Process.Kill()
	_ = m.server.Wait()
}

// dies insists that the request that was just made has killed the server.
func (m *mortal) dies(err error) {
	m.t.Helper()
	var exit *exec.ExitError
	ended := make(chan error, 1)
	go func() { ended <- m.server.Wait() }()
	select {
	case how := <-ended:
		if err == nil || !errors.As(how, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			m.t.Fatalf("the answer: %v, the end: %v\n%s", err, how, m.log)
		}
	case <-time.After(20 * time.Second):
		m.t.Fatalf("the point was not reached: %v\n%s", err, m.log)
	}
}

// restart kills the server and starts it again.
func (m *mortal) restart(p failpoint.Point) {
	m.t.Helper()
	m.kill()
	m.start(p)
}

func (m *mortal) authorize() string {
	return m.config.AuthCodeURL("s", oauth2.S256ChallengeOption(m.verifier))
}

func (m *mortal) exchange(code string) (*oauth2.Token, error) {
	return m.config.Exchange(m.t.Context(), code, oauth2.VerifierOption(m.verifier))
}

func (m *mortal) refresh(token string) (*oauth2.Token, error) {
	return m.config.TokenSource(m.t.Context(), &oauth2.Token{RefreshToken: token}).Token()
}

// code signs in and returns the code.
func (m *mortal) code() string {
	m.t.Helper()
	m.who.open(m.authorize())
	if m.who.sees("login-page") {
		m.who.press("login-submit", "username", "ada", "password", testPassword)
	}
	m.who.must("back")
	return m.app.get("code")
}

func (m *mortal) tokens() *oauth2.Token {
	m.t.Helper()
	tokens, err := m.exchange(m.code())
	if err != nil {
		m.t.Fatal(err)
	}
	return tokens
}

func (m *mortal) refused(what string, err error) {
	m.t.Helper()
	var e *oauth2.RetrieveError
	if !errors.As(err, &e) || e.ErrorCode != "invalid_grant" {
		m.t.Errorf("%s: %v", what, err)
	}
}

func (m *mortal) works(what string, err error) {
	m.t.Helper()
	if err != nil {
		m.t.Errorf("%s: %v", what, err)
	}
}

// Nothing that is good once is lost before it was used or used twice, and what was told to somebody
// is the case, wherever the server is killed.
func TestKilledAtEachPointNoCredentialIsLostOrUsedTwice(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("kill -9 is sent to oneself on Linux alone")
	}
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "latchkey")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "failpoints", "-o", binary, ".").CombinedOutput(); err != nil { //nolint:gosec // ours
		t.Fatalf("%v: %s", err, out)
	}
	for _, point := range failpoint.Points {
		t.Run(string(point), func(t *testing.T) {
			m := &mortal{t: t, binary: binary, data: t.TempDir(), port: freePorts(t, 1), app: newApplication(t),
				verifier: oauth2.GenerateVerifier(), who: newPerson(t)}
			m.issuer = "http://localhost:" + strconv.Itoa(m.port)
			succeed(t, testPassword+"\n", "user", "create", "ada", "--password-stdin", "--data", m.data)
			made := into[newClient](t, succeed(t, "", "client", "create", "--name", "Notes", "--redirect-uri",
				m.app.URL+"/callback", "--post-logout-redirect-uri", m.app.URL+"/bye",
				"--backchannel-logout-uri", m.app.URL+"/backchannel", "--skip-consent", "--data", m.data, "--json"))
			m.config = oauth2.Config{ClientID: made.ID, ClientSecret: made.ClientSecret, RedirectURL: m.app.URL +
				"/callback", Scopes: []string{"openid"},
				Endpoint: oauth2.Endpoint{AuthURL: m.issuer + "/authorize", TokenURL: m.issuer + "/token",
					AuthStyle: oauth2.AuthStyleInHeader}}
			m.start("")
			defer m.kill()
			family, _, _ := strings.Cut(string(point), ".")
			map[string]func(failpoint.Point){"code": m.killAtCode, "refresh": m.killAtRefresh, "signin": m.killAtSignIn,
				"logout": m.killAtLogout}[family](point)
		})
	}
}

func (m *mortal) killAtCode(p failpoint.Point) {
	code := m.code()
	m.restart(p)
	_, err := m.exchange(code)
	m.dies(err)
	m.start("")
	tokens, err := m.exchange(code)
	if p == failpoint.CodeChecked { // nobody has used it
		m.works("the code that was not used yet", err)
		if err == nil {
			_, err = m.exchange(code)
			m.refused("the code, a second time", err)
			if status := userinfo(m.t, m.issuer, tokens.AccessToken); status != http.StatusUnauthorized {
				m.t.Errorf("after the second time: userinfo %d", status)
			}
		}
	} else {
		m.refused("the code that was used", err)
	}
	m.who.open(m.authorize()).must("back") // still signed in
	_, err = m.exchange(m.app.get("code"))
	m.works("the next code", err)
}

func (m *mortal) killAtRefresh(p failpoint.Point) {
	m.config.Scopes = append(m.config.Scopes, "offline_access")
	first := m.tokens()
	m.restart(p)
	_, err := m.refresh(first.RefreshToken)
	m.dies(err)
	m.start("")
	second, err := m.refresh(first.RefreshToken)
	m.works("the refresh token whose answer got lost", err)
	if err != nil {
		return
	}
	third, err := m.refresh(second.RefreshToken)
	m.works("its successor", err)
	_, err = m.refresh(first.RefreshToken)
	m.refused("the first one, after its successor was used", err)
	if err == nil || third == nil {
		return
	}
	_, err = m.refresh(third.RefreshToken)
	m.refused("the newest, after a reuse", err)
}

func (m *mortal) killAtSignIn(p failpoint.Point) {
	m.who.open(m.authorize()).must("login-page")
	form := func() (*http.Request, error) {
		return m.who.filled("login-submit", "username", "ada", "password", testPassword)
	}
	m.restart(p)
	req, err := form()
	if err != nil {
		m.t.Fatal(err)
	}
	resp, err := m.who.client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	m.dies(err)
	if m.app.answer != nil {
		m.t.Fatal("the application was answered")
	}
	m.start("")
	// The same form again leads on, whatever became of the first.
	m.who.do(form())
	if p == failpoint.SignInChecked || p == failpoint.SignInStored {
		m.who.must("back")
	}
	if m.app.answer == nil {
		m.who.open(m.authorize()).must("back") // signed in
	}
	code := m.app.get("code")
	_, err = m.exchange(code)
	m.works("the code", err)
	_, err = m.exchange(code)
	m.refused("the code, a second time", err)
}

func (m *mortal) killAtLogout(p failpoint.Point) {
	tokens := m.tokens()
	hint, _ := tokens.Extra("id_token").(string)
	address := m.issuer + "/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {m.app.URL +
		"/bye"}}.Encode()
	m.restart(p)
	resp, err := m.who.client.Get(address)
	if err == nil {
		_ = resp.Body.Close()
	}
	m.dies(err)
	m.start("")
	if p == failpoint.LogoutChecked || p == failpoint.LogoutNoted { // it has not ended
		m.who.open(m.authorize()).must("back")
		m.who.open(address)
		if !m.who.sees("bye") && !m.who.sees("logged-out") {
			m.t.Fatalf("at %s: %s", m.who.url, m.who.body)
		}
	}
	m.who.open(m.authorize()).must("login-page")
	if status := userinfo(m.t, m.issuer, tokens.AccessToken); status != http.StatusUnauthorized {
		m.t.Errorf("userinfo %d", status)
	}
	// The application is told, by whoever runs then.
	for limit := time.After(time.Minute); ; {
		select {
		case <-m.app.told:
		case <-limit:
			m.t.Fatalf("the application was not told: %s", m.log)
		}
		m.app.mu.Lock()
		told := sid(m.t, m.app.logout[len(m.app.logout)-1]) == sid(m.t, hint)
		m.app.mu.Unlock()
		if told {
			return
		}
	}
}
