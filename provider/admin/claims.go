package admin

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"latchkey/provider/storage"
)

var birthdate = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2}|\d{4})$`)

// zone is the name of a time zone, as far as its form goes: the list of them differs from machine
// to machine.
var zone = regexp.MustCompile(`^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$`)

// CheckClaims says all that is wrong with the claims about a user (OIDC Core §5.1), nil if nothing
// is.
func CheckClaims(c storage.Claims) Faults {
	faults := checkTexts("claims", reflect.ValueOf(c))
	bad := func(field, value, text string) {
		faults = append(faults, Fault{Field: "claims." + field, Reason: Invalid, Value: value, Text: text})
	}
	if c.Email != "" && !isAddress(c.Email) {
		bad("email", c.Email, "is not an address such as ada@example.com")
	}
	if c.EmailVerified && c.Email == "" {
		bad("email_verified", "", "is set, but there is no email")
	}
	if c.PhoneNumberVerified && c.PhoneNumber == "" {
		bad("phone_number_verified", "", "is set, but there is no phone_number")
	}
	for _, link := range [][2]string{{"profile", c.Profile}, {"picture", c.Picture}, {"website", c.Website}} {
		u, err := url.Parse(link[1])
		if link[1] != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
			bad(link[0], link[1], "is not a web address such as https://example.com/ada")
		}
	}
	if c.Birthdate != "" {
		_, err := time.Parse("2006-01-02", strings.Replace(c.Birthdate, "0000-", "2000-", 1))
		if !birthdate.MatchString(c.Birthdate) || len(c.Birthdate) > 4 && err != nil {
			bad("birthdate", c.Birthdate, "is not YYYY-MM-DD, 0000-MM-DD or YYYY")
		}
	}
	if c.Zoneinfo != "" && !zone.MatchString(c.Zoneinfo) {
		bad("zoneinfo", c.Zoneinfo, "is not the name of a time zone such as Europe/Berlin")
	}
	if c.Locale != "" {
		if _, err := language.Parse(c.Locale); err != nil {
			bad("locale", c.Locale, "is not a language tag such as en-GB")
		}
	}
	return faults
}

// isAddress reports whether s has the form of one e-mail address. Whether mail arrives there is
// another question.
func isAddress(s string) bool {
	i := strings.LastIndex(s, "@")
	if i < 1 || strings.ContainsAny(s, " \t<>,;") {
		return false
	}
	host := s[i+1:]
	return host != "" && !strings.HasPrefix(host, ".")
}

// checkTexts bounds every text in a record, and refuses characters that nobody can see.
func checkTexts(field string, v reflect.Value) (faults Faults) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return checkTexts(field, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			faults = append(faults, checkTexts(field+"."+name, v.Field(i))...)
		}
	case reflect.String:
		s, text := v.String(), ""
		switch {
		case !utf8.ValidString(s):
			text = "is not valid UTF-8"
		case len(s) > maxClaim:
			text = fmt.Sprintf("is longer than %d bytes", maxClaim)
		case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }):
			text = "has control characters"
		}
		if text != "" {
			return Faults{{Field: field, Reason: Invalid, Text: text}}
		}
	}
	return faults
}

// maxClaim bounds one claim, in bytes.
const maxClaim = 2000
