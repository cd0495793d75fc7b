package templates

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
)

// Methods shows a person how they prove who they are. Its forms post csrf and action=add-totp;
// action=rename or action=remove with id, the first with name; or action=recovery, to Action. Those
// about passkeys post action=rename-passkey, remove-passkey, require-passkeys, and action=passkey
// with state, answer and name.
type Methods struct {
	Frame
	Passkeys       []ShownPasskey
	Passkey        Passkey // for a new one
	RequireOffered bool    // the passkeys are not asked for after the password yet
	Authenticator  []Authenticator
	Full           bool // there are as many as there can be
	RecoveryLeft   int
	Needed         bool // the person needs a second factor
}

// Authenticator is one authenticator application.
type Authenticator struct {
	ID, Name        string // Name may be empty
	Added, LastUsed time.Time
}

// What Methods.Notice can say: keys of messages.
const (
	NoticeMethodAdded   = "methods.added"
	NoticeMethodRenamed = "methods.renamed"
	NoticeMethodRemoved = "methods.removed"

	NoticePasskeyAdded     = "methods.passkey.added"
	NoticePasskeysRequired = "methods.passkey.required"
	NoticePasskeyRemoved   = "methods.passkey.removed"
)

func (Methods) file() string { return "account/methods" }

// Policy is the least, with passkeys.js.
func (m Methods) Policy() Policy {
	use := m.Passkey != Passkey{}
	return Policy{Script: use, Fetches: use}
}

func methodsSamples() []sample {
	frame := sampleFrame(NavMethods, "/account/methods")
	renamed := frame
	renamed.Notice = NoticeMethodRenamed
	return []sample{
		{"full", Methods{
			Frame: renamed, RecoveryLeft: 8, RequireOffered: true,
			Passkey: Passkey{Options: `{"publicKey":{}}`, State: "s", Signal: `{}`},
			Passkeys: []ShownPasskey{
				{ID: "AQ", Name: "Laptop", Model: "iCloud Keychain", Synced: true,
					Added: sampleTime.Add(-90 * time.Hour), LastUsed: sampleTime.Add(-time.Hour)},
				{ID: "Ag", Name: "Key ring", Required: true, LastWayIn: true, Added: sampleTime.Add(-time.Hour)},
			},
			Authenticator: []Authenticator{
				{ID: "a", Name: "Phone", Added: sampleTime.Add(-900 * time.Hour), LastUsed: sampleTime.Add(-time.Hour)},
				{ID: "b", Added: sampleTime.Add(-9 * time.Hour)},
			},
		}},
		{"none", Methods{Frame: frame}},
		{"spent", Methods{
			Frame: frame, Full: true,
			Authenticator: []Authenticator{{ID: "a", Name: "Phone"}},
		}},
		{"empty", Methods{}},
	}
}

// EnrolTOTP sets up an authenticator application. Its form posts csrf, id, code and name to Action.
type EnrolTOTP struct {
	App          *App // nil: for our own pages
	Person       Person
	Action, CSRF string
	ID           string
	Secret       string // base32
	URI          string // otpauth, for the QR code
	DeviceName   string
	Error        string // FactorWrong or FactorShape; "" at first
	PasskeyURL   string // make a passkey instead; "" shows no such link
	SkipAction   string // posts action=skip; "" shows no such button
	CancelURL    string // back to where it was begun; "" shows no such link
	CancelAction string // posts action=cancel; "" shows no such button
}

func (EnrolTOTP) file() string { return "account/totp" }

// Policy is that of a page of a sign-in.
func (e EnrolTOTP) Policy() Policy { return Policy{Forms: e.App.leadsTo()} }

// Groups is the secret in groups of four, as people type it.
func (e EnrolTOTP) Groups() string {
	var b strings.Builder
	for i, c := range e.Secret {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Open is the address by which an application on the same device takes the secret.
func (e EnrolTOTP) Open() template.URL {
	if !strings.HasPrefix(e.URI, "otpauth://") {
		return ""
	}
	return template.URL(e.URI) //nolint:gosec // no script can be behind this scheme
}

// QRCode is a picture of squares: the side of the whole in squares, with the quiet zone, and an SVG
// path of the dark ones.
type QRCode struct {
	Side int
	Path string
}

// quiet is the width of the light border that a QR code needs (ISO/IEC 18004 §6.3.8).
const quiet = 4

// QR draws URI; nil if it is empty, or too long for any QR code.
func (e EnrolTOTP) QR() *QRCode {
	if e.URI == "" {
		return nil
	}
	code, err := qr.Encode(e.URI, qr.M, qr.Auto)
	if err != nil {
		return nil
	}
	n := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x >= n {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var path strings.Builder
	for y := range n {
		for x := 0; x < n; x++ {
			if !dark(x, y) {
				continue
			}
			from := x
			for dark(x, y) {
				x++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
		}
	}
	return &QRCode{Side: n + 2*quiet, Path: path.String()}
}

func enrolTOTPSamples() []sample {
	app := sampleApp
	full := EnrolTOTP{
		Person: samplePerson, Action: "/account/methods/totp", CSRF: "c", ID: "x",
		Secret:    "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
		URI:       "otpauth://totp/Latchkey:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Latchkey",
		CancelURL: "/account/methods",
	}
	wrong := full
	wrong.App, wrong.Error, wrong.DeviceName = &app, FactorWrong, "Phone"
	wrong.CancelURL, wrong.CancelAction = "", "/mfa/enrol?i=1"
	wrong.PasskeyURL, wrong.SkipAction = "/mfa/enrol?i=1&method=passkey", "/mfa/enrol?i=1"
	return []sample{{"full", full}, {"wrong", wrong}, {"empty", EnrolTOTP{}}}
}

// RecoveryCodes shows recovery codes, once. It leads on to ContinueURL.
type RecoveryCodes struct {
	App         *App // nil: for our own pages
	Person      Person
	Codes       []string
	ContinueURL string
}

func (RecoveryCodes) file() string { return "account/recovery" }

// Policy is the least: the page has no form.
func (RecoveryCodes) Policy() Policy { return Policy{} }

func recoveryCodesSamples() []sample {
	app := sampleApp
	codes := []string{
		"k3v9qz-ab2cde-fgh4ij-klm5no", "p6qrst-uvwx7y-zabcde-f2ghij", "klm3no-pqrs4t-uvw5xy-zab6cd",
		"efg7hi-jklmno-p2qrst-uvw3xy",
		"zab4cd-efgh5i-jklm6n-opqr7s", "tuvwxy-z2abcd-efg3hi-jkl4mn", "opq5rs-tuv6wx-yza7bc-defghi",
		"jkl2mn-opq3rs-tuv4wx-yza5bc",
		"def6gh-ijk7lm-nopqrs-t2uvwx", "yz3abc-def4gh-ijk5lm-nop6qr",
	}
	return []sample{
		{"codes", RecoveryCodes{Person: samplePerson, Codes: codes, ContinueURL: "/account/methods"}},
		{"app", RecoveryCodes{App: &app, Person: samplePerson, Codes: codes[:3], ContinueURL: "/authorize?i=1"}},
		{"empty", RecoveryCodes{}},
	}
}
