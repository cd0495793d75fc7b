package main

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"latchkey/cmd/latchkey/config"
	"latchkey/keys"
	"latchkey/provider/storage/storagetest"
)

// secretHolder is an application that says who it is by client_secret_jwt, for which its secret is
// stored, sealed.
type secretHolder struct{ id, secret string }

// authenticates returns the status of a token request of its own.
func (c secretHolder) authenticates(t testing.TB, issuer string) int {
	t.Helper()
	return c.authenticatesAt(t, issuer, issuer)
}

// authenticatesAt is authenticates at the address of one instance.
func (c secretHolder) authenticatesAt(t testing.TB, address, issuer string) int {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(c.secret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: c.id, Subject: c.id, Audience: jwt.Audience{issuer},
		ID:       strconv.FormatInt(now.UnixNano(), 36),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute))}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(address+"/token", url.Values{"grant_type": {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Logf("%d %s", resp.StatusCode, body)
	}
	return resp.StatusCode
}

// masterKeyChanges changes the master key beside a running server, on which ada is signed in, and
// looks whether anybody notices.
func masterKeyChanges(t *testing.T, issuer, data string, on func(...string) []string, app *application, who *person) {
	holder := into[newClient](t, succeed(t, "", on("client", "create", "--name", "Robot", "--type", "service",
		"--token-endpoint-auth-method", "client_secret_jwt", "--audience", "https://api.example.com", "--json")...))
	robot := secretHolder{holder.ID, holder.ClientSecret}
	if status := robot.authenticates(t, issuer); status != http.StatusOK {
		t.Fatalf("control: %d", status)
	}
	made := into[newClient](t, succeed(t, "", on("client", "create", "--name", "Diary", "--type", "web",
		"--redirect-uri", app.URL+"/callback", "--subject-type", "pairwise", "--skip-consent", "--json")...))
	verifier := oauth2.GenerateVerifier()
	config := oauth2.Config{ClientID: made.ID, ClientSecret: made.ClientSecret, RedirectURL: app.URL + "/callback",
		Scopes:   []string{"openid", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: issuer + "/authorize", TokenURL: issuer + "/token"}}
	silently := func() (tokens *oauth2.Token, sub string) {
		t.Helper()
		who.open(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt",
			"none"))).must("back")
		tokens, err := config.Exchange(t.Context(), app.get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatalf("%v; answer %v", err, app.answer)
		}
		raw, _ := tokens.Extra("id_token").(string)
		return tokens, subject(t, raw)
	}
	who.open(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)))
	if who.sees("login-page") {
		who.press("login-submit", "username", "ada", "password", testPassword)
	}
	tokens, before := silently()

	path := filepath.Join(data, "master.key")
	old := master(t, path)
	args := on("rekey")
	if slices.Contains(args, "--mongodb") {
		if r := latchkey(t, "", nil, args...); r.code == exitOK || !strings.Contains(r.stderr, "other instances") ||
			!strings.Contains(r.stderr, "old_master_key") {
			t.Errorf("on a MongoDB that others may use: exit %d, %s", r.code, r.stderr)
		}
		args = append(args, "--single")
	}
	r := latchkey(t, "", nil, args...)
	if r.code != exitOK || !strings.Contains(r.stderr, "1 client secret") {
		t.Fatalf("exit %d, %s", r.code, r.stderr)
	}
	if keys.MasterKeyID(master(t, path)) == keys.MasterKeyID(old) ||
		!slices.Equal(master(t, path+"."+keys.MasterKeyID(old)), old) {
		t.Error("the old key is not kept beside the new one")
	}
	if _, err := os.Lstat(path + ".new"); err == nil {
		t.Error("the new key is still under another name")
	}

	if _, after := silently(); after != before {
		t.Errorf("sub %s before, %s after", before, after)
	}
	if status := userinfo(t, issuer, tokens.AccessToken); status != http.StatusOK {
		t.Errorf("an access token from before: %d", status)
	}
	if _, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token(); err != nil {
		t.Errorf("a refresh token from before: %v", err)
	}
	if status := robot.authenticates(t, issuer); status != http.StatusOK {
		t.Errorf("client_secret_jwt: %d", status)
	}
	env := []string{"LATCHKEY_MASTER_KEY=" + base64.StdEncoding.EncodeToString(old)}
	if r := latchkey(t, "", env, on("user", "list")...); r.code == exitOK || !strings.Contains(r.stderr,
		keys.MasterKeyID(old)) || !strings.Contains(r.stderr, keys.MasterKeyID(master(t, path))) {
		t.Errorf("with the old key alone: exit %d, %s", r.code, r.stderr)
	}
	succeed(t, "", on("user", "list")...)
}

