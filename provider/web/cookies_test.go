package web

import (
	"maps"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"latchkey/keys"
)

func TestCookiesOfBothFormsAreRead(t *testing.T) {
	t.Parallel()
	sealer, err := keys.NewSealer([]byte("only tests use a master key like this"))
	if err != nil {
		t.Fatal(err)
	}
	site := &Site{cookies: newCookieStore(sealer, false)}
	// as the library writes them
	before := sessions.NewCookieStore(sealer.Derive("cookie authentication", 64), sealer.Derive("cookie encryption", 32))
	for name, store := range map[string]*sessions.CookieStore{"as they are": site.cookies, "as they were": before} {
		rec, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		envelope := sessions.NewSession(store, "latchkey")
		envelope.Options = &sessions.Options{Path: "/"}
		envelope.Values["ref"], envelope.Values["known"] = "a reference", `"{}`
		if err := store.Save(r, rec, envelope); err != nil {
			t.Fatal(err)
		}
		r.AddCookie(rec.Result().Cookies()[0])
		if got := site.Cookie(r, "latchkey"); got != "a reference" {
			t.Errorf("%s: %q", name, got)
		}
		read, err := site.cookies.New(r, "latchkey")
		if err != nil || !maps.Equal(read.Values, envelope.Values) {
			t.Errorf("%s: %v, %v", name, read.Values, err)
		}
	}
}

func TestOnlyStringsAreKeptInCookies(t *testing.T) {
	t.Parallel()
	for _, bad := range []any{map[any]any{"ref": 1}, map[any]any{1: "ref"}, map[string]string{}, nil} {
		if out, err := (cookieValues{}).Serialize(bad); err == nil {
			t.Errorf("%v is written as %s", bad, out)
		}
	}
	var into map[any]any
	for _, bad := range []string{"", "{", `{"ref":1}`, `{"ref":"a"}}`, "\x0e", "null"} {
		if err := (cookieValues{}).Deserialize([]byte(bad), &into); err == nil {
			t.Errorf("%q is read as %v", bad, into)
		}
	}
	// The library's form begins with something else, so that the two are never mixed up.
	gob, err := securecookie.GobEncoder{}.Serialize(map[any]any{"ref": "a"})
	if err != nil || gob[0] == '{' {
		t.Errorf("%q, %v", gob, err)
	}
}
