package storage_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

func usernames(users []storage.User) string {
	var out []string
	for _, u := range users {
		out = append(out, u.Username)
	}
	return strings.Join(out, " ")
}

func TestUsersAreFoundByTheBeginningsOfWords(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		for i, u := range []storage.User{
			{Username: "ada.king", Claims: storage.Claims{Name: "Ada King", Email: "ada@example.com"},
				Groups: []string{"staff", "editors"}},
			{Username: "rene", Claims: storage.Claims{Name: "René Großmann", FamilyName: "Großmann"},
				Groups: []string{"staff"}, Role: storage.RoleAuditor},
			{Username: "yuki", Claims: storage.Claims{Name: "雪 ゆき", Nickname: "Adder"}, Disabled: true},
			{Username: "zoe", Claims: storage.Claims{Name: "Zoë Jean-Luc"}, Role: storage.RoleOwner, Disabled: true,
				Groups: []string{"staff"}},
		} {
			u.ID = fmt.Sprint("u", i)
			must(t, s.CreateUser(ctx, u))
		}
		for filter, want := range map[storage.UserFilter]string{
			{}:                                           "ada.king rene yuki zoe",
			{Search: "ad"}:                               "ada.king yuki",
			{Search: "  AD  ki "}:                        "ada.king",
			{Search: "example.c"}:                        "ada.king",
			{Search: "ada@ex"}:                           "ada.king",
			{Search: "rené"}:                             "rene",
			{Search: "RENE GROSS"}:                       "rene",
			{Search: "grossmann ren"}:                    "rene",
			{Search: "雪"}:                                "yuki",
			{Search: "jean-l"}:                           "zoe",
			{Search: "luc"}:                              "zoe",
			{Search: "king x"}:                           "",
			{Search: "da"}:                               "",
			{Search: "%"}:                                "",
			{Search: "$ne"}:                              "",
			{Search: strings.Repeat("a", 10_000)}:        "",
			{Group: "staff"}:                             "ada.king rene zoe",
			{Group: "editors", Search: "ada"}:            "ada.king",
			{Group: "none"}:                              "",
			{Role: storage.RoleOwner}:                    "zoe",
			{Role: storage.RoleHelpDesk}:                 "",
			{State: storage.UserDisabled}:                "yuki zoe",
			{State: storage.UserEnabled}:                 "ada.king rene",
			{State: storage.UserEnabled, Group: "staff"}: "ada.king rene",
			{Role: storage.RoleOwner, State: storage.UserDisabled, Search: "zoe", Group: "staff"}: "zoe",
		} {
			found, err := s.FindUsers(ctx, filter, "", 10)
			must(t, err)
			if got := usernames(found); got != want {
				t.Errorf("%+v: %s, want %s", filter, got, want)
			}
		}
		// A page after the other.
		first, err := s.FindUsers(ctx, storage.UserFilter{Group: "staff"}, "", 2)
		must(t, err)
		rest, err := s.FindUsers(ctx, storage.UserFilter{Group: "staff"}, first[1].Username, 2)
		must(t, err)
		equal(t, usernames(first)+", "+usernames(rest), "ada.king rene, zoe")
		// What is found follows the record.
		ada, err := s.User(ctx, "u0")
		must(t, err)
		ada.Claims.Name, ada.Groups, ada.Role = "Augusta", nil, storage.RoleAuditor
		must(t, s.UpdateUser(ctx, ada))
		for filter, want := range map[storage.UserFilter]string{
			{Search: "augus"}: "ada.king", {Search: "king"}: "ada.king", {Group: "editors"}: "",
			{Role: storage.RoleAuditor}: "ada.king rene",
		} {
			found, err := s.FindUsers(ctx, filter, "", 10)
			must(t, err)
			equal(t, usernames(found), want)
		}
		must(t, s.DeleteUser(ctx, "u0"))
		found, err := s.FindUsers(ctx, storage.UserFilter{Search: "augusta"}, "", 10)
		must(t, err)
		equal(t, len(found), 0)
	})
}

