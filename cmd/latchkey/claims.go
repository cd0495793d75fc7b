package main

import (
	"errors"
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

// checkClaims says what is wrong with the claims about a person (OIDC Core §5.1).
func checkClaims(c storage.Claims) error {
	if err := checkTexts(reflect.ValueOf(c)); err != nil {
		return err
	}
	if c.Email != "" {
		local, host, ok := cutLast(c.Email, "@")
		if !ok || local == "" || !strings.Contains(host+".", ".") || strings.ContainsAny(c.Email, " \t<>,;") || strings.HasPrefix(host, ".") || host == "" {
			return fmt.Errorf("email %q is not an address such as ada@example.com", c.Email)
		}
	}
	if c.EmailVerified && c.Email == "" {
		return errors.New("email_verified is set, but there is no email")
	}
	if c.PhoneNumberVerified && c.PhoneNumber == "" {
		return errors.New("phone_number_verified is set, but there is no phone_number")
	}
	for name, v := range map[string]string{"profile": c.Profile, "picture": c.Picture, "website": c.Website} {
		if u, err := url.Parse(v); v != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
			return fmt.Errorf("%s %q is not a web address such as https://example.com/ada", name, v)
		}
	}
	if c.Birthdate != "" {
		_, err := time.Parse("2006-01-02", strings.Replace(c.Birthdate, "0000-", "2000-", 1))
		if !birthdate.MatchString(c.Birthdate) || len(c.Birthdate) > 4 && err != nil {
			return fmt.Errorf("birthdate %q is not YYYY-MM-DD, 0000-MM-DD or YYYY", c.Birthdate)
		}
	}
	if c.Zoneinfo != "" {
		if ok, _ := regexp.MatchString(`^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$`, c.Zoneinfo); !ok {
			return fmt.Errorf("zoneinfo %q is not the name of a time zone such as Europe/Berlin", c.Zoneinfo)
		}
	}
	if c.Locale != "" {
		if _, err := language.Parse(c.Locale); err != nil {
			return fmt.Errorf("locale %q is not a language tag such as en-GB", c.Locale)
		}
	}
	return nil
}

// checkTexts bounds every text in a record, and keeps characters out that a person cannot see.
func checkTexts(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return checkTexts(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if err := checkTexts(v.Field(i)); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
		}
	case reflect.String:
		s := v.String()
		switch {
		case !utf8.ValidString(s):
			return errors.New("is not valid UTF-8")
		case len(s) > 2000:
			return errors.New("is longer than 2000 bytes")
		case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }):
			return errors.New("has control characters")
		}
	}
	return nil
}
