package storage_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"latchkey/provider/storage"
)

// Pages of a list of a hundred thousand users, as an administrator asks for them.
func BenchmarkFindUsers(b *testing.B) {
	s, err := storage.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	const people = 100_000
	given := []string{"Ada", "Grace", "Linus", "René", "Zoë", "Yuki", "Anna", "Otto"}
	var made errgroup.Group
	made.SetLimit(256)
	for i := range people {
		made.Go(func() error {
			u := storage.User{ID: fmt.Sprintf("u%06d", i), Username: fmt.Sprintf("p%06d", i),
				Groups: []string{"everybody"}, Disabled: i%1000 == 0}
			u.Claims.Name = fmt.Sprintf("%s Family%05d", given[i%len(given)], i)
			u.Claims.Email = u.Username + "@example.com"
			if i%20_000 == 0 {
				u.Groups, u.Role = append(u.Groups, "few"), storage.RoleAuditor
			}
			return s.CreateUser(b.Context(), u)
		})
	}
	if err := made.Wait(); err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter storage.UserFilter
		after  string
	}{
		"first page":       {},
		"late page":        {after: "p090000"},
		"one letter":       {filter: storage.UserFilter{Search: "a"}},
		"common word":      {filter: storage.UserFilter{Search: "ada"}, after: "p050000"},
		"one person":       {filter: storage.UserFilter{Search: "family77777"}},
		"by address":       {filter: storage.UserFilter{Search: "p077777@exa"}},
		"two words":        {filter: storage.UserFilter{Search: "ada family5"}},
		"nobody":           {filter: storage.UserFilter{Search: "nobody"}},
		"large group":      {filter: storage.UserFilter{Group: "everybody"}, after: "p050000"},
		"small group":      {filter: storage.UserFilter{Group: "few"}},
		"role":             {filter: storage.UserFilter{Role: storage.RoleAuditor}},
		"disabled":         {filter: storage.UserFilter{State: storage.UserDisabled}},
		"enabled in group": {filter: storage.UserFilter{State: storage.UserEnabled, Group: "everybody"}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.FindUsers(b.Context(), c.filter, c.after, 50); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
