package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/oauth"
	"latchkey/provider/signin"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Pages is the path of the pages, below the issuer.
const Pages = "/admin"

// How old the proof of who somebody is may be: to look around, to change something, and to change
// what decides who gets in. What cannot be undone is confirmed on a page that wants a proof of
// freshFor.
const (
	lookFor   = time.Hour
	changeFor = 10 * time.Minute
	freshFor  = signin.FreshFor
)

// weighty are the actions of forms that want a proof of freshFor without a page that asks: what
// they give can be taken back, but not what somebody has done with it meanwhile.
var weighty = []string{"role", "password", "rename", "create-key", "create-iat", fixRedirect, fixPostLogout,
	fixAudience}

// visit is one request of a page by somebody who administers.
type visit struct {
	*http.Request
	c       *Console
	w       http.ResponseWriter
	ctx     context.Context
	session storage.Session
	user    storage.User
	actor   admin.Actor
	query   url.Values
	form    oauth.Parameters // of a POST
	browser string
}

// say is a message with its values: names and values in turn.
func say(key string, args ...any) templates.Message {
	m := templates.Message{Key: key}
	for i := 0; i+1 < len(args); i += 2 {
		if m.Args == nil {
			m.Args = templates.Args{}
		}
		name, _ := args[i].(string)
		m.Args[name] = args[i+1]
	}
	return m
}

// Cells, each alone in its place.
func text(s string) []templates.Cell       { return []templates.Cell{{Text: s}} }
func code(s string) []templates.Cell       { return []templates.Cell{{Text: s, Style: "code"}} }
func at(t time.Time) []templates.Cell      { return []templates.Cell{{Time: t}} }
func words(key string) []templates.Cell    { return []templates.Cell{{Message: say(key)}} }
func tag(key string) templates.Cell        { return templates.Cell{Message: say(key), Style: "tag"} }
func link(s, target string) templates.Cell { return templates.Cell{Text: s, Link: target} }

func fact(label string, value []templates.Cell) templates.ConsoleFact {
	return templates.ConsoleFact{Label: say(label), Value: value}
}

// path is the address of a page: parts are what stands between slashes.
func (c *Console) path(parts ...string) string {
	out := c.Web.Path + Pages
	for _, p := range parts {
		out += "/" + url.PathEscape(p)
	}
	return out
}

// enter finds out who visits, and leads whoever has to prove who they are to where that is asked
// for: ok is false then. The problem is 403 for those who administer nothing.
func (c *Console) enter(w http.ResponseWriter, r *http.Request, fresh time.Duration) (v *visit, ok bool, err error) {
	v = &visit{Request: r, c: c, w: w, ctx: r.Context()}
	if v.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return v, false, web.RefusePage(http.StatusBadRequest, templates.NotFound).Because(err)
	}
	session, signedIn, err := c.Sessions.Current(r)
	if err != nil {
		return v, false, err
	}
	if signedIn {
		user, err := c.Store.User(r.Context(), session.UserID)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return v, false, fmt.Errorf("load person of session: %w", err)
		}
		proved, policyErr := c.SignIn.FactorPolicy.Proved(r.Context(), session.ACR, user)
		if policyErr != nil {
			return v, false, policyErr
		}
		signedIn = err == nil && !user.Disabled && proved
		v.session, v.user = session, user
	}
	here := strings.TrimPrefix(r.URL.EscapedPath(), c.Web.Path)
	if r.Method == http.MethodGet && r.URL.RawQuery != "" {
		here += "?" + r.URL.RawQuery
	}
	if !signedIn || c.Web.Now().Sub(session.AuthTime) > fresh && v.user.Role != "" {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			here = strings.TrimPrefix(r.URL.EscapedPath(), c.Web.Path) + "?notice=again"
		}
		ref, err := c.SignIn.BeginInteraction(w, r, storage.Interaction{ReturnTo: here, Fresh: signedIn})
		if err != nil {
			return v, false, err
		}
		return v, false, c.Web.SeeOther(w, "/authorize", ref)
	}
	web.Mention(r, "sub", v.user.ID)
	if v.user.Role == "" {
		return v, false, web.RefusePage(http.StatusForbidden, templates.NotAdministrator)
	}
	v.actor = c.actor(v.user)
	v.actor.Address, v.actor.RequestID = c.Web.ClientAddress(r), web.RequestID(r)
	if v.browser, err = c.Web.Browser(w, r); err != nil {
		return v, false, err
	}
	return v, true, nil
}

