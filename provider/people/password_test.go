package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestPasswordsAreCompleteAndTheSameOnEveryKeyboard(t *testing.T) {
	t.Parallel()
	h := NewHasher(cheap, 2)
	long := strings.Repeat("0123456789", 10)
	for _, c := range []struct {
		name, set, typed string
		ok               bool
	}{
		{"the same", "correct horse", "correct horse", true},
		{"another", "correct horse", "correct house", false},
		{"the first 72 of 100", long, long[:72], false},
		{"a space behind", "correct horse", "correct horse ", false},
		{"a space before", " correct horse", "correct horse", false},
		{"another case", "correct horse", "Correct horse", false},
		{"composed and decomposed", "caf\u00e9 au lait", "cafe\u0301 au lait", true},
		{"decomposed and composed", "cafe\u0301 au lait", "caf\u00e9 au lait", true},
		{"without the accent", "caf\u00e9 au lait", "cafe au lait", false},
		{"full width is not the same", "ＡＢＣＤＥＦＧＨＩＪ", "ABCDEFGHIJ", false},
		{"emoji", "👩‍👩‍👧‍👦 family 🎉", "👩‍👩‍👧‍👦 family 🎉", true},
		{"right to left", "סיסמה ארוכה מאוד", "סיסמה ארוכה מאוד", true},
		{"behind a NUL", "correct\x00horse", "correct\x00house", false},
		{"1024 bytes", strings.Repeat("a", 1024), strings.Repeat("a", 1024), true},
		{"the last of 1024", strings.Repeat("a", 1024), strings.Repeat("a", 1023) + "b", false},
		{"empty", "correct horse", "", false},
	} {
		ok, rehash, err := h.Verify(t.Context(), hashed(t, h, c.set), c.typed)
		if err != nil || ok != c.ok || rehash {
			t.Errorf("%s: %v %v %v", c.name, ok, rehash, err)
		}
	}
	if _, err := h.Hash(t.Context(), strings.Repeat("a", 1025)); err == nil {
		t.Error("hashed 1025 bytes")
	}
	for _, typed := range []string{strings.Repeat("a", 64<<20), "not UTF-8 \xff"} {
		if ok, _, err := h.Verify(t.Context(), hashed(t, h, "correct horse"), typed); ok || err != nil {
			t.Errorf("%d bytes: %v %v", len(typed), ok, err)
		}
	}
}

func TestHashesArePHCStrings(t *testing.T) {
	t.Parallel()
	h := NewHasher(Params{}, 1)
	phc := hashed(t, h, "correct horse")
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") || phc == hashed(t, h, "correct horse") {
		t.Errorf("%s", phc)
	}
	if err := h.CheckHash(phc); err != nil {
		t.Error(err)
	}
	// The reference implementation's own test vector for argon2id v1.3, t=2, m=64 MiB, p=1:
	// password, somesalt.
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, rehash, err := h.Verify(t.Context(), reference, "password"); err != nil || !ok || !rehash {
		t.Errorf("reference vector: %v %v %v (its salt is short, so it is to be made anew)", ok, rehash, err)
	}
	if ok, _, err := h.Verify(t.Context(), reference, "passwort"); err != nil || ok {
		t.Errorf("reference vector, wrong password: %v %v", ok, err)
	}
}

func TestHashesOutsideTheBoundsAreRefused(t *testing.T) {
	t.Parallel()
	h := NewHasher(Params{}, 1)
	const tail = "$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, bad := range []string{
		"",
		"password",
		"$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
		"$argon2i$v=19$m=65536,t=2,p=1" + tail,
		"$argon2d$v=19$m=65536,t=2,p=1" + tail,
		"$argon2id$v=16$m=65536,t=2,p=1" + tail,
		"$argon2id$m=65536,t=2,p=1" + tail,
		"$argon2id$v=19$m=1024,t=2,p=1" + tail,
		"$argon2id$v=19$m=4294967295,t=1,p=1" + tail,
		"$argon2id$v=19$m=262145,t=1,p=1" + tail,
		"$argon2id$v=19$m=65536,t=4294967295,p=1" + tail,
		"$argon2id$v=19$m=65536,t=0,p=1" + tail,
		"$argon2id$v=19$m=262144,t=16,p=1" + tail,
		"$argon2id$v=19$m=65536,t=2,p=0" + tail,
		"$argon2id$v=19$m=65536,t=2,p=255" + tail,
		"$argon2id$v=19$m=-1,t=2,p=1" + tail,
		"$argon2id$v=19$m=065536,t=2,p=1" + tail,
		"$argon2id$v=19$m=+65536,t=2,p=1" + tail,
		"$argon2id$v=19$t=2,m=65536,p=1" + tail,
		"$argon2id$v=19$m=65536,t=2,p=1,x=1" + tail,
		"$argon2id$v=19$m=65536,t=2,p=1" + tail + "$",
		"$argon2id$v=19$m=65536,t=2,p=1$$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAA",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + strings.Repeat("A", 400),
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZX NhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		if err := h.CheckHash(bad); err == nil {
			t.Errorf("%s: accepted", bad)
		}
		if ok, _, err := h.Verify(t.Context(), bad, "password"); err == nil || ok {
			t.Errorf("%s: verified", bad)
		}
	}
}

