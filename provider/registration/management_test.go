package registration_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestManagementNeedsTheClientsOwnToken(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	x, _ := w.Registered(goodMetadata)
	y, _ := w.Registered(goodMetadata)
	w.AddClient("web-a")
	if err := w.Store.CreateToken(context.Background(), storage.Token{Hash: storage.Hash("access"),
		Kind: storage.TokenAccess, ClientID: x.Str("client_id"), ExpiresAt: w.Now().AddDate(1, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	at := x.Str("registration_client_uri")
	for name, c := range map[string]struct{ target, token string }{
		"none": {at, ""}, "another client's": {at, y.Str("registration_access_token")},
		"the secret": {at, x.Str("client_secret")}, "an access token": {at, "access"},
		"an initial access token": {at, w.InitialToken()}, "nonsense": {at, "nonsense"},
		"the hash":                 {at, storage.Hash(x.Str("registration_access_token"))},
		"an unknown client":        {w.Issuer + "/register/nobody", x.Str("registration_access_token")},
		"an administrator's":       {w.Issuer + "/register/web-a", x.Str("registration_access_token")},
		"an administrator's, none": {w.Issuer + "/register/web-a", ""},
	} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			var body any
			if method == "PUT" {
				body = goodMetadata.with(object{"client_id": x.Str("client_id"), "client_name": "changed"})
			}
			a := w.Json(method, c.target, c.token, body)
			if code := a.Str("error"); a.StatusCode != 401 || code != "invalid_token" && c.token != "" || code != "" &&
				c.token == "" || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer ") ||
				a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s by %s: %d %v %v", method, name, a.StatusCode, a.JSON, a.Header)
			}
		}
	}
	if a := w.Json("GET", at+"?access_token="+x.Str("registration_access_token"), "", nil); a.StatusCode < 400 {
		t.Errorf("in the URL: %d", a.StatusCode)
	}
	if a := w.Json("POST", at, x.Str("registration_access_token"),
		goodMetadata); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", a.StatusCode)
	}
	// Nothing has changed, and the right token works.
	a := w.Json("GET", at, x.Str("registration_access_token"), nil)
	if a.StatusCode != 200 || a.Str("client_name") != "App A" {
		t.Errorf("%d %v", a.StatusCode, a.JSON)
	}
}

func TestReadingARegistrationTellsWhatIsRegistered(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	made, _ := w.Registered(goodMetadata.with(object{"initiate_login_uri": "https://a.test/start"}))
	a := w.Json("GET", made.Str("registration_client_uri"), made.Str("registration_access_token"), nil)
	// only the hash is kept
	want := object(made.JSON).with(object{"client_secret": nil, "client_secret_expires_at": nil})
	if a.StatusCode != 200 || !reflect.DeepEqual(object(a.JSON), want) ||
		a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d\ngot  %v\nwant %v", a.StatusCode, a.JSON, want)
	}
}

func TestUpdateReplacesWhatTheClientSaysOfItself(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	made, before := w.Registered(goodMetadata.with(object{"policy_uri": "https://p.test",
		"contacts": []string{"a@a.test"}}))
	before.AllowedGroups, before.ClaimsInIDToken = []string{"staff"}, true // an administrator decided
	if err := w.Store.UpdateClient(context.Background(), before); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(1e9)
	at, token := made.Str("registration_client_uri"), made.Str("registration_access_token")
	a := w.Json("PUT", at, token, object{"client_id": before.ID, "client_secret": made.Str("client_secret"),
		"redirect_uris": []string{"https://a.test/new"}, "client_name": "Renamed", "skip_consent": true,
		"allowed_groups": []string{}})
	if a.StatusCode != 200 || a.Str("client_name") != "Renamed" || a.JSON["policy_uri"] != nil ||
		a.Str("registration_access_token") != token || a.Str("client_id") != before.ID {
		t.Fatalf("%d %v", a.StatusCode, a.JSON)
	}
	after, err := w.Store.Client(context.Background(), before.ID)
	if err != nil {
		t.Fatal(err)
	}
	if after.PolicyURI != "" || after.Contacts != nil || after.RedirectURIs[0] != "https://a.test/new" ||
		after.CORSOrigins[0] != "https://a.test" || !after.CreatedAt.Equal(before.CreatedAt) ||
		!after.UpdatedAt.After(before.UpdatedAt) || !after.Dynamic || after.SkipConsent ||
		!reflect.DeepEqual(after.AllowedGroups, []string{"staff"}) || !after.ClaimsInIDToken {
		t.Errorf("stored %+v", after)
	}
	if !w.ClientAuth.Secrets.Check(after, made.Str("client_secret"), w.Now()) {
		t.Error("the secret was lost")
	}
	if a := w.Json("GET", at, token, nil); a.StatusCode != 200 || a.Str("client_name") != "Renamed" {
		t.Errorf("read again: %d %v", a.StatusCode, a.JSON)
	}
}

