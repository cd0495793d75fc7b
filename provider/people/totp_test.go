package people

import (
	"encoding/base32"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The vectors of RFC 6238 appendix B, of which we use the last six digits.
func TestTOTPCodesAreThoseOfRFC6238(t *testing.T) {
	t.Parallel()
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037",
		20000000000: "353130",
	} {
		if got := totpCode(secret, totpStep(time.Unix(at, 0))); got != want {
			t.Errorf("%d: %s, want %s", at, got, want)
		}
	}
}

func TestTOTPIsAcceptedWithinOneStepAndNeverTwice(t *testing.T) {
	t.Parallel()
	secret, now := []byte("12345678901234567890"), time.Unix(1234567890, 0)
	at := totpStep(now)
	for d := int64(-3); d <= 3; d++ {
		step, ok, used := matchTOTP(secret, totpCode(secret, at+d), 0, now)
		if want := d >= -1 && d <= 1; ok != want || used || ok && step != at+d {
			t.Errorf("%+d steps: step %d, %v %v", d, step, ok, used)
		}
	}
	for _, d := range []int64{-1, 0} {
		if _, ok, used := matchTOTP(secret, totpCode(secret, at+d), at, now); ok || !used {
			t.Errorf("%+d steps after its use: %v %v", d, ok, used)
		}
	}
	if _, ok, _ := matchTOTP(secret, totpCode(secret, at+1), at, now); !ok {
		t.Error("the next code is refused")
	}
}

func TestCodesAreReadAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{"123456", " 123 456 ", "123-456", "12\u00a03456"} {
		if code, ok := oneTimeCode(typed); !ok || code != "123456" {
			t.Errorf("%q: %q %v", typed, code, ok)
		}
	}
	for _, typed := range []string{
		"", "12345", "1234567", "12345a", "+12345", "+123456", "-12345", "١٢٣٤٥٦", "１２３４５６", "[123456]", "0x1234",
		"12.456", strings.Repeat("1", 1<<20),
		strings.Repeat(" ", 300) + "123456",
	} {
		if code, ok := oneTimeCode(typed); ok {
			t.Errorf("%.20q was read as %q", typed, code)
		}
	}
	f := &Factors{Key: []byte("k")}
	codes, hashes := f.newRecoveryCodes("u")
	seen := map[string]bool{}
	for i, shown := range codes {
		for _, typed := range []string{shown, strings.ToUpper(shown), strings.ReplaceAll(shown, "-", " "),
			strings.ReplaceAll(shown, "-", ""), shown + "\n",
			strings.NewReplacer("o", "0", "l", "1", "b", "8").Replace(shown)} {
			if code, ok := recoveryCode(typed); !ok || f.recoveryHash("u", code) != hashes[i] {
				t.Errorf("%q is not %q", typed, shown)
			}
		}
		if code, _ := recoveryCode(shown); f.recoveryHash("v", code) == hashes[i] {
			t.Error("a code of one user has the hash of another's")
		}
		seen[shown] = true
	}
	if len(seen) != recoveryCodes {
		t.Errorf("%d different codes", len(seen))
	}
	for _, typed := range []string{"", "123456", codes[0][1:], codes[0] + "a", strings.Repeat("é", 12),
		strings.Repeat("9", 24)} {
		if _, ok := recoveryCode(typed); ok {
			t.Errorf("%q was read as a recovery code", typed)
		}
	}
}

func TestSecretForAnAuthenticatorIsReadByItWhateverTheNames(t *testing.T) {
	t.Parallel()
	secret := newTOTPSecret()
	u, err := url.Parse(totpURI("Ada's & Söhne: ID", "ada/ñ?", secret))
	if err != nil {
		t.Fatal(err)
	}
	got, err := base32.StdEncoding.DecodeString(u.Query().Get("secret"))
	if err != nil || string(got) != string(secret) || u.Scheme != "otpauth" || u.Host != "totp" ||
		u.Query().Get("issuer") != "Ada's & Söhne: ID" ||
		u.Path != "/Ada's & Söhne: ID:ada/ñ?" {
		t.Errorf("%s: %v", u, err)
	}
}

func FuzzCodes(f *testing.F) {
	for _, typed := range []string{"123456", "12 34 56", "k3v9qz-ab2cde-fgh4ij-klm5no", "１２３", "\x00", ""} {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		if code, ok := oneTimeCode(typed); ok && len(code) != totpDigits {
			t.Errorf("%q: %q", typed, code)
		}
		if code, ok := recoveryCode(typed); ok && len(code) != recoveryLength {
			t.Errorf("%q: %q", typed, code)
		}
	})
}