func TestWeakerHashesAreMadeAnew(t *testing.T) {
	t.Parallel()
	weak, strong := NewHasher(Params{Memory: 64, Time: 1, Threads: 1}, 1), NewHasher(Params{Memory: 128, Time: 1, Threads: 1}, 1)
	if ok, rehash, err := weak.Verify(t.Context(), hashed(t, strong, "correct horse"), "correct horse"); !ok || rehash || err != nil {
		t.Errorf("a stronger hash: %v %v %v", ok, rehash, err)
	}
	// As a lower bound counts what the operator chose, or what is good for everybody.
	if _, _, err := strong.Verify(t.Context(), hashed(t, weak, "correct horse"), "correct horse"); err == nil {
		t.Error("a hash below both bounds is accepted")
	}
	twice := NewHasher(Params{Memory: 64, Time: 2, Threads: 1}, 1)
	phc := hashed(t, weak, "correct horse")
	if ok, rehash, err := twice.Verify(t.Context(), phc, "correct horse"); !ok || !rehash || err != nil {
		t.Errorf("a weaker hash: %v %v %v", ok, rehash, err)
	}
	if ok, rehash, err := twice.Verify(t.Context(), phc, "wrong"); ok || rehash || err != nil {
		t.Errorf("a weaker hash, wrong password: %v %v %v", ok, rehash, err)
	}
}

func TestOnlySoManyHashesAtOnceAndSoManyWait(t *testing.T) {
	t.Parallel()
	h := NewHasher(cheap, 2)
	// Both places are taken, so that whoever comes now waits.
	h.slots <- struct{}{}
	h.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	const callers = 2*queuePerSlot + 50
	results := make(chan error, callers)
	for range callers {
		wait.Go(func() {
			_, err := h.Hash(ctx, "correct horse")
			results <- err
		})
	}
	busy := 0
	for range 50 { // exactly these find the queue full; the others stay in it
		if err := <-results; !errors.Is(err, ErrBusy) {
			t.Fatalf("%v", err)
		}
		busy++
	}
	if err := h.VerifyLike(ctx, cheap, "correct horse"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	cancel()
	wait.Wait()
	for range callers - busy {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Fatalf("a waiter whose caller has gone: %v", err)
		}
	}
	<-h.slots
	<-h.slots
	if n := h.waiting.Load(); n != 0 {
		t.Errorf("%d still wait", n)
	}
	if _, err := h.Hash(t.Context(), "correct horse"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"correct horse battery", "tr0ub4dor&3 and more", "vier Wörter reichen aus", "J8#kq0ZpLw2x", "plum-otter-vivid", "密码密码很长的一句话", "my cat eats 3 fish",
		"gravel tandem oboe", "0482719365 0937", "🎉 party at the lake 🎉", "xkcd936 comic strip", strings.Repeat("long enough ", 85),
		"alice walked home in the rain",
	} {
		if err := (PasswordPolicy{}).Check(good, "alice", "alice@example.com"); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "short", "ninechars", "éééééééé", strings.Repeat("a", 1025), "with a\x00 NUL inside", "with a\ttab", "not UTF-8 \xff\xfe\xfd\xfc\xfb\xfa",
		"password123", "Password123!", "P@ssw0rd2024", "passwordpassword", "qwertyuiop", "1234567890", "0987654321", "qwerty12345", "1q2w3e4r5t", "1qaz2wsx3edc", "!@#$%^&*()",
		"aaaaaaaaaaaa", "abababababab", "abcabcabcabc", "abcdefghijkl", "zyxwvutsrqpo", "iloveyou12", "Welcome2024!", "letmein!!!!", "changeme123", "administrator", "Sommer2025!!", "liverpool1892",
		"trustno1trustno1", "Sunshine99!", "football2023", "iloveyou1234", "dragonmaster", "monkey123456", "superman!!!!", "qwertyqwerty", "Qwertz123456", "0000000000", "1111122222", "112233445566", "aaaaabbbbbcc",
		"alice12345", "Alice-2024", "alicealice", "alice@example.com", "Example.Com1", "latchkey123", "Latchkey2024!", "correcthorsebatterystaple",
	} {
		err := PasswordPolicy{}.Check(bad, "alice", "alice@example.com")
		var weak *WeakPassword
		if !errors.As(err, &weak) || weak.Reason == "" || !strings.HasSuffix(err.Error(), ".") {
			t.Errorf("%q: %v", bad, err)
		}
		if len(bad) > 5 && err != nil && strings.Contains(err.Error(), bad) {
			t.Errorf("the refusal repeats %q", bad)
		}
	}
	if err := (PasswordPolicy{Own: []string{"Acme"}}).Check("intranet of acme", "bob", ""); err != nil {
		t.Errorf("the service's name in a longer phrase: %v", err)
	}
	if (PasswordPolicy{Own: []string{"acmecorp"}}).Check("acmecorp2024", "bob", "") == nil {
		t.Error("the service's name alone")
	}
}

