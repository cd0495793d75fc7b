package main

import (
	"path/filepath"
	"strings"
	"testing"

	"latchkey/provider/admin"
)

const companyManifest = `manifest: company
groups:
  - {name: staff, description: Everybody here}
people:
  - {username: ada, groups: [staff], claims: {email: ada@example.com}}
clients:
  - client_id: notes
    client_name: Notes
    redirect_uris: [https://notes.example.com/callback]
    allowed_groups: [staff]
`

func TestPlanApplyDriftAndDiff(t *testing.T) {
	t.Parallel()
	data, file := t.TempDir(), filepath.Join(t.TempDir(), "company.yaml")
	rewrite(t, file, companyManifest, 0o600)
	run := func(args ...string) ran {
		t.Helper()
		return latchkey(t, "", nil, append(args, "--data", data)...)
	}
	says := func(r ran, code int, all ...string) {
		t.Helper()
		if r.code != code {
			t.Errorf("exit %d, want %d: %s", r.code, code, r.stderr)
		}
		for _, want := range all {
			if !strings.Contains(r.stdout+r.stderr, want) {
				t.Errorf("nothing about %q in\n%s%s", want, r.stdout, r.stderr)
			}
		}
	}
	says(run("plan", file), exitOK, "created     person   ada", `claims.email: nothing → "ada@example.com"`,
		`managed_by: nothing → "company"`, "client_secret: another one, which is not shown", "3 created",
		"Nothing was written")
	says(run("user", "list", "--json"), exitOK, "[]")
	says(run("diff", file), exitDifferent, "--- /dev/null\n+++ file/group/staff\n+description: \"Everybody here\"\n")

	made := run("apply", file)
	says(made, exitOK, "client_secret ")
	again := run("apply", file)
	says(again, exitOK, "0 created, 0 updated, 3 unchanged")
	if strings.Contains(again.stdout, "client_secret") {
		t.Error("a second time makes another secret")
	}
	says(run("diff", file), exitOK)
	says(run("plan", file), exitOK, "0 created, 0 updated, 3 unchanged")
	says(run("drift"), exitOK, "Nothing was changed")

	says(run("user", "update", "ada", "--email", "other@example.com"), exitOK)
	says(run("client", "update", "notes", "--name", "Paper"), exitOK)
	says(run("drift"), exitDifferent, "changed   person   ada   file company   by ",
		`claims.email: "ada@example.com" → "other@example.com"`, `client_name: "Notes" → "Paper"`)
	drift := into[[]admin.Drift](t, run("drift", "company", "--json").stdout)
	if len(drift) != 2 || drift[0].ChangedAt == nil {
		t.Errorf("%+v", drift)
	}
	says(run("diff", file), exitDifferent,
		"--- now/client/notes\n+++ file/client/notes\n-client_name: \"Paper\"\n+client_name: \"Notes\"\n")
	says(run("apply", file), exitOK, "0 created, 2 updated, 1 unchanged")
	says(run("drift"), exitOK)

	rewrite(t, file, "manifest: company\ngroups: [{name: staff}]\n", 0o600)
	says(run("plan", file), exitOK, "left        client   notes", "1 updated", "2 left", "--prune deletes it")
	says(run("plan", file, "--prune"), exitOK, "deleted     client   notes",
		`client_name: "Notes" → nothing`, "2 deleted")
	says(run("user", "show", "ada"), exitOK)
	says(run("apply", file, "--prune", "--release"), exitRefused, "excludes release")
	says(run("apply", file, "--prune"), exitOK, "deleted     person   ada",
		"0 created, 1 updated, 0 unchanged, 2 deleted")
	says(run("user", "show", "ada"), exitNotFound)
	says(run("client", "show", "notes"), exitNotFound)
	says(run("drift", "nobody"), exitNotFound, `there is no manifest "nobody"`)

	rewrite(t, file, "groups: [{name: staff}]\n", 0o600)
	says(run("apply", file, "--prune"), exitRefused, "manifest: is missing")
	rewrite(t, file, "manifest: [x]\n", 0o600)
	says(run("apply", file), exitRefused, "company.yaml:1: manifest")
	rewrite(t, file, "manifest: other\ngroups: [{name: staff}]\n", 0o600)
	says(run("apply", file), exitRefused, "company.yaml:2: groups[0]", "kept by the file that calls itself company")
	says(run("apply", file, "--take-over"), exitOK, "updated     group    staff")
}
