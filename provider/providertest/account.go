package providertest

import (
	"net/url"

	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Change posts a form of one of the account pages, with the token that the page has for this browser
// and session.
func (b *Browser) Change(s storage.Session, form url.Values) Page {
	b.w.t.Helper()
	form.Set("csrf", b.w.Web.CSRF(b.w.Web.Cookie(b.Request("/"), web.BrowserCookie), "account:"+s.ID))
	path := "/account/sessions"
	if form.Get("action") == "disconnect" {
		path = "/account/connections"
	}
	return b.Post(path, form)
}
