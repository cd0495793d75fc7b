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
		"$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWM",
		"$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUWAAAA",
		"$2a$31$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
		"$2x$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
		"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
		"$6$rounds=99999999$saltsalt$" + strings.Repeat("a", 86),
		"$6$rounds=1$saltsalt$" + strings.Repeat("a", 86),
		"$6$saltsalt$" + strings.Repeat("a", 85),
		"$6$$" + strings.Repeat("a", 86),
		"pbkdf2_sha256$1$salt$YtOyTd8OUYnXnZ26vcksSMHyE7L/PId9xDjpPKK6Sb0=",
		"pbkdf2_sha256$4294967295$salt$YtOyTd8OUYnXnZ26vcksSMHyE7L/PId9xDjpPKK6Sb0=",
		"pbkdf2_sha256$1000$salt$AAAA",
		"pbkdf2_md5$1000$salt$YtOyTd8OUYnXnZ26vcksSMHyE7L/PId9xDjpPKK6Sb0=",
		"$scrypt$ln=31,r=8,p=1$qnWOEWKM0TrnfO9da41R6g$C0aO6zaRZ93bzYaBnCmK4dbaFc2/8YR+gAWMHpi7Wns",
		"scrypt:1000:8:1$salt$5cb4a78cede951d6a8ec508e37ebceaece71324965d4f2a349266bdd6d7d7805",
		"scrypt:1024:0:1$salt$5cb4a78cede951d6a8ec508e37ebceaece71324965d4f2a349266bdd6d7d7805",
		"scrypt:1024:4294967295:1$salt$5cb4a78cede951d6a8ec508e37ebceaece71324965d4f2a349266bdd6d7d7805",
		"{}",
		`{"secretData":{},"credentialData":{"algorithm":"pbkdf2-sha256","hashIterations":1000}}`,
		`{"secretData":"x","credentialData":"y"}`,
		"{" + strings.Repeat("[", 3000),
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

