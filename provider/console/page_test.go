package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/console"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// visitor is a browser in which somebody with a role is signed in to the console.
func visitor(t *testing.T, w *providertest.World, role string) (*providertest.Browser, storage.User) {
	t.Helper()
	u := person(t, w, "visitor-"+strings.ReplaceAll(role, "_", "-"), role)
	b := w.Browser()
	p := b.SignInAs(b.Open(w.Web.Path+console.Pages), u.Username)
	if role != "" && !p.Has("console-start") {
		t.Fatalf("%s is not let in: %d %s", role, p.StatusCode, p.Body)
	}
	return b, u
}

// whole checks that a page says everything in words, and has nothing that no page has.
func whole(t *testing.T, p providertest.Page) {
	t.Helper()
	for _, not := range []string{`lang="zxx"`, "ZgotmplZ", "<script", " style=", "argon2id", "<no value>"} {
		if strings.Contains(p.Body, not) {
			t.Errorf("%s: the page has %s:\n%s", p.Request.URL, not, p.Body)
		}
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") ||
		strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
		t.Errorf("%s: %s", p.Request.URL, csp)
	}
}

// pagePaths are the addresses of the pages that show something, in the world of a scene.
func pagePaths(t *testing.T, w *providertest.World) (paths []string, names map[string]string) {
	t.Helper()
	if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "the staff/1",
		Description: "d"}); err != nil {
		t.Fatal(err)
	}
	u := w.AddUser("ada", "the staff/1")
	w.AddClient("notes", func(c *clients.Client) { c.AllowedGroups = []string{"the staff/1"} })
	names = map[string]string{"{sub}": u.ID, "{group}": url.PathEscape("the staff/1"), "{client_id}": "notes"}
	for _, e := range w.Console.Endpoints() {
		if strings.HasPrefix(e.Path, console.Pages) && slices.Contains(e.Methods, "GET") &&
			e.Path != console.Pages+"/setup" {
			paths = append(paths, variable.ReplaceAllStringFunc(e.Path, func(v string) string { return names[v] }))
		}
	}
	if len(paths) < 20 {
		t.Fatalf("only %v", paths)
	}
	return paths, names
}

// pageVerbs says which roles see a page, by what its path begins with; the others get 403.
var pageRoles = []struct {
	path  string
	roles string
}{
	{"/admin/people/sub-ada/confirm", "owner administrator"}, {"/admin/groups/the%20staff%2F1/confirm",
		"owner administrator"}, {"/admin/applications/notes/confirm", "owner administrator"},
	{"/admin/keys/confirm", "owner administrator"}, {"/admin/people/new", "owner administrator"},
	{"/admin/preview", "owner administrator help_desk auditor"},
	{"/admin/doctor", "owner administrator help_desk auditor application_owner"},
	{"/admin/people", "owner administrator help_desk auditor"},
	{"/admin/why", "owner administrator help_desk auditor"},
	{"/admin/groups/", "owner administrator help_desk auditor application_owner"}, {"/admin/applications/new",
		"owner administrator"}, {"/admin/applications/notes", "owner administrator help_desk auditor"},
	{"/admin/sessions", "owner administrator help_desk auditor"}, {"/admin/keys", "owner administrator auditor"},
	{"/admin/audit", "owner administrator auditor"}, {"/admin/files", "owner administrator auditor"},
	{"/admin/mail", "owner administrator auditor"}, {"/admin/health", "owner administrator auditor"},
	{"/admin", "owner administrator help_desk auditor application_owner"},
}

func TestEveryPageForEveryRole(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	paths, _ := pagePaths(t, w)
	for _, role := range append([]string{""}, storage.Roles...) {
		b, _ := visitor(t, w, role)
		for _, path := range paths {
			target := path
			switch {
			case strings.HasSuffix(path, "/confirm"):
				target += "?action=" + map[bool]string{true: "revoke", false: "delete"}[strings.Contains(path,
					"/keys/")]
			case strings.HasSuffix(path, "/export"):
				target += "?format=jsonl"
			}
			p := b.Open(target)
			i := slices.IndexFunc(pageRoles, func(r struct{ path, roles string }) bool {
				return strings.HasPrefix(path,
					r.path)
			})
			may := role != "" && slices.Contains(strings.Fields(pageRoles[i].roles), role)
			switch {
			case may && p.StatusCode != http.StatusOK, !may && p.StatusCode != http.StatusForbidden:
				t.Errorf("%s as %q: %d %s", target, role, p.StatusCode, p.Body)
			case strings.HasPrefix(p.Header.Get("Content-Type"), "text/html"):
				whole(t, p)
			}
			anonymous := w.Browser().Open(target)
			if !anonymous.Has("login-page") {
				t.Errorf("%s for nobody: %d", target, anonymous.StatusCode)
			}
		}
	}
}

