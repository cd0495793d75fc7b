package mail_test

import (
	"net/mail"
	"strings"
	"testing"

	ours "latchkey/provider/mail"
)

// FuzzCheckAddress accepts only what can stand in a header and in an SMTP command without becoming
// two of them.
func FuzzCheckAddress(f *testing.F) {
	f.Add("ada@example.com")
	f.Add("\"a b\"@example.com")
	f.Add("ada@example.com\r\nBcc: eve@example.com")
	f.Add("<ada@example.com>, eve@example.com")
	f.Fuzz(func(t *testing.T, s string) {
		if ours.CheckAddress(s) != nil {
			return
		}
		list, err := mail.ParseAddressList(s)
		if err != nil || len(list) != 1 || list[0].Address != s || strings.ContainsAny(s, "\r\n<> ,;\x00") ||
			len(s) > 254 {
			t.Errorf("%q is accepted: %v, %v", s, list, err)
		}
	})
}
