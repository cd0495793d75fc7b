package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
)

// CSRF is the value that a form of this browser for this purpose carries. It says nothing and is worth nothing elsewhere.
func (s *Site) CSRF(browser, purpose string) string {
	mac := hmac.New(sha256.New, s.csrfKey)
	mac.Write([]byte(browser + "\x00" + purpose))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// CheckCSRF refuses a form that was not rendered for this browser and purpose.
func (s *Site) CheckCSRF(r *http.Request, sent, purpose string) error {
	browser := s.Cookie(r, BrowserCookie)
	if browser == "" {
		return RefusePage(http.StatusForbidden, "Your browser did not send our cookie",
			"Without the cookie that was set when the page was shown we cannot tell that the form is yours, so nothing was done.",
			"Allow cookies for this site, then go back to the application and start again.")
	}
	if subtle.ConstantTimeCompare([]byte(sent), []byte(s.CSRF(browser, purpose))) != 1 {
		return RefusePage(http.StatusForbidden, "This form is not valid any more",
			"It was shown to another browser or for another request, so nothing was done.", "Go back to the application and start again.")
	}
	return nil
}
