package clientauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// maxClientID bounds, in characters, what can be a client_id at all.
const maxClientID = 256

// credentials is how a request says which client it is from (RFC 6749 §2.3).
type credentials struct {
	// token_endpoint_auth_method; for an assertion "", because which of the two it is depends on
	// the client
	method    string
	id        string // as claimed
	secret    string
	assertion string
}

// Authenticate says which client sent the request. It uses exactly one method, and that must be the
// one which the client is registered for. Every failure looks the same from outside, whether the
// client exists or not; the cause is for the log.
func (a *Authenticator) Authenticate(ctx context.Context, r *http.Request, params oauth.Parameters) (clients.Client,
	error) {
	cred, err := readCredentials(r, params)
	if len(cred.id) > maxClientID {
		cred.id = "" // nobody's; it is not remembered either
	}
	web.Mention(r, "client_id", cred.id)
	if err != nil {
		return clients.Client{}, err
	}
	now, address := a.Web.Now(), a.Web.ClientAddress(r)
	who, site := cred.id+"\x00"+people.Network(address), people.Site(address)
	// Who sends no secret guesses none: otherwise anybody could shut a public client out for a
	// whole network, by failing in its name.
	guess := cred.secret != "" || cred.assertion != ""
	if guess && max(a.failures.Wait(who, now), a.floods.Wait(site, now)) > 0 {
		return clients.Client{}, oauth.Errorf(oauth.TemporarilyUnavailable,
			"too many failed client authentications from this address; wait a minute").
			WithStatus(http.StatusTooManyRequests)
	}
	client, err := a.provenClient(ctx, r, cred)
	var failed *failedAuthentication
	if errors.As(err, &failed) {
		if guess && !failed.knewSecret {
			a.failures.Count(who, now)
			a.floods.Count(site, now)
		}
		return clients.Client{}, oauth.Errorf(oauth.InvalidClient,
			"client authentication failed: check client_id, the secret or key, and that the method is the registered token_endpoint_auth_method").Because(err)
	}
	return client, err
}

// failedAuthentication is the reason why a client has not proved who it is, for the log.
type failedAuthentication struct {
	why error
	// knewSecret marks the right secret, sent in a way that is not the registered one. That is a
	// mistake and no guess: libraries that try one way after the other make it at every sign-in.
	knewSecret bool
}

func (f *failedAuthentication) Error() string { return f.why.Error() }

func (f *failedAuthentication) Unwrap() error { return f.why }

func authFailed(format string, args ...any) error {
	return &failedAuthentication{why: fmt.Errorf(format, args...)}
}

// provenClient loads the client and checks its credentials. What the client has not proved is a
// failedAuthentication; any other error is ours.
func (a *Authenticator) provenClient(ctx context.Context, r *http.Request, cred credentials) (clients.Client, error) {
	client, err := clients.Client{}, storage.ErrNotFound
	if cred.id != "" {
		client, err = a.Store.Client(ctx, cred.id)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return clients.Client{}, fmt.Errorf("load client: %w", err)
	}
	known := err == nil
	registered := client.TokenEndpointAuthMethod
	if registered == "" {
		registered = oauth.AuthClientSecretBasic // OIDC Registration §2
	}
	// The secret of an unknown client is hashed too: the answer takes the same time
	// (OIDC Core §16.12).
	right := a.Secrets.Check(client, cred.secret, a.Web.Now())
	switch {
	case !known:
		return clients.Client{}, authFailed("the client is not registered")
	case cred.assertion != "" && (registered == oauth.AuthPrivateKeyJWT || registered == oauth.AuthClientSecretJWT):
		if err := a.checkAssertion(ctx, r, client, cred.assertion); err != nil {
			return clients.Client{}, err
		}
	case client.EitherSecretMethod && bySecret(cred.method) && bySecret(registered) && right:
	case cred.method != registered:
		failed := &failedAuthentication{why: fmt.Errorf("the client is registered for %s, not for %s", registered,
			cred)}
		if bySecret(cred.method) && bySecret(registered) {
			failed.knewSecret = right
			word := "wrong or has expired"
			if right {
				word = "right"
			}
			failed.why = fmt.Errorf("%w; the secret was %s", failed.why, word)
		}
		return clients.Client{}, failed
	case cred.method == oauth.AuthNone:
	case !right:
		return clients.Client{}, authFailed("the client secret is wrong or has expired")
	}
	if client.Disabled {
		return clients.Client{}, authFailed("the client is disabled")
	}
	return client, nil
}

// bySecret reports whether a method sends the client secret itself (RFC 6749 §2.3.1).
func bySecret(method string) bool {
	return method == oauth.AuthClientSecretBasic || method == oauth.AuthClientSecretPost
}

// String names the method that was used; it never shows a secret.
func (c credentials) String() string {
	if c.method == "" {
		return "a client assertion"
	}
	return c.method
}

