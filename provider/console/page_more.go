package console

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// sessions lists the sessions that are valid now.
func (c *Console) sessions(v *visit) error {
	before, err := v.cursor()
	if err != nil {
		return err
	}
	found, err := c.Admin.ListSessions(v.ctx, v.actor, before, onPage+1)
	if err != nil {
		return err
	}
	t := templates.ConsoleTable{Caption: say("admin.sessions"), None: say("admin.sessions.none"),
		Head: []templates.Message{say("admin.person.one"), say("admin.session.device"), say("admin.session.address"),
			say("admin.session.since"), say("admin.session.seen"), say("admin.applications"), say("admin.actions")}}
	if found, err = paged(v, &t, found, func(s storage.Session) string { return s.ID }); err != nil {
		return err
	}
	for _, s := range found {
		name := s.UserID
		if u, err := c.Store.User(v.ctx, s.UserID); err == nil {
			name = u.Username
		}
		row := append([][]templates.Cell{{link(name, c.path("people", s.UserID))}}, v.sessionCells(s)...)
		t.Rows = append(t.Rows, append(row, v.endSession(s, "sessions")))
	}
	p := v.page("sessions", "sessions", say("admin.sessions"))
	p.Lead = say("admin.sessions.lead")
	p.Parts = []templates.ConsolePart{{ID: "list", Table: &t}}
	return v.render(p)
}

func (c *Console) changeSessions(v *visit) error {
	if v.form.Get("action") != "end-session" {
		return nothingChosen()
	}
	if _, err := c.Admin.EndSession(v.ctx, v.actor, v.form.Get("id")); err != nil {
		return err
	}
	return v.back("ended", "sessions")
}

// newKey is what was entered for a new API key.
type newKey struct {
	name, days string
	scope      []string
}

