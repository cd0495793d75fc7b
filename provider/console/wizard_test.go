package console_test

import (
	"html"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

var (
	secretOnPage = regexp.MustCompile(`<code dir="ltr"><bdi>([A-Za-z0-9_-]{40,})</bdi></code>`)
	configOnPage = regexp.MustCompile(`(?s)<pre id="config"[^>]*><code>(.*?)</code></pre>`)
)

func TestEveryRecipeRegistersAnApplicationThatWorks(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("recipes")
	if err != nil || len(files) < 18 {
		t.Fatalf("%d recipes, %v", len(files), err)
	}
	w := providertest.New(t)
	b, _ := visitor(t, w, storage.RoleOwner)
	start := b.Open("/admin/applications/new")
	for _, f := range files {
		id := strings.TrimSuffix(f.Name(), ".yaml")
		t.Run(id, func(t *testing.T) {
			if !strings.Contains(start.Body, "kind="+id+`"`) {
				t.Error("the wizard does not offer it")
			}
			form := b.Open("/admin/applications/new?kind=" + id)
			whole(t, form)
			address := "https://" + id + ".example.org"
			made := b.Submit(form, "address", url.Values{"client_name": {"My " + id}, "address": {address + "/"}})
			if made.StatusCode != http.StatusOK || !made.Has("console-application-made") {
				t.Fatalf("%d %s", made.StatusCode, made.Body)
			}
			whole(t, made)
			m := configOnPage.FindStringSubmatch(made.Body)
			if m == nil {
				t.Fatalf("no configuration: %s", made.Body)
			}
			text := html.UnescapeString(m[1])
			all, err := w.Store.Clients(t.Context(), "", 500)
			if err != nil {
				t.Fatal(err)
			}
			var client clients.Client
			for _, c := range all {
				if c.ClientName == "My "+id {
					client = c
				}
			}
			for _, has := range []string{client.ID, w.Issuer} {
				if has == "" || !strings.Contains(text, has) {
					t.Errorf("the configuration lacks %q:\n%s", has, text)
				}
			}
			if strings.Contains(text, "{address}") || strings.Contains(strings.Join(client.RedirectURIs, " "),
				"{address}") {
				t.Errorf("%v\n%s", client.RedirectURIs, text)
			}
			if len(client.RedirectURIs) == 0 {
				t.Error("there is nowhere to come back to")
			}
			if !client.UsesSecret() {
				return
			}
			secret := secretOnPage.FindStringSubmatch(made.Body)
			if secret == nil || !strings.Contains(text, secret[1]) {
				t.Errorf("the secret is not in the configuration: %v\n%s", secret, text)
			}
			// The relying party inside runs it, as whoever asks.
			tried := b.Submit(made, "try-form-submit", url.Values{"action": {"try"}})
			if tried.StatusCode != http.StatusOK || !tried.Has("steps") || strings.Contains(tried.Body,
				`<li class="failed">`) {
				t.Errorf("%d %s", tried.StatusCode, tried.Body)
			}
			whole(t, tried)
		})
	}
}

func TestTheRelyingPartyInsidePushesWhereEverybodyHasTo(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.RequirePushedAuthorizationRequests = true })
	b, _ := visitor(t, w, storage.RoleOwner)
	c := w.AddClient("green", func(c *clients.Client) { c.PostLogoutRedirectURIs = []string{"https://green.example/bye"} })
	p := b.Submit(b.Open("/admin/applications/"+c.ID), "try-form-submit",
		url.Values{"action": {"try"}, "client_secret": {providertest.TestSecret}})
	if !p.Has("console-notice") || strings.Contains(p.Body, `<li class="failed">`) {
		t.Errorf("%s", p.Body)
	}
}

