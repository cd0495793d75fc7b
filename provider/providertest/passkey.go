package providertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"latchkey/provider"
)

// OnDomain serves the provider at a domain in place of an IP address, for which browsers know no
// passkeys. It is for New.
func OnDomain(c *provider.Config) {
	c.Issuer = strings.Replace(c.Issuer, "127.0.0.1", "localhost", 1)
}

// Passkey is an authenticator with one key, in a test's hands. What it says can be bent before it
// answers.
type Passkey struct {
	w   *World
	key *ecdsa.PrivateKey

	ID         []byte
	UserHandle []byte
	Count      uint32
	Flags      byte // of the authenticator data (WebAuthn §6.1)
	Origin     string
	RPID       string
	// Bend changes the client data before it is signed.
	Bend func(clientData map[string]any)
	// Key, if set, is the COSE key that is registered in place of the passkey's own.
	Key map[int]any
}

// Flags of the authenticator data (WebAuthn §6.1).
const (
	FlagPresent  = 0x01
	FlagVerified = 0x04
	FlagSynced   = 0x08
	FlagBackedUp = 0x10
	flagAttested = 0x40
)

// NewPasskey makes a passkey that is bound to its device and does not count.
func (w *World) NewPasskey() *Passkey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &Passkey{
		w: w, key: key, ID: id, Flags: FlagPresent | FlagVerified, Origin: w.Web.Base.Scheme + "://" + w.Web.Base.Host,
		RPID: w.Web.Base.Hostname(),
	}
}

// Asked is what a page asks of a passkey.
type Asked struct {
	Options struct {
		PublicKey struct {
			Challenge          string
			RPID               string `json:"rpId"`
			UserVerification   string
			AllowCredentials   []struct{ ID string }
			ExcludeCredentials []struct{ ID string }
			User               struct{ ID, Name string }
		} `json:"publicKey"`
		Mediation string
	}
	State string
}

var passkeyData = map[string]*regexp.Regexp{
	"":        regexp.MustCompile(`data-options="([^"]*)" data-state="([^"]*)"`),
	"passing": regexp.MustCompile(`data-passing-options="([^"]*)" data-passing-state="([^"]*)"`),
}

// AskedOf reads what the page asks of a passkey; kind is "", or "passing".
func AskedOf(t testing.TB, p Page, kind string) (a Asked) {
	t.Helper()
	m := passkeyData[kind].FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("the page asks for no passkey: %d %s\n%s", p.StatusCode, p.Request.URL, p.Body)
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &a.Options); err != nil {
		t.Fatal(err)
	}
	a.State = html.UnescapeString(m[2])
	return a
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (k *Passkey) clientData(kind, challenge string) []byte {
	data := map[string]any{"type": kind, "challenge": challenge, "origin": k.Origin, "crossOrigin": false}
	if k.Bend != nil {
		k.Bend(data)
	}
	out, err := json.Marshal(data)
	if err != nil {
		k.w.t.Fatal(err)
	}
	return out
}

func (k *Passkey) authenticatorData(flags byte) []byte {
	rp := sha256.Sum256([]byte(k.RPID))
	return binary.BigEndian.AppendUint32(append(rp[:], flags), k.Count)
}

// Create is the passkey's answer to a registration, as JSON.
func (k *Passkey) Create(a Asked) string {
	k.w.t.Helper()
	handle, err := base64.RawURLEncoding.DecodeString(a.Options.PublicKey.User.ID)
	if err != nil {
		k.w.t.Fatal(err)
	}
	k.UserHandle = handle
	key := k.Key
	if key == nil {
		point, err := k.key.PublicKey.Bytes()
		if err != nil {
			k.w.t.Fatal(err)
		}
		key = map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}
	}
	cose, err := cbor.Marshal(key)
	if err != nil {
		k.w.t.Fatal(err)
	}
	auth := append(k.authenticatorData(k.Flags|flagAttested), make([]byte, 16)...)
	auth = append(binary.BigEndian.AppendUint16(auth, uint16(len(k.ID))), k.ID...) //nolint:gosec // short
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{},
		"authData": append(auth, cose...)})
	if err != nil {
		k.w.t.Fatal(err)
	}
	return k.said(map[string]any{
		"clientDataJSON":    b64(k.clientData("webauthn.create", a.Options.PublicKey.Challenge)),
		"attestationObject": b64(object), "transports": []string{"internal"},
	})
}

// Get is the passkey's answer to a sign-in, as JSON.
func (k *Passkey) Get(a Asked) string {
	k.w.t.Helper()
	client, auth := k.clientData("webauthn.get", a.Options.PublicKey.Challenge), k.authenticatorData(k.Flags)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, auth...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.key, digest[:])
	if err != nil {
		k.w.t.Fatal(err)
	}
	return k.said(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(auth), "signature": b64(signature),
		"userHandle": b64(k.UserHandle),
	})
}

func (k *Passkey) said(response map[string]any) string {
	out, err := json.Marshal(map[string]any{
		"id": b64(k.ID), "rawId": b64(k.ID), "type": "public-key", "response": response,
		"clientExtensionResults": map[string]any{},
	})
	if err != nil {
		k.w.t.Fatal(err)
	}
	return string(out)
}

// UsePasskey answers what the page asks with an answer, as passkeys.js does.
func (b *Browser) UsePasskey(p Page, a Asked, answer string) Page {
	b.w.t.Helper()
	for _, f := range FormTag.FindAllStringSubmatch(p.Body, -1) {
		attributes := Attributes(f[1])
		if attributes["id"] != "passkey-form" {
			continue
		}
		form := url.Values{}
		for _, in := range InputTag.FindAllStringSubmatch(f[2], -1) {
			at := Attributes(in[1])
			if at["name"] != "remember" {
				form.Set(at["name"], at["value"])
			}
		}
		form.Set("state", a.State)
		form.Set("answer", answer)
		return b.Post(attributes["action"], form)
	}
	b.w.t.Fatalf("no form for a passkey: %d %s\n%s", p.StatusCode, p.Request.URL, p.Body)
	return Page{}
}

// AddPasskey registers the passkey on the page about sign-in methods, where the person is signed in
// on the way with a password, and returns the recovery codes.
func (b *Browser) AddPasskey(username string, k *Passkey) []string {
	b.w.t.Helper()
	p := b.Methods(username, nil)
	asked := AskedOf(b.w.t, p, "")
	p = b.Follow(b.UsePasskey(p, asked, k.Create(asked)))
	if p.StatusCode != 200 {
		b.w.t.Fatalf("register a passkey: %d\n%s\n%s", p.StatusCode, p.Body, b.w.Log)
	}
	return RecoveryCodesOf(p)
}