// tokensPage shows the keys of the API and the initial access tokens.
func (v *visit) tokensPage(n newKey) (templates.Console, error) {
	c := v.c
	p := v.page("tokens", "tokens", say("admin.tokens"))
	p.Lead = say("admin.tokens.lead")
	own, err := c.Store.APIKeysOfUser(v.ctx, v.user.ID)
	if err != nil {
		return p, err
	}
	head := []templates.Message{say("admin.name"), say("admin.grant.scope"), say("admin.token.expires"),
		say("admin.grant.used"), say("admin.state"), say("admin.actions")}
	row := func(k storage.APIKey) [][]templates.Cell {
		used := append(at(k.LastUsed), text(k.LastFrom)...)
		if k.LastUsed.IsZero() {
			used = words("admin.never")
		}
		state := tag("admin.state.good")
		if !k.Valid(c.Web.Now()) {
			state = templates.Cell{Message: say("admin.state.over"), Style: "soft"}
		}
		out := [][]templates.Cell{text(k.Name), text(strings.Join(k.Scope, " ")), at(k.ExpiresAt), used, {state}, nil}
		if k.Valid(c.Web.Now()) {
			f := v.post("", "revoke-key", "admin.revoke", "tokens")
			f.Hidden, f.Danger = [][2]string{{"id", k.ID}}, true
			out[5] = []templates.Cell{{Form: &f}}
		}
		return out
	}
	mine := templates.ConsoleTable{Caption: say("admin.keys.own"), Head: head, None: say("admin.keys.own.none")}
	for _, k := range own {
		mine.Rows = append(mine.Rows, row(k))
	}
	name, days := field("name", "admin.key.name", "text", n.name), field("days", "admin.key.days", "number",
		cmp.Or(n.days, "90"))
	name.Required, days.Required, days.Hint = true, true, say("admin.key.days.hint")
	form := v.post("key-form", "create-key", "admin.key.create", "tokens")
	form.Inline, form.Main, form.Fields = false, true, []templates.ConsoleField{name, days}
	for _, s := range Scopes() {
		id := "scope-" + strings.NewReplacer(":", "-", ".", "-").Replace(strings.TrimPrefix(s, "admin:"))
		form.Fields = append(form.Fields, templates.ConsoleField{ID: id, Name: id, Label: say("admin.scope." +
			strings.TrimPrefix(s, "admin:")), Kind: "check", Checked: contains(n.scope, s)})
	}
	p.Parts = []templates.ConsolePart{
		{ID: "own", Heading: say("admin.keys.own"), Text: say("admin.keys.own.lead"), Table: &mine},
		{ID: "new", Heading: say("admin.key.new"), Forms: []templates.ConsoleForm{form}},
	}
	if v.may(admin.VerbAPIKeyRead) {
		after, err := v.cursor()
		if err != nil {
			return p, err
		}
		all, err := c.Admin.APIKeys(v.ctx, v.actor, after, onPage+1)
		if err != nil {
			return p, err
		}
		t := templates.ConsoleTable{Caption: say("admin.keys.all"),
			Head: append([]templates.Message{say("admin.person.one")}, head...), None: say("admin.none")}
		if all, err = paged(v, &t, all, func(k storage.APIKey) string { return k.ID }); err != nil {
			return p, err
		}
		for _, k := range all {
			who := k.UserID
			if u, err := c.Store.User(v.ctx, k.UserID); err == nil {
				who = u.Username
			}
			r := row(k)
			if !v.may(admin.VerbAPIKeyRevoke) {
				r[5] = nil
			}
			t.Rows = append(t.Rows, append([][]templates.Cell{{link(who, c.path("people", k.UserID))}}, r...))
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "all", Heading: say("admin.keys.all"), Table: &t})
	}
	if v.may(admin.VerbTokenRead) {
		tokens, err := c.Admin.InitialAccessTokens(v.ctx, v.actor)
		if err != nil {
			return p, err
		}
		t := templates.ConsoleTable{Caption: say("admin.iat"), Head: []templates.Message{say("admin.token.by"),
			say("admin.created-at"), say("admin.token.expires"), say("admin.state"), say("admin.actions")},
			None: say("admin.iat.none")}
		for _, k := range tokens {
			state, good := tag("admin.state.good"), false
			switch {
			case !k.ConsumedAt.IsZero():
				state = templates.Cell{Message: say("admin.state.used"), Style: "soft"}
			case !c.Web.Now().Before(k.ExpiresAt):
				state = templates.Cell{Message: say("admin.state.over"), Style: "soft"}
			default:
				good = true
			}
			r := [][]templates.Cell{text(k.IssuedBy), at(k.CreatedAt), at(k.ExpiresAt), {state}, nil}
			if good && v.may(admin.VerbTokenRevoke) {
				f := v.post("", "revoke-iat", "admin.revoke", "tokens")
				f.Hidden, f.Danger = [][2]string{{"id", k.Hash}}, true
				r[4] = []templates.Cell{{Form: &f}}
			}
			t.Rows = append(t.Rows, r)
		}
		part := templates.ConsolePart{ID: "iat", Heading: say("admin.iat"), Text: say("admin.iat.lead"), Table: &t}
		if v.may(admin.VerbTokenCreate) {
			f := v.post("iat-form", "create-iat", "admin.iat.create", "tokens")
			hours := field("hours", "admin.iat.hours", "number", "24")
			hours.Required = true
			f.Fields = []templates.ConsoleField{hours}
			part.Forms = []templates.ConsoleForm{f}
		}
		p.Parts = append(p.Parts, part)
	}
	return p, nil
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

func (c *Console) tokens(v *visit) error {
	p, err := v.tokensPage(newKey{})
	if err != nil {
		return err
	}
	return v.render(p)
}

// once shows a value that cannot be read again.
func (v *visit) once(in string, title templates.Message, value string) error {
	p := v.page("once", in, title)
	p.BackURL, p.Back = v.c.path(in), say("admin.tokens")
	p.Parts = []templates.ConsolePart{{ID: "value", Warn: say("admin.secret.once"),
		Code: &templates.ConsoleCode{ID: "secret-value", Text: value}}}
	return v.render(p)
}

