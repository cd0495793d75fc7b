package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"

	"latchkey/templates"
)

// CSRF is the value that a form of this browser for this purpose carries. It says nothing and is
// worth nothing elsewhere.
func (s *Site) CSRF(browser, purpose string) string {
	mac := hmac.New(sha256.New, s.csrfKey)
	mac.Write([]byte(browser + "\x00" + purpose))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// CheckCSRF refuses a form that was not rendered for this browser and purpose.
func (s *Site) CheckCSRF(r *http.Request, sent, purpose string) error {
	browser := s.Cookie(r, BrowserCookie)
	if browser == "" {
		return RefusePage(http.StatusForbidden, templates.CookieMissing)
	}
	if subtle.ConstantTimeCompare([]byte(sent), []byte(s.CSRF(browser, purpose))) != 1 {
		return RefusePage(http.StatusForbidden, templates.FormExpired)
	}
	return nil
}
