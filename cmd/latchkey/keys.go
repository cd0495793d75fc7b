package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/keys"
)

func (sh *shell) keysCommand() *cobra.Command {
	return commandGroup("keys", "The provider's own keys: list, rotate, revoke", sh.keysList(), sh.keysRotate(),
		sh.keysRevoke())
}

// States of a key.
const (
	keyActive  = "active"  // signs, or decrypts
	keyNext    = "next"    // published, signs later
	keyRetired = "retired" // published until its last token has expired, or accepts what was encrypted to it before
	keyHints   = "hints"   // not published any more; recognises ID tokens that come back as id_token_hint
	keyRevoked = "revoked" // refused everywhere; only its kid is remembered
)

// listedKey is a key as it is printed.
type listedKey struct {
	keys.StoredKey
	State     string    `json:"state"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

func listKeys(stored []keys.StoredKey, now time.Time) []listedKey {
	out := []listedKey{}
	for _, k := range stored {
		l := listedKey{StoredKey: k, State: keyActive}
		switch {
		case k.Use == keys.UseSignature && !k.UnpublishAt.IsZero() && !now.Before(k.UnpublishAt):
			l.State = keyHints
		case !k.RetiredAt.IsZero() && !now.Before(k.RetiredAt): // until then it signs, and the next one waits
			l.State = keyRetired
		case k.Use == keys.UseSignature && (k.SignsFrom.IsZero() || now.Before(k.SignsFrom)):
			l.State = keyNext
		}
		out = append(out, l)
	}
	return out
}

func listRevoked(revoked []keys.RevokedKey) []listedKey {
	out := []listedKey{}
	for _, k := range revoked {
		out = append(out, listedKey{keys.StoredKey{ID: k.ID, Use: k.Use, Algorithm: k.Algorithm}, keyRevoked,
			k.RevokedAt})
	}
	return out
}

func (sh *shell) printKeys(list []listedKey) error {
	if sh.json {
		return sh.printJSON(list)
	}
	rows := [][]string{{"KID", "USE", "ALG", "STATE", "CREATED", "SIGNS FROM", "PUBLISHED UNTIL"}}
	for _, k := range list {
		until := k.UnpublishAt
		if k.State == keyRevoked {
			until = k.RevokedAt
		}
		row := []string{k.ID, k.Use, k.Algorithm, k.State}
		for _, t := range []time.Time{k.CreatedAt, k.SignsFrom, until} {
			if t.IsZero() {
				row = append(row, "-")
			} else {
				row = append(row, t.UTC().Format("2006-01-02 15:04"))
			}
		}
		rows = append(rows, row)
	}
	return sh.table(rows)
}

func (sh *shell) keysList() *cobra.Command {
	return sh.siteCommand(siteCommand{use: "list",
		short: "List all keys and what each is for, also those that were revoked within a year",
		args:  exactArgs(0, ""), json: true,
		run: func(ctx context.Context, s *site, _ []string) error {
			stored, revoked, err := s.admin.ProviderKeys(ctx, s.actor)
			if err != nil {
				return err
			}
			return sh.printKeys(append(listKeys(stored, s.now()), listRevoked(revoked)...))
		}})
}

func (sh *shell) keysRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rotate [ALG...]",
		Example: "  latchkey keys rotate\n  latchkey keys rotate ES256",
		Short:   "Let the next key sign from now on, and publish a new next one",
		Long: `Let the next key sign from now on, and publish a new next one; for all signing algorithms, or those named. Keys rotate by
themselves, so this is seldom needed. Tokens of the old key stay good until they expire, and it stays published for as long:
for a key that somebody may have seen there is latchkey keys revoke.

A running server takes the change up within a second, and the command returns when it has.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, alg := range args {
				if !slices.Contains(keys.SigningAlgorithms, alg) && !slices.Contains(keys.EncryptionAlgorithms, alg) {
					return usage("%q is not an algorithm of this program; there are %s, and %s", alg,
						strings.Join(keys.SigningAlgorithms, ", "), strings.Join(keys.EncryptionAlgorithms, ", "))
				}
			}
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				changed, err := s.admin.RotateKeys(ctx, s.actor, args...)
				if err != nil {
					return err
				}
				if len(changed) == 0 {
					return sh.done("Nothing was rotated: there is no key for that.")
				}
				everywhere(ctx)
				return sh.printKeys(listKeys(changed, s.now()))
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

// everywhere waits until every running server has read the changed keys.
func everywhere(ctx context.Context) {
	select {
	case <-time.After(keys.FreshFor + 100*time.Millisecond):
	case <-ctx.Done():
	}
}

func (sh *shell) keysRevoke() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "revoke KID...",
		Example: "  latchkey keys list\n  latchkey keys revoke 2bBbTkT8mYqhnXgKQ7d8e0CmvyeEMXQ0nYdVbyyAAmk\n  latchkey keys revoke --all",
		Short:   "Withdraw keys that somebody may have seen: they are refused everywhere at once",
		Long: `Withdraw keys that somebody may have seen. Within a second every running server refuses their tokens, at userinfo, introspection
and as id_token_hint, and publishes them no more; the private keys are destroyed. With the key that signs goes the next one, which lay
beside it: two fresh ones take their place at once. The command returns when every server has taken the change up.

People stay signed in, and refresh tokens stay good: applications get new tokens with them. What only applications can do is to read
the published keys again. Until then, ten minutes at most if they keep to what the answer says, they accept what was forged, and may
refuse what is good. So tell those that keep keys for longer, or restart them.

With --all everything is withdrawn, also the keys that others encrypt to: for when somebody may have seen the database together with
the master key. Change that as well: latchkey rekey.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usage("%s needs the kid of one or several keys (latchkey keys list shows them), or --all",
					cmd.CommandPath())
			}
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				done, err := s.admin.RevokeKeys(ctx, s.actor, all, args...)
				if errors.Is(err, keys.ErrNoSuchKey) {
					return fmt.Errorf("%w; nothing was revoked. See: latchkey keys list", err)
				}
				if err != nil {
					return err
				}
				if len(done.Revoked) == 0 {
					return sh.done("Nothing to do: revoked before.")
				}
				everywhere(ctx)
				return sh.printKeys(append(listRevoked(done.Revoked), listKeys(done.Fresh, s.now())...))
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "withdraw every key there is")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}
