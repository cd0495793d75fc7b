package providertest

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// Basic is an Authorization header made of raw text.
func Basic(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }

// Try posts a form to the token endpoint with these Authorization headers.
func (w *World) Try(path string, form url.Values, authorization ...string) AnswerJSON {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	return w.Send(r)
}

func With(form url.Values, add ...string) url.Values {
	out := maps.Clone(form)
	for i := 0; i+1 < len(add); i += 2 {
		out.Set(add[i], add[i+1])
	}
	return out
}