func TestWhatAnAdministratorDecidedSurvivesAnUpdate(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	ctx := context.Background()
	made, _ := w.Registered(goodMetadata)
	c, err := w.Store.Client(ctx, made.Str("client_id"))
	if err != nil || !c.WithoutPKCE {
		t.Fatalf("%+v %v", c, err)
	}
	c.WithoutPKCE, c.LegacyAssertionAudience, c.AllowedGroups = false, false, []string{"staff"}
	if err := w.Store.UpdateClient(ctx, c); err != nil {
		t.Fatal(err)
	}
	a := w.Json("PUT", made.Str("registration_client_uri"), made.Str("registration_access_token"),
		goodMetadata.with(object{"client_id": c.ID, "client_name": "Renamed"}))
	got, err := w.Store.Client(ctx, c.ID)
	if a.StatusCode != 200 || err != nil || got.ClientName != "Renamed" || got.WithoutPKCE ||
		got.LegacyAssertionAudience || len(got.AllowedGroups) != 1 {
		t.Errorf("%d %v %+v %v", a.StatusCode, a.JSON, got, err)
	}
}

func TestUpdateIsCheckedAsRegistrationIs(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	made, before := w.Registered(goodMetadata)
	good := goodMetadata.with(object{"client_id": before.ID})
	for name, c := range map[string]struct {
		body   any
		status int
		code   string
	}{
		"no client_id":      {goodMetadata, 400, "invalid_client_metadata"},
		"another client_id": {good.with(object{"client_id": "web-a"}), 400, "invalid_client_metadata"},
		"client_id no string": {good.with(object{"client_id": []string{before.ID}}), 400,
			"invalid_client_metadata"},
		"another secret": {good.with(object{"client_secret": "mine-mine-mine-mine-mine"}), 400,
			"invalid_client_metadata"},
		"secret no string": {good.with(object{"client_secret": 1}), 400, "invalid_client_metadata"},
		"empty secret":     {good.with(object{"client_secret": ""}), 400, "invalid_client_metadata"},
		"redirect URI": {good.with(object{"redirect_uris": []string{"javascript:x"}}), 400,
			"invalid_redirect_uri"},
		"client_credentials": {good.with(object{"grant_types": []string{"client_credentials"}}), 400,
			"invalid_client_metadata"},
		"alg none": {good.with(object{"id_token_signed_response_alg": "none"}), 400,
			"invalid_client_metadata"},
		"scope": {good.with(object{"scope": "admin"}), 400, "invalid_client_metadata"},
		"sector": {good.with(object{"sector_identifier_uri": w.Issuer + "/nothing"}), 400,
			"invalid_client_metadata"},
		"software statement": {good.with(object{"software_statement": "x"}), 400, "unapproved_software_statement"},
		"a list":             {"[]", 400, "invalid_client_metadata"},
		"nothing":            {"{}", 400, "invalid_client_metadata"},
		"too large":          {strings.Repeat(" ", 100<<10), 413, "invalid_request"},
		"strings for lists": {good.with(object{"redirect_uris": "https://a.test/cb"}), 400,
			"invalid_client_metadata"},
		"keys in two places": {good.with(object{"jwks": json.RawMessage(testClientJWKS),
			"jwks_uri": "https://a.test/k"}), 400, "invalid_client_metadata"},
		"addresses that are ours": {good.with(object{"jwks_uri": "https://10.0.0.1/k"}), 400,
			"invalid_client_metadata"},
	} {
		a := w.Json("PUT", made.Str("registration_client_uri"), made.Str("registration_access_token"), c.body)
		if a.StatusCode != c.status || a.Str("error") != c.code {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.JSON)
		}
	}
	after, err := w.Store.Client(context.Background(), before.ID)
	if err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("%v\nbefore %+v\nafter  %+v", err, before, after)
	}
}