func (c *Console) changeTokens(v *visit) error {
	switch v.form.Get("action") {
	case "create-key":
		n := newKey{name: v.form.Get("name"), days: v.form.Get("days")}
		for _, s := range Scopes() {
			if v.form.Has("scope-" + strings.NewReplacer(":", "-", ".", "-").Replace(strings.TrimPrefix(s, "admin:"))) {
				n.scope = append(n.scope, s)
			}
		}
		days, _ := strconv.Atoi(n.days) // what is no number is too short
		days = min(max(days, 0), 10_000)
		_, value, err := c.Admin.CreateAPIKey(v.ctx, v.actor, admin.NewAPIKey{UserID: v.user.ID, Name: n.name,
			Scope: n.scope, Life: time.Duration(days) * 24 * time.Hour}, Scopes())
		if err != nil {
			p, pageErr := v.tokensPage(n)
			if pageErr != nil {
				return errors.Join(err, pageErr)
			}
			return v.refused(p, err)
		}
		return v.once("tokens", say("admin.key.made"), value)
	case "revoke-key":
		if _, err := c.Admin.RevokeAPIKey(v.ctx, v.actor, v.form.Get("id")); err != nil {
			return err
		}
		return v.back("revoked", "tokens")
	case "create-iat":
		hours, err := strconv.Atoi(v.form.Get("hours"))
		if err != nil || hours < 1 || hours > 365*24 {
			p, pageErr := v.tokensPage(newKey{})
			if pageErr != nil {
				return pageErr
			}
			return v.refused(p, admin.Faults{{Field: "hours", Reason: admin.Invalid, Text: "must be from 1 to 8760"}})
		}
		value, _, err := c.Admin.CreateInitialAccessToken(v.ctx, v.actor, time.Duration(hours)*time.Hour)
		if err != nil {
			return err
		}
		return v.once("tokens", say("admin.iat.made"), value)
	case "revoke-iat":
		if err := c.Admin.RevokeInitialAccessToken(v.ctx, v.actor, v.form.Get("id")); err != nil {
			return err
		}
		return v.back("revoked", "tokens")
	}
	return nothingChosen()
}

// keys shows the keys of the provider.
func (c *Console) keys(v *visit) error {
	all, err := c.providerKeys(v.ctx, v.actor)
	if err != nil {
		return err
	}
	when := func(t *time.Time) []templates.Cell {
		if t == nil {
			return nil
		}
		return at(*t)
	}
	t := templates.ConsoleTable{Caption: say("admin.keys"), None: say("admin.none"),
		Head: []templates.Message{say("admin.key.id"), say("admin.key.use"), say("admin.key.alg"), say("admin.state"),
			say("admin.created-at"), say("admin.key.from"), say("admin.key.until"), say("admin.actions")}}
	for _, k := range all {
		style := "tag"
		if k.State != keyActive {
			style = "soft"
		}
		row := [][]templates.Cell{code(k.ID), {{Message: say("admin.key.use." + k.Use)}}, code(k.Algorithm),
			{{Message: say("admin.key.state." + k.State), Style: style}}, when(k.CreatedAt), when(k.SignsFrom),
			when(cmp.Or(k.RevokedAt, k.UnpublishAt)), nil}
		if v.may(admin.VerbKeysRevoke) && k.State != keyRevoked {
			f := v.ask("", "revoke", "admin.revoke", "keys")
			f.Hidden = append(f.Hidden, [2]string{"id", k.ID})
			row[7] = []templates.Cell{{Form: &f}}
		}
		t.Rows = append(t.Rows, row)
	}
	p := v.page("keys", "keys", say("admin.keys"))
	p.Lead = say("admin.keys.lead")
	p.Parts = []templates.ConsolePart{{ID: "list", Table: &t}}
	if v.may(admin.VerbKeysRotate) {
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "act",
			Forms: []templates.ConsoleForm{v.ask("rotate-form", "rotate", "admin.key.rotate", "keys")}})
	}
	return v.render(p)
}

func (c *Console) confirmKeys(v *visit) error {
	var hidden [][2]string
	if id := v.query.Get("id"); id != "" {
		hidden = [][2]string{{"id", id}}
	}
	return v.confirmation("keys", v.query.Get("action"), v.query.Get("id"), hidden, "keys")
}