func TestAPasswordPolicyIsTheOperators(t *testing.T) {
	t.Parallel()
	blocked, err := ReadBlocklist(strings.NewReader("Purple Monkey Dishwasher\r\n\ncafe\u0301 au lait s'il vous plait\n"))
	if err != nil || len(blocked) != 2 {
		t.Fatalf("%v %v", blocked, err)
	}
	p := PasswordPolicy{MinLength: 15, Blocked: blocked}
	for password, want := range map[string]string{
		"gravel tandem":                      WeakShort,
		"gravel tandem oboe":                 "",
		"purple monkey dishwasher":           WeakCommon,
		"PURPLE monkey dishwasher":           WeakCommon,
		"caf\u00e9 au lait s'il vous plait":  WeakCommon,
		"purple monkey dishwashers and more": "",
	} {
		err := p.Check(password, "", "")
		var weak *WeakPassword
		if errors.As(err, &weak) != (want != "") || weak != nil && weak.Reason != want {
			t.Errorf("%q: %v", password, err)
		}
	}
	if _, err := ReadBlocklist(strings.NewReader(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("a line without end is read")
	}
}

func FuzzCheckPassword(f *testing.F) {
	f.Add("correct horse battery", "alice", "alice@example.com")
	f.Add("Pässwörd", "", "")
	f.Fuzz(func(t *testing.T, password, username, email string) {
		err := PasswordPolicy{}.Check(password, username, email)
		h := NewHasher(cheap, 1)
		phc, hashErr := h.Hash(context.Background(), password)
		if err == nil && hashErr != nil {
			t.Fatalf("may be set, but cannot be hashed: %v", hashErr)
		}
		if hashErr == nil {
			if ok, _, err := h.Verify(context.Background(), phc, password); err != nil || !ok {
				t.Fatalf("does not verify: %v", err)
			}
		}
	})
}

func FuzzHash(f *testing.F) {
	h := NewHasher(cheap, 1)
	f.Add(hashed(f, h, "correct horse"))
	f.Add("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, phc string) {
		e, err := h.parse(phc)
		if err != nil {
			return
		}
		if e.String() != phc {
			t.Fatalf("%s reads as %s", phc, e)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, p := range []Params{DefaultParams, {Memory: 64 << 10, Time: 1, Threads: 1}} {
		h := NewHasher(p, 0)
		phc := hashed(b, h, "correct horse battery")
		b.Run(fmt.Sprintf("m=%d,t=%d,p=%d", p.Memory, p.Time, p.Threads), func(b *testing.B) {
			for b.Loop() {
				if ok, _, err := h.Verify(context.Background(), phc, "correct horse battery"); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
