package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// scenario is one kind of operation.
type scenario struct {
	name   string
	perAlg bool // measured for both variants
	wanted bool // the API says how access tokens are signed
	work   work // what the machine has to do for one operation, whatever the program
	job    func(t *site, v variant, conns int) (*job, error)
}

// work is what no program can do without. Access tokens of web are as the program likes, so that
// the cheapest counts; those of service and reader are as the API wants. Bare answers are added
// from what really travels.
type work struct {
	idTokens, accessTokens int // signatures
	verifications          int // of access tokens
	inserts                int // durable, sharing their sync
	hashes                 int // of passwords
}

var scenarios = []scenario{
	{"discovery", false, false, work{}, document("/.well-known/openid-configuration")},
	{"jwks", false, false, work{}, document("/jwks")},
	{"client_credentials", true, true, work{accessTokens: 1}, (*site).clientCredentials},
	{"flow", true, false, work{idTokens: 1, accessTokens: 1, inserts: 1}, (*site).flow},
	{"refresh", true, false, work{idTokens: 1, accessTokens: 1, inserts: 1}, (*site).refresh},
	{"introspection", true, true, work{verifications: 1}, (*site).introspection},
	{"userinfo", true, true, work{verifications: 1}, (*site).userinfo},
	{"revocation", false, false, work{verifications: 1, inserts: 1}, (*site).revocation},
	{"first_sign_in", false, false, work{idTokens: 1, accessTokens: 1, inserts: 2, hashes: 1}, (*site).firstSignIn},
}

// site is a running server with what the measurements need: people who are signed in, and tokens.
type site struct {
	*server
	people   []*browser // one for each connection, signed in, who allowed both applications everything
	checker  *checker
	subjects map[string]string // person → sub
	pools    map[string]*pool  // client_id → tokens

	mu   sync.Mutex
	next int // of nonces, so that no two requests are alike
}

// pool holds tokens of distinct grants.
type pool struct {
	access  []string
	refresh [][]byte
	names   []string // usernames
}

const (
	fullScope  = "openid profile email offline_access"
	plainScope = "openid profile email"
	poolSize   = 256
	keepEvery  = 32 // one answer of so many is kept for the checker,
	keepMost   = 8  // at most so many for each connection
	replays    = 4  // of those, so many are tried a second time
)

