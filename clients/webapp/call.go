package webapp

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

const maxAnswer = 16 << 10

// answer is what an API said.
type answer struct {
	API           string // its name
	Request       string // what was asked, e.g. "GET http://api.localhost:9110/me"
	Way           string // of calls
	Status        int    // zero when there was no answer
	StatusText    string
	Authenticate  string // the WWW-Authenticate header (RFC 6750 §3)
	Body          string
	NoAnswerCause string

	challenge map[string]string // the parameters of its Bearer challenge
}

// Class is the first digit of the status, for its colour.
func (a *answer) Class() int { return a.Status / 100 }

// calls are the ways in which the page calls an API. Which addresses can be called is decided here
// and in the configuration: the form only chooses.
var calls = []struct {
	Way, path string
	token     func(string) string // what to send in place of the access token; nil: none
}{
	{"public", "/public", nil},
	{"me", "/me", itself},
	{"admin", "/admin", itself},
	{"anonymous", "/me", nil},
	{"tampered", "/me", tampered},
}

func itself(token string) string { return token }

// CallLabel is what the button of a call says.
func (t *texts) CallLabel(way string) string {
	switch way {
	case "anonymous":
		return t.CallAnonymous
	case "tampered":
		return t.CallTampered
	}
	return "GET /" + way
}

// CallWith says what a call sends along.
func (t *texts) CallWith(way string) string {
	switch way {
	case "public", "anonymous":
		return t.WithoutToken
	case "tampered":
		return t.WithTampered
	}
	return t.WithToken
}

// called names a call of calls: an API's key and a way.
type called struct{ api, way string }

// call calls an API and keeps its answer for the page. An access token that has expired is renewed
// first, and an API that asks for a better sign-in gets one (RFC 9470 §4): both by a visit to the
// provider that comes back to the call.
func (a *app) call(w http.ResponseWriter, r *http.Request, s session) {
	what := called{r.PostForm.Get("api"), r.PostForm.Get("way")}
	got := a.perform(r, s, what)
	if got == nil {
		a.fail(w, r, http.StatusBadRequest, textsFor(r).NoSuchAPI)
		return
	}
	if next, ok := a.wayOut(s, what, got); ok && a.leave(w, r, next) {
		return
	}
	a.showAnswer(w, r, s.id, got)
}

func (a *app) showAnswer(w http.ResponseWriter, r *http.Request, id string, got *answer) {
	a.sessions.update(id, func(n *session) { n.answer = got })
	http.Redirect(w, r, "/#api-answer", http.StatusSeeOther)
}

// wayOut returns the visit to the provider that makes a refused call possible, if one does.
func (a *app) wayOut(s session, what called, got *answer) (visit, bool) {
	if got.Status != http.StatusUnauthorized || (what.way != "me" && what.way != "admin") {
		return visit{}, false
	}
	switch got.challenge["error"] {
	case "insufficient_user_authentication":
		return stepUp(got.challenge, what)
	case "invalid_token":
		return visit{silent: true, then: what}, !s.expiry.IsZero() && !a.config.Now().Before(s.expiry)
	}
	return visit{}, false
}

var (
	// scope-token of RFC 6749 §3.3, with blanks between
	acrPattern    = regexp.MustCompile(`^[!#-\[\]-~]+( [!#-\[\]-~]+)*$`)
	maxAgePattern = regexp.MustCompile(`^[0-9]{1,9}$`)
)

// stepUp makes an authorization request of a step-up challenge (RFC 9470 §4). What it holds comes
// from the API and goes to the provider, so only what looks right is passed on.
func stepUp(challenge map[string]string, then called) (visit, bool) {
	v := visit{then: then, steppedUp: true}
	if acr := challenge["acr_values"]; len(acr) <= 500 && acrPattern.MatchString(acr) {
		v.acrValues = acr
	}
	if age := challenge["max_age"]; maxAgePattern.MatchString(age) {
		v.maxAge = age
	}
	return v, v.acrValues != "" || v.maxAge != ""
}

// perform makes the call, or returns nil when there is none of that name.
func (a *app) perform(r *http.Request, s session, what called) *answer {
	for _, api := range a.config.APIs {
		for _, c := range calls {
			if api.Key != what.api || c.Way != what.way {
				continue
			}
			got := &answer{API: api.Name, Request: "GET " + strings.TrimSuffix(api.URL, "/") + c.path, Way: c.Way}
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, strings.TrimSuffix(api.URL, "/")+c.path, nil)
			if err == nil {
				req.Header.Set("Accept", "application/json")
				if c.token != nil {
					req.Header.Set("Authorization", "Bearer "+c.token(s.accessToken))
				}
				err = a.ask(req, got, maxAnswer)
			}
			if err != nil {
				a.config.Logger.WarnContext(r.Context(), "API not available", "api", api.URL, "cause", err)
				got.NoAnswerCause = cause(err)
			}
			return got
		}
	}
	return nil
}

func (a *app) ask(req *http.Request, got *answer, limit int64) error {
	client := *a.config.HTTPClient
	// the token is for this address
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit))
	if err != nil {
		return err
	}
	got.Status, got.StatusText = res.StatusCode, http.StatusText(res.StatusCode)
	got.Authenticate = strings.Join(res.Header.Values("WWW-Authenticate"), ", ")
	got.challenge = bearerChallenge(res.Header)
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