func subject(t testing.TB, token string) string {
	t.Helper()
	payload, err := keys.InsecurePeek(token)
	if err != nil {
		t.Fatal(err)
	}
	return into[struct {
		Sub string `json:"sub"`
	}](t, string(payload)).Sub
}

func master(t testing.TB, path string) []byte {
	t.Helper()
	key, err := keys.ReadMasterKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRekeyIsTakenUpWhereItWasInterrupted puts the files and the database into each state that a
// killed rekey can leave behind.
func TestRekeyIsTakenUpWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	for name, interrupt := range map[string]func(t *testing.T, data, path string){
		"with the new key on disk": func(t *testing.T, _, path string) {
			if _, err := keys.CreateMasterKey(path + ".new"); err != nil {
				t.Fatal(err)
			}
		},
		"with the database changed": func(t *testing.T, data, path string) { changeDatabase(t, data, path) },
		"with the old key under both names": func(t *testing.T, data, path string) {
			changeDatabase(t, data, path)
			if err := os.Link(path, path+"."+keys.MasterKeyID(master(t, path))); err != nil {
				t.Fatal(err)
			}
		},
		"with nothing left but values to seal again": func(t *testing.T, data, path string) {
			changeDatabase(t, data, path)
			if err := keys.ReplaceMasterKey(path, path+".new"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			path := filepath.Join(data, "master.key")
			port := freePorts(t, 1)
			issuer := "http://localhost:" + strconv.Itoa(port)
			succeed(t, "", "init", "--data", data, "--config", filepath.Join(data, "latchkey.yaml"))
			made := into[newClient](t, succeed(t, "", "client", "create", "--data", data, "--name", "Robot", "--type",
				"service", "--token-endpoint-auth-method", "client_secret_jwt", "--audience", "https://api.example.com",
				"--json"))
			robot := secretHolder{made.ID, made.ClientSecret}
			first := master(t, path)
			interrupt(t, data, path)
			_, err := os.Lstat(path + ".new")
			unfinished := err == nil

			server := serveAt(t, port, data)
			if status := robot.authenticates(t, issuer); status != http.StatusOK {
				t.Errorf("a server in between: %d", status)
			}
			if warned := strings.Contains(server.stderr.String(), "run latchkey rekey"); warned != unfinished {
				t.Errorf("warned: %t", warned)
			}
			r := latchkey(t, "", nil, "rekey", "--data", data)
			if r.code != exitOK {
				t.Fatalf("exit %d, %s", r.code, r.stderr)
			}
			if status := robot.authenticates(t, issuer); status != http.StatusOK {
				t.Errorf("the server, after rekey ran again: %d", status)
			}
			server.stop()
			serveAt(t, port, data)
			if status := robot.authenticates(t, issuer); status != http.StatusOK {
				t.Errorf("after a restart: %d", status)
			}
			if keys.MasterKeyID(master(t, path)) == keys.MasterKeyID(first) ||
				!slices.Equal(master(t, path+"."+keys.MasterKeyID(first)), first) {
				t.Error("the old key is not kept beside the new one")
			}
			if _, err := os.Lstat(path + ".new"); err == nil {
				t.Error("the new key is still under another name")
			}
			succeed(t, "", "user", "list", "--data", data)
		})
	}
}

