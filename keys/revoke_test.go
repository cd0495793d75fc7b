package keys

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/provider/testclock"
)

// ringWithNext opens a ring whose next RS256 key has been published for an hour.
func ringWithNext(t testing.TB, m *memory, c *testclock.Clock) *Ring {
	t.Helper()
	r := openRing(t, m, c)
	maintain(t, r)
	c.Advance(time.Hour)
	return r
}

func maintain(t testing.TB, rings ...*Ring) {
	t.Helper()
	for _, r := range rings {
		if err := r.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func revoke(t testing.TB, r *Ring, kids ...string) Revocation {
	t.Helper()
	done, err := r.Revoke(t.Context(), kids...)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func revokedIDs(done Revocation) []string {
	var out []string
	for _, k := range done.Revoked {
		out = append(out, k.ID)
	}
	return out
}

func TestARevokedSigningKeyIsRefusedByEveryInstanceWithinASecond(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	here := ringWithNext(t, m, c)
	there := openRing(t, m, c)
	forged := sign(t, here, "RS256")
	if _, _, err := there.Verify(t.Context(), forged, "at+jwt"); err != nil {
		t.Fatalf("control: %v", err)
	}
	before := kids(publishedKeys(t, there))

	done := revoke(t, here, kidOf(t, forged))

	if !slices.Equal(revokedIDs(done), before) {
		t.Errorf("revoked %v, but %v lay side by side", revokedIDs(done), before)
	}
	if len(done.Fresh) != 2 || !done.Fresh[0].SignsFrom.Equal(c.Now()) || !done.Fresh[1].SignsFrom.IsZero() {
		t.Errorf("fresh keys: %+v", done.Fresh)
	}
	if _, _, err := here.Verify(t.Context(), forged, "at+jwt"); !errors.Is(err, ErrRevoked) ||
		!errors.Is(err, ErrUnknownKey) {
		t.Errorf("the instance that revoked it: %v", err)
	}
	c.Advance(FreshFor)
	for name, r := range map[string]*Ring{"the same instance": here, "another instance": there,
		"a new instance": openRing(t, m, c)} {
		if _, _, err := r.Verify(t.Context(), forged, "at+jwt"); !errors.Is(err, ErrRevoked) {
			t.Errorf("%s verifies a token of the revoked key: %v", name, err)
		}
		published := kids(publishedKeys(t, r))
		if len(published) != 2 || slices.Contains(published, before[0]) || slices.Contains(published, before[1]) {
			t.Errorf("%s publishes %v", name, published)
		}
		fresh := sign(t, r, "RS256")
		if kidOf(t, fresh) != done.Fresh[0].ID {
			t.Errorf("%s signs with %s", name, kidOf(t, fresh))
		}
		if _, _, err := there.Verify(t.Context(), fresh, "at+jwt"); err != nil {
			t.Errorf("a token that %s signed afterwards: %v", name, err)
		}
		list := r.RevokedKeys()
		if len(list) != 2 || !list[0].RevokedAt.Equal(c.Now().Add(-FreshFor)) || list[0].Algorithm != "RS256" ||
			list[0].Use != UseSignature {
			t.Errorf("%s remembers %+v", name, list)
		}
	}
	for _, k := range m.stored().Keys {
		if slices.Contains(before, k.ID) {
			t.Error("the private part of a revoked key is still stored")
		}
	}
}

func TestAnInstanceThatDoesNotReachTheStoreTrustsNoKeyForMoreThanASecond(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	token := sign(t, r, "RS256")
	m.down = true
	if _, _, err := r.Verify(t.Context(), token, "at+jwt"); err != nil {
		t.Fatalf("control, within the second: %v", err)
	}
	c.Advance(FreshFor)
	if _, _, err := r.Verify(t.Context(), token, "at+jwt"); err == nil || errors.Is(err, ErrUnknownKey) ||
		errors.Is(err, ErrSignature) {
		t.Errorf("a second later: %v", err)
	}
}

func TestRevokingARetiredKeyLeavesTheOthers(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := ringWithNext(t, m, c)
	old := sign(t, r, "RS256")
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	current := sign(t, r, "RS256")
	before := kids(publishedKeys(t, r))
	done := revoke(t, r, kidOf(t, old))
	if len(done.Revoked) != 1 || len(done.Fresh) != 0 {
		t.Errorf("%d revoked, %d made", len(done.Revoked), len(done.Fresh))
	}
	if _, _, err := r.Verify(t.Context(), old, "at+jwt"); !errors.Is(err, ErrRevoked) {
		t.Errorf("the retired key: %v", err)
	}
	if _, _, err := r.Verify(t.Context(), current, "at+jwt"); err != nil {
		t.Errorf("the signing key: %v", err)
	}
	if after := kids(publishedKeys(t, r)); !slices.Equal(after, before[:2]) {
		t.Errorf("published %v, before %v", after, before)
	}
}

func TestRevokingTheNextKeyLeavesTheSigningOne(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := ringWithNext(t, m, c)
	token := sign(t, r, "RS256")
	before := kids(publishedKeys(t, r))
	done := revoke(t, r, before[1])
	after := kids(publishedKeys(t, r))
	if len(done.Fresh) != 1 || len(after) != 2 || after[0] != before[0] || after[1] != done.Fresh[0].ID {
		t.Errorf("before %v, after %v, made %+v", before, after, done.Fresh)
	}
	if kidOf(t, sign(t, r, "RS256")) != kidOf(t, token) {
		t.Error("the signing key changed")
	}
}

func TestRevokingAKeyThatWaitsToTakeOverKeepsTheSigningOneInUse(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	maintain(t, r)
	signs := kidOf(t, sign(t, r, "RS256"))
	waiting, err := r.Rotate(t.Context()) // waits for caches
	if err != nil || !waiting[0].SignsFrom.After(c.Now()) {
		t.Fatalf("%+v, %v", waiting, err)
	}
	revoke(t, r, waiting[0].ID)
	c.Advance(2 * MaxAge)
	maintain(t, r)
	if got := kidOf(t, sign(t, r, "RS256")); got != signs {
		t.Errorf("%s signs, %s should", got, signs)
	}
	if k := r.Keys()[0]; k.ID != signs || !k.RetiredAt.IsZero() || !k.RemoveAt.IsZero() {
		t.Errorf("%+v", k)
	}
}

func TestRevokingOneOfTwoKeysThatWaitKeepsTheSigningOneInUseUntilTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	signs := kidOf(t, sign(t, r, "RS256"))
	second, err := r.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Advance(5 * time.Minute)
	maintain(t, r)
	again, err := r.Rotate(t.Context())
	if err != nil || !again[0].SignsFrom.After(second[0].SignsFrom) {
		t.Fatalf("%+v after %+v, %v", again, second, err)
	}
	revoke(t, r, second[0].ID)
	for range 20 {
		got := kidOf(t, sign(t, r, "RS256"))
		if before := c.Now().Before(again[0].SignsFrom); before && got != signs || !before && got != again[0].ID {
			t.Fatalf("%s signs at %s", got, c.Now())
		}
		c.Advance(time.Minute)
	}
}

func TestARevokedDecryptionKeyDecryptsNothing(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	if err := r.EnsureAlgorithm(t.Context(), UseEncryption, "ECDH-ES"); err != nil {
		t.Fatal(err)
	}
	encrypt := func() string {
		body, _, _, err := r.JWKS(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		set, err := ParseSet(body)
		if err != nil {
			t.Fatal(err)
		}
		jwe, err := set.Encrypt([]byte(`{}`), "ECDH-ES", "A128GCM", "")
		if err != nil {
			t.Fatal(err)
		}
		return jwe
	}
	jwe := encrypt()
	if _, err := r.Decrypt(t.Context(), jwe); err != nil {
		t.Fatalf("control: %v", err)
	}
	signs := kidOf(t, sign(t, r, "RS256"))
	if done := revoke(t, r, kidOf(t, jwe)); len(done.Fresh) != 1 || done.Fresh[0].Use != UseEncryption {
		t.Errorf("made %+v", done.Fresh)
	}
	if _, err := r.Decrypt(t.Context(), jwe); err == nil {
		t.Error("the revoked key decrypts")
	}
	if _, err := r.Decrypt(t.Context(), encrypt()); err != nil {
		t.Errorf("the key in its place: %v", err)
	}
	if kidOf(t, sign(t, r, "RS256")) != signs {
		t.Error("the signing key changed")
	}
}

func TestRevokingAnUnknownKeyChangesNothing(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := ringWithNext(t, m, c)
	before := m.stored()
	known := kidOf(t, sign(t, r, "RS256"))
	for _, list := range [][]string{{""}, {"nonsense"}, {known, "nonsense"}, {known + " "}} {
		if _, err := r.Revoke(t.Context(), list...); !errors.Is(err, ErrNoSuchKey) {
			t.Errorf("%q: %v", list, err)
		}
	}
	if done := revoke(t, r); len(done.Revoked) != 0 {
		t.Error("revoking no key revoked one")
	}
	if m.stored().Version != before.Version {
		t.Error("the stored keys changed")
	}
	revoke(t, r, known)
	version := m.stored().Version
	if done := revoke(t, r, known); len(done.Revoked) != 0 || len(done.Fresh) != 0 || m.stored().Version != version {
		t.Errorf("revoking it again: %+v", done)
	}
}

func TestRevokeAllLeavesNoKeyThatWasThere(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := ringWithNext(t, m, c)
	for _, need := range [][2]string{{UseSignature, "ES256"}, {UseEncryption, "ECDH-ES"}, {UseEncryption, "RSA-OAEP"}} {
		if err := r.EnsureAlgorithm(t.Context(), need[0], need[1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := m.stored().Keys
	done, err := r.RevokeAll(t.Context())
	if err != nil || len(done.Revoked) != len(before) {
		t.Fatalf("%d of %d revoked, %v", len(done.Revoked), len(before), err)
	}
	after := m.stored().Keys
	for _, k := range after {
		if slices.ContainsFunc(before, func(b StoredKey) bool {
			return b.ID == k.ID ||
				bytes.Equal(b.Sealed, k.Sealed)
		}) {
			t.Errorf("%s is still there", k.ID)
		}
	}
	if len(after) != 6 || len(done.Fresh) != 6 { // one signing and one next of two algorithms, two for decryption
		t.Errorf("%d keys now, %d made", len(after), len(done.Fresh))
	}
	sign(t, r, "RS256")
	sign(t, r, "ES256")
	if err := r.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRevokedKeysAreForgottenAfterAYear(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := ringWithNext(t, m, c)
	old := sign(t, r, "RS256")
	revoke(t, r, kidOf(t, old))
	c.Advance(keepRevoked - time.Hour)
	maintain(t, r)
	if len(m.stored().Revoked) != 2 {
		t.Fatalf("%d remembered", len(m.stored().Revoked))
	}
	c.Advance(time.Hour)
	maintain(t, r)
	if len(m.stored().Revoked) != 0 {
		t.Errorf("%d remembered", len(m.stored().Revoked))
	}
	if _, _, err := r.Verify(t.Context(), old, "at+jwt"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a token of the forgotten key: %v", err)
	}
}

func TestInstancesThatRevokeRotateAndMaintainAtOnceAgree(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	rings := []*Ring{ringWithNext(t, m, c)}
	for range 5 {
		rings = append(rings, openRing(t, m, c))
	}
	bad := kidOf(t, sign(t, rings[0], "RS256"))
	made := make([]Revocation, len(rings))
	var wait sync.WaitGroup
	for i, r := range rings {
		wait.Go(func() {
			done, err := r.Revoke(context.Background(), bad)
			if err != nil {
				t.Error(err)
			}
			made[i] = done
		})
		wait.Go(func() {
			if _, err := r.Rotate(context.Background()); err != nil && i == 0 {
				t.Error(err)
			}
			if err := r.Maintain(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	winners := 0
	for _, done := range made {
		if len(done.Revoked) > 0 {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d instances revoked the key", winners)
	}
	c.Advance(FreshFor)
	maintain(t, rings...)
	want := kidOf(t, sign(t, rings[0], "RS256"))
	for _, r := range rings {
		if slices.Contains(kids(publishedKeys(t, r)), bad) {
			t.Error("an instance publishes the revoked key")
		}
		if got := kidOf(t, sign(t, r, "RS256")); got != want || got == bad {
			t.Errorf("one instance signs with %s, another with %s; %s was revoked", got, want, bad)
		}
	}
	waiting := 0
	for _, k := range m.stored().Keys {
		if k.SignsFrom.IsZero() {
			waiting++
		}
	}
	if waiting != 1 {
		t.Errorf("%d next keys", waiting)
	}
}

func TestARetiredKeyIsPublishedAsLongAsTokensAndCachesNeedItAndRecognisesHintsForLonger(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r, err := Open(t.Context(), Config{Store: m, Sealer: testSealer(t), Now: c.Now, newRSA: m.newRSA,
		PublishAfter: 20 * time.Minute, KeepAfter: 40 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	maintain(t, r)
	c.Advance(time.Hour)
	hint := sign(t, r, "RS256")
	old := kidOf(t, hint)
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Advance(20 * time.Minute)
	if !slices.Contains(kids(publishedKeys(t, r)), old) {
		t.Error("the retired key is not published any more, and tokens of it are still good")
	}
	c.Advance(2*signFor + time.Second)
	if slices.Contains(kids(publishedKeys(t, r)), old) {
		t.Error("the retired key is published though no token of it can be good")
	}
	c.Advance(39 * 24 * time.Hour)
	maintain(t, r)
	if _, _, err := r.Verify(t.Context(), hint, "at+jwt"); err != nil {
		t.Errorf("an old ID token as a hint: %v", err)
	}
	// A key that an earlier version retired has no such time yet.
	m.mu.Lock()
	for i := range m.set.Keys {
		m.set.Keys[i].UnpublishAt = time.Time{}
	}
	m.set.Version++
	m.mu.Unlock()
	c.Advance(FreshFor)
	if !slices.Contains(kids(publishedKeys(t, r)), old) {
		t.Error("control: the key of the earlier version is not published")
	}
	maintain(t, r)
	if slices.Contains(kids(publishedKeys(t, r)), old) {
		t.Error("a key that an earlier version retired is published until it is removed")
	}
}

func TestVerifyEndsWhenItsCallerDoes(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	token := sign(t, r, "RS256")
	c.Advance(time.Minute)
	m.hang = make(chan struct{})
	defer close(m.hang)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Verify(gone, token, "at+jwt"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
	elsewhere := sign(t, openRing(t, &memory{rsa: 1}, c), "RS256")
	if _, _, err := r.Verify(gone, elsewhere, "at+jwt"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away, with an unknown key: %v", err)
	}
	if _, err := r.Sign(gone, "RS256", "", claims{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Sign: %v", err)
	}
	if err := r.Ready(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("Ready: %v", err)
	}
}

func TestWhileTheStoreHangsAllCallersShareOneReadAndTheLastKeysArePublished(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	want := kids(publishedKeys(t, r))
	token := sign(t, r, "RS256")
	c.Advance(time.Hour)
	m.mu.Lock()
	before := m.reads
	m.hang = make(chan struct{})
	m.mu.Unlock()

	var verified sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		verified.Go(func() { _, _, errs[i] = r.Verify(context.Background(), token, "at+jwt") })
	}
	var published sync.WaitGroup
	for range 20 {
		published.Go(func() {
			if got := kids(publishedKeys(t, r)); !slices.Equal(got, want) {
				t.Errorf("published %v", got)
			}
		})
	}
	published.Wait() // while the store hangs

	m.mu.Lock()
	m.down = true
	close(m.hang)
	m.hang = nil
	m.mu.Unlock()
	verified.Wait()
	for _, err := range errs {
		if err == nil || errors.Is(err, ErrUnknownKey) {
			t.Fatalf("Verify without the store: %v", err)
		}
	}
	if n := m.reads - before; n > 2 { // a caller that came late may have begun another
		t.Errorf("%d reads for 40 callers", n)
	}
}

func TestAReadThatBeganEarlierDoesNotReplaceANewerView(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	newer := r.current.Load()
	r.started.Store(newer.read - 1)
	c.Advance(-time.Hour)
	m.mu.Lock()
	m.set.Keys = nil
	m.mu.Unlock()
	r.started.Add(-1)
	if v, err := r.load(t.Context()); err != nil || v != newer || r.current.Load() != newer {
		t.Errorf("%+v, %v", v, err)
	}
}