// csrf is the value of every form of the console in this session. It changes with every proof.
func (v *visit) csrf() string { return v.c.Web.CSRF(v.browser, v.purpose()) }

func (v *visit) purpose() string { return "console:" + v.session.ID + ":" + v.session.SecretHash }

// confirmPurpose is what the form on a page that asks is for. No other page has its value, so that
// nobody gets around that page, and the proof that it wants.
func (v *visit) confirmPurpose() string { return "confirm " + v.purpose() }

// show answers a page that looks at something.
func (c *Console) show(h func(*visit) error) web.Handler { return c.showFresh(lookFor, h) }

func (c *Console) showFresh(fresh time.Duration, h func(*visit) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, ok, err := c.enter(w, r, fresh)
		if err != nil || !ok {
			return err
		}
		return pageProblem(h(v))
	}
}

// change answers a form.
func (c *Console) change(h func(*visit) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := oauth.ParseBody(r)
		if err != nil {
			return err
		}
		fresh := changeFor
		if slices.Contains(weighty, form.Get("action")) {
			fresh = freshFor
		}
		v, ok, err := c.enter(w, r, fresh)
		if err != nil || !ok {
			return err
		}
		purpose := v.purpose()
		if form.Get("confirmed") == "yes" {
			purpose = v.confirmPurpose()
		}
		if err := c.Web.CheckCSRF(r, form.Get("csrf"), purpose); err != nil {
			return err
		}
		v.form = form
		return pageProblem(h(v))
	}
}

// pageProblem is an error of a use case as a page says it. Others stay as they are.
func pageProblem(err error) error {
	var object *admin.ObjectError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, admin.ErrForbidden):
		return web.RefusePage(http.StatusForbidden, templates.NotForThisRole).Because(err)
	case errors.Is(err, admin.ErrNotFound), errors.Is(err, storage.ErrNotFound):
		return web.RefusePage(http.StatusNotFound, templates.ObjectGone).Because(err)
	case errors.As(err, &object):
		return web.RefusePage(http.StatusConflict, templates.ObjectChanged).Because(err)
	}
	return err
}

// section is one of the parts of the console: its name in the path, and the verb that whoever sees
// it may do.
type section struct{ name, label, verb string }

var sections = []section{
	{"", "admin.start", ""}, {"people", "admin.people", admin.VerbUserRead}, {"groups", "admin.groups",
		admin.VerbGroupRead},
	{"applications", "admin.applications", admin.VerbClientRead}, {"sessions", "admin.sessions", admin.VerbSessionRead},
	{"tokens", "admin.tokens", ""}, {"keys", "admin.keys", admin.VerbKeysRead},
	{"audit", "admin.audit", admin.VerbAuditRead}, {"files", "admin.files", admin.VerbManifestRead},
	{"mail", "admin.mail", admin.VerbMailRead}, {"health", "admin.health", admin.VerbHealthRead},
}

// may reports whether the role of whoever visits permits a verb, of some object at least.
func (v *visit) may(verb string) bool {
	return verb == "" || slices.Contains(admin.RolesFor(verb), v.user.Role)
}

// notices are what a page says after something was done, by their name in its address.
var notices = map[string]string{
	"saved": "admin.saved", "created": "admin.created", "deleted": "admin.deleted", "ended": "admin.ended",
	"revoked": "admin.revoked",
	"rotated": "admin.rotated", "again": "admin.again",
}