func (c *Console) changeKeys(v *visit) error {
	if !v.confirmed() {
		return v.unconfirmed("keys")
	}
	switch v.form.Get("action") {
	case "rotate":
		if _, err := c.Admin.RotateKeys(v.ctx, v.actor); err != nil {
			return err
		}
		return v.back("rotated", "keys")
	case "revoke":
		if _, err := c.Admin.RevokeKeys(v.ctx, v.actor, false, v.form.Get("id")); err != nil {
			return problemPage(err)
		}
		return v.back("revoked", "keys")
	}
	return nothingChosen()
}

// problemPage is an error about a key as a page says it.
func problemPage(err error) error {
	var p *web.Problem
	if errors.As(problemOf(err), &p) && p.Status == http.StatusNotFound {
		return web.RefusePage(http.StatusNotFound, templates.ObjectGone).Because(err)
	}
	return err
}

// auditFilter is what the audit page is asked for. What is no time counts as none.
func (v *visit) auditFilter() storage.EventFilter {
	f := storage.EventFilter{Actor: v.query.Get("actor"), Object: v.query.Get("object"),
		VerbPrefix: v.query.Get("verb")}
	f.Since, _ = time.Parse(time.DateOnly, v.query.Get("since"))
	if until, err := time.Parse(time.DateOnly, v.query.Get("until")); err == nil {
		f.Until = until.AddDate(0, 0, 1) // that day included
	}
	return f
}

// audit shows the audit log.
func (c *Console) audit(v *visit) error {
	before, err := v.cursor()
	if err != nil {
		return err
	}
	found, err := c.Admin.Events(v.ctx, v.actor, v.auditFilter(), before, onPage+1)
	if err != nil {
		return err
	}
	t := templates.ConsoleTable{Caption: say("admin.audit"), None: say("admin.none"),
		Head: []templates.Message{say("admin.audit.time"), say("admin.audit.actor"), say("admin.audit.verb"),
			say("admin.audit.object"), say("admin.audit.outcome"), say("admin.audit.change"),
			say("admin.session.address")}}
	if found, err = paged(v, &t, found, func(e storage.Event) string { return e.ID }); err != nil {
		return err
	}
	for _, e := range found {
		outcome := []templates.Cell{{Message: say("admin.outcome." + e.Outcome)}}
		if e.Outcome != storage.OutcomeDone {
			outcome[0].Style = "warn"
		}
		if e.Reason != "" {
			outcome = append(outcome, templates.Cell{Text: e.Reason, Style: "soft"})
		}
		var change []templates.Cell
		if e.After != nil || e.Before != nil {
			change = []templates.Cell{{Text: string(e.Before) + " → " + string(e.After), Style: "fold"}}
		}
		t.Rows = append(t.Rows, [][]templates.Cell{at(e.Time), text(cmp.Or(e.Actor.Name, e.Actor.ID, e.Actor.Kind)),
			code(e.Verb), v.party(e.Object), outcome, change, text(e.Address)})
	}
	p := v.page("audit", "audit", say("admin.audit"))
	p.Lead = say("admin.audit.lead")
	filter := templates.ConsoleForm{ID: "filter-form", Action: c.path("audit"), Get: true, Inline: true,
		Submit: say("admin.filter"), Fields: []templates.ConsoleField{
			field("actor", "admin.audit.actor", "text", v.query.Get("actor")), field("object", "admin.audit.object", "text",
				v.query.Get("object")),
			field("verb", "admin.audit.verb", "text", v.query.Get("verb")), field("since", "admin.audit.since", "date",
				v.query.Get("since")), field("until", "admin.audit.until", "date", v.query.Get("until")),
		}}
	export := func(format string) string {
		q := url.Values{"format": {format}}
		for _, name := range []string{"actor", "object", "verb", "since", "until"} {
			if value := v.query.Get(name); value != "" {
				q.Set(name, value)
			}
		}
		return c.path("audit", "export") + "?" + q.Encode()
	}
	p.Parts = []templates.ConsolePart{{ID: "filter", Forms: []templates.ConsoleForm{filter}}, {ID: "list", Table: &t},
		{ID: "export", Links: []templates.ConsoleLink{{Label: say("admin.export.jsonl"), URL: export("jsonl")},
			{Label: say("admin.export.csv"), URL: export("csv")}, {Label: say("admin.export.chain"),
				URL: export("chain")}}}}
	return v.render(p)
}