func TestHashesOfOtherProductsAreTakenAsTheyAreAndMadeAnew(t *testing.T) {
	t.Parallel()
	h := NewHasher(cheap, 2)
	const password = "correct horse battery"
	// Made by Passlib, Django, Werkzeug and the Python library's hashlib.
	for _, c := range []struct{ name, hash string }{
		{"bcrypt 2b", `$2b$04$QZfvIDMk131Z.sxnc8U/QOGfti0sVAAWE15qL95Zz9KHvw7n5aE7K`},
		{"bcrypt 2a", `$2a$04$4v8iwuCKavjChoPAnqls0Or50qMj3F/xLQE9cebxM.Ux9udYD1diq`},
		{"bcrypt 2y", `$2y$05$9PnebXwhDI4Ugib8Z3hRHOTEkNb8nBWXLSShLGnMVc1Z5YW94F0aa`},
		{"PBKDF2 of SHA-1 by Passlib", `$pbkdf2$2000$EmKMca611nqvlZLS.v//nw$fQ5MsJHAXkowADXoTXuAZOAGJBY`},
		{"PBKDF2 of SHA-256 by Passlib", `$pbkdf2-sha256$2000$r9Xa2/u/1/o/h1CqlZLSWg$7yv3UnSWIUIRxTwROM/7ms8rZ1/MLtEdttSBJ0Jv.HQ`},
		{"PBKDF2 of SHA-512 by Passlib", `$pbkdf2-sha512$2000$07r3nhPiXOv9P2cMQWgthQ$XVgjEefpZzbrHyfV7Dpj.FEVPp9ToJEhmnY88KVt8cIP0Y7vSmKO3ckp9hHxgl9kFTR5vvSTyAL0jbLYDREO4g`},
		{"PBKDF2 with i and l", `$pbkdf2-sha256$i=1000,l=32$AQJzYWx0//4wMTIzNDU2$Bmxl4bbaMXBcsHwktXwPRtKkiCUt5DPq20amYE2V/m4`},
		{"PBKDF2 with i", `$pbkdf2-sha512$i=1000$AQJzYWx0//4wMTIzNDU2$BVQUZ53xmul/E7xWWvtEOWIFo/D3vEaHhuka0AAhe0q2r1LMnQ5VEMwFIxcBI5fT8PCp4beHqVkccJxqmN/57Q`},
		{"scrypt by Passlib", `$scrypt$ln=10,r=8,p=1$qnWOEWKM0TrnfO9da41R6g$C0aO6zaRZ93bzYaBnCmK4dbaFc2/8YR+gAWMHpi7Wns`},
		{"sha512-crypt", `$6$hsxJ12QKhojZ4GG5$n9Seaddk2IliBSF5fbguR63POrnqQqWWgep9sW2w63vbcecpbxPH6z8YOuKqwg15gNo911AWzEIQlUz1s/cqU1`},
		{"sha512-crypt with rounds", `$6$rounds=1234$SkN7VSkOOx1NeLss$WSIAaYyOqd8oIMoOdljFnEhVbtiqsBN3cbANg6vpE3HDXwKk2uERUDzixMnSCpR328ycDJ.iR5PfE9s73CCGw/`},
		{"sha256-crypt with rounds", `$5$rounds=1500$0RJLiuZGPLVQpfgz$CZ7Uhi4SPk/.2QWlbKSfn0xz2xL2aJQvnVWjemD3j3D`},
		{"argon2i", `$argon2i$v=19$m=8192,t=1,p=2$IUQopbR2TqnVOickxBhDyA$SYGTQyl06Muj01uUk2bMQELd1FBOJGOgPzW+Gz8RS9w`},
		{"Django pbkdf2_sha256", `pbkdf2_sha256$1000$seasalt12345$YtOyTd8OUYnXnZ26vcksSMHyE7L/PId9xDjpPKK6Sb0=`},
		{"Django pbkdf2_sha1", `pbkdf2_sha1$1000$seasalt12345$JY8+dRLLhBjDFY0psoyuo6A4WXI=`},
		{"Django argon2", `argon2$argon2id$v=19$m=8192,t=1,p=1$c2Vhc2FsdHNlYXNhbHQ$EsJ0I02hwh75GLL6BVEJ/wbhW5+rxn25QKNqjlV8pCg`},
		{"Django bcrypt_sha256", `bcrypt_sha256$$2b$04$3C1iUt8g/aELUwntBN5W4uV14kNPF.X5kfLDYlHuUeqByrIkWgBIW`},
		{"Django bcrypt", `bcrypt$$2b$04$O6O5OTBQwyq7.HqTy76evuuNMjhdNz24TZOUb.aimMOTEhhsLefXm`},
		{"Django scrypt", `scrypt$1024$seasalt$8$1$fTwdYrxXK5/OG6iyAYN++CxTZgMb6MHXR6rhVXIgSHjQ7FiXuVEFz4EvVUsmygTk21KAcS7joGurlDlxzzruZA==`},
		{"Werkzeug scrypt", `scrypt:1024:8:1$F6BTim84JrONp9Bh$5cb4a78cede951d6a8ec508e37ebceaece71324965d4f2a349266bdd6d7d780582a977ca515c5c2f0d597bc4f095909045593d6f645d516b957e7d52510a68a5`},
		{"Werkzeug PBKDF2", `pbkdf2:sha256:1000$x5ElYg7QJqSAw8OT$2798e2f43fa96fe9449d8dc1131ffd5066fc4ad61236bce1a600c5151565fc16`},
		{"Keycloak pbkdf2-sha256", `{"type": "password", "secretData": "{\"value\": \"MU+PDyYp6qyuigtr5VjPxvSC4mfcCOzgPf5ZV9DukVfe8G4sEXbierOYBlN2AMsEG+svqAaCm+CWeL456Mojkg==\", \"salt\": \"MDEyMzQ1Njc4OWFiY2RlZg==\", \"additionalParameters\": {}}", "credentialData": "{\"hashIterations\": 2750, \"algorithm\": \"pbkdf2-sha256\", \"additionalParameters\": {}}"}`},
		{"Keycloak pbkdf2-sha512", `{"type": "password", "secretData": "{\"value\": \"I3Y7g3x5mLEvqBrZ7zd84Ns3nZRZbwaVO31P1+S1j6c+ro/coKGHVDrz9Gyh6lMKaO9s/v28+cTRxPWxXaYUGw==\", \"salt\": \"MDEyMzQ1Njc4OWFiY2RlZg==\", \"additionalParameters\": {}}", "credentialData": "{\"hashIterations\": 2100, \"algorithm\": \"pbkdf2-sha512\", \"additionalParameters\": {}}"}`},
		{"Keycloak pbkdf2", `{"type": "password", "secretData": "{\"value\": \"6xtA0Gw8DJNvji3D9pZsRfoAS5oSuBOIWwFUjVddCsR1aLpn5KUy9W7JJcliWRJ3wZqU5T3q7Eiuact0BnpmEg==\", \"salt\": \"MDEyMzQ1Njc4OWFiY2RlZg==\", \"additionalParameters\": {}}", "credentialData": "{\"hashIterations\": 2000, \"algorithm\": \"pbkdf2\", \"additionalParameters\": {}}"}`},
		{"Keycloak argon2", `{"secretData": {"value": "Qd/uPU2dNuqz/ljLQKUryhqKULDfO/egRNHbpCY1GDk=", "salt": "MDEyMzQ1Njc4OWFiY2RlZg=="}, "credentialData": {"hashIterations": 1, "algorithm": "argon2", "additionalParameters": {"hashLength": ["32"], "memory": ["8192"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]}}}`},
		{"sha512-crypt by OpenSSL", `$6$saltsalt$G9wFFnnUFCPffgjGaIp8t6onbqx3zGbMIn93ecLfBFGJpBV3/0HPLZ17qYbjb.WJDtXbmuMlQ9NnvzVms5ZXj.`},
	} {
		if err := h.CheckHash(c.hash); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if ok, rehash, err := h.Verify(t.Context(), c.hash, password); !ok || err != nil ||
			(!rehash && !strings.Contains(c.hash, "argon2id") && c.name != "Keycloak argon2") {
			t.Errorf("%s, the right password: %v, made anew %v, %v", c.name, ok, rehash, err)
		}
		for _, wrong := range []string{"", "correct horse batterY", password + " ", strings.Repeat("x", 1024)} {
			if ok, rehash, err := h.Verify(t.Context(), c.hash, wrong); ok || rehash || err != nil {
				t.Errorf("%s, the password %q: %v %v %v", c.name, wrong[:min(len(wrong), 30)], ok, rehash, err)
			}
		}
		s, err := h.parse(c.hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.VerifyLike(t.Context(), s.cost, password); err != nil {
			t.Errorf("%s, for nobody: %v", c.name, err)
		}
	}
}

func TestWeakerHashesAreMadeAnew(t *testing.T) {
	t.Parallel()
	weak, strong := NewHasher(Params{Memory: 64, Time: 1, Threads: 1}, 1),
		NewHasher(Params{Memory: 128, Time: 1, Threads: 1}, 1)
	if ok, rehash, err := weak.Verify(t.Context(), hashed(t, strong, "correct horse"), "correct horse"); !ok ||
		rehash || err != nil {
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
	if err := h.VerifyLike(ctx, h.own(), "correct horse"); !errors.Is(err, ErrBusy) {
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
		"correct horse battery", "tr0ub4dor&3 and more", "vier Wörter reichen aus", "J8#kq0ZpLw2x", "plum-otter-vivid",
		"密码密码很长的一句话", "my cat eats 3 fish",
		"gravel tandem oboe", "0482719365 0937", "🎉 party at the lake 🎉", "xkcd936 comic strip",
		strings.Repeat("long enough ", 85),
		"alice walked home in the rain",
	} {
		if err := (PasswordPolicy{}).Check(good, "alice", "alice@example.com"); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "short", "ninechars", "éééééééé", strings.Repeat("a", 1025), "with a\x00 NUL inside", "with a\ttab",
		"not UTF-8 \xff\xfe\xfd\xfc\xfb\xfa",
		"password123", "Password123!", "P@ssw0rd2024", "passwordpassword", "qwertyuiop", "1234567890", "0987654321",
		"qwerty12345", "1q2w3e4r5t", "1qaz2wsx3edc", "!@#$%^&*()",
		"aaaaaaaaaaaa", "abababababab", "abcabcabcabc", "abcdefghijkl", "zyxwvutsrqpo", "iloveyou12", "Welcome2024!",
		"letmein!!!!", "changeme123", "administrator", "Sommer2025!!", "liverpool1892",
		"trustno1trustno1", "Sunshine99!", "football2023", "iloveyou1234", "dragonmaster", "monkey123456",
		"superman!!!!", "qwertyqwerty", "Qwertz123456", "0000000000", "1111122222", "112233445566", "aaaaabbbbbcc",
		"alice12345", "Alice-2024", "alicealice", "alice@example.com", "Example.Com1", "latchkey123", "Latchkey2024!",
		"correcthorsebatterystaple",
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
	for _, seed := range []string{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$2b$04$QZfvIDMk131Z.sxnc8U/QOGfti0sVAAWE15qL95Zz9KHvw7n5aE7K",
		"$pbkdf2-sha256$i=1000,l=32$AQJzYWx0//4wMTIzNDU2$Bmxl4bbaMXBcsHwktXwPRtKkiCUt5DPq20amYE2V/m4",
		"scrypt$1024$seasalt$8$1$fTwdYrxXK5/OG6iyAYN++A==",
		"$6$rounds=1234$SkN7VSkOOx1NeLss$WSIAaYyOqd8oIMoOdljFnEhVbtiqsBN3cbANg6vpE3HDXwKk2uERUDzixMnSCpR328ycDJ.iR5PfE9s73CCGw/", `{"secretData":{},"credentialData":"{}"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := h.parse(text)
		if err != nil {
			return
		}
		if !s.usable(cheap) || len(s.hash) > 128 {
			t.Fatalf("%q is taken as %+v", text, s)
		}
		if strings.HasPrefix(text, "$argon2") && s.phc() != text {
			t.Fatalf("%s reads as %s", text, s.phc())
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
