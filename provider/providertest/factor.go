package providertest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Authenticator is an authenticator application in a test's hands.
type Authenticator struct {
	w      *World
	Secret []byte
}

// Code is what it shows now, or some steps of thirty seconds before or after (RFC 6238 §4).
func (a Authenticator) Code(steps int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(a.w.Clock.Now().Unix()/30+steps)) //nolint:gosec // positive
	mac := hmac.New(sha1.New, a.Secret)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[19] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

var (
	secretText   = regexp.MustCompile(`id="totp-secret"[^>]*>([A-Z2-7 ]+)<`)
	recoveryText = regexp.MustCompile(`<code>([a-z2-7-]{27})</code>`)
)

// AuthenticatorOf reads the secret from a page that sets one up.
func (b *Browser) AuthenticatorOf(p Page) Authenticator {
	b.w.t.Helper()
	m := secretText.FindStringSubmatch(p.Body)
	if m == nil {
		b.w.t.Fatalf("no secret on the page: %d %s\n%s", p.StatusCode, p.Request.URL, p.Body)
	}
	secret, err := base32.StdEncoding.DecodeString(strings.ReplaceAll(m[1], " ", ""))
	if err != nil {
		b.w.t.Fatal(err)
	}
	return Authenticator{b.w, secret}
}

// RecoveryCodesOf reads the codes from the page that shows them.
func RecoveryCodesOf(p Page) (codes []string) {
	for _, m := range recoveryText.FindAllStringSubmatch(p.Body, -1) {
		codes = append(codes, m[1])
	}
	return codes
}

// Methods opens the page about sign-in methods, proving who the person is on the way; with an
// authenticator also by its next code.
func (b *Browser) Methods(username string, a *Authenticator) Page {
	b.w.t.Helper()
	p := b.Open(b.w.Web.Path + "/account/methods")
	if p.Has("login-page") {
		p = b.SignInAs(p, username)
	}
	if p.Has("mfa-page") && a != nil {
		p = b.Follow(b.Submit(p, "mfa-submit", url.Values{"code": {a.Code(1)}}))
	}
	if !p.Has("methods-page") {
		b.w.t.Fatalf("not the page about methods: %d %s\n%s", p.StatusCode, p.Request.URL, p.Body)
	}
	return p
}

// EnrolTOTP sets an authenticator application up for the person. The code of this step is used by
// that.
func (b *Browser) EnrolTOTP(username string) (Authenticator, []string) {
	b.w.t.Helper()
	p := b.Follow(b.Submit(b.Methods(username, nil), "add-totp", url.Values{"action": {"add-totp"}}))
	a := b.AuthenticatorOf(p)
	p = b.Follow(b.Submit(p, "totp-submit", url.Values{"code": {a.Code(0)}, "name": {"Phone"}}))
	codes := RecoveryCodesOf(p)
	if len(codes) == 0 {
		b.w.t.Fatalf("no recovery codes: %d\n%s", p.StatusCode, p.Body)
	}
	return a, codes
}

var linkTag = regexp.MustCompile(`<a\b([^>]*)>`)

// LinkTo is where the link with this id leads, "" if the page has none.
func LinkTo(p Page, id string) string {
	for _, m := range linkTag.FindAllStringSubmatch(p.Body, -1) {
		if a := Attributes(m[1]); a["id"] == id {
			return a["href"]
		}
	}
	return ""
}

// FormValue is the value that the forms of the page carry.
func FormValue(p Page) string {
	for _, m := range InputTag.FindAllStringSubmatch(p.Body, -1) {
		if a := Attributes(m[1]); a["name"] == "csrf" {
			return a["value"]
		}
	}
	return ""
}