// party is the object of an event, with the way to it where there is one.
func (v *visit) party(o storage.EventParty) []templates.Cell {
	cell := templates.Cell{Text: cmp.Or(o.Name, o.ID, o.Kind)}
	switch o.Kind {
	case "user":
		if o.ID != "" {
			cell.Link = v.c.path("people", o.ID)
		}
	case "group":
		cell.Link = v.c.path("groups", o.ID)
	case "client":
		cell.Link = v.c.path("applications", o.ID)
	}
	return []templates.Cell{cell, {Text: o.Kind, Style: "soft"}}
}

// mostExported bounds one export; the last line says where to go on.
const mostExported = 100_000

// exportAudit writes the audit log as JSON lines or CSV.
func (c *Console) exportAudit(v *visit) error {
	format := v.query.Get("format")
	if format == "chain" {
		return c.exportChain(v)
	}
	if format != "jsonl" && format != "csv" {
		return web.RefusePage(http.StatusNotFound, templates.NotFound)
	}
	f := v.auditFilter()
	// whoever may not see it hears so before anything is written
	some, err := c.Admin.Events(v.ctx, v.actor, f, "", maxPage)
	if err != nil {
		return err
	}
	kind := map[string]string{"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}[format]
	v.w.Header().Set("Content-Type", kind)
	v.w.Header().Set("Content-Disposition", `attachment; filename="latchkey-audit.`+format+`"`)
	lines, sheet := json.NewEncoder(v.w), csv.NewWriter(v.w)
	if format == "csv" {
		_ = sheet.Write([]string{"id", "time", "actor_kind", "actor_id", "actor_name", "verb", "object_kind",
			"object_id", "object_name", "outcome", "reason", "count", "before", "after", "address", "request"})
	}
	for n := 0; len(some) > 0 && n < mostExported; {
		for _, e := range some {
			n++
			if format == "jsonl" {
				err = lines.Encode(eventOf(e))
			} else {
				row := []string{e.ID, e.Time.Format(time.RFC3339Nano), e.Actor.Kind, e.Actor.ID, e.Actor.Name, e.Verb,
					e.Object.Kind, e.Object.ID, e.Object.Name, e.Outcome, e.Reason, strconv.Itoa(max(1, e.Count)),
					string(e.Before), string(e.After), e.Address, e.RequestID}
				for i := range row {
					row[i] = harmless(row[i])
				}
				err = sheet.Write(row)
			}
			if err != nil {
				web.Note(v.Request, err)
				return nil // who asked has gone
			}
		}
		if some, err = c.Admin.Events(v.ctx, v.actor, f, some[len(some)-1].ID, maxPage); err != nil {
			web.Note(v.Request, err)
			panic(http.ErrAbortHandler) // half a log must not look like a whole one
		}
	}
	sheet.Flush()
	return nil
}

// exportChain writes the chain over the log as JSON lines: with it whoever has an export of the log
// can verify it.
func (c *Console) exportChain(v *visit) error {
	if _, err := c.Admin.Events(v.ctx, v.actor, storage.EventFilter{}, "", 1); err != nil {
		return err // whoever may not read the log
	}
	v.w.Header().Set("Content-Type", "application/jsonl")
	v.w.Header().Set("Content-Disposition", `attachment; filename="latchkey-audit-chain.jsonl"`)
	lines := json.NewEncoder(v.w)
	for after := ""; ; {
		seals, err := c.Store.EventSeals(v.ctx, after, maxPage)
		if err != nil {
			web.Note(v.Request, err)
			panic(http.ErrAbortHandler) // half a chain must not look like a whole one
		}
		if len(seals) == 0 {
			return nil
		}
		for _, s := range seals {
			if err := lines.Encode(s); err != nil {
				web.Note(v.Request, err)
				return nil // who asked has gone
			}
			after = s.ID
		}
	}
}

// harmless is a value that no spreadsheet takes for a formula.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// mail shows the mail queue.
func (c *Console) mail(v *visit) error {
	after, err := v.cursor()
	if err != nil {
		return err
	}
	found, err := c.Admin.Mails(v.ctx, v.actor, after, onPage+1)
	if err != nil {
		return err
	}
	t := templates.ConsoleTable{Caption: say("admin.mail"), None: say("admin.mail.none"),
		Head: []templates.Message{say("admin.created-at"), say("admin.mail.kind"), say("admin.person.one"),
			say("admin.state"), say("admin.mail.attempts"), say("admin.mail.error")}}
	if found, err = paged(v, &t, found, func(m storage.Mail) string { return m.ID }); err != nil {
		return err
	}
	for _, stored := range found {
		m := c.mailOf(stored)
		style := map[string]string{mailSent: "tag", mailFailed: "bad"}[m.State]
		who := text("")
		if m.Sub != "" {
			who = []templates.Cell{link(m.Sub, c.path("people", m.Sub))}
		}
		t.Rows = append(t.Rows, [][]templates.Cell{at(m.CreatedAt), code(m.Kind), who,
			{{Message: say("admin.mail.state." + m.State), Style: style}}, text(strconv.Itoa(m.Attempts)),
			text(m.LastError)})
	}
	p := v.page("mail", "mail", say("admin.mail"))
	p.Lead = say("admin.mail.lead")
	p.Parts = []templates.ConsolePart{{ID: "list", Table: &t}}
	if !c.Mail {
		p.Parts[0].Warn = say("admin.mail.off")
	}
	return v.render(p)
}

// healthPage shows the state of the provider.
func (c *Console) healthPage(v *visit) error {
	h, err := c.health(v.ctx, v.actor)
	if err != nil {
		return err
	}
	facts := []templates.ConsoleFact{fact("admin.issuer", code(h.Issuer)), fact("admin.health.version",
		text(h.Version)), fact("admin.health.time", at(h.Time))}
	for _, check := range c.Ready {
		state := tag("admin.health.ok")
		if h.Checks[check.Name] != "ok" {
			state = templates.Cell{Message: say("admin.health.bad"), Style: "bad"}
		}
		facts = append(facts, fact("admin.health."+check.Name, []templates.Cell{state}))
	}
	mail := words("admin.mail.off")
	if h.Mail {
		mail = []templates.Cell{tag("admin.health.ok")}
	}
	facts = append(facts, fact("admin.mail", mail))
	restore, err := c.lastRestore(v)
	if err != nil {
		return err
	}
	facts = append(facts, fact("admin.health.restore", restore))
	p := v.page("health", "health", say("admin.health"))
	p.Parts = []templates.ConsolePart{{ID: "facts", Facts: facts}}
	return v.render(p)
}

// BackupObject is the name of what the events of a proven restore are about.
const BackupObject = "backup"

// lastRestore says when a backup was last shown to be good.
func (c *Console) lastRestore(v *visit) ([]templates.Cell, error) {
	if !v.may(admin.VerbAuditRead) {
		return nil, nil
	}
	found, err := c.Admin.Events(v.ctx, v.actor, storage.EventFilter{Object: BackupObject, ObjectKind: "database"}, "", 1)
	if err != nil || len(found) == 0 {
		return words("admin.never"), err
	}
	return at(found[0].Time), nil
}

// start is the first page: what happened lately, and what needs attention.
func (c *Console) start(v *visit) error {
	const days = 14
	now := c.Web.Now()
	p := v.page("start", "", say("admin.start"))
	charts := templates.ConsolePart{ID: "days", Heading: say("admin.start.days")}
	for _, chart := range []struct{ what, label, style string }{
		{storage.DaySignIns, "admin.start.signins", "good"}, {storage.DayFailures, "admin.start.failures", "bad"},
		{storage.DayActive, "admin.start.active", "good"},
	} {
		counts, err := c.Store.Days(v.ctx, chart.what, now, days)
		if err != nil {
			return err
		}
		drawn := templates.ConsoleChart{ID: "chart-" + chart.what, Label: say(chart.label), Style: chart.style}
		for i, n := range counts {
			drawn.Bars = append(drawn.Bars, templates.ConsoleBar{Day: now.AddDate(0, 0, i-days+1), N: n})
		}
		charts.Charts = append(charts.Charts, drawn)
	}
	attention, err := c.attention(v)
	if err != nil {
		return err
	}
	p.Parts = []templates.ConsolePart{charts, attention}
	if v.may(admin.VerbHealthRead) {
		restore, err := c.lastRestore(v)
		if err != nil {
			return err
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "restore",
			Facts: []templates.ConsoleFact{fact("admin.health.restore", restore), fact("admin.health.version",
				text(c.Version))}})
	}
	return v.render(p)
}