// changeDatabase does what rekey does up to the change of the database.
func changeDatabase(t *testing.T, data, path string) {
	t.Helper()
	key, err := keys.CreateMasterKey(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	store, err := openStore(t.Context(), &config.Config{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sealer, err := keys.OpenSealer(t.Context(), keys.SealerConfig{Store: store, Masters: func() ([][]byte,
		error) {
		return [][]byte{master(t, path), key}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Rekey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

func TestRekeyWithBothKeysInTheConfiguration(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	text := func(path string) string {
		key, err := keys.CreateMasterKey(path)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(key)
	}
	oldFile := filepath.Join(data, "old")
	old, fresh := text(oldFile), text(filepath.Join(data, "fresh"))
	only := []string{"LATCHKEY_MASTER_KEY=" + old}
	both := []string{"LATCHKEY_MASTER_KEY=" + fresh, "LATCHKEY_OLD_MASTER_KEY_FILE=" + oldFile}
	after := []string{"LATCHKEY_MASTER_KEY=" + fresh}
	if r := latchkey(t, "", only, "init", "--data", data, "--config",
		filepath.Join(data, "latchkey.yaml")); r.code != exitOK {
		t.Fatal(r.stderr)
	}
	run := func(env []string, args ...string) ran { return latchkey(t, "", env, append(args, "--data", data)...) }
	if r := run(only, "rekey"); r.code == exitOK || !strings.Contains(r.stderr, "old_master_key") {
		t.Errorf("without a second key: exit %d, %s", r.code, r.stderr)
	}
	if r := run(after, "user", "list"); r.code == exitOK || !strings.Contains(r.stderr, "old_master_key") {
		t.Errorf("the new key alone, before: exit %d, %s", r.code, r.stderr)
	}
	if r := run(both, "user", "list"); r.code != exitOK {
		t.Errorf("both keys, before: exit %d, %s", r.code, r.stderr)
	}
	if r := run(both, "rekey"); r.code != exitOK || !strings.Contains(r.stderr, "Take old_master_key out") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	if r := run(both, "rekey"); r.code != exitOK {
		t.Errorf("again: exit %d, %s", r.code, r.stderr)
	}
	for name, c := range map[string]struct {
		env []string
		ok  bool
	}{"both keys": {both, true}, "the new key": {after, true}, "the old key": {only, false}} {
		if r := run(c.env, "user", "list"); (r.code == exitOK) != c.ok {
			t.Errorf("%s, after: exit %d, %s", name, r.code, r.stderr)
		}
	}
	bad := append(slices.Clone(after), "LATCHKEY_OLD_MASTER_KEY=short")
	if r := run(bad, "user", "list"); r.code == exitOK || !strings.Contains(r.stderr, "LATCHKEY_OLD_MASTER_KEY") ||
		strings.Contains(r.stderr, "short ") {
		t.Errorf("a bad second key: exit %d, %s", r.code, r.stderr)
	}
}

// TestTwoInstancesChangeTheirMasterKeyOneAfterTheOther goes by the book: docs/operations.md, "The
// master key".
func TestTwoInstancesChangeTheirMasterKeyOneAfterTheOther(t *testing.T) {
	t.Parallel()
	uri := storagetest.MongoURI(t)
	ports := freePorts(t, 2)
	issuer := "http://localhost:" + strconv.Itoa(ports)
	addresses := []string{issuer, "http://127.0.0.1:" + strconv.Itoa(ports+1)}
	first, second := base64.StdEncoding.EncodeToString(newKey(t)), base64.StdEncoding.EncodeToString(newKey(t))
	before, both, after := []string{"LATCHKEY_MASTER_KEY=" + first}, []string{"LATCHKEY_MASTER_KEY=" + second,
		"LATCHKEY_OLD_MASTER_KEY=" + first}, []string{"LATCHKEY_MASTER_KEY=" + second}
	serve := func(i int, env []string) *running {
		t.Helper()
		r := start(t, append([]string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json"}, env...),
			"serve", "--mongodb", uri, "--listen", "127.0.0.1:"+strconv.Itoa(ports+i), "--issuer", issuer)
		r.await(r.stderr, `"msg":"ready"`)
		return r
	}
	a, b := serve(0, before), serve(1, before)
	r := latchkey(t, "", before, "client", "create", "--mongodb", uri, "--name", "Robot", "--type", "service",
		"--token-endpoint-auth-method", "client_secret_jwt", "--audience", "https://api.example.com", "--json")
	if r.code != exitOK {
		t.Fatal(r.stderr)
	}
	made := into[newClient](t, r.stdout)
	robot := secretHolder{made.ID, made.ClientSecret}
	good := func(when string) {
		t.Helper()
		for i, at := range addresses {
			if status := robot.authenticatesAt(t, at, issuer); status != http.StatusOK {
				t.Errorf("%s, instance %d: %d", when, i+1, status)
			}
		}
	}
	good("before")

	a.stop()
	a = serve(0, both)
	if !strings.Contains(a.stderr.String(), "the master key is the old one still") {
		t.Errorf("%s", a.stderr)
	}
	good("one instance has both keys")

	// The second instance is forgotten.
	if r := latchkey(t, "", both, "rekey", "--mongodb", uri); r.code != exitOK {
		t.Fatal(r.stderr)
	}
	ready := func(i int) int {
		resp, err := http.Get(addresses[i] + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := ready(0); status != http.StatusOK {
		t.Errorf("the instance with both keys: %d", status)
	}
	if status := ready(1); status != http.StatusServiceUnavailable {
		t.Errorf("the instance that was forgotten: %d", status)
	}
	if key, err := keys.ParseMasterKey(second); err != nil || !strings.Contains(b.stderr.String(),
		"sealed under the master key "+keys.MasterKeyID(key)) {
		t.Errorf("its log does not say which master key it lacks: %v %s", err, b.stderr)
	}
	b.stop()
	b = serve(1, both)
	good("after the change")

	a.stop()
	a = serve(0, after)
	b.stop()
	b = serve(1, after)
	good("without the old key")
	for _, r := range []*running{a, b} {
		if strings.Contains(r.stderr.String(), "old_master_key") {
			t.Errorf("%s", r.stderr)
		}
	}
}

func newKey(t testing.TB) []byte {
	t.Helper()
	key, err := keys.CreateMasterKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