// webClients lists the applications that people sign in to.
func webClients() []string {
	var ids []string
	for _, v := range variants {
		for _, id := range []string{v.web, v.reader} {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// newSite signs everybody in and gathers tokens.
func newSite(s *server, people int) (*site, error) {
	t := &site{server: s, subjects: map[string]string{}, pools: map[string]*pool{}}
	c, err := dial(s.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for i := range people {
		b := &browser{person: i}
		for _, id := range webClients() {
			if _, err := b.signIn(c, authorizeURL(id, fullScope)+"&state=s", password); err != nil {
				return nil, err
			}
		}
		t.people = append(t.people, b)
	}
	// Somebody who does not know the password gets nowhere, or nothing here would mean anything.
	if _, err := new(browser).signIn(c, authorizeURL(variants[0].web, plainScope)+"&state=s",
		"not the pass phrase of anybody"); err == nil {
		return nil, errors.New("a wrong password was accepted")
	}
	for _, id := range webClients() {
		p := &pool{}
		for i := range poolSize {
			b := t.people[i%len(t.people)]
			f := t.newFlow(b, id, fullScope)
			if err := f.once(c); err != nil {
				return nil, fmt.Errorf("gather tokens: %w", err)
			}
			tokens, err := parseTokens(f.last)
			if err != nil || tokens.RefreshToken == "" {
				return nil, fmt.Errorf("gather tokens: no refresh token in %.300s", f.last)
			}
			p.access = append(p.access, tokens.AccessToken)
			p.refresh = append(p.refresh, []byte(tokens.RefreshToken))
			p.names = append(p.names, personName(b.person))
		}
		t.pools[id] = p
	}
	// The algorithms' keys exist by now.
	if t.checker, err = newChecker(c, s.issuer); err != nil {
		return nil, err
	}
	return t, nil
}

// serial is a number of ten digits that was not used before in this run.
func (t *site) serial() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return fmt.Sprintf("%010d", t.next)
}

// document measures something that is the same for everybody.
func document(path string) func(*site, variant, int) (*job, error) {
	return func(t *site, _ variant, conns int) (*job, error) {
		c, err := dial(t.addr)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		ask := get(t.addr, path)
		a, err := c.do(ask)
		if err != nil {
			return nil, err
		}
		want := bytes.Clone(a.body)
		w := func(c *conn) error {
			a, err := c.do(ask)
			if err == nil && (a.status != 200 || !bytes.Equal(a.body, want)) {
				err = fmt.Errorf("%s answered %d %.100s", path, a.status, a.body)
			}
			return err
		}
		return &job{workers: slices.Repeat([]worker{w}, conns), verify: func(*conn) (int, error) {
			var m struct {
				Issuer        string            `json:"issuer"`
				JWKSURI       string            `json:"jwks_uri"`
				TokenEndpoint string            `json:"token_endpoint"`
				Keys          []json.RawMessage `json:"keys"`
			}
			if err := json.Unmarshal(want, &m); err != nil {
				return 0, err
			}
			switch {
			case path == "/jwks" && len(m.Keys) == len(t.checker.keys.Keys) && len(m.Keys) > 0:
			case path != "/jwks" && m.Issuer == t.issuer && m.JWKSURI == t.issuer+"/jwks" &&
				m.TokenEndpoint == t.issuer+"/token":
			default:
				return 0, fmt.Errorf("%s is wrong: %.300s", path, want)
			}
			return 1, nil
		}}, nil
	}
}

// sampler keeps copies of some answers.
type sampler struct {
	n    int
	kept []sample
}

type sample struct {
	body  []byte
	nonce string
	used  []byte // what was used up
	name  string
}

func (s *sampler) due() bool {
	s.n++
	return s.n%keepEvery == 1 && len(s.kept) < keepMost
}

// all gathers what several samplers kept.
func all(samplers []*sampler) []sample {
	var out []sample
	for _, s := range samplers {
		out = append(out, s.kept...)
	}
	return out
}

func (t *site) clientCredentials(v variant, conns int) (*job, error) {
	p := newPoster(t.addr, "/token", basic(v.service))
	form := []byte("grant_type=client_credentials&scope=read")
	samplers := make([]*sampler, conns)
	workers := make([]worker, conns)
	for i := range conns {
		s := &sampler{}
		samplers[i] = s
		workers[i] = func(c *conn) error {
			a, err := p.post(c, form)
			if err != nil {
				return err
			}
			if a.status != 200 || member(a.body, "access_token") == nil {
				return fmt.Errorf("client_credentials was answered with %d %.300s", a.status, a.body)
			}
			if s.due() {
				s.kept = append(s.kept, sample{body: bytes.Clone(a.body)})
			}
			return nil
		}
	}
	return &job{workers: workers, verify: func(c *conn) (int, error) {
		kept := all(samplers)
		for i, s := range kept {
			tokens, err := parseTokens(s.body)
			if err != nil {
				return 0, err
			}
			at, err := t.checker.accessToken(tokens.AccessToken, v.service, v.api.audience)
			if err != nil {
				return 0, err
			}
			if alg := algorithmOf(tokens.AccessToken); v.api.alg != "" && alg != v.api.alg {
				return 0, fmt.Errorf("the API wants %s and gets %s", v.api.alg, alg)
			}
			if at.Subject != v.service || at.Scope != "read" || tokens.IDToken != "" || tokens.RefreshToken != "" {
				return 0, fmt.Errorf("client_credentials: sub is %q, scope %q", at.Subject, at.Scope)
			}
			if i < replays {
				if err := expectActive(c, v.api.id, tokens.AccessToken, true); err != nil {
					return 0, err
				}
			}
		}
		return len(kept), nil
	}}, nil
}

// flow is an authorization request of somebody who is signed in and has allowed it before, and the
// token request that follows.
type flow struct {
	ask          []byte // the authorization request, whose serial numbers are written anew each time
	state, nonce int    // where they begin
	serial       uint64
	token        poster
	form         []byte // of the token request, up to the code
	code         []byte // the last one
	last         []byte // the last answer of the token endpoint
	wantedPrefix []byte
}

func (t *site) newFlow(b *browser, client, scope string) *flow {
	serial, _ := strconv.ParseUint(t.serial()+"00000000", 10, 64)
	digits := fmt.Sprintf("%018d", serial)
	f := &flow{
		ask: get(t.addr, authorizeURL(client, scope)+"&state=s"+digits+"&nonce=n"+digits, b.header(),
			"Accept: text/html"),
		serial: serial,
		token:  newPoster(t.addr, "/token", basic(client)),
		form: []byte("grant_type=authorization_code&redirect_uri=" + url.QueryEscape(callback) +
			"&code_verifier=" + verifier + "&code="),
		wantedPrefix: []byte(callback + "?"),
	}
	f.state = bytes.Index(f.ask, []byte("&state=s"+digits)) + len("&state=s")
	f.nonce = bytes.Index(f.ask, []byte("&nonce=n"+digits)) + len("&nonce=n")
	return f
}

// once goes through it. last and code are then of this time; both are good until the next.
func (f *flow) once(c *conn) error {
	f.serial++
	for i, n := 17, f.serial; i >= 0; i, n = i-1, n/10 {
		f.ask[f.state+i], f.ask[f.nonce+i] = byte('0'+n%10), byte('0'+n%10)
	}
	a, err := c.do(f.ask)
	if err != nil {
		return err
	}
	code, state := parameter(a.location, "code"), parameter(a.location, "state")
	if a.status != 303 || !bytes.HasPrefix(a.location, f.wantedPrefix) || code == nil ||
		!bytes.Equal(state, f.ask[f.state-1:f.state+18]) {
		return fmt.Errorf("the authorization request was answered with %d, Location: %.300s", a.status, a.location)
	}
	f.code = append(f.code[:0], code...)
	if a, err = f.token.post(c, f.form, f.code); err != nil {
		return err
	}
	if a.status != 200 || member(a.body, "id_token") == nil {
		return fmt.Errorf("the code was answered with %d %.300s", a.status, a.body)
	}
	f.last = append(f.last[:0], a.body...)
	return nil
}

// lastNonce is the nonce of the last request.
func (f *flow) lastNonce() string { return string(f.ask[f.nonce-1 : f.nonce+18]) }

func (t *site) flow(v variant, conns int) (*job, error) {
	samplers := make([]*sampler, conns)
	workers := make([]worker, conns)
	var replay *flow
	for i := range conns {
		s, f := &sampler{}, t.newFlow(t.people[i], v.web, plainScope)
		samplers[i], replay = s, f
		workers[i] = func(c *conn) error {
			if err := f.once(c); err != nil {
				return err
			}
			if s.due() {
				s.kept = append(s.kept, sample{body: bytes.Clone(f.last), nonce: f.lastNonce(),
					used: bytes.Clone(f.code), name: personName(t.people[i].person)})
			}
			return nil
		}
	}
	return &job{workers: workers, verify: func(c *conn) (int, error) {
		kept := all(samplers)
		for i, s := range kept {
			tokens, err := t.checker.tokens(s.body, v, s.nonce)
			if err != nil {
				return 0, err
			}
			if err := t.samePerson(tokens, s.name); err != nil {
				return 0, err
			}
			if i >= replays {
				continue
			}
			// A code is good once, and whoever uses it again ends what came of it.
			if err := expectActive(c, "api", tokens.AccessToken, true); err != nil {
				return 0, err
			}
			if err := refused(c, replay.token, string(replay.form)+string(s.used)); err != nil {
				return 0, fmt.Errorf("code: %w", err)
			}
			if err := expectActive(c, "api", tokens.AccessToken, false); err != nil {
				return 0, fmt.Errorf("after a replay: %w", err)
			}
		}
		return len(kept), nil
	}}, nil
}

// samePerson checks that a person has the same sub every time, and one of their own.
func (t *site) samePerson(tokens tokenAnswer, name string) error {
	c, err := t.checker.verify(tokens.IDToken, "JWT", "ES256", "RS256")
	if err != nil {
		return err
	}
	if known, ok := t.subjects[name]; ok && known != c.Subject {
		return fmt.Errorf("%s has the sub %q and also %q", name, known, c.Subject)
	}
	for other, sub := range t.subjects {
		if other != name && sub == c.Subject {
			return fmt.Errorf("%s and %s have the same sub", other, name)
		}
	}
	t.subjects[name] = c.Subject
	return nil
}

func (t *site) refresh(v variant, conns int) (*job, error) {
	p := newPoster(t.addr, "/token", basic(v.web))
	form := []byte("grant_type=refresh_token&refresh_token=")
	chains := t.pools[v.web]
	samplers := make([]*sampler, conns)
	workers := make([]worker, conns)
	for i := range conns {
		s, at := &sampler{}, i
		samplers[i] = s
		workers[i] = func(c *conn) error {
			chain := at
			if at += conns; at >= poolSize {
				at = i
			}
			old := chains.refresh[chain]
			a, err := p.post(c, form, old)
			if err != nil {
				return err
			}
			next := member(a.body, "refresh_token")
			if a.status != 200 || next == nil || bytes.Equal(next, old) {
				return fmt.Errorf("refresh was answered with %d %.300s", a.status, a.body)
			}
			if s.due() {
				s.kept = append(s.kept, sample{body: bytes.Clone(a.body), used: bytes.Clone(old),
					name: chains.names[chain]})
			}
			chains.refresh[chain] = append(old[:0], next...)
			return nil
		}
	}
	return &job{workers: workers, verify: func(c *conn) (int, error) {
		kept := all(samplers)
		for _, s := range kept {
			tokens, err := t.checker.tokens(s.body, v, "")
			if err != nil {
				return 0, err
			}
			if err := t.samePerson(tokens, s.name); err != nil {
				return 0, err
			}
		}
		return len(kept), t.reuseOfRefreshToken(c, v)
	}}, nil
}

// reuseOfRefreshToken checks, with a grant of its own, that a refresh token which was replaced
// twice ends the grant.
func (t *site) reuseOfRefreshToken(c *conn, v variant) error {
	f := t.newFlow(t.people[0], v.web, fullScope)
	if err := f.once(c); err != nil {
		return err
	}
	p := newPoster(t.addr, "/token", basic(v.web))
	token := []string{string(member(f.last, "refresh_token"))}
	for range 2 {
		a, err := p.post(c, []byte("grant_type=refresh_token&refresh_token="+token[len(token)-1]))
		if err != nil {
			return err
		}
		token = append(token, string(member(a.body, "refresh_token")))
	}
	for _, used := range []string{token[0], token[2]} {
		if err := refused(c, p, "grant_type=refresh_token&refresh_token="+used); err != nil {
			return fmt.Errorf("refresh token: %w", err)
		}
	}
	return nil
}

func (t *site) introspection(v variant, conns int) (*job, error) {
	p := newPoster(t.addr, "/introspect", basic(v.api.id))
	tokens := t.pools[v.reader]
	samplers := make([]*sampler, conns)
	workers := make([]worker, conns)
	for i := range conns {
		s, at := &sampler{}, i
		samplers[i] = s
		workers[i] = func(c *conn) error {
			now := at
			if at += conns; at >= poolSize {
				at = i
			}
			c.body = append(append(c.body[:0], "token="...), tokens.access[now]...)
			a, err := p.post(c, c.body)
			if err != nil {
				return err
			}
			if a.status != 200 || !bytes.Contains(a.body, []byte(`"active":true`)) {
				return fmt.Errorf("introspection was answered with %d %.300s", a.status, a.body)
			}
			if s.due() {
				s.kept = append(s.kept, sample{body: bytes.Clone(a.body), name: tokens.names[now],
					used: []byte(tokens.access[now])})
			}
			return nil
		}
	}
	return &job{workers: workers, verify: func(c *conn) (int, error) {
		kept := all(samplers)
		for _, s := range kept {
			var got struct {
				claims
				Username string `json:"username"`
			}
			if err := json.Unmarshal(s.body, &got); err != nil {
				return 0, err
			}
			said, err := t.checker.verify(string(s.used), "at+jwt", "ES256", "RS256")
			switch {
			case err != nil:
				return 0, err
			case got.Username != s.name, got.Subject != said.Subject, got.ID != said.ID, got.Expires != said.Expires,
				got.ClientID != v.reader, got.Issuer != t.issuer:
				return 0, fmt.Errorf("introspection says something else than the token: %.300s", s.body)
			}
		}
		// Altered, it is worth nothing.
		token := tokens.access[0]
		return len(kept), expectActive(c, v.api.id, token[:len(token)-8]+"AAAAAAAA", false)
	}}, nil
}

func (t *site) userinfo(v variant, conns int) (*job, error) {
	tokens := t.pools[v.reader]
	samplers := make([]*sampler, conns)
	workers := make([]worker, conns)
	head, end := "GET /userinfo HTTP/1.1\r\nHost: "+t.addr+"\r\nAuthorization: Bearer ", "\r\n\r\n"
	for i := range conns {
		s, at := &sampler{}, i
		samplers[i] = s
		workers[i] = func(c *conn) error {
			now := at
			if at += conns; at >= poolSize {
				at = i
			}
			c.out = append(append(append(c.out[:0], head...), tokens.access[now]...), end...)
			a, err := c.do(c.out)
			if err != nil {
				return err
			}
			if a.status != 200 || member(a.body, "sub") == nil {
				return fmt.Errorf("userinfo was answered with %d %.300s", a.status, a.body)
			}
			if s.due() {
				s.kept = append(s.kept, sample{body: bytes.Clone(a.body), name: tokens.names[now],
					used: []byte(tokens.access[now])})
			}
			return nil
		}
	}
	return &job{workers: workers, verify: func(c *conn) (int, error) {
		kept := all(samplers)
		for _, s := range kept {
			var got struct {
				Subject  string `json:"sub"`
				Email    string `json:"email"`
				Verified bool   `json:"email_verified"`
				Name     string `json:"name"`
			}
			if err := json.Unmarshal(s.body, &got); err != nil {
				return 0, err
			}
			said, err := t.checker.verify(string(s.used), "at+jwt", "ES256", "RS256")
			switch {
			case err != nil:
				return 0, err
			case got.Subject != said.Subject, got.Email != s.name+"@example.com", !got.Verified,
				!strings.HasPrefix(got.Name, "Person "):
				return 0, fmt.Errorf("userinfo is about somebody else than the token: %.300s", s.body)
			}
		}
		token := tokens.access[0]
		a, err := c.do(get(t.addr, "/userinfo", "Authorization: Bearer "+token[:len(token)-8]+"AAAAAAAA"))
		if err == nil && a.status != 401 {
			err = fmt.Errorf("an altered token was answered with %d", a.status)
		}
		return len(kept), err
	}}, nil
}

// revocations is how many access tokens are made to be revoked in one measurement.
const revocations = 1024

func (t *site) revocation(v variant, conns int) (*job, error) {
	c, err := dial(t.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	mint := newPoster(t.addr, "/token", basic(v.service))
	var tokens []string
	for range revocations + 1 { // the last one is left alone
		a, err := mint.post(c, []byte("grant_type=client_credentials&scope=read"))
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, string(member(a.body, "access_token")))
	}
	p := newPoster(t.addr, "/revoke", basic(v.service))
	done := make([]int, conns) // one more than the index of the last token that each has revoked
	workers := make([]worker, conns)
	for i := range conns {
		at := i
		workers[i] = func(c *conn) error {
			if at >= revocations {
				return errExhausted
			}
			c.body = append(append(c.body[:0], "token="...), tokens[at]...)
			a, err := p.post(c, c.body)
			if err != nil {
				return err
			}
			if a.status != 200 {
				return fmt.Errorf("revocation was answered with %d %.300s", a.status, a.body)
			}
			done[i] = at + 1
			at += conns
			return nil
		}
	}
	return &job{workers: workers, limited: true, verify: func(c *conn) (int, error) {
		n := 0
		for _, last := range done {
			if last == 0 {
				continue
			}
			if err := expectActive(c, "api", tokens[last-1], false); err != nil {
				return 0, fmt.Errorf("after revocation: %w", err)
			}
			n++
		}
		return n, expectActive(c, "api", tokens[revocations], true)
	}}, nil
}

// firstSignIn is a new browser each time, from the application's request over the pages to the
// tokens.
func (t *site) firstSignIn(v variant, conns int) (*job, error) {
	samplers := make([]*sampler, conns)
	workers := make([]worker, conns)
	token := newPoster(t.addr, "/token", basic(v.web))
	form := "grant_type=authorization_code&redirect_uri=" + url.QueryEscape(callback) + "&code_verifier=" + verifier +
		"&code="
	for i := range conns {
		s := &sampler{}
		samplers[i] = s
		workers[i] = func(c *conn) error {
			b, nonce := &browser{person: i}, t.serial()
			location, err := b.signIn(c, authorizeURL(v.web, plainScope)+"&state=s&nonce="+nonce, password)
			if err != nil {
				return err
			}
			code := parameter([]byte(location), "code")
			a, err := token.post(c, []byte(form), code)
			if err != nil {
				return err
			}
			if a.status != 200 {
				return fmt.Errorf("the code was answered with %d %.300s", a.status, a.body)
			}
			if s.due() {
				s.kept = append(s.kept, sample{body: bytes.Clone(a.body), nonce: nonce, used: bytes.Clone(code),
					name: personName(i)})
			}
			return nil
		}
	}
	return &job{workers: workers, slow: true, verify: func(c *conn) (int, error) {
		kept := all(samplers)
		for i, s := range kept {
			tokens, err := t.checker.tokens(s.body, v, s.nonce)
			if err != nil {
				return 0, err
			}
			if err := t.samePerson(tokens, s.name); err != nil {
				return 0, err
			}
			if i < replays {
				if err := refused(c, token, form+string(s.used)); err != nil {
					return 0, fmt.Errorf("code: %w", err)
				}
			}
		}
		return len(kept), nil
	}}, nil
}