// secretSoon is how long before its end the secret of an application needs attention.
const secretSoon = 30 * 24 * time.Hour

// attention is what an administrator should look at.
func (c *Console) attention(v *visit) (templates.ConsolePart, error) {
	part := templates.ConsolePart{ID: "attention", Heading: say("admin.attention")}
	t := templates.ConsoleTable{Caption: say("admin.attention"), Head: []templates.Message{say("admin.attention.what"),
		say("admin.attention.where")}, None: say("admin.attention.none")}
	add := func(what templates.Message, name, target string) {
		t.Rows = append(t.Rows, [][]templates.Cell{{{Message: what, Style: "warn"}}, {link(name, target)}})
	}
	if v.may(admin.VerbClientRead) {
		all, err := c.Admin.Clients(v.ctx, v.actor)
		if err != nil {
			return part, err
		}
		for _, client := range all {
			if end := client.SecretExpiresAt; !end.IsZero() && end.Before(c.Web.Now().Add(secretSoon)) {
				add(say("admin.attention.secret", "time", end), client.Name(), c.path("applications", client.ID))
			}
			if client.Dynamic && !client.Disabled && len(t.Rows) < onPage {
				add(say("admin.attention.dynamic"), client.Name(), c.path("applications", client.ID))
			}
		}
	}
	if v.user.Role == storage.RoleOwner {
		owners, err := c.Admin.FindUsers(v.ctx, v.actor, storage.UserFilter{Role: storage.RoleOwner,
			State: storage.UserEnabled}, "", onPage)
		if err != nil {
			return part, err
		}
		if len(owners) == 1 {
			add(say("admin.attention.one-owner"), owners[0].Username, c.path("people", owners[0].ID))
		}
		for _, u := range owners {
			if !u.Factors.Second() {
				add(say("admin.attention.factor"), u.Username, c.path("people", u.ID))
			}
		}
	}
	if v.may(admin.VerbMailRead) {
		mails, err := c.Admin.Mails(v.ctx, v.actor, "", maxPage)
		if err != nil {
			return part, err
		}
		failed := 0
		for _, m := range mails {
			if c.mailOf(m).State == mailFailed {
				failed++
			}
		}
		if failed > 0 {
			t.Rows = append(t.Rows, [][]templates.Cell{{{Message: say("admin.attention.mails", "n", failed),
				Style: "warn"}}, {{Message: say("admin.mail"), Link: c.path("mail")}}})
		}
	}
	part.Table = &t
	return part, nil
}