func TestNoFormOfTheConsoleIsTakenFromElsewhere(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	_, names := pagePaths(t, w)
	b, _ := visitor(t, w, storage.RoleOwner)
	other, _ := visitor(t, w, storage.RoleAdministrator)
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(other.Open("/admin/people/new").Body)[1]
	events := func() int {
		all, err := w.Store.Events(t.Context(), storage.EventFilter{ActorKind: storage.ActorUser, VerbPrefix: ""}, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(all, func(e storage.Event) bool { return strings.HasPrefix(e.Verb, "session.") }))
	}
	before := events()
	for _, e := range w.Console.Endpoints() {
		if e.Audience != web.AudienceForm || !slices.Contains(e.Methods, "POST") {
			continue
		}
		path := variable.ReplaceAllStringFunc(e.Path, func(v string) string { return names[v] })
		form := url.Values{"action": {"delete"}, "confirmed": {"yes"}, "username": {"x"}, "name": {"x"}}
		for what, csrf := range map[string]string{"without its value": "", "with another's": token, "with nonsense": "x"} {
			form.Set("csrf", csrf)
			if p := b.Post(path, form); p.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d", path, what, p.StatusCode)
			}
		}
		own := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(b.Open("/admin/people/new").Body)[1]
		form.Set("csrf", own)
		r, err := http.NewRequest("POST", w.Issuer+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := b.Do(r); p.StatusCode != http.StatusForbidden {
			t.Errorf("%s from another site: %d", path, p.StatusCode)
		}
	}
	if events() != before {
		t.Error("something was changed")
	}
}

