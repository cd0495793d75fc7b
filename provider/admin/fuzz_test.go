package admin_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"latchkey/provider/storage/storagetest"
)

// answer is what an address of another leads to.
type answer []byte

func (a answer) Get(context.Context, string, int64, ...string) ([]byte, error) { return a, nil }

// FuzzSector registers clients whose sector_identifier_uri leads to anything. They are accepted
// only if it is a list with their address (OIDC Registration §5).
func FuzzSector(f *testing.F) {
	f.Add([]byte(`["https://web.example.com/callback"]`))
	f.Add([]byte(`{"redirect_uris": []}`))
	f.Add([]byte(`[["https://web.example.com/callback"]]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o := newOffice(t, storagetest.SQLite(t))
		o.withKeys()
		o.Outbound = answer(body)
		c := web("")
		c.SubjectType, c.SectorIdentifierURI = "pairwise", "https://sector.example.com/list"
		_, _, err := o.CreateClient(o.ctx, shell, c)
		var list []string
		good := json.Unmarshal(body, &list) == nil && !slices.ContainsFunc(c.RedirectURIs,
			func(u string) bool { return !slices.Contains(list, u) })
		if (err == nil) != good {
			t.Errorf("%q: %v", body, err)
		}
	})
}