// found is how many of each kind a search shows.
const mostFound = 20

// search looks everywhere.
func (c *Console) search(v *visit) error {
	q := strings.TrimSpace(v.query.Get("q"))
	p := v.page("search", "", say("admin.search.title"))
	p.Search = q
	for i := range p.Nav {
		p.Nav[i].Current = false
	}
	if q == "" {
		p.Parts = []templates.ConsolePart{{ID: "nothing", Text: say("admin.search.empty")}}
		return v.render(p)
	}
	part := func(id, label string, head []templates.Message, rows [][][]templates.Cell) {
		p.Parts = append(p.Parts, templates.ConsolePart{ID: id, Heading: say(label),
			Table: &templates.ConsoleTable{Caption: say(label), Head: head, Rows: rows, None: say("admin.none")}})
	}
	if v.may(admin.VerbClientRead) {
		if d, _, err := c.diagnosis(v.ctx, v.actor, q); err == nil {
			p.Parts = append(p.Parts, v.diagnosisPart(d))
		}
	}
	if v.may(admin.VerbUserRead) {
		found, err := c.Admin.FindUsers(v.ctx, v.actor, storage.UserFilter{Search: q}, "", mostFound)
		if err != nil {
			return err
		}
		var rows [][][]templates.Cell
		for _, u := range found {
			rows = append(rows, v.personCells(u))
		}
		if u, err := c.Admin.UserByID(v.ctx, v.actor, q); err == nil {
			rows = append(rows, v.personCells(u))
		}
		part("people", "admin.people", peopleHead, rows)
	}
	if v.may(admin.VerbClientRead) {
		all, err := c.Admin.Clients(v.ctx, v.actor)
		if err != nil {
			return err
		}
		var rows [][][]templates.Cell
		for _, client := range matching(all, q, func(c clients.Client) string {
			return c.ID + " " + c.ClientName + " " + c.ClientURI + " " + strings.Join(c.RedirectURIs, " ")
		}) {
			if len(rows) < mostFound {
				rows = append(rows, v.applicationCells(client))
			}
		}
		part("applications", "admin.applications", []templates.Message{say("admin.name"), say("admin.client-id"),
			say("admin.type"), say("admin.application.for"), say("admin.state")}, rows)
	}
	if v.may(admin.VerbGroupRead) {
		all, err := c.Admin.Groups(v.ctx, v.actor)
		if err != nil {
			return err
		}
		var rows [][][]templates.Cell
		for _, g := range matching(all, q, func(g storage.Group) string { return g.Name + " " + g.Description }) {
			if len(rows) < mostFound {
				rows = append(rows, [][]templates.Cell{{link(g.Name, c.path("groups", g.Name))}, text(g.Description)})
			}
		}
		part("groups", "admin.groups", []templates.Message{say("admin.group"), say("admin.description")}, rows)
	}
	return v.render(p)
}

