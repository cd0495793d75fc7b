package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/keys"
)

func (sh *shell) keysCommand() *cobra.Command {
	return family("keys", "The provider's own keys: list, rotate", sh.keysList(), sh.keysRotate())
}

// States of a key.
const (
	keyActive  = "active"  // signs, or decrypts
	keyNext    = "next"    // published, signs later
	keyRetired = "retired" // published until its last token has expired
)

// listedKey is a key as it is printed.
type listedKey struct {
	keys.StoredKey
	State string `json:"state"`
}

func listKeys(stored []keys.StoredKey, now time.Time) []listedKey {
	out := []listedKey{}
	for _, k := range stored {
		l := listedKey{k, keyActive}
		switch {
		case !k.RetiredAt.IsZero() && !now.Before(k.RetiredAt): // until then it signs, and the next one waits
			l.State = keyRetired
		case k.Use == keys.UseSignature && (k.SignsFrom.IsZero() || now.Before(k.SignsFrom)):
			l.State = keyNext
		}
		out = append(out, l)
	}
	return out
}

func (sh *shell) printKeys(list []listedKey) error {
	if sh.json {
		return sh.printJSON(list)
	}
	rows := [][]string{{"KID", "USE", "ALG", "STATE", "CREATED", "SIGNS FROM", "PUBLISHED UNTIL"}}
	for _, k := range list {
		row := []string{k.ID, k.Use, k.Algorithm, k.State}
		for _, t := range []time.Time{k.CreatedAt, k.SignsFrom, k.RemoveAt} {
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
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all keys, and what each is for",
		Args:  exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.onSite(cmd, false, func(_ context.Context, s *site) error {
				return sh.printKeys(listKeys(s.ring.Keys(), s.now()))
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) keysRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rotate [ALG...]",
		Example: "  latchkey keys rotate\n  latchkey keys rotate ES256",
		Short:   "Let the next key sign from now on, and publish a new next one",
		Long: `Let the next key sign from now on, and publish a new next one; for all signing algorithms, or those named. Keys rotate by
themselves: this is for a key that somebody may have seen. The old key stays published until its last token has expired.

A running server takes the change up within a second, and the command returns when it has.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, alg := range args {
				if !slices.Contains(keys.SigningAlgorithms, alg) && !slices.Contains(keys.EncryptionAlgorithms, alg) {
					return usage("%q is no algorithm of ours; there are %s, and %s", alg, strings.Join(keys.SigningAlgorithms, ", "), strings.Join(keys.EncryptionAlgorithms, ", "))
				}
			}
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				changed, err := s.ring.Rotate(ctx, args...)
				if err != nil {
					return err
				}
				if len(changed) == 0 {
					return sh.done("Nothing was rotated: there is no key for that.")
				}
				select { // whoever looks at the published keys next sees the new one
				case <-time.After(keys.FreshFor + 100*time.Millisecond):
				case <-ctx.Done():
				}
				return sh.printKeys(listKeys(changed, s.now()))
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}
