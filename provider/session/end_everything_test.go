package session_test

import (
	"testing"
	"time"

	"latchkey/provider/providertest"
)

func TestEverySessionIsEndedWhenEverythingIsAndEveryClientIsToldOnce(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	rp := providertest.NewRelyingParty(t)
	shop, mail, quiet := w.AddClient("shop", rp.Hears), w.AddClient("mail", rp.Hears), w.AddClient("quiet")
	alice, bob := w.AddUser("alice"), w.AddUser("bob")
	_, one := w.SignedIn(alice)
	_, two := w.SignedIn(bob)
	_, out := w.SignedIn(bob)
	w.Granted(one, shop)
	w.Granted(one, mail)
	w.Granted(two, shop)
	w.Granted(two, quiet)
	w.Granted(out, shop)
	if _, err := w.Sessions.End(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if n := w.DeliverDue(); n != 1 {
		t.Fatalf("%d", n)
	}
	ended, revoked, err := w.Sessions.EndEverything(t.Context())
	if err != nil || ended != 2 || revoked != 4 {
		t.Fatalf("ended %d, revoked %d: %v", ended, revoked, err)
	}
	w.DeliverDue()
	told := map[string]int{}
	for _, token := range rp.Heard()[1:] {
		claims := providertest.ClaimsOf(t, token)
		told[claims["aud"].(string)+" of "+claims["sub"].(string)]++
	}
	if len(told) != 3 || told["shop of sub-alice"] != 1 || told["mail of sub-alice"] != 1 ||
		told["shop of sub-bob"] != 1 {
		t.Errorf("%v", told)
	}
	lapsed, err := w.Store.LapsedSessions(t.Context(), w.Now().Add(1000*time.Hour), 10)
	if err != nil || len(lapsed) > 0 {
		t.Errorf("what was ended runs out all the same: %v %v", lapsed, err)
	}
	if ended, revoked, err := w.Sessions.EndEverything(t.Context()); ended != 0 || revoked != 0 || err != nil {
		t.Errorf("the second time: %d %d %v", ended, revoked, err)
	}
}