func TestSecretsFollowTheWayToAuthenticate(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	made, c := w.Registered(goodMetadata.with(object{"token_endpoint_auth_method": "none"}))
	at, token := made.Str("registration_client_uri"), made.Str("registration_access_token")
	update := func(change object) (providertest.AnswerJSON, clients.Client) {
		t.Helper()
		a := w.Json("PUT", at, token, goodMetadata.with(object{"client_id": c.ID}).with(change))
		if a.StatusCode != 200 {
			t.Fatalf("%d %v", a.StatusCode, a.JSON)
		}
		stored, err := w.Store.Client(context.Background(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return a, stored
	}
	a, stored := update(object{"token_endpoint_auth_method": "client_secret_basic"})
	first := a.Str("client_secret")
	if first == "" || !w.ClientAuth.Secrets.Check(stored, first, w.Now()) || !stored.WithoutPKCE ||
		stored.Type != clients.TypeWeb || a.JSON["client_secret_expires_at"] != float64(0) {
		t.Errorf("from none to basic: %v", a.JSON)
	}
	a, stored = update(object{"token_endpoint_auth_method": "client_secret_jwt"})
	second := a.Str("client_secret")
	if plain, err := w.Sealer.Open(stored.SealedSecret, clients.SealedSecretData(c.ID)); second == "" ||
		second == first || err != nil || string(plain) != second || w.ClientAuth.Secrets.Check(stored, first, w.Now()) {
		t.Errorf("from basic to jwt without the secret: %v %v", a.JSON, err)
	}
	a, stored = update(object{"token_endpoint_auth_method": "client_secret_post"})
	if a.Str("client_secret") != "" || stored.SealedSecret != nil || !w.ClientAuth.Secrets.Check(stored, second,
		w.Now()) {
		t.Errorf("from jwt to post: %v", a.JSON)
	}
	a, stored = update(object{"token_endpoint_auth_method": "client_secret_jwt", "client_secret": second})
	if plain, err := w.Sealer.Open(stored.SealedSecret, clients.SealedSecretData(c.ID)); err != nil ||
		string(plain) != second || a.Str("client_secret") != second {
		t.Errorf("from post to jwt with the secret: %v %v", a.JSON, err)
	}
	a, stored = update(object{"token_endpoint_auth_method": "none"})
	if a.Str("client_secret") != "" || stored.SecretHash != nil || stored.SealedSecret != nil || stored.WithoutPKCE ||
		!stored.RequiresPKCE() {
		t.Errorf("to none: %v %+v", a.JSON, stored)
	}
}

func TestADisabledClientStaysDisabled(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	made, c := w.Registered(goodMetadata)
	c.Disabled = true
	if err := w.Store.UpdateClient(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	at, token := made.Str("registration_client_uri"), made.Str("registration_access_token")
	for method, body := range map[string]any{"PUT": goodMetadata.with(object{"client_id": c.ID, "disabled": false,
		"token_endpoint_auth_method": "client_secret_jwt"}), "DELETE": nil} {
		if a := w.Json(method, at, token, body); a.StatusCode != 403 || a.Str("error") != "access_denied" {
			t.Errorf("%s: %d %v", method, a.StatusCode, a.JSON)
		}
	}
	if a := w.Json("GET", at, token, nil); a.StatusCode != 200 {
		t.Errorf("GET: %d %v", a.StatusCode, a.JSON)
	}
	after, err := w.Store.Client(context.Background(), c.ID)
	if err != nil || !after.Disabled || !reflect.DeepEqual(after.SecretHash, c.SecretHash) {
		t.Errorf("%v %+v", err, after)
	}
}

func TestADeletedClientIsGone(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	made, c := w.Registered(goodMetadata)
	at, token := made.Str("registration_client_uri"), made.Str("registration_access_token")
	if a := w.Json("DELETE", at, token, nil); a.StatusCode != http.StatusNoContent ||
		a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", a.StatusCode, a.JSON)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if a := w.Json(method, at, token, goodMetadata.with(object{"client_id": c.ID})); a.StatusCode != 401 ||
			a.Str("error") != "invalid_token" {
			t.Errorf("%s: %d %v", method, a.StatusCode, a.JSON)
		}
	}
	if p := w.Browser().Get(w.Request(c)); p.StatusCode != 400 || p.Header.Get("Location") != "" {
		t.Errorf("authorization: %d %q", p.StatusCode, p.Header.Get("Location"))
	}
}

func TestRegistrationIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	a, _ := w.Registered(goodMetadata)
	id, token, secret := a.Str("client_id"), a.Str("registration_access_token"), a.Str("client_secret")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		r, err := http.NewRequest(method, a.Str("registration_client_uri"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if a := w.Send(r); a.StatusCode >= 300 {
			t.Fatalf("%s: %d", method, a.StatusCode)
		}
	}
	events, err := w.Store.Events(t.Context(), storage.EventFilter{Object: id}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].Verb != "client.delete" || events[1].Verb != "client.create" {
		t.Fatalf("%+v", events)
	}
	for _, e := range events {
		if e.Actor.Kind != storage.ActorClient || e.Outcome != storage.OutcomeDone || e.Address != "127.0.0.1" ||
			e.RequestID == "" {
			t.Errorf("%+v", e)
		}
		if text := string(e.Before) + string(e.After); strings.Contains(text, secret) || strings.Contains(text, token) {
			t.Error("a secret is in the audit log")
		}
	}
}