func TestAPersonIsLookedAfterOnThePages(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	b, _ := visitor(t, w, storage.RoleOwner)
	if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "staff"}); err != nil {
		t.Fatal(err)
	}
	// Created, with what is wrong named first.
	bad := b.Submit(b.Open("/admin/people/new"), "username", url.Values{"username": {"Grace"}, "password": {"12345"}, "email": {"nobody"}, "groups": {"nowhere"}})
	if bad.StatusCode != http.StatusUnprocessableEntity || !bad.Has("console-problem") || !strings.Contains(bad.Body, `value="Grace"`) || strings.Contains(bad.Body, "12345") {
		t.Errorf("%d %s", bad.StatusCode, bad.Body)
	}
	whole(t, bad)
	p := b.Follow(b.Submit(bad, "username", url.Values{"username": {"Grace"}, "name": {"Grace Hopper"}, "password": {"a long enough phrase"}, "email": {"grace@example.com"}, "groups": {"staff"}}))
	if !p.Has("console-person") || !p.Has("console-notice") || !strings.Contains(p.Body, "Grace Hopper") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	u, err := w.Store.UserByUsername(t.Context(), "grace")
	if err != nil || !slices.Equal(u.Groups, []string{"staff"}) {
		t.Fatal(u, err)
	}
	grace := w.Browser()
	grace.Follow(grace.Submit(grace.Open("/account"), "login-submit", url.Values{"username": {"grace"}, "password": {"a long enough phrase"}}))
	// Changed by whoever has seen it as it is.
	stale := b.Open("/admin/people/" + u.ID)
	fill := url.Values{"name": {"Admiral Hopper"}, "given_name": {""}, "family_name": {""}, "email": {"grace@example.com"}, "groups": {"staff"}, "action": {"save"}}
	if p = b.Follow(b.Submit(stale, "given_name", fill)); !strings.Contains(p.Body, "Admiral Hopper") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
	if p = b.Submit(stale, "given_name", fill); p.StatusCode != http.StatusConflict {
		t.Errorf("a form that shows an earlier state: %d", p.StatusCode)
	}
	// Found by search.
	if p = b.Open("/admin/search?q=admiral"); !strings.Contains(p.Body, "/admin/people/"+u.ID) {
		t.Error("not found")
	}
	// Her session is there, and ends only when that is confirmed.
	page := b.Open("/admin/people/" + u.ID)
	if !strings.Contains(page.Body, "Go-http-client") {
		t.Error("her session is not listed")
	}
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.Body)[1]
	if p = b.Follow(b.Post("/admin/people/"+u.ID, url.Values{"csrf": {csrf}, "action": {"end-sessions"}})); !p.Has("console-confirm") {
		t.Errorf("nobody asked: %d %s", p.StatusCode, p.Body)
	}
	whole(t, p)
	if p = b.Follow(b.Submit(p, "confirm-form-submit", url.Values{"action": {"end-sessions"}})); !p.Has("console-person") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
	if p := grace.Open("/account"); !p.Has("login-page") {
		t.Error("the session goes on")
	}
	// A role, a password, a lock-out, and the end.
	for _, form := range []url.Values{{"action": {"role"}, "role": {"auditor"}}, {"action": {"password"}, "password": {"another long phrase"}}, {"action": {"rename"}, "username": {"hopper"}}, {"action": {"unlock"}}} {
		form.Set("csrf", csrf)
		if p = b.Follow(b.Post("/admin/people/"+u.ID, form)); p.StatusCode != http.StatusOK || !p.Has("console-person") {
			t.Errorf("%v: %d %s", form, p.StatusCode, p.Body)
		}
	}
	if u, err = w.Store.User(t.Context(), u.ID); err != nil || u.Role != storage.RoleAuditor || u.Username != "hopper" || u.Disabled {
		t.Errorf("%+v %v", u, err)
	}
	if p = b.Post("/admin/people/"+u.ID, url.Values{"csrf": {csrf}, "action": {"delete"},
		"confirmed": {"yes"}}); p.StatusCode != http.StatusForbidden {
		t.Errorf("confirmed on another page than the one that asks: %d", p.StatusCode)
	}
	for _, disabled := range []bool{true, false} {
		if disabled {
			p = b.Submit(b.Open("/admin/people/"+u.ID+"/confirm?action=disable"), "confirm-form-submit",
				url.Values{"action": {"disable"}})
		} else {
			p = b.Post("/admin/people/"+u.ID, url.Values{"csrf": {csrf}, "action": {"enable"}})
		}
		if is, err := w.Store.User(t.Context(), u.ID); err != nil || is.Disabled != disabled {
			t.Errorf("%v %v: %d %s", err, is.Disabled, p.StatusCode, p.Body)
		}
	}
	p = b.Follow(b.Submit(b.Open("/admin/people/"+u.ID+"/confirm?action=delete"), "confirm-form-submit",
		url.Values{"action": {"delete"}}))
	if _, err := w.Store.User(t.Context(), u.ID); err == nil || !p.Has("console-people") {
		t.Errorf("%v %d", err, p.StatusCode)
	}
	if p := b.Open("/admin/audit?verb=user."); !strings.Contains(p.Body, "user.delete") || !strings.Contains(p.Body, "hopper") {
		t.Error("the log does not say it")
	}
	// Nobody gives more than they hold, here as elsewhere.
	helper, _ := visitor(t, w, storage.RoleHelpDesk)
	csrf = regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(helper.Open("/admin/tokens").Body)[1]
	root := person(t, w, "root", storage.RoleOwner)
	for _, form := range []url.Values{{"action": {"password"}, "password": {"a long enough phrase"}}, {"action": {"role"}, "role": {"owner"}}, {"action": {"delete"}, "confirmed": {"yes"}}, {"action": {"reset-factors"}, "confirmed": {"yes"}}} {
		form.Set("csrf", csrf)
		if p := helper.Post("/admin/people/"+root.ID, form); p.StatusCode != http.StatusForbidden {
			t.Errorf("the help desk, %v: %d", form, p.StatusCode)
		}
	}
}

