package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

const testManifest = `
groups:
  - {name: staff, description: Everybody here}
  - {name: admins, roles: [admin]}
people:
  - username: Ada
    groups: [staff, admins]
    claims:
      name: Ada Example
      email: ada@example.com
      email_verified: true
      birthdate: 1815-12-10      # not a date, whatever YAML thinks
      address: {postal_code: 01234, country: GB}
    password_file: ada.txt
  - username: bob
    password_env: BOB_PASSWORD
    disabled: true
clients:
  - client_id: notes
    type: web
    client_name: Notes
    redirect_uris: [https://notes.example.com/callback]
    backchannel_logout_uri: https://notes.example.com/logout
    allowed_groups: [staff]
    skip_consent: true
    client_secret_env: NOTES_SECRET
  - client_id: board
    type: spa
    client_name: Board
    redirect_uris: [https://board.example.com/]
  - client_id: signer
    client_name: Signer
    redirect_uris: [https://signer.example.com/cb]
    token_endpoint_auth_method: client_secret_jwt
`

func TestApply(t *testing.T) {
	t.Parallel()
	folder, data := t.TempDir(), t.TempDir()
	file := filepath.Join(folder, "site.yaml")
	rewrite(t, file, testManifest, 0o600)
	rewrite(t, filepath.Join(folder, "ada.txt"), testPassword+"\n", 0o600)
	env := []string{"BOB_PASSWORD=another-teapot-99", "NOTES_SECRET=a-secret-that-was-chosen-elsewhere"}
	apply := func(more ...string) ran {
		t.Helper()
		return latchkey(t, "", env, append([]string{"apply", file, "--data", data, "--json"}, more...)...)
	}
	actions := func(r ran) string {
		t.Helper()
		if r.code != exitOK {
			t.Fatal(r.stderr)
		}
		var out []string
		for _, c := range into[[]admin.PlannedChange](t, r.stdout) {
			out = append(out, c.Name+" "+c.Action)
		}
		return strings.Join(out, ", ")
	}

	const created = "staff created, admins created, ada created, bob created, notes created, board created, signer created"
	if got := actions(apply("--dry-run")); got != created {
		t.Errorf("a dry run: %s", got)
	}
	if got := strings.TrimSpace(succeed(t, "", "user", "list", "--json", "--data", data)); got != "[]" {
		t.Errorf("a dry run wrote: %s", got)
	}
	first := apply()
	if got := actions(first); got != created {
		t.Errorf("the first time: %s", got)
	}
	if strings.Contains(first.stdout, "chosen-elsewhere") || strings.Contains(first.stdout, testPassword) {
		t.Error("a secret that was brought along was printed")
	}
	made := into[[]admin.PlannedChange](t, first.stdout)
	if made[6].ClientSecret == "" || made[5].ClientSecret != "" {
		t.Errorf("secrets: %+v", made)
	}
	if got := actions(apply()); got != strings.ReplaceAll(created, "created", "unchanged") {
		t.Errorf("the second time: %s", got)
	}
	ada := into[storage.User](t, succeed(t, "", "user", "show", "ada", "--json", "--data", data))
	if ada.Claims.Birthdate != "1815-12-10" || ada.Claims.Address.PostalCode != "01234" || !ada.Claims.EmailVerified {
		t.Errorf("%+v", ada.Claims)
	}
	notes := into[clients.Client](t, succeed(t, "", "client", "show", "notes", "--json", "--data", data))
	if !notes.SkipConsent || notes.TokenEndpointAuthMethod != "client_secret_basic" ||
		notes.AllowedGroups[0] != "staff" {
		t.Errorf("%+v", notes)
	}

	t.Run("what changed is updated, the rest stays", func(t *testing.T) {
		rewrite(t, file, strings.Replace(strings.Replace(testManifest, "Everybody here", "All", 1),
			"client_name: Board", "client_name: Table", 1), 0o600)
		want := "staff updated, admins unchanged, ada unchanged, bob unchanged, notes unchanged, board updated, signer unchanged"
		if got := actions(apply()); got != want {
			t.Errorf("%s", got)
		}
		env = []string{"BOB_PASSWORD=another-teapot-100", "NOTES_SECRET=a-secret-that-was-chosen-elsewhere-2"}
		want = "staff unchanged, admins unchanged, ada unchanged, bob updated, notes updated, board unchanged, signer unchanged"
		if got := actions(apply()); got != want {
			t.Errorf("%s", got)
		}
	})
	t.Run("nothing is written when anything is wrong, and all of it is told with its line", func(t *testing.T) {
		rewrite(t, file, `groups:
  - {name: new-group}
  - {name: "a,b"}
people:
  - {username: new-person, groups: [nothing], password: short}
  - {username: "two words"}
  - {username: carol, password: wonderful-teapot-77, password_env: X}
  - {username: dan, claims: {email: no address}}
  - {username: eve, password_hash: plain text}
  - {username: fay, password_env: NOT_SET}
clients:
  - {client_id: new-client, client_name: X, redirect_uris: ["http://x.example.com/cb"]}
  - {client_name: no id, redirect_uris: ["https://x.example.com/cb"]}
  - {client_id: x, allowed_groups: [nothing], client_name: X, redirect_uris: ["https://x.example.com/cb"]}
  - {client_id: x, client_name: X, redirect_uris: ["https://x.example.com/cb"], client_secret: short}
`, 0o600)
		r := apply()
		if r.code != exitRefused {
			t.Fatalf("exit %d", r.code)
		}
		for _, want := range []string{"site.yaml:3:", "site.yaml:5: people[0].groups",
			"site.yaml:5: people[0].password", "site.yaml:6:", "site.yaml:7:", "site.yaml:8:", "site.yaml:9:",
			"site.yaml:10:",
			"site.yaml:12:", "site.yaml:13:", "site.yaml:14: clients[2].allowed_groups",
			`site.yaml:15: clients[3]: "x" is there twice`, "site.yaml:15: clients[3].client_secret"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("nothing about %s in\n%s", want, r.stderr)
			}
		}
		if list := succeed(t, "", "group", "list", "--json", "--data", data); strings.Contains(list, "new-group") {
			t.Error("something was written")
		}
	})
	t.Run("unknown keys are errors with the line", func(t *testing.T) {
		rewrite(t, file, "clients:\n  - client_id: x\n    redirect_uri: https://x.example.com/cb\n    allowed_group: [a]\npeople:\n  - username: a\n    claims: {mail: x}\n", 0o600)
		r := apply()
		for _, want := range []string{"site.yaml:3: clients[0].redirect_uri", "did you mean redirect_uris",
			"site.yaml:4: clients[0].allowed_group", "site.yaml:7: people[0].claims.mail", "did you mean email"} {
			if r.code != exitRefused || !strings.Contains(r.stderr, want) {
				t.Errorf("exit %d, nothing about %q in %s", r.code, want, r.stderr)
			}
		}
	})
	t.Run("what is exported can be applied elsewhere", func(t *testing.T) {
		exported := succeed(t, "", "export", "--with-password-hashes", "--data", data)
		if plain := succeed(t, "", "export", "--data", data); strings.Contains(plain, "argon2") ||
			!strings.Contains(exported, "argon2id") {
			t.Error("password hashes belong into an export only when they were asked for")
		}
		copied := t.TempDir()
		r := latchkey(t, exported, nil, "apply", "-", "--data", copied, "--json")
		if r.code != exitOK {
			t.Fatal(r.stderr)
		}
		if again := succeed(t, "", "export", "--with-password-hashes", "--data", copied); again != exported {
			t.Errorf("the copy differs:\n%s\n%s", exported, again)
		}
		asJSON := succeed(t, "", "export", "--json", "--data", data)
		if r := latchkey(t, asJSON, nil, "apply", "-", "--data", t.TempDir()); r.code != exitOK {
			t.Errorf("as JSON: %s", r.stderr)
		}
	})
	t.Run("the people of the certification suite", func(t *testing.T) {
		if _, err := os.Stat("../../docs/conformance/people.yaml"); err != nil {
			t.Fatal(err)
		}
		succeed(t, "", "apply", "../../docs/conformance/people.yaml", "--data", t.TempDir())
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(testManifest))
	f.Add([]byte(`{"clients": [{"client_id": "a", "jwks": {"keys": [{"kty": "RSA", "n": 0x10}]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := config.OpenEntries("-", bytes.NewReader(text), manifestTitle, manifestSections...)
		if err != nil {
			return
		}
		r := &manifestReader{Entries: e, stdin: true}
		_ = r.EachGroup(func(admin.GroupEntry) error { return nil })
		_ = r.EachUser(func(admin.UserEntry) error { return nil })
		_ = r.EachClient(func(admin.ClientEntry) error { return nil })
	})
}

// A file that is larger than what is read as a whole. What is in it is far more than its entries
// take in memory one by one.
func TestApplyReadsAFileOfAnySize(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# made by hand\nmanifest: large # of that name\ngroups:\n  - name: staff\npeople:\n")
	long := strings.Repeat("x", 1900)
	for i := range 600 {
		fmt.Fprintf(&b, "  # number %[1]d\n  - username: p%06[1]d\n    groups: [staff]\n    claims:\n", i)
		for _, claim := range []string{"profile", "picture", "website"} {
			fmt.Fprintf(&b, "      %s: https://example.com/%s\n", claim, long)
		}
		b.WriteString("      address:\n")
		for _, claim := range []string{"formatted", "street_address", "locality", "region", "country"} {
			fmt.Fprintf(&b, "        %s: %s\n", claim, long)
		}
	}
	b.WriteString("clients: []\n")
	if b.Len() < 8<<20 {
		t.Fatalf("%d bytes are read as a whole", b.Len())
	}
	file := writeFile(t, "large.yaml", b.String())
	data := t.TempDir()
	r := latchkey(t, "", nil, "apply", file, "--data", data)
	if r.code != exitOK || !strings.Contains(r.stderr, "601 created, 0 updated, 0 unchanged") {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	if r := latchkey(t, "", nil, "drift", "large", "--data", data); r.code != exitOK {
		t.Errorf("the title of a large file: exit %d %s", r.code, r.stderr)
	}
	for _, format := range [][]string{nil, {"--json"}} {
		exported := succeed(t, "", append([]string{"export", "--data", data}, format...)...)
		if len(exported) < 8<<20 {
			t.Fatalf("%d bytes are read as a whole", len(exported))
		}
		r = latchkey(t, exported, nil, "apply", "-", "--data", data)
		if r.code != exitOK || !strings.Contains(r.stderr, "0 created, 0 updated, 601 unchanged") {
			t.Errorf("%v: exit %d: %s", format, r.code, r.stderr)
		}
		copied := t.TempDir()
		if format != nil {
			exported = strings.Replace(exported, "{", `{"manifest": "large",`, 1)
		}
		if r = latchkey(t, exported, nil, "apply", "-", "--data", copied); r.code != exitOK {
			t.Errorf("%v: exit %d: %s", format, r.code, r.stderr)
		}
		again := succeed(t, "", append([]string{"export", "--data", copied}, format...)...)
		if again != strings.Replace(exported, `{"manifest": "large",`, "{", 1) {
			t.Errorf("%v: the copy differs", format)
		}
		r = latchkey(t, "", nil, "drift", "large", "--data", copied)
		if want := map[bool]int{true: exitOK, false: exitNotFound}[format != nil]; r.code != want {
			t.Errorf("%v: exit %d, want %d", format, r.code, want)
		}
	}
	for name, bad := range map[string]string{
		"people[599].claims.email": strings.Replace(b.String(), "p000599\n    groups: [staff]\n    claims:",
			"p000599\n    claims:\n      email: none", 1),
		"people[599].user":          strings.Replace(b.String(), "p000599\n", "p000599\n    user: x\n", 1),
		`"p000598" is there twice`:  strings.Replace(b.String(), "username: p000599", "username: p000598", 1),
		"there is no such key here": strings.Replace(b.String(), "people:", "persons:", 1),
		"found unexpected end":      strings.Replace(b.String(), "p000599", `"p000599`, 1),
	} {
		rewrite(t, file, bad, 0o600)
		r := latchkey(t, "", nil, "apply", file, "--data", data)
		if r.code == exitOK || !strings.Contains(r.stderr, name) || !strings.Contains(r.stderr, "large.yaml:") {
			t.Errorf("%s: exit %d: %.300s", name, r.code, r.stderr)
		}
	}
}
