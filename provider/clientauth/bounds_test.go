package clientauth

import (
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

func TestKeptClientKeySetsAreBounded(t *testing.T) {
	t.Parallel()
	var k clientKeys
	for range maxKeptSets * 2 {
		k.of(clients.Client{ID: storage.Random(), Metadata: clients.Metadata{JWKSURI: "https://x.test"}})
	}
	if len(k.kept) > maxKeptSets {
		t.Errorf("%d sets", len(k.kept))
	}
}

func TestRememberedFailuresAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	var f clientFailures
	for i := range maxFailureRows * 2 {
		f.add(string(rune('a'+i%26))+strings.Repeat("x", i%50)+time.Duration(i).String(), now)
	}
	if len(f.rows) > maxFailureRows {
		t.Errorf("%d rows", len(f.rows))
	}
}