func TestTheConsoleWantsAFreshProof(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	u := w.AddUser("ada")
	b, _ := visitor(t, w, storage.RoleOwner)
	w.Clock.Advance(6 * time.Minute)
	if p := b.Open("/admin/people/" + u.ID); !p.Has("console-person") {
		t.Errorf("looking: %d", p.StatusCode)
	}
	if p := b.Open("/admin/people/" + u.ID + "/confirm?action=delete"); !p.Has("login-page") {
		t.Errorf("what cannot be undone: %d", p.StatusCode)
	} else if p = b.Follow(b.Submit(p, "login-submit", url.Values{"password": {providertest.TestPassword}})); !p.Has("console-confirm") {
		t.Errorf("after the proof: %d %s", p.StatusCode, p.Body)
	}
	first, err := w.Store.User(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	// What decides who gets in wants the same, and nobody gets around the page that asks by a form
	// of another page.
	page := b.Open("/admin/people/" + u.ID)
	w.Clock.Advance(6 * time.Minute)
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.Body)[1]
	for what, form := range map[string]url.Values{
		"a role": {"action": {"role"}, "role": {storage.RoleOwner}}, "a name": {"action": {"rename"}, "username": {"eve"}},
		"a password": {"action": {"password"}, "password": {"another long phrase"}},
		"the end":    {"action": {"delete"}, "confirmed": {"yes"}},
		"disabling":  {"action": {"disable"}, "confirmed": {"yes"}},
	} {
		form.Set("csrf", csrf)
		p := b.Post("/admin/people/"+u.ID, form)
		if is, err := w.Store.User(t.Context(), u.ID); err != nil || is.Role != "" || is.Version != first.Version {
			t.Errorf("%s with a proof of six minutes ago: %d %v", what, p.StatusCode, err)
		}
	}
	b.Post("/admin/people/"+u.ID, url.Values{"csrf": {csrf}, "action": {"unlock"}})
	for path, form := range map[string]url.Values{"/admin/tokens": {"action": {"create-key"}, "name": {"key"},
		"days": {"1"}, "scope-people-read": {"on"}}} {
		form.Set("csrf", csrf)
		if p := b.Post(path, form); p.Has("console-once") {
			t.Errorf("%s with a proof of six minutes ago: %d", path, p.StatusCode)
		}
	}
	page = b.Open("/admin/people/new")
	w.Clock.Advance(5 * time.Minute)
	p := b.Follow(b.Submit(page, "username", url.Values{"username": {"late"}, "password": {"a long enough phrase"}}))
	if _, err := w.Store.UserByUsername(t.Context(), "late"); err == nil || !p.Has("login-page") {
		t.Errorf("a change with an old proof: %v %d", err, p.StatusCode)
	}
	w.Clock.Advance(50 * time.Minute)
	if p := b.Open("/admin/people"); !p.Has("login-page") {
		t.Errorf("looking, an hour later: %d", p.StatusCode)
	}
	// An administrator without a second factor stays outside where one is required.
	strict := providertest.New(t, func(c *provider.Config) { c.RequireAdministratorSecondFactor = true })
	root := person(t, strict, "root", storage.RoleOwner)
	b = strict.Browser()
	if p := b.SignInAs(b.Open("/admin"), root.Username); !p.Has("totp-page") || p.Has("console-start") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
}