func TestTheRelyingPartyInsideSaysGreenOrTheStepThatFails(t *testing.T) {
	t.Parallel()
	for _, below := range []string{"", "/id"} {
		w := providertest.New(t, func(c *provider.Config) { c.Issuer += below })
		b, u := visitor(t, w, storage.RoleOwner)
		if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "others"}); err != nil {
			t.Fatal(err)
		}
		good := func(c *clients.Client) {
			c.PostLogoutRedirectURIs = []string{"https://" + c.ID + ".example/bye"}
		}
		try := func(c clients.Client, secret string) providertest.Page {
			t.Helper()
			p := b.Submit(b.Open(w.Web.Path+"/admin/applications/"+c.ID), "try-form-submit",
				url.Values{"action": {"try"}, "client_secret": {secret}})
			whole(t, p)
			return p
		}
		green := func(p providertest.Page) bool {
			return p.Has("console-notice") && !strings.Contains(p.Body, `<li class="failed">`) &&
				!strings.Contains(p.Body, `<li class="waiting">`)
		}
		if p := try(w.AddClient("green", good), providertest.TestSecret); !green(p) {
			t.Errorf("%s", p.Body)
		}
		asks := w.AddClient("asks", good, providertest.AsksConsent)
		if p := try(asks, providertest.TestSecret); !green(p) || !strings.Contains(p.Body, "people are asked") {
			t.Errorf("%s", p.Body)
		}
		// What the trial was given is taken back, the consent too.
		if _, err := w.Store.Consent(t.Context(), u.ID, asks.ID); err == nil {
			t.Error("the consent stays")
		}
		// What was allowed before stays as it was, and does not grow by what the trial asks for.
		partly := w.AddClient("partly", good, providertest.AsksConsent)
		if err := w.Store.AddConsent(t.Context(), storage.Consent{UserID: u.ID, ClientID: partly.ID,
			Appearance: partly.Identity(), Scope: []string{"openid"}, CreatedAt: w.Web.Now(),
			UpdatedAt: w.Web.Now()}); err != nil {
			t.Fatal(err)
		}
		if p := try(partly, providertest.TestSecret); !green(p) || !strings.Contains(p.Body, "people are asked") {
			t.Errorf("%s", p.Body)
		}
		if is, err := w.Store.Consent(t.Context(), u.ID, partly.ID); err != nil ||
			!slices.Equal(is.Scope, []string{"openid"}) {
			t.Errorf("%v: the consent is for %v", err, is.Scope)
		}
		if grants, err := w.Store.GrantsOfUser(t.Context(), u.ID, w.Web.Now()); err != nil || len(grants) != 0 {
			t.Errorf("%v %v", grants, err)
		}
		if p := try(w.AddClient("public", good, providertest.Public), ""); !green(p) {
			t.Errorf("%s", p.Body)
		}
		pushes := func(c *clients.Client) { c.RequirePushedAuthorizationRequests = true }
		if p := try(w.AddClient("pushes", good, pushes), providertest.TestSecret); !green(p) {
			t.Errorf("%s", p.Body)
		}
		if p := try(w.AddClient("pushes-in-public", good, pushes, providertest.Public), ""); !green(p) {
			t.Errorf("%s", p.Body)
		}
		for what, c := range map[string]struct {
			client clients.Client
			secret string
			says   string
		}{
			"pushed with a wrong secret": {w.AddClient("pushes-wrong", good, pushes), "another-secret-that-is-long-enough",
				"the request cannot be pushed"},
			"pushed without a secret": {w.AddClient("pushes-later", good, pushes), "", "enter the client secret"},
			"bound tokens": {w.AddClient("bound", good, func(c *clients.Client) { c.DPoPBoundAccessTokens = true }),
				providertest.TestSecret, "a key of its own (DPoP)"},
			"signed requests": {w.AddClient("signs", good,
				func(c *clients.Client) { c.RequireSignedRequestObject = true }), providertest.TestSecret, "signs its requests"},
			"a wrong secret": {w.AddClient("wrong", good), "another-secret-that-is-long-enough",
				"the client secret is wrong"},
			"no secret": {w.AddClient("later", good), "", "enter the client secret"},
			"who may not use it": {w.AddClient("closed", good,
				func(c *clients.Client) { c.AllowedGroups = []string{"others"} }), providertest.TestSecret,
				"you may not use this application"},
			"disabled": {w.AddClient("off", good, func(c *clients.Client) { c.Disabled = true }),
				providertest.TestSecret, "the provider shows a page"},
			"a new sign-in": {w.AddClient("again", good,
				func(c *clients.Client) { zero := int64(0); c.DefaultMaxAge = &zero }), providertest.TestSecret,
				"new sign-in"},
			"no way back": {w.AddClient("stay"), providertest.TestSecret, "no post_logout_redirect_uri"},
			"a key of its own": {w.AddClient("keyed", good,
				func(c *clients.Client) { c.TokenEndpointAuthMethod = "private_key_jwt" }), "", "its own key"},
			"no openid in its scope": {w.AddClient("narrow", good, func(c *clients.Client) { c.Scope = "orders:read" }),
				providertest.TestSecret, "failed"},
		} {
			w.Clock.Advance(time.Second)
			if p := try(c.client, c.secret); green(p) || !strings.Contains(html.UnescapeString(p.Body), c.says) {
				t.Errorf("%s: %s", what, p.Body)
			}
		}
		if strings.Contains(w.Log.String(), providertest.TestSecret) {
			t.Error("a secret is in the log")
		}
	}
}