// why says whether a person may use an application, and by which rule.
func (c *Console) why(v *visit) error {
	if !v.may(admin.VerbUserRead) || !v.may(admin.VerbClientRead) {
		return web.RefusePage(http.StatusForbidden, templates.NotForThisRole)
	}
	username, clientID := strings.TrimSpace(v.query.Get("person")), strings.TrimSpace(v.query.Get("application"))
	p := v.page("why", "people", say("admin.why"))
	p.Lead = say("admin.why.lead")
	form := templates.ConsoleForm{ID: "why-form", Action: c.path("why"), Get: true, Submit: say("admin.why.ask"),
		Main: true,
		Fields: []templates.ConsoleField{field("person", "admin.username", "text", username),
			field("application", "admin.client-id", "text", clientID)}}
	p.Parts = []templates.ConsolePart{{ID: "ask", Forms: []templates.ConsoleForm{form}}}
	if username == "" || clientID == "" {
		return v.render(p)
	}
	u, err := c.userNamed(v, username)
	if err != nil {
		return v.refused(p, err)
	}
	client, err := c.Admin.Client(v.ctx, v.actor, clientID)
	if errors.Is(err, admin.ErrNotFound) {
		return v.refused(p, admin.Faults{{Field: "application", Reason: admin.Unknown, Value: clientID,
			Text: "is no application"}})
	}
	if err != nil {
		return err
	}
	a := Why(client, u)
	answer, style := "admin.why.yes", "tag"
	if !a.Allowed {
		answer, style = "admin.why.no", "bad"
	}
	facts := []templates.ConsoleFact{
		fact("admin.person.one", []templates.Cell{link(u.Username, c.path("people", u.ID))}),
		fact("admin.application", []templates.Cell{link(client.Name(), c.path("applications", client.ID))}),
		fact("admin.why.answer", []templates.Cell{{Message: say(answer), Style: style}}),
		fact("admin.why.rule", words("admin.rule."+strings.ReplaceAll(a.Rule, "_", "-"))),
	}
	if len(a.Groups) > 0 {
		var groups []templates.Cell
		for _, g := range a.Groups {
			groups = append(groups, link(g, c.path("groups", g)))
		}
		facts = append(facts, fact("admin.groups", groups))
	}
	p.Parts = append(p.Parts, templates.ConsolePart{ID: "answer", Heading: say("admin.why.answer"), Facts: facts})
	return v.render(p)
}