func TestOneOfManyBecomesTheFirstOwner(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	link, err := w.Console.SetUpLink(t.Context())
	if err != nil || !strings.HasPrefix(link, w.Issuer+"/admin/setup?token=") {
		t.Fatal(link, err)
	}
	second, err := w.Console.SetUpLink(t.Context())
	if err != nil || second == "" || second == link {
		t.Fatal(second, err)
	}
	b := w.Browser()
	page := b.Open(link)
	if !page.Has("console-setup") {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	whole(t, page)
	for what, fill := range map[string]url.Values{
		"a weak password": {"username": {"root"}, "password": {"12345"}, "repeat": {"12345"}}, "two passwords": {"username": {"root"}, "password": {"a long enough phrase"}, "repeat": {"another"}},
		"no password": {"username": {"root"}}, "no username": {"password": {"a long enough phrase"}, "repeat": {"a long enough phrase"}},
	} {
		if p := b.Submit(page, "username", fill); p.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", what, p.StatusCode)
		}
	}
	other := w.Browser()
	otherPage := other.Open(second)
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 20 {
		all.Go(func() {
			name := "root-" + string(rune('a'+i))
			fill := url.Values{"username": {name}, "password": {"a long enough phrase"}, "repeat": {"a long enough phrase"}}
			var p providertest.Page
			if i%2 == 0 {
				p = b.Submit(page, "username", fill)
			} else {
				p = other.Submit(otherPage, "username", fill)
			}
			mu.Lock()
			defer mu.Unlock()
			switch p.StatusCode {
			case http.StatusSeeOther:
				made++
			case http.StatusGone, http.StatusServiceUnavailable:
			default:
				t.Errorf("%d %s", p.StatusCode, p.Body)
			}
		})
	}
	all.Wait()
	owners, err := w.Store.FindUsers(t.Context(), storage.UserFilter{Role: storage.RoleOwner}, "", 10)
	if err != nil || made != 1 || len(owners) != 1 {
		t.Fatalf("%d made, %d owners, %v", made, len(owners), err)
	}
	// It is closed for good: also when the first owner is gone.
	for _, used := range []string{link, second, w.Issuer + "/admin/setup", w.Issuer + "/admin/setup?token=x"} {
		if p := b.Open(used); p.StatusCode != http.StatusGone {
			t.Errorf("%s: %d", used, p.StatusCode)
		}
	}
	if err := w.Store.DeleteUser(t.Context(), owners[0].ID); err != nil {
		t.Fatal(err)
	}
	if again, err := w.Console.SetUpLink(t.Context()); again != "" || err != nil {
		t.Error(again, err)
	}
	if p := b.Open(link); p.StatusCode != http.StatusGone {
		t.Errorf("%d", p.StatusCode)
	}
	// Where somebody was made an owner by command there is no link.
	led := providertest.New(t)
	person(t, led, "root", storage.RoleOwner)
	if link, err := led.Console.SetUpLink(t.Context()); link != "" || err != nil {
		t.Error(link, err)
	}
}

func TestTheAuditLogIsExportedWithItsChain(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	b, _ := visitor(t, w, storage.RoleAuditor)
	if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "=HYPERLINK(1)", Description: "d"}); err != nil {
		t.Fatal(err)
	}
	w.AddUser("ada")
	w.Clock.Advance(10 * time.Minute)
	if n, err := w.Config.Audit.Seal(t.Context(), w.Store); err != nil || n < 2 {
		t.Fatal(n, err)
	}
	lines := b.Open("/admin/audit/export?format=jsonl&verb=group.")
	if lines.Header.Get("Content-Type") != "application/jsonl" || strings.Count(lines.Body, "\n") != 1 || !strings.Contains(lines.Body, `"verb":"group.create"`) || !strings.Contains(lines.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v %s", lines.Header, lines.Body)
	}
	sheet := b.Open("/admin/audit/export?format=csv")
	if !strings.HasPrefix(sheet.Body, "id,time,actor_kind") || strings.Contains(sheet.Body, ",=HYPERLINK") || !strings.Contains(sheet.Body, "'=HYPERLINK(1)") {
		t.Errorf("%s", sheet.Body)
	}
	seals, err := w.Store.EventSeals(t.Context(), "", 10)
	if err != nil || len(seals) != 1 {
		t.Fatal(seals, err)
	}
	if chain := b.Open("/admin/audit/export?format=chain"); !strings.Contains(chain.Body, seals[0].Hash) || strings.Count(chain.Body, "\n") != 1 {
		t.Errorf("%s", chain.Body)
	}
	if p := b.Open("/admin/audit/export?format=exe"); p.StatusCode != http.StatusNotFound {
		t.Errorf("%d", p.StatusCode)
	}
	helper, _ := visitor(t, w, storage.RoleHelpDesk)
	for _, format := range []string{"jsonl", "csv", "chain"} {
		if p := helper.Open("/admin/audit/export?format=" + format); p.StatusCode != http.StatusForbidden || strings.Contains(p.Body, seals[0].Hash) {
			t.Errorf("%s for the help desk: %d", format, p.StatusCode)
		}
	}
}