// LogValue keeps the secret out of a log.
func (c credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// readCredentials finds the one way in which the request says who it is from. Two at once are
// refused (RFC 6749 §2.3): the one that is checked might not be the one that is acted on.
func readCredentials(r *http.Request, params oauth.Parameters) (credentials, error) {
	headers := r.Header.Values("Authorization")
	assertion := params.Has("client_assertion") || params.Has("client_assertion_type")
	ways := len(headers)
	if params.Has("client_secret") {
		ways++
	}
	if assertion {
		ways++
	}
	id := params.Get("client_id")
	if ways > 1 {
		return credentials{id: id}, oauth.Errorf(oauth.InvalidRequest,
			"the client must authenticate in exactly one way: Authorization header, client_secret or client_assertion (RFC 6749 section 2.3)")
	}
	switch {
	case len(headers) == 1:
		basicID, secret, err := parseBasic(headers[0])
		if err != nil {
			return credentials{id: id}, oauth.Errorf(oauth.InvalidClient,
				"the Authorization header must be Basic with client_id and client_secret, each form-urlencoded, as in RFC 6749 section 2.3.1").Because(err)
		}
		if id != "" && id != basicID {
			return credentials{id: basicID}, oauth.Errorf(oauth.InvalidRequest,
				"client_id in the body differs from the one in the Authorization header")
		}
		if secret == "" { // RFC 6749 §2.3.1: an empty secret may be left out, so this is a client without one
			return credentials{method: oauth.AuthNone, id: basicID}, nil
		}
		return credentials{method: oauth.AuthClientSecretBasic, id: basicID, secret: secret}, nil
	case assertion:
		if params.Get("client_assertion_type") != oauth.ClientAssertionTypeJWT {
			return credentials{id: id}, oauth.Errorf(oauth.InvalidRequest, "client_assertion_type must be %s",
				oauth.ClientAssertionTypeJWT)
		}
		if !params.Has("client_assertion") {
			return credentials{id: id}, oauth.Errorf(oauth.InvalidRequest, "client_assertion is missing")
		}
		claimed := assertionSubject(params.Get("client_assertion"))
		if id != "" && id != claimed {
			claimed = "" // nobody: the two speak of different clients (RFC 7521 §4.2)
		}
		return credentials{id: claimed, assertion: params.Get("client_assertion")}, nil
	case id == "":
		return credentials{}, oauth.Errorf(oauth.InvalidClient,
			"the request does not say which client it is from: authenticate, or send client_id if the client is public")
	case params.Has("client_secret"):
		return credentials{method: oauth.AuthClientSecretPost, id: id, secret: params.Get("client_secret")}, nil
	}
	return credentials{method: oauth.AuthNone, id: id}, nil
}

// parseBasic reads an Authorization header of scheme Basic whose user and password are client_id
// and client_secret, each encoded as application/x-www-form-urlencoded before (RFC 6749 §2.3.1,
// RFC 7617 §2).
func parseBasic(header string) (id, secret string, err error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", errors.New("the scheme is not Basic")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // which the decoder would pass over
		return "", "", errors.New("not strict base64")
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", errors.New("no colon")
	}
	if id, err = formDecode(user); err != nil {
		return "", "", err
	}
	if secret, err = formDecode(password); err != nil {
		return "", "", err
	}
	if id == "" {
		return "", "", errors.New("the client_id is empty")
	}
	return id, secret, nil
}

// formDecode undoes the form encoding of one value (RFC 6749 Appendix B). What the encoding would
// never have left as it is (spaces, control characters, anything outside ASCII) shows that the
// value was not encoded.
func formDecode(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b.WriteByte(' ')
		case c == '%':
			if i+2 >= len(s) {
				return "", errors.New("an incomplete percent encoding")
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", errors.New("an invalid percent encoding")
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
		case c <= ' ' || c >= 0x7f:
			return "", errors.New("a character that is not form-urlencoded")
		default:
			b.WriteByte(c)
		}
	}
	out := b.String()
	if !utf8.ValidString(out) || strings.ContainsFunc(out, unicode.IsControl) {
		return "", errors.New("not text")
	}
	return out, nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Failed client authentications are counted per client_id and network: guessing becomes slow, and
// the client itself, which comes from elsewhere, does not notice. They are kept in memory only,
// because a secret that can be guessed in a few thousand tries per instance should not exist.
const (
	failuresAllowed = 20
	failuresWindow  = time.Minute
	// floodAllowed bounds the failures of a site (see people.Site) over all client_ids. They can be
	// made up, and each takes a place in memory: one machine would fill that, and then share its
	// window with the clients of everybody else.
	floodAllowed = 20 * failuresAllowed
)

// ForgetFailures lets clients that are kept waiting after failed authentications try again at once.
func (a *Authenticator) ForgetFailures() {
	a.failures.Reset()
	a.floods.Reset()
}