// page is a page of a section, with what every page has.
func (v *visit) page(id, in string, title templates.Message) templates.Console {
	p := templates.Console{ID: "console-" + id, Title: title, Person: web.Person(v.user),
		Role:   say("admin.role." + v.user.Role),
		OutURL: v.c.Web.Path + "/account", FindURL: v.c.path("search")}
	for _, s := range sections {
		if !v.may(s.verb) {
			continue
		}
		target := v.c.path()
		if s.name != "" {
			target = v.c.path(s.name)
		}
		p.Nav = append(p.Nav, templates.ConsoleLink{Label: say(s.label), URL: target, Current: s.name == in})
	}
	if key := notices[v.query.Get("notice")]; key != "" {
		p.Notice = say(key)
	}
	return p
}

func (v *visit) render(p templates.Console) error { return v.renderStatus(http.StatusOK, p) }

func (v *visit) renderStatus(status int, p templates.Console) error {
	return v.c.Web.Render(v.w, v.Request, status, p)
}

// refused shows a form again, with what is wrong with what was entered. Other errors are returned.
func (v *visit) refused(p templates.Console, err error) error {
	var faults admin.Faults
	if !errors.As(err, &faults) {
		var object *admin.ObjectError
		if !errors.Is(err, admin.ErrTaken) && !errors.Is(err, admin.ErrInUse) && !errors.Is(err, admin.ErrLastOwner) &&
			!errors.Is(err, admin.ErrManaged) || !errors.As(err, &object) {
			return err
		}
		detail := "is taken"
		switch {
		case errors.Is(err, admin.ErrInUse):
			detail = "is needed by " + object.By
		case errors.Is(err, admin.ErrManaged):
			detail = "is kept by the file " + object.By + "; change it there, and apply that"
		case errors.Is(err, admin.ErrLastOwner):
			detail = "is the last owner"
		}
		faults = admin.Faults{{Field: object.Name, Text: detail}}
	}
	web.Note(v.Request, err)
	p.Problem = say("admin.not-saved")
	for _, f := range faults {
		p.Faults = append(p.Faults, templates.ConsoleFault{Field: f.Field,
			Detail: strings.TrimSpace(strings.TrimPrefix(f.Error(), f.Field))})
		for i := range p.Parts {
			markWrong(p.Parts[i].Forms, f.Field)
		}
	}
	return v.renderStatus(http.StatusUnprocessableEntity, p)
}

func markWrong(forms []templates.ConsoleForm, field string) {
	for i := range forms {
		for k := range forms[i].Fields {
			if f := &forms[i].Fields[k]; f.Name == field || "claims."+f.Name == field {
				f.Wrong = true
			}
		}
	}
}

