package providertest

import (
	"net/http"
	"net/url"
	"strings"
)

var Allow = url.Values{"decision": {"allow"}}

// FormAction is where the form of a page with this element leads.
func (p Page) FormAction(id string) string {
	for _, f := range FormTag.FindAllStringSubmatch(p.Body, -1) {
		if strings.Contains(f[2], `id="`+id+`"`) {
			return Attributes(f[1])["action"]
		}
	}
	return ""
}

// SignInOver signs the person in on the sign-in page of the interaction that the page p belongs to,
// without following where that leads.
func (b *Browser) SignInOver(p Page, username string) Page {
	b.w.t.Helper()
	i := p.Request.URL.Query().Get("i")
	login := b.Get(b.w.Web.Path + "/login?switch=1&i=" + i)
	return b.Submit(login, "login-submit", url.Values{"username": {username}, "password": {TestPassword}})
}

// UserinfoOf asks userinfo with an access token.
func (w *World) UserinfoOf(token string) AnswerJSON {
	w.t.Helper()
	r, err := http.NewRequest("GET", w.Issuer+"/userinfo", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return w.Send(r)
}

func AccountForm(p Page, account string) url.Values {
	form := url.Values{"account": {account}}
	for _, in := range InputTag.FindAllStringSubmatch(p.Body, -1) {
		if a := Attributes(in[1]); a["name"] == "csrf" {
			form.Set("csrf", a["value"])
		}
	}
	return form
}
