package console_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestAPreviewShowsWhatTheTokensSay(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a := as(t, w, storage.RoleAuditor)
	if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "staff",
		Roles: []string{"boss"}}); err != nil {
		t.Fatal(err)
	}
	u := w.AddUser("ada", "staff")
	for _, client := range []clients.Client{
		w.AddClient("plain"), w.AddClient("whole",
			func(c *clients.Client) { c.ClaimsInIDToken, c.BackchannelLogoutURI = true, "https://whole.example/out" }),
		w.AddClient("narrow", func(c *clients.Client) { c.Scope = "openid email" }),
		w.AddClient("api", func(c *clients.Client) { c.Audience = []string{"https://api.example"} }),
	} {
		scope := "openid profile email groups"
		if client.Scope != "" {
			scope = client.Scope
		}
		got := a.want(a.call("GET", "/people/"+u.ID+"/tokens/"+client.ID+"?scope="+url.QueryEscape(scope), nil),
			http.StatusOK)
		tokens := w.Redeem(client, w.Browser().Code(client, "ada", "scope", scope))
		r, err := http.NewRequest("GET", w.Issuer+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tokens.Str("access_token"))
		for what, real := range map[string]map[string]any{
			"id_token": providertest.ClaimsOf(t, tokens.Str("id_token")), "access_token": providertest.ClaimsOf(t,
				tokens.Str("access_token")), "userinfo": w.Send(r).JSON,
		} {
			list, _ := got.json[what].([]any)
			var names []string
			for _, one := range list {
				claim, _ := one.(map[string]any)
				name, _ := claim["name"].(string)
				names = append(names, name)
				value, there := claim["value"]
				if there && !same(value, real[name]) {
					t.Errorf("%s of %s: %s is %v, and the preview says %v", what, client.ID, name, real[name], value)
				}
				if reason, _ := claim["reason"].(string); reason == "" || name == "email" && reason != "scope email" ||
					name == "roles" && reason != "scope groups" {
					t.Errorf("%s of %s: the reason for %s is %q", what, client.ID, name, reason)
				}
			}
			var want []string
			for name := range real {
				want = append(want, name)
			}
			slices.Sort(want)
			if !slices.Equal(names, want) {
				t.Errorf("%s of %s has %v, and the preview says %v", what, client.ID, want, names)
			}
		}
	}
	if got := a.call("GET", "/people/"+u.ID+"/tokens/plain?scope=%22",
		nil); got.StatusCode != http.StatusUnprocessableEntity || !slices.Contains(got.fields(), "scope") {
		t.Errorf("%d %s", got.StatusCode, got.text)
	}
	if events, err := w.Store.Events(t.Context(), storage.EventFilter{Object: u.ID, VerbPrefix: "user.preview_tokens"},
		"", 10); err != nil || len(events) != 4 {
		t.Errorf("%d events, %v", len(events), err)
	}
	b, _ := visitor(t, w, storage.RoleOwner)
	if p := b.Open("/admin/preview?person=ada&application=whole"); !p.Has("id-token") || !p.Has("userinfo") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	} else {
		whole(t, p)
	}
}

func same(a, b any) bool {
	list, ok := a.([]any)
	other, ok2 := b.([]any)
	if ok && ok2 {
		return slices.EqualFunc(list, other, same)
	}
	return a == b
}