// back leads to a page of the console after something was done.
func (v *visit) back(notice string, parts ...string) error {
	v.w.Header().Set("Location", v.c.path(parts...)+"?notice="+notice)
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// cursor reads the cursor of a list on a page, and next makes the address of the page after it.
func (v *visit) cursor() (string, error) {
	text := v.query.Get("cursor")
	if text == "" {
		return "", nil
	}
	after, err := v.c.openCursor(text, v.list())
	if err != nil {
		return "", web.RefusePage(http.StatusNotFound, templates.NotFound).Because(err)
	}
	return after, nil
}

// list names the list that a cursor belongs to.
func (v *visit) list() string {
	q := url.Values{}
	for name, values := range v.query {
		if name != "cursor" && name != "notice" {
			q[name] = values
		}
	}
	return "page " + v.URL.Path + "?" + q.Encode() + " " + v.user.ID
}

// onPage is how many rows a list on a page has.
const onPage = 50

// paged cuts what was read of a list, one more than a page has, and sets the addresses of the pages
// around it.
func paged[T any](v *visit, t *templates.ConsoleTable, rows []T, key func(T) string) ([]T, error) {
	with := func(cursor string) string {
		q := url.Values{}
		for name, values := range v.query {
			if name != "cursor" && name != "notice" {
				q[name] = values
			}
		}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		return v.URL.EscapedPath() + "?" + q.Encode()
	}
	if v.query.Get("cursor") != "" {
		t.BackURL = with("")
	}
	if len(rows) <= onPage {
		return rows, nil
	}
	rows = rows[:onPage]
	next, err := v.c.sealCursor(key(rows[len(rows)-1]), v.list())
	t.NextURL = with(next)
	return rows, err
}

// lines are the values of a textarea, one a line.
func lines(text string) []string {
	var out []string
	for _, l := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// post is a form that does something to what the page is about.
func (v *visit) post(id, action, submit string, target ...string) templates.ConsoleForm {
	return templates.ConsoleForm{ID: id, Action: v.c.path(target...), CSRF: v.csrf(), Submit: say(submit),
		Name: "action", Value: action, Inline: true}
}

// ask is a form that leads to the page where something is confirmed.
func (v *visit) ask(id, action, submit string, target ...string) templates.ConsoleForm {
	return templates.ConsoleForm{ID: id, Action: v.c.path(append(slices.Clone(target), "confirm")...), Get: true,
		Hidden: [][2]string{{"action", action}},
		Submit: say(submit), Danger: true, Inline: true}
}

// confirmation is the page that asks before something that cannot be undone.
func (v *visit) confirmation(in, action, name string, hidden [][2]string, target ...string) error {
	title, known := confirmations[action]
	if !known {
		return web.RefusePage(http.StatusNotFound, templates.NotFound)
	}
	if !v.may(confirmVerbs[in+" "+action]) {
		return admin.ErrForbidden
	}
	p := v.page("confirm", in, say(title, "name", name))
	p.Lead = say(title + ".lead")
	yes := v.post("confirm-form", action, title+".yes", target...)
	yes.Danger, yes.Inline, yes.Hidden = true, false, append(hidden, [2]string{"confirmed", "yes"})
	yes.CSRF = v.c.Web.CSRF(v.browser, v.confirmPurpose())
	p.BackURL, p.Back = v.c.path(target...), say("admin.no-back")
	p.Parts = []templates.ConsolePart{{ID: "confirm", Forms: []templates.ConsoleForm{yes}}}
	return v.render(p)
}

// confirmations are the questions before what cannot be undone, by the action.
var confirmations = map[string]string{
	"delete": "admin.confirm.delete", "disable": "admin.confirm.disable", "reset-factors": "admin.confirm.factors",
	"end-sessions":  "admin.confirm.sessions",
	"rotate-secret": "admin.confirm.secret", "disconnect-all": "admin.confirm.disconnect",
	"rotate": "admin.confirm.rotate", "revoke": "admin.confirm.revoke",
}

// confirmVerbs are the verbs of what is confirmed, by section and action.
var confirmVerbs = map[string]string{
	"people delete": admin.VerbUserDelete, "people disable": admin.VerbUserDisable,
	"people reset-factors": admin.VerbUserFactors, "people end-sessions": admin.VerbUserSignOut,
	"groups delete": admin.VerbGroupDelete, "applications delete": admin.VerbClientDelete,
	"applications disable":       admin.VerbClientUpdate,
	"applications rotate-secret": admin.VerbClientSecret, "applications disconnect-all": admin.VerbConsentRevoke,
	"keys rotate": admin.VerbKeysRotate, "keys revoke": admin.VerbKeysRevoke,
}

// confirmed reports whether what was asked for was confirmed, if it has to be.
func (v *visit) confirmed() bool {
	return confirmations[v.form.Get("action")] == "" || v.form.Get("confirmed") == "yes"
}

// unconfirmed leads to the page that asks.
func (v *visit) unconfirmed(target ...string) error {
	v.w.Header().Set("Location", v.c.path(append(slices.Clone(target),
		"confirm")...)+"?action="+url.QueryEscape(v.form.Get("action")))
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// variable is a part of the path, decoded.
func variable(r *http.Request, name string) string {
	value, err := url.PathUnescape(web.Variable(r, name))
	if err != nil {
		return ""
	}
	return value
}

// nothingChosen says that a form came without the value of its button.
func nothingChosen() error { return web.RefusePage(http.StatusBadRequest, templates.NothingChosen) }
