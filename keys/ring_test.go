package keys

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

type claims map[string]any

// publishedKeys reads what an application would.
func publishedKeys(t testing.TB, r *Ring) []jose.JSONWebKey {
	t.Helper()
	body, etag, maxAge, err := r.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if maxAge <= 0 || len(etag) < 4 || etag[0] != '"' {
		t.Fatalf("etag %s, max-age %s", etag, maxAge)
	}
	for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"dq"`, `"qi"`, `"k"`} {
		if bytes.Contains(body, []byte(private)) {
			t.Fatalf("the published set has the private member %s", private)
		}
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys
}

func kids(keys []jose.JSONWebKey) []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.KeyID)
	}
	return out
}

func kidOf(t testing.TB, jws string) string {
	t.Helper()
	h, err := PeekHeader(jws)
	if err != nil {
		t.Fatal(err)
	}
	return h.KeyID
}

func sign(t testing.TB, r *Ring, alg string) string {
	t.Helper()
	jws, err := r.Sign(t.Context(), alg, "at+jwt", claims{"sub": "alice", "url": "https://a.test/?a=1&b=2"})
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func TestEveryAlgorithmSignsWhatThePublishedKeyVerifies(t *testing.T) {
	t.Parallel()
	r := openRing(t, &memory{}, newClock())
	for _, alg := range SigningAlgorithms {
		if err := r.EnsureAlgorithm(t.Context(), UseSignature, alg); err != nil {
			t.Fatal(err)
		}
		jws := sign(t, r, alg)
		h, err := PeekHeader(jws)
		if err != nil || h.Algorithm != alg || h.Type != "at+jwt" {
			t.Fatalf("header %+v, %v", h, err)
		}
		payload, got, err := r.Verify(context.Background(), jws, "at+jwt")
		if err != nil || got != alg || string(payload) != `{"sub":"alice","url":"https://a.test/?a=1&b=2"}` {
			t.Fatalf("%s: %s %s %v", alg, payload, got, err)
		}
		body, _, _, err := r.JWKS(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ParseSet(body)
		if err != nil || len(theirs.Refused()) > 0 {
			t.Fatalf("our own set: %v, %v", err, theirs.Refused())
		}
		if _, _, err := theirs.Verify(jws, []string{alg}); err != nil {
			t.Fatalf("%s: by the published set: %v", alg, err)
		}
	}
	if err := r.EnsureAlgorithm(t.Context(), UseSignature, "RS1"); err == nil {
		t.Error("made a key for RS1")
	}
	if err := r.EnsureAlgorithm(t.Context(), UseEncryption, "RSA1_5"); err == nil {
		t.Error("made a key for RSA1_5")
	}
	if _, err := r.Sign(t.Context(), "ES384", "", claims{}); err == nil {
		t.Error("signed with an algorithm that has no key")
	}
}

func TestTypKeepsKindsOfTokensApart(t *testing.T) {
	t.Parallel()
	r := openRing(t, &memory{}, newClock())
	for _, c := range []struct {
		typ  string
		typs []string
		ok   bool
	}{
		{"at+jwt", []string{"at+jwt"}, true},
		{"application/at+jwt", []string{"at+jwt"}, true},
		{"AT+JWT", []string{"at+jwt"}, true},
		{"at+jwt", []string{""}, false},
		{"at+jwt", []string{"logout+jwt", ""}, false},
		{"at+jwt", nil, false},
		{"", []string{""}, true},
		{"JWT", []string{""}, true},
		{"", []string{"at+jwt"}, false},
		{"JWT", []string{"JWT"}, true},
		{"logout+jwt", []string{"at+jwt", "logout+jwt"}, true},
	} {
		jws, err := r.Sign(t.Context(), "RS256", c.typ, claims{"sub": "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Verify(context.Background(), jws, c.typs...); (err == nil) != c.ok {
			t.Errorf("typ %q as %q: %v", c.typ, c.typs, err)
		}
	}
}

func TestOneChangedByteIsRefused(t *testing.T) {
	t.Parallel()
	r := openRing(t, &memory{}, newClock())
	if err := r.EnsureAlgorithm(t.Context(), UseSignature, "ES256"); err != nil {
		t.Fatal(err)
	}
	jws := sign(t, r, "ES256")
	for i := range jws {
		for _, c := range []byte("A.=\n~\xff") {
			bad := jws[:i] + string(c) + jws[i+1:]
			if bad == jws {
				continue
			}
			if _, _, err := r.Verify(context.Background(), bad, "at+jwt"); err == nil {
				t.Fatalf("byte %d as %q is accepted", i, c)
			}
		}
	}
	// The last character of a part has bits that carry nothing; another spelling of the same bytes
	// is another token.
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, c := range alphabet {
		if bad := jws[:len(jws)-1] + string(c); bad != jws {
			if _, _, err := r.Verify(context.Background(), bad, "at+jwt"); err == nil {
				t.Fatalf("the last character as %q is accepted", c)
			}
		}
	}
	for _, bad := range []string{"", ".", "..", "...", "a.b.c", jws + ".", "." + jws, jws + "\n", " " + jws,
		jws[:len(jws)-1], jws + "A", strings.Repeat(".", 100_000), strings.Repeat("a", 2<<20)} {
		if _, _, err := r.Verify(context.Background(), bad, "at+jwt"); err == nil {
			t.Errorf("%.20q is accepted", bad)
		}
	}
}

func TestFirstStartMakesOneKeyAndKeepsIt(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	if got := m.stored(); len(got.Keys) != 1 || m.swaps != 1 {
		t.Fatalf("%d keys after %d swaps", len(got.Keys), m.swaps)
	}
	again := openRing(t, m, c)
	if m.swaps != 1 || !slices.Equal(kids(publishedKeys(t, r)), kids(publishedKeys(t, again))) {
		t.Fatal("a second start changed the keys")
	}
	for _, k := range r.Keys() {
		if k.Sealed != nil {
			t.Error("Keys hands out the private part")
		}
	}
	if bytes.Contains(m.stored().Keys[0].Sealed, []byte("kty")) {
		t.Error("the private key is readable at rest")
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	// Without the keys that tests share.
	plain, err := Open(t.Context(), Config{Store: &memory{}, Sealer: testSealer(t)})
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := publishedKeys(t, plain)[0].Key.(*rsa.PublicKey); !ok || k.N.BitLen() != 2048 {
		t.Error("the first key is not RSA with 2048 bits")
	}
}

func TestAWrongMasterKeyNeverLeadsToNewKeys(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	openRing(t, m, c)
	before := m.stored()
	other, err := NewSealer([]byte("another master key, of a length that will do"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Store: m, Sealer: other, Now: c.Now, newRSA: m.newRSA})
	if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "master key") {
		t.Fatalf("Open with another master key: %v", err)
	}
	if after := m.stored(); after.Version != before.Version || len(after.Keys) != len(before.Keys) {
		t.Fatal("the stored keys were changed")
	}
}

func TestStoredKeysThatWereTamperedWithAreRefused(t *testing.T) {
	t.Parallel()
	c := newClock()
	for name, tamper := range map[string]func(a, b *StoredKey){
		"private parts swapped": func(a, b *StoredKey) { a.Sealed, b.Sealed = b.Sealed, a.Sealed },
		"public parts swapped":  func(a, b *StoredKey) { a.Public, b.Public = b.Public, a.Public },
		"no public part":        func(a, _ *StoredKey) { a.Public = nil },
	} {
		m := &memory{}
		r := openRing(t, m, c)
		if err := r.EnsureAlgorithm(t.Context(), UseSignature, "ES256"); err != nil {
			t.Fatal(err)
		}
		tamper(&m.set.Keys[0], &m.set.Keys[1])
		if _, err := Open(t.Context(), Config{Store: m, Sealer: testSealer(t), Now: c.Now,
			newRSA: m.newRSA}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestRotationOnScheduleIsPublishedAheadAndKeptAfter(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r, err := Open(t.Context(), Config{Store: m, Sealer: testSealer(t), Now: c.Now, newRSA: m.newRSA,
		RotateEvery: 10 * 24 * time.Hour, PublishAhead: 24 * time.Hour, KeepAfter: 48 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	old := sign(t, r, "RS256")
	published := map[string]time.Time{} // kid → first seen by an application
	lastSigned := map[string]time.Time{}
	tokens := map[string]string{}
	for range 40 * 24 {
		if err := r.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := c.Now()
		list := kids(publishedKeys(t, r))
		for _, k := range list {
			if _, ok := published[k]; !ok {
				published[k] = now
			}
		}
		jws := sign(t, r, "RS256")
		kid := kidOf(t, jws)
		if list[0] != kid {
			t.Fatal("the key in use is not the first of the set")
		}
		if first := published[kid]; len(lastSigned) > 0 && lastSigned[kid].IsZero() && now.Sub(first) < 24*time.Hour {
			t.Fatalf("%s signs %s after it was published", kid, now.Sub(first))
		}
		lastSigned[kid], tokens[kid] = now, jws
		for k, at := range lastSigned {
			_, _, err := r.Verify(context.Background(), tokens[k], "at+jwt")
			if now.Sub(at) < 48*time.Hour && err != nil {
				t.Fatalf("a token of key %s, last used %s ago, does not verify: %v", k, now.Sub(at), err)
			}
			if now.Sub(at) > 50*time.Hour && err == nil {
				t.Fatalf("key %s is still good %s after its last use", k, now.Sub(at))
			}
		}
		c.Advance(time.Hour)
	}
	if len(lastSigned) != 4 {
		t.Errorf("%d keys signed in 40 days; expected one every 10", len(lastSigned))
	}
	if _, _, err := r.Verify(context.Background(), old, "at+jwt"); err == nil {
		t.Error("the first key was never removed")
	}
	if n := len(m.stored().Keys); n > 3 {
		t.Errorf("%d keys are stored; removed ones stay", n)
	}
}

func TestRotationOnCommandShowsANewKeyAndKeepsTheOld(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	if err := r.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Hour)
	before := publishedKeys(t, r)
	if len(before) != 2 {
		t.Fatalf("%d keys published; expected the one in use and the next", len(before))
	}
	token := sign(t, r, "RS256")
	changed, err := r.Rotate(t.Context())
	if err != nil || len(changed) != 2 {
		t.Fatalf("Rotate = %d keys, %v", len(changed), err)
	}
	after := publishedKeys(t, r)
	fresh := 0
	for _, k := range after {
		if !slices.Contains(kids(before), k.KeyID) {
			fresh++
		}
	}
	if fresh != 1 || len(after) != 3 || !slices.Contains(kids(after), kidOf(t, token)) {
		t.Fatalf("before %v, after %v", kids(before), kids(after))
	}
	if now := sign(t, r, "RS256"); kidOf(t, now) != before[1].KeyID {
		t.Error("the key that was next does not sign")
	}
	if _, _, err := r.Verify(context.Background(), token, "at+jwt"); err != nil {
		t.Errorf("a token signed before the rotation: %v", err)
	}
}

func TestRotationOnCommandWaitsForCaches(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	first := kidOf(t, sign(t, r, "RS256"))
	if err := r.Maintain(t.Context()); err != nil { // publishes the next key now
		t.Fatal(err)
	}
	waiting := publishedKeys(t, r)[1].KeyID
	c.Advance(time.Minute)
	changed, err := r.Rotate(t.Context(), "RS256")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(changed, func(k StoredKey) bool { return k.ID == waiting })
	if i < 0 || !changed[i].SignsFrom.Equal(c.Now().Add(MaxAge-time.Minute)) {
		t.Fatalf("Rotate says %+v", changed)
	}
	if kidOf(t, sign(t, r, "RS256")) != first {
		t.Fatal("a key signs that caches cannot have yet")
	}
	// Again and again: each adds a key, the order of taking over stays.
	for range 3 {
		n := len(publishedKeys(t, r))
		if _, err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(publishedKeys(t, r)) != n+1 {
			t.Fatal("no new key was published")
		}
	}
	seen := map[string]time.Time{}
	for range 40 {
		for _, k := range publishedKeys(t, r) {
			if _, ok := seen[k.KeyID]; !ok {
				seen[k.KeyID] = c.Now()
			}
		}
		kid := kidOf(t, sign(t, r, "RS256"))
		if c.Now().Sub(seen[kid]) < MaxAge-time.Minute-time.Second && kid != first {
			t.Fatal("a key signs that caches cannot have yet")
		}
		c.Advance(time.Minute)
		if err := r.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if kidOf(t, sign(t, r, "RS256")) == first {
		t.Fatal("the rotation never happened")
	}
	if got := len(r.Keys()); got != 6 { // the first, the one that waited, three added at once, the next
		t.Errorf("%d keys", got)
	}
}

func TestRotationBeforeThereIsANextKey(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	first := kidOf(t, sign(t, r, "RS256"))
	changed, err := r.Rotate(t.Context())
	if err != nil || len(changed) != 1 || len(publishedKeys(t, r)) != 2 {
		t.Fatalf("%d changed, %d published, %v", len(changed), len(publishedKeys(t, r)), err)
	}
	if kidOf(t, sign(t, r, "RS256")) != first {
		t.Error("it signs at once")
	}
	c.Advance(MaxAge)
	if kidOf(t, sign(t, r, "RS256")) != changed[0].ID {
		t.Error("it does not sign when its time has come")
	}
}

func TestRotationHasALimit(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	if err := r.EnsureAlgorithm(t.Context(), UseSignature, "EdDSA"); err != nil {
		t.Fatal(err)
	}
	var err error
	for range maxKeysPerAlgorithm + 5 {
		if _, err = r.Rotate(t.Context(), "EdDSA"); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrTooManyKeys) {
		t.Fatalf("%v", err)
	}
	if _, err := r.Rotate(t.Context(), "ES256"); err == nil {
		t.Error("rotated an algorithm that has no key")
	}
	c.Advance(32 * 24 * time.Hour)
	if err := r.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rotate(t.Context(), "EdDSA"); err != nil {
		t.Errorf("after the old keys were removed: %v", err)
	}
}

func TestRacingInstancesAgree(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	const instances = 5
	rings := make([]*Ring, instances)
	var wait sync.WaitGroup
	for i := range rings {
		wait.Go(func() {
			r, err := Open(context.Background(), Config{Store: m, Sealer: testSealer(t), Now: c.Now, newRSA: m.newRSA})
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = r
			for _, alg := range []string{"ES256", "EdDSA"} {
				if err := r.EnsureAlgorithm(context.Background(), UseSignature, alg); err != nil {
					t.Error(err)
				}
			}
			if err := r.Maintain(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	// one in use and one next each; a reader of an older view makes the rest below
	if n := len(m.stored().Keys); n > 6 {
		t.Fatalf("%d keys were made", n)
	}
	c.Advance(2 * time.Second)
	for _, r := range rings {
		if err := r.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.stored().Keys); n != 6 {
		t.Fatalf("%d keys; expected one in use and one next for each of three algorithms", n)
	}
	// What one instance signs, every other verifies, also right after a rotation that it has not
	// seen.
	c.Advance(time.Hour)
	if _, err := rings[0].Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range rings {
		for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
			jws := sign(t, a, alg)
			for _, b := range rings {
				if _, _, err := b.Verify(context.Background(), jws, "at+jwt"); err != nil {
					t.Fatalf("%s: %v", alg, err)
				}
			}
		}
	}
	// At the time of the change all instances rotate at once, and one rotation happens.
	c.Advance(91 * 24 * time.Hour)
	version := m.stored().Version
	for _, r := range rings {
		wait.Go(func() {
			if err := r.Maintain(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if now := m.stored().Version; now != version+1 {
		t.Errorf("%d changes; expected one", now-version)
	}
	want := kidOf(t, sign(t, rings[0], "RS256"))
	for _, r := range rings {
		if kidOf(t, sign(t, r, "RS256")) != want {
			t.Error("instances sign with different keys")
		}
	}
}

func TestUnknownKidsSeldomReadTheStore(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r, elsewhere := openRing(t, m, c), openRing(t, &memory{rsa: 1}, c)
	foreign := sign(t, elsewhere, "RS256")
	c.Advance(10 * time.Second)
	before := m.reads
	for range 1000 {
		if _, _, err := r.Verify(t.Context(), foreign, "at+jwt"); !errors.Is(err, ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if n := m.reads - before; n != 1 {
		t.Errorf("%d reads for 1000 unknown keys", n)
	}
	for range 1000 { // a second
		c.Advance(time.Millisecond)
		if _, _, err := r.Verify(t.Context(), foreign, "at+jwt"); !errors.Is(err, ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if n := m.reads - before; n > 22 {
		t.Errorf("%d reads within a second", n)
	}
}

func TestAKeyThatAnotherInstanceMadeThisVerySecondIsFound(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	here, there := openRing(t, m, c), openRing(t, m, c)
	revoke(t, there, kidOf(t, sign(t, there, "RS256")))
	c.Advance(lookAgain)
	if _, _, err := here.Verify(t.Context(), sign(t, there, "RS256"), "at+jwt"); err != nil {
		t.Error(err)
	}
}

func TestWithoutTheStoreKeysArePublishedButNothingIsSignedForLong(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	want := kids(publishedKeys(t, r))
	m.down = true
	c.Advance(30 * time.Second)
	if got := kids(publishedKeys(t, r)); !slices.Equal(got, want) {
		t.Errorf("published %v", got)
	}
	if r.Ready(t.Context()) == nil {
		t.Error("ready without a store")
	}
	sign(t, r, "RS256")
	c.Advance(time.Hour)
	if _, err := r.Sign(t.Context(), "RS256", "", claims{}); err == nil {
		t.Error("signed with keys that may have been replaced an hour ago")
	}
	if got := kids(publishedKeys(t, r)); !slices.Equal(got, want) {
		t.Errorf("published %v", got)
	}
}

func TestETagChangesWithTheSetOnly(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	_, first, _, err := r.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Hour)
	if _, same, _, _ := r.JWKS(t.Context()); same != first {
		t.Error("the entity tag changes by itself")
	}
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, other, _, _ := r.JWKS(t.Context()); other == first {
		t.Error("the entity tag did not change with the set")
	}
}

func TestEncryptedToUs(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	for _, alg := range EncryptionAlgorithms {
		if err := r.EnsureAlgorithm(t.Context(), UseEncryption, alg); err != nil {
			t.Fatal(err)
		}
	}
	body, _, _, err := r.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ParseSet(body)
	if err != nil {
		t.Fatal(err)
	}
	if ours.Len() != 3 {
		t.Fatalf("%d keys; one RSA and one EC key serve all algorithms", ours.Len())
	}
	var kept string
	for _, alg := range EncryptionAlgorithms {
		for _, enc := range ContentEncryptionAlgorithms {
			jwe, err := ours.Encrypt([]byte(`{"a":1}`), alg, enc, "JWT")
			if err != nil {
				t.Fatalf("%s %s: %v", alg, enc, err)
			}
			h, err := PeekHeader(jwe)
			if err != nil || !h.Encrypted() || h.ContentType != "JWT" || h.KeyID == "" {
				t.Fatalf("%+v %v", h, err)
			}
			if plain, err := r.Decrypt(t.Context(), jwe); err != nil || string(plain) != `{"a":1}` {
				t.Fatalf("%s %s: %q %v", alg, enc, plain, err)
			}
			// the encrypted key (empty for ECDH-ES), the nonce, the content, the tag
			for _, part := range []int{1, 2, 3, 4} {
				parts := strings.Split(jwe, ".")
				if parts[part] == "" {
					continue
				}
				b := []byte(parts[part])
				b[0] ^= 2 // A↔C and so on: still base64url
				if !bytes.ContainsAny(b[:1], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
					continue
				}
				parts[part] = string(b)
				if _, err := r.Decrypt(t.Context(), strings.Join(parts, ".")); err == nil {
					t.Errorf("%s %s: part %d changed, and it decrypts", alg, enc, part)
				}
			}
			kept = jwe
		}
	}
	if _, err := r.Decrypt(t.Context(), sign(t, r, "RS256")); err == nil {
		t.Error("a signed JWT decrypts")
	}
	// A replaced key is no longer published, but what still arrives for it is read.
	if _, err := r.Rotate(t.Context(), "ECDH-ES"); err != nil {
		t.Fatal(err)
	}
	if h, _ := PeekHeader(kept); slices.Contains(kids(publishedKeys(t, r)), h.KeyID) {
		t.Error("a replaced decryption key is still published")
	}
	if _, err := r.Decrypt(t.Context(), kept); err != nil {
		t.Errorf("encrypted to the replaced key: %v", err)
	}
	c.Advance(92 * 24 * time.Hour)
	if err := r.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Decrypt(t.Context(), kept); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("encrypted to a removed key: %v", err)
	}
}

func TestHostileEncryptionIsRefused(t *testing.T) {
	t.Parallel()
	r := openRing(t, &memory{}, newClock())
	if err := r.EnsureAlgorithm(t.Context(), UseEncryption, "RSA-OAEP-256"); err != nil {
		t.Fatal(err)
	}
	body, _, _, err := r.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	ours := set.Keys[slices.IndexFunc(set.Keys, func(k jose.JSONWebKey) bool { return k.Use == UseEncryption })]
	encrypt := func(alg jose.KeyAlgorithm, key any, opts *jose.EncrypterOptions) string {
		e, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: alg, Key: key, KeyID: ours.KeyID}, opts)
		if err != nil {
			t.Fatal(err)
		}
		jwe, err := e.Encrypt(bytes.Repeat([]byte("a"), 100_000))
		if err != nil {
			t.Fatal(err)
		}
		s, err := jwe.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, jwe := range map[string]string{
		"a compressed one": encrypt(jose.RSA_OAEP_256, ours.Key,
			&jose.EncrypterOptions{Compression: jose.DEFLATE}),
		"RSA1_5":                encrypt(jose.RSA1_5, ours.Key, nil),
		"dir":                   encrypt(jose.DIRECT, make([]byte, 16), nil),
		"A128KW":                encrypt(jose.A128KW, make([]byte, 16), nil),
		"PBES2":                 encrypt(jose.PBES2_HS256_A128KW, "secret", nil),
		"without a key":         encrypt(jose.RSA_OAEP_256, ours.Key, nil)[10:],
		"too large":             strings.Repeat("a", 300<<10) + "....",
		"an encrypted key only": "eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMTI4R0NNIn0.AA...",
	} {
		if _, err := r.Decrypt(t.Context(), jwe); err == nil {
			t.Errorf("%s decrypts", name)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	r := openRing(b, &memory{}, newClock())
	payload := claims{"iss": "https://login.example.com", "sub": "248289761001", "aud": "s6BhdRkqt3", "exp": 1311281970,
		"iat": 1311280970, "auth_time": 1311280969, "nonce": "n-0S6_WzA2Mj",
		"sid": "08a5019c-17e1-4977-8f42-65a12843ea02"}
	for _, alg := range SigningAlgorithms {
		if err := r.EnsureAlgorithm(context.Background(), UseSignature, alg); err != nil {
			b.Fatal(err)
		}
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Sign(context.Background(), alg, "at+jwt", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	r := openRing(b, &memory{}, newClock())
	for _, alg := range SigningAlgorithms {
		if err := r.EnsureAlgorithm(context.Background(), UseSignature, alg); err != nil {
			b.Fatal(err)
		}
		jws := sign(b, r, alg)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.Verify(context.Background(), jws, "at+jwt"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestAlgorithmIsIntroducedOnceEveryCacheCanHaveItsKey(t *testing.T) {
	t.Parallel()
	clock := newClock()
	r := openRing(t, &memory{}, clock)
	if !r.Introduced("RS256") || r.Introduced("ES256") {
		t.Fatalf("RS256 %v, ES256 %v", r.Introduced("RS256"), r.Introduced("ES256"))
	}
	ensure := func(alg string) {
		t.Helper()
		if err := r.EnsureAlgorithm(t.Context(), UseSignature, alg); err != nil {
			t.Fatal(err)
		}
	}
	ensure("ES256") // at the first start, too
	if !r.Introduced("ES256") {
		t.Error("a key of the first start is not introduced")
	}
	clock.Advance(time.Hour)
	ensure("EdDSA")
	if r.Introduced("EdDSA") {
		t.Error("a key of this moment is introduced")
	}
	clock.Advance(MaxAge - 1)
	if r.Introduced("EdDSA") {
		t.Error("a cache may still be without the key")
	}
	clock.Advance(1)
	if !r.Introduced("EdDSA") {
		t.Error("after MaxAge the key is not introduced")
	}
}

func TestAClockThatWasFarAheadForAWhileDoesNotStopRotations(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	r := openRing(t, m, c)
	if err := r.EnsureAlgorithm(t.Context(), UseEncryption, "ECDH-ES"); err != nil {
		t.Fatal(err)
	}
	maintain(t, r)
	c.Advance(time.Hour)
	first := kidOf(t, sign(t, r, "RS256"))
	c.Advance(200 * 24 * time.Hour) // a start with a wrong clock
	wrong := openRing(t, m, c)
	maintain(t, wrong)
	wrongly := sign(t, wrong, "RS256")
	c.Advance(-200 * 24 * time.Hour)
	c.Advance(time.Minute)

	maintain(t, r)
	if got := kidOf(t, sign(t, r, "RS256")); got != first {
		t.Errorf("%s signs", got)
	}
	if _, _, err := r.Verify(t.Context(), wrongly, "at+jwt"); err != nil {
		t.Errorf("a token from meanwhile: %v", err)
	}
	seen := map[string]bool{}
	for range 200 {
		maintain(t, r)
		seen[kidOf(t, sign(t, r, "RS256"))] = true
		for _, k := range m.stored().Keys {
			if ahead(k.CreatedAt, c.Now()) || ahead(k.SignsFrom, c.Now()) || ahead(k.RetiredAt, c.Now()) {
				t.Fatalf("%+v at %s", k, c.Now())
			}
		}
		c.Advance(24 * time.Hour)
	}
	if len(seen) < 3 {
		t.Errorf("%d keys signed in 200 days", len(seen))
	}
}

func FuzzRing(f *testing.F) {
	m := &memory{}
	r := openRing(f, m, newClock())
	for _, alg := range []string{"ES256", "EdDSA"} {
		if err := r.EnsureAlgorithm(context.Background(), UseSignature, alg); err != nil {
			f.Fatal(err)
		}
	}
	if err := r.EnsureAlgorithm(context.Background(), UseEncryption, "ECDH-ES"); err != nil {
		f.Fatal(err)
	}
	ours := map[string]bool{}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		jws, err := r.Sign(context.Background(), alg, "at+jwt", claims{"sub": "ada"})
		if err != nil {
			f.Fatal(err)
		}
		ours[jws] = true
		f.Add(jws)
		f.Add(jws[:len(jws)-1])
	}
	body, _, _, err := r.JWKS(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	set, err := ParseSet(body)
	if err != nil {
		f.Fatal(err)
	}
	jwe, err := set.Encrypt([]byte(`{}`), "ECDH-ES", "A128GCM", "JWT")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jwe)
	for _, seed := range []string{"", "..", "....", "e30..", "e30....", "eyJhbGciOiJub25lIn0.e30.",
		"eyJhbGciOiJIUzI1NiIsImtpZCI6IngifQ.e30.AAAA",
		"eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMTI4R0NNIiwiemlwIjoiREVGIn0.AA.AA.AA.AA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, jwt string) {
		if _, _, err := r.Verify(context.Background(), jwt, "at+jwt", ""); err == nil && !ours[jwt] {
			t.Fatalf("%q verifies, and was never signed", jwt)
		}
		if plain, err := r.Decrypt(context.Background(), jwt); err == nil && jwt != jwe && len(plain) > maxJWT {
			t.Fatalf("%q decrypts to %d bytes", jwt, len(plain))
		}
	})
}
