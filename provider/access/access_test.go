package access

import (
	"reflect"
	"slices"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

func TestWhoMayUseWhat(t *testing.T) {
	t.Parallel()
	alice := storage.User{ID: "u1", Username: "alice", Groups: []string{"staff"}}
	open := clients.Client{ID: "c1"}
	staffOnly := clients.Client{ID: "c2", Decisions: clients.Decisions{AllowedGroups: []string{"admins", "staff"}}}
	adminsOnly := clients.Client{ID: "c3", Decisions: clients.Decisions{AllowedGroups: []string{"admins"},
		RefusalContact: "it@example.com"}}
	disabled := func(u storage.User) storage.User { u.Disabled = true; return u }
	off := func(c clients.Client) clients.Client { c.Disabled = true; return c }
	for _, c := range []struct {
		sentence string
		client   clients.Client
		user     storage.User
		want     Decision
	}{
		{"a client without groups is for every user", open, alice, Decision{Allowed: true}},
		{"a client without groups is also for a user who is in none", open, storage.User{ID: "u2"},
			Decision{Allowed: true}},
		{"a user in one of several allowed groups may use the client", staffOnly, alice, Decision{Allowed: true}},
		{"a user outside the allowed groups is refused, with whom to ask", adminsOnly, alice,
			Decision{Reason: NotInGroup, Groups: []string{"admins"}, Contact: "it@example.com"}},
		{"a user without groups is refused where a group is needed", adminsOnly, storage.User{ID: "u2"},
			Decision{Reason: NotInGroup, Groups: []string{"admins"}, Contact: "it@example.com"}},
		{"group names are compared exactly", adminsOnly, storage.User{ID: "u2", Groups: []string{"Admins", "admins ",
			"adminsx", ""}}, Decision{Reason: NotInGroup, Groups: []string{"admins"}, Contact: "it@example.com"}},
		{"a disabled person is refused", open, disabled(alice), Decision{Reason: UserDisabled}},
		{"a disabled person is refused before groups are looked at", adminsOnly, disabled(alice),
			Decision{Reason: UserDisabled}},
		{"a disabled application is refused to everybody", off(staffOnly), alice, Decision{Reason: ClientDisabled}},
		{"a person who is gone is refused", open, storage.User{}, Decision{Reason: UserUnknown}},
		{"an application that is gone is refused", clients.Client{}, alice, Decision{Reason: ClientUnknown}},
		{"no user and no client is refused", clients.Client{}, storage.User{}, Decision{Reason: ClientUnknown}},
	} {
		if got := Decide(c.client, c.user); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.sentence, got, c.want)
		}
	}
}

func TestGrantableScope(t *testing.T) {
	t.Parallel()
	refreshes := []string{oauth.GrantRefreshToken}
	for _, c := range []struct {
		sentence   string
		registered string
		grants     []string
		requested  []string
		want       []string
	}{
		{"a client without a list may have all scopes of the provider", "", refreshes, oauth.Scopes, oauth.Scopes},
		{"a client without a list may have no scope but the provider's own", "", refreshes, []string{"openid", "admin",
			"api:write"}, []string{"openid"}},
		{"a client with a list gets no scope outside of it", "openid api:read", refreshes, []string{"openid", "profile",
			"api:read", "api:write"}, []string{"openid", "api:read"}},
		{"scopes are compared exactly", "openid", refreshes, []string{"OpenID", "openid", "open"}, []string{"openid"}},
		{"a scope that is asked for twice is granted once", "", refreshes, []string{"openid", "openid"},
			[]string{"openid"}},
		{"offline_access needs refresh tokens", "", nil, []string{"openid", "offline_access"}, []string{"openid"}},
		{"offline_access has to be on a list too", "openid", refreshes, []string{"openid", "offline_access"},
			[]string{"openid"}},
		{"no scope is granted when none is asked for", "", refreshes, nil, nil},
	} {
		client := clients.Client{ID: "c", Metadata: clients.Metadata{Scope: c.registered, GrantTypes: c.grants}}
		if got := GrantableScope(client, c.requested); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.sentence, got, c.want)
		}
	}
	if d := DecideClient(clients.Client{ID: "c", Decisions: clients.Decisions{Disabled: true}}); d.Allowed ||
		d.Reason != ClientDisabled {
		t.Errorf("a disabled application: %+v", d)
	}
	if d := DecideClient(clients.Client{ID: "c"}); !d.Allowed {
		t.Errorf("%+v", d)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	groups := []storage.Group{{Name: "admins", Roles: []string{"admin", "editor"}},
		{Name: "staff", Roles: []string{"reader", "editor"}}, {Name: "guests"}}
	for _, c := range []struct {
		in, want []string
	}{
		{nil, nil},
		{[]string{"guests"}, nil},
		{[]string{"staff"}, []string{"editor", "reader"}},
		{[]string{"staff", "admins", "gone"}, []string{"admin", "editor", "reader"}},
		{[]string{"gone"}, nil},
	} {
		if got := Roles(storage.User{ID: "u", Groups: c.in}, groups); !slices.Equal(got, c.want) {
			t.Errorf("member of %v: %v, want %v", c.in, got, c.want)
		}
	}
	if groups[0].Roles[0] != "admin" || groups[1].Roles[0] != "reader" {
		t.Error("the groups were changed")
	}
}