func TestListsOfAdministrationComeInPages(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		end := noon.Add(24 * time.Hour)
		for i := range 5 {
			id := fmt.Sprint(i)
			must(t, s.CreateSession(ctx, storage.Session{ID: "s" + id, UserID: "u" + id, IdleAt: end, ExpiresAt: end}))
			must(t, s.CreateGrant(ctx, storage.Grant{ID: "g" + id, UserID: "u" + id, ClientID: "notes",
				ExpiresAt: end}))
			must(t, s.CreateGrant(ctx, storage.Grant{ID: "x" + id, UserID: "u" + id, ClientID: "photos",
				ExpiresAt: end}))
			must(t, s.AddConsent(ctx, storage.Consent{UserID: "u" + id, ClientID: "notes", Scope: []string{"openid"}}))
		}
		_, err := s.EndSession(ctx, "s3", noon)
		must(t, err)
		must(t, s.RevokeGrant(ctx, "g3", noon))
		must(t, s.CreateGrant(ctx, storage.Grant{ID: "g9", UserID: "u0", ClientID: "notes", CodeHash: "not used",
			ExpiresAt: end}))

		var sessions, grants, consents []string
		for before := ""; ; {
			page, err := s.Sessions(ctx, before, noon, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, one := range page {
				sessions = append(sessions, one.ID)
			}
			before = page[len(page)-1].ID
		}
		equal(t, strings.Join(sessions, " "), "s4 s2 s1 s0")
		for before := ""; ; {
			page, err := s.GrantsOfClient(ctx, "notes", before, noon, 3)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, one := range page {
				grants = append(grants, one.ID)
			}
			before = page[len(page)-1].ID
		}
		equal(t, strings.Join(grants, " "), "g4 g2 g1 g0")
		for after := ""; ; {
			page, err := s.ConsentsOfClient(ctx, "notes", after, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, one := range page {
				consents = append(consents, one.UserID)
			}
			after = page[len(page)-1].UserID
		}
		equal(t, strings.Join(consents, " "), "u0 u1 u2 u3 u4")

		had, err := s.Disconnect(ctx, "u0", "notes", noon)
		must(t, err)
		equal(t, had, true)
		had, err = s.Disconnect(ctx, "u0", "notes", noon)
		must(t, err)
		equal(t, had, false)
		consented, revoked, err := s.DisconnectClient(ctx, "notes", noon)
		must(t, err)
		equal(t, []int{consented, revoked}, []int{4, 3})
		left, err := s.GrantsOfClient(ctx, "photos", "", noon, 10)
		must(t, err)
		equal(t, len(left), 5)
		if _, _, err := s.DisconnectClient(ctx, "", noon); err == nil {
			t.Error("without a client everything would be disconnected")
		}
	})
}

func TestInitialAccessTokensAreListedAndOthersAreNot(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		end := noon.Add(24 * time.Hour)
		for i, kind := range []string{storage.TokenInitialAccess, storage.TokenAccess, storage.TokenInitialAccess} {
			must(t, s.CreateToken(ctx, storage.Token{Hash: fmt.Sprint("t", i), Kind: kind,
				CreatedAt: noon.Add(-2 * time.Hour), ExpiresAt: end, IssuedBy: "ada"}))
		}
		_, err := s.ConsumeToken(ctx, storage.TokenInitialAccess, "t2", noon)
		must(t, err)
		all, err := s.InitialAccessTokens(ctx)
		must(t, err)
		var hashes []string
		for _, one := range all {
			hashes = append(hashes, one.Hash)
		}
		slices.Sort(hashes)
		equal(t, strings.Join(hashes, " "), "t0 t2")
		must(t, s.DeleteToken(ctx, storage.TokenInitialAccess, "t0"))
		all, err = s.InitialAccessTokens(ctx)
		must(t, err)
		equal(t, len(all), 1)
	})
}

func TestClientsAreFoundByTheirGroups(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		notes := clients.Client{ID: "notes", Decisions: clients.Decisions{AllowedGroups: []string{"staff", "team"},
			OwnerGroups: []string{"team"}}, Version: 1}
		must(t, s.CreateClient(ctx, notes))
		must(t, s.CreateClient(ctx, clients.Client{ID: "photos",
			Decisions: clients.Decisions{AllowedGroups: []string{"staff"}}}))
		found := func(group string) string {
			allowed, err := s.ClientsForGroup(ctx, group, 0)
			must(t, err)
			owned, err := s.ClientsOwnedBy(ctx, group, 0)
			must(t, err)
			var out []string
			for _, c := range allowed {
				out = append(out, c.ID)
			}
			for _, c := range owned {
				out = append(out, "owned:"+c.ID)
			}
			return strings.Join(out, " ")
		}
		equal(t, found("staff"), "notes photos")
		equal(t, found("team"), "notes owned:notes")
		equal(t, found("none"), "")
		notes.AllowedGroups, notes.OwnerGroups = []string{"team"}, nil
		must(t, s.UpdateClient(ctx, notes))
		equal(t, found("staff"), "photos")
		equal(t, found("team"), "notes")
	})
}

// With many users a list is found in another way, and has to be the same.
func TestManyUsersAreListedInOrderAndInPages(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		const people = 1500
		var made errgroup.Group
		made.SetLimit(64)
		for i := range people {
			made.Go(func() error {
				u := storage.User{ID: fmt.Sprintf("u%04d", (i*7919)%people), Username: fmt.Sprintf("p%04d", i),
					Groups: []string{"all"},
					Claims: storage.Claims{Name: "Ada Family"}}
				if i%100 == 0 {
					u.Groups, u.Claims.Name = append(u.Groups, "few"), "Grace Family"
				}
				return s.CreateUser(ctx, u)
			})
		}
		must(t, made.Wait())
		for filter, want := range map[storage.UserFilter]int{
			{Group: "all"}:                  people,
			{Search: "fam"}:                 people,
			{Search: "ada fam"}:             people - 15,
			{Search: "gr fa"}:               15,
			{Group: "few"}:                  15,
			{Group: "all", Search: "grace"}: 15,
		} {
			seen, last := 0, ""
			for {
				page, err := s.FindUsers(ctx, filter, last, 400)
				must(t, err)
				for _, u := range page {
					if u.Username <= last {
						t.Fatalf("%+v: %s comes after %s", filter, u.Username, last)
					}
					last = u.Username
					seen++
				}
				if len(page) < 400 {
					break
				}
			}
			if seen != want {
				t.Errorf("%+v: %d, want %d", filter, seen, want)
			}
		}
	})
}
