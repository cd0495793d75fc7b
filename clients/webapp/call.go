package webapp

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

const maxAnswer = 16 << 10

// answer is what an API said.
type answer struct {
	API           string // its name
	Request       string // what was asked, e.g. "GET http://api.localhost:9110/me"
	With          string // what was sent along, in words
	Status        int    // zero when there was no answer
	StatusText    string
	Authenticate  string // the WWW-Authenticate header (RFC 6750 §3)
	Body          string
	NoAnswerCause string
}

// calls are the ways in which the page calls an API. Which addresses can be called is decided here and in the
// configuration: the form only chooses.
var calls = []struct {
	Way, Label, path, with string
	token                  func(string) string // what to send in place of the access token; nil: none
}{
	{"public", "GET /public", "/public", "without a token", nil},
	{"me", "GET /me", "/me", "with the access token", func(t string) string { return t }},
	{"admin", "GET /admin", "/admin", "with the access token", func(t string) string { return t }},
	{"anonymous", "GET /me without a token", "/me", "without a token", nil},
	{"tampered", "GET /me with one character changed", "/me", "with an access token in which one character was changed", tampered},
}

// call calls an API and keeps its answer for the page.
func (a *app) call(w http.ResponseWriter, r *http.Request, s session) {
	for _, api := range a.config.APIs {
		for _, c := range calls {
			if api.Key != r.PostForm.Get("api") || c.Way != r.PostForm.Get("way") {
				continue
			}
			got := &answer{API: api.Name, Request: "GET " + strings.TrimSuffix(api.URL, "/") + c.path, With: c.with}
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, strings.TrimSuffix(api.URL, "/")+c.path, nil)
			if err == nil {
				req.Header.Set("Accept", "application/json")
				if c.token != nil {
					req.Header.Set("Authorization", "Bearer "+c.token(s.accessToken))
				}
				err = a.ask(req, got)
			}
			if err != nil {
				a.config.Logger.WarnContext(r.Context(), "API not available", "api", api.URL, "cause", err)
				got.NoAnswerCause = cause(err)
			}
			a.sessions.update(s.id, func(n *session) { n.answer = got })
			http.Redirect(w, r, "/#api-answer", http.StatusSeeOther)
			return
		}
	}
	a.fail(w, r, http.StatusBadRequest, "There is no such API, or no such way to call it.")
}

func (a *app) ask(req *http.Request, got *answer) error {
	client := *a.config.HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for this address
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	got.Status, got.StatusText = res.StatusCode, http.StatusText(res.StatusCode)
	got.Authenticate = strings.Join(res.Header.Values("WWW-Authenticate"), ", ")
	got.Body = strings.ToValidUTF8(string(body), string(utf8.RuneError))
	return nil
}

// tampered changes one character of the signature.
func tampered(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	if i >= len(token) {
		return token + "A"
	}
	c := byte('A')
	if token[i] == c {
		c = 'B'
	}
	return token[:i] + string(c) + token[i+1:]
}

// cause is why there was no answer, without the address, which the page shows anyway.
func cause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
