package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/admin"
	"latchkey/provider/console"
	"latchkey/provider/storage"
)

func (sh *shell) apiKeyCommand() *cobra.Command {
	return commandGroup("api-key", "Keys for programs that administer over HTTP: create, list, revoke",
		sh.apiKeyCreate(), sh.apiKeyList(), act(sh, "revoke ID", "the ID of one key", "Make a key good for nothing",
			func(ctx context.Context, s *site, id string) (string, error) {
				_, err := s.admin.RevokeAPIKey(ctx, s.actor, id)
				return id + " is good for nothing any more.", err
			}))
}

// shownAPIKey is a key as it is printed. The value is there once, when it is made.
type shownAPIKey struct {
	ID        string    `json:"id"`
	Key       string    `json:"api_key,omitempty"`
	Sub       string    `json:"sub"`
	Name      string    `json:"name"`
	Scope     []string  `json:"scope"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	LastUsed  time.Time `json:"last_used,omitzero"`
	LastFrom  string    `json:"last_from,omitempty"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

func showAPIKey(k storage.APIKey, value string) shownAPIKey {
	return shownAPIKey{ID: k.ID, Key: value, Sub: k.UserID, Name: k.Name, Scope: k.Scope, CreatedAt: k.CreatedAt,
		ExpiresAt: k.ExpiresAt,
		LastUsed:  k.LastUsed, LastFrom: k.LastFrom, RevokedAt: k.RevokedAt}
}

func (sh *shell) apiKeyCreate() *cobra.Command {
	var name, valid string
	var scope []string
	var ttl config.Duration
	return sh.siteCommand(siteCommand{
		use:   "create USERNAME",
		short: "Create a key of the administration API that acts in the name of a person",
		long: `Create a key of the administration API. It permits what its scopes name, as far as the role of the person permits it, too, and ends with
the person. A program sends it as Authorization: Bearer.

Scopes: ` + strings.Join(console.Scopes(), ", ") + `.`,
		example: `  latchkey api-key create ada --name "nightly report" --scope admin:people.read --valid 90d`,
		args:    exactArgs(1, oneUsername), json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&name, "name", "", "what it is for, a `NAME`")
			cmd.Flags().StringArrayVar(&scope, "scope", nil, "a `SCOPE` that it permits; may be repeated")
			cmd.Flags().StringVar(&valid, "valid", "90d", "how `LONG` it may be used, a year at most")
		},
		before: func(*cobra.Command, []string) error {
			if err := ttl.UnmarshalText([]byte(valid)); err != nil {
				return usage("--valid must be a duration such as 90d")
			}
			return nil
		},
		run: func(ctx context.Context, s *site, args []string) error {
			u, err := s.admin.User(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			k, value, err := s.admin.CreateAPIKey(ctx, s.actor, admin.NewAPIKey{UserID: u.ID, Name: name, Scope: scope,
				Life: time.Duration(ttl)}, console.Scopes())
			if err != nil {
				return err
			}
			if sh.json {
				return sh.printJSON(showAPIKey(k, value))
			}
			sh.printf("%s\n", value)
			if u.Role == "" {
				sh.notef("%s has no role and may administer nothing; latchkey user update %s --role gives one.\n",
					u.Username, u.Username)
			}
			return sh.done("Good until %s. It is not shown again.", k.ExpiresAt.Format("2006-01-02 15:04 MST"))
		},
	})
}

func (sh *shell) apiKeyList() *cobra.Command {
	return list(sh, "List keys, with their last use", []string{"ID", "NAME", "SUB", "SCOPE", "EXPIRES", "LAST USED",
		"STATE"},
		func(ctx context.Context, s *site) (all []shownAPIKey, err error) {
			const atOnce = 500
			for after := ""; ; {
				some, err := s.admin.APIKeys(ctx, s.actor, after, atOnce)
				if err != nil || len(some) == 0 {
					return all, err
				}
				for k := range slices.Values(some) {
					all, after = append(all, showAPIKey(k, "")), k.ID
				}
			}
		}, func(k shownAPIKey) []string {
			used, state := "-", "good"
			if !k.LastUsed.IsZero() {
				used = k.LastUsed.UTC().Format("2006-01-02 15:04")
			}
			switch {
			case !k.RevokedAt.IsZero():
				state = "revoked"
			case !time.Now().Before(k.ExpiresAt):
				state = "expired"
			}
			return []string{k.ID, k.Name, k.Sub, strings.Join(k.Scope, " "),
				k.ExpiresAt.UTC().Format("2006-01-02 15:04"), used, state}
		})
}
