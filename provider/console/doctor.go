package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// How many failed requests are kept in an hour: of one client, and of all.
const (
	failedPerClient = 30
	failedInAll     = 1000
)

// KeepFailed keeps a refused request of a client for administrators, apart from the answer, and
// within bounds: a flood leaves the first of each hour.
func (c *Console) KeepFailed(r *http.Request, f web.Failed) {
	if strings.HasPrefix(f.Route, c.Web.Path+Base) || strings.HasPrefix(f.Route, c.Web.Path+Pages) {
		return
	}
	now := c.Web.Now()
	c.Audit.Later(r.Context(), func(ctx context.Context) {
		for _, limit := range []struct {
			key  string
			most int
		}{{"failed-requests", failedInAll}, {"failed-requests " + storage.Hash(f.ClientID), failedPerClient}} {
			if n, _, err := c.Store.CountAttempt(ctx, limit.key, now, time.Hour); err != nil || n > limit.most {
				return
			}
		}
		err := c.Store.CreateFailedRequest(ctx, storage.FailedRequest{ID: storage.NewID(now), RequestID: f.RequestID,
			ClientID: f.ClientID, Time: now,
			Route: strings.TrimPrefix(f.Route, c.Web.Path), Status: f.Status, Error: f.Error, Reason: f.Reason,
			Received: f.Received})
		if err != nil {
			c.Logger.WarnContext(ctx, "a failed request was not kept for administrators", "request_id", f.RequestID,
				"error", err)
		}
	})
}

// Finding is one thing that a request had, beside what the registration says.
type Finding struct {
	Field    string `json:"field"`
	Expected string `json:"expected"`
	Received string `json:"received"`
	OK       bool   `json:"ok"`
	// Fix names what an administrator can do with one click: add-redirect-uri,
	// add-post-logout-redirect-uri or add-audience.
	Fix string `json:"fix,omitempty"`
}

// Fixes of a Finding.
const (
	fixRedirect   = "add-redirect-uri"
	fixPostLogout = "add-post-logout-redirect-uri"
	fixAudience   = "add-audience"
)

// Diagnosis is a refused request with what was expected of it.
type Diagnosis struct {
	Code     string    `json:"code" jsonschema:"the reference on the page that the person saw, and in the log"`
	ClientID string    `json:"client_id"`
	Known    bool      `json:"known" jsonschema:"there is such an application"`
	Time     time.Time `json:"time"`
	Endpoint string    `json:"endpoint"`
	Status   int       `json:"status"`
	Error    string    `json:"error,omitempty"`
	Reason   string    `json:"reason"`
	Findings []Finding `json:"findings"`
}

// Diagnose compares a refused request with what the client is registered for now. known is false
// if there is no such client.
func Diagnose(f storage.FailedRequest, client clients.Client, known bool) Diagnosis {
	d := Diagnosis{Code: f.RequestID, ClientID: f.ClientID, Known: known, Time: f.Time, Endpoint: f.Route,
		Status: f.Status, Error: f.Error, Reason: f.Reason, Findings: []Finding{}}
	if !known {
		d.Findings = append(d.Findings, Finding{Field: "client_id", Expected: "the client_id of an application",
			Received: f.ClientID})
		return d
	}
	add := func(field, expected, received string, ok bool, fix string) {
		if ok {
			fix = ""
		}
		d.Findings = append(d.Findings, Finding{field, expected, received, ok, fix})
	}
	got := f.Received
	if client.Disabled {
		add("state", "enabled", "disabled", false, "")
	}
	if uri := got["redirect_uri"]; uri != "" || f.Route == "/authorize" && strings.Contains(f.Reason, "redirect_uri") {
		_, err := client.Redirect(uri)
		add("redirect_uri", strings.Join(client.RedirectURIs, "\n"), uri, err == nil, fixRedirect)
	}
	if uri := got["post_logout_redirect_uri"]; uri != "" {
		add("post_logout_redirect_uri", strings.Join(client.PostLogoutRedirectURIs, "\n"), uri,
			slices.Contains(client.PostLogoutRedirectURIs, uri), fixPostLogout)
	}
	if rt := got["response_type"]; rt != "" {
		add("response_type", strings.Join(client.ResponseTypes, "\n"), rt, client.MayRespond(rt), "")
	}
	if scope := got["scope"]; scope != "" && client.Scope != "" {
		ok := !slices.ContainsFunc(strings.Fields(scope),
			func(s string) bool { return !slices.Contains(strings.Fields(client.Scope), s) })
		add("scope", client.Scope, scope, ok, "")
	}
	if got["response_type"] != "" && client.RequiresPKCE() {
		received := strings.TrimSpace(got["code_challenge_method"] + " " + map[bool]string{true: "code_challenge",
			false: "no code_challenge"}[got["code_challenge"] != ""])
		add("code_challenge_method", "S256 code_challenge", received, received == "S256 code_challenge", "")
	}
	if resource := got["resource"]; resource != "" {
		add("resource", strings.Join(client.Audience, "\n"), resource, slices.Contains(client.Audience, resource),
			fixAudience)
	}
	if way := got["client_authentication"]; way != "" && f.Route == "/token" {
		expected := client.TokenEndpointAuthMethod
		ok := way == "body" && expected != oauth.AuthClientSecretBasic || way != "body" &&
			expected == oauth.AuthClientSecretBasic || client.EitherSecretMethod
		add("token_endpoint_auth_method", expected, way, ok && f.Error != string(oauth.InvalidClient), "")
	}
	if grant := got["grant_type"]; grant != "" {
		add("grant_type", strings.Join(client.GrantTypes, "\n"), grant, client.MayGrant(grant), "")
	}
	return d
}

// diagnosis finds a refused request by its code, and compares it with the client as it is now. The
// actor must be one who may read the client.
func (c *Console) diagnosis(ctx context.Context, actor admin.Actor, code string) (Diagnosis, storage.FailedRequest,
	error) {
	f, err := c.Admin.FailedRequest(ctx, actor, strings.ToUpper(strings.TrimSpace(code)))
	if err != nil {
		return Diagnosis{}, f, err
	}
	client, err := c.Store.Client(ctx, f.ClientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return Diagnosis{}, f, err
	}
	return Diagnose(f, client, err == nil), f, nil
}

// doctorTable are the operations about refused requests.
func (c *Console) doctorTable() []operation {
	return []operation{
		{id: "listFailedRequests", method: http.MethodGet, path: "/applications/{client_id}/failed-requests",
			verb:    admin.VerbClientRead,
			summary: "List the last requests of an application that were refused, with what was expected",
			answer:  typeOf[page[Diagnosis]](), do: func(cl *call) (any, error) {
				client, err := c.Admin.Client(cl.ctx, cl.who.actor, cl.path["client_id"])
				if err != nil {
					return nil, err
				}
				found, err := c.Store.FailedRequests(cl.ctx, client.ID, onPage)
				return whole(found, func(f storage.FailedRequest) Diagnosis { return Diagnose(f, client, true) }), err
			}},
		{id: "getFailedRequest", method: http.MethodGet, path: "/failed-requests/{code}", verb: admin.VerbClientRead,
			summary: "Read a refused request by the reference that the person saw, with what was expected",
			answer:  typeOf[Diagnosis](), do: func(cl *call) (any, error) {
				d, _, err := c.diagnosis(cl.ctx, cl.who.actor, cl.path["code"])
				return d, err
			}},
	}
}

// doctor shows a refused request by its code.
func (c *Console) doctor(v *visit) error {
	code := strings.TrimSpace(v.query.Get("code"))
	p := v.page("doctor", "applications", say("admin.doctor"))
	p.Lead = say("admin.doctor.lead")
	form := templates.ConsoleForm{ID: "doctor-form", Action: c.path("doctor"), Get: true, Inline: true,
		Submit: say("admin.doctor.find"), Fields: []templates.ConsoleField{field("code", "admin.doctor.code", "text",
			code)}}
	p.Parts = []templates.ConsolePart{{ID: "find-code", Forms: []templates.ConsoleForm{form}}}
	if !v.may(admin.VerbClientRead) {
		return admin.ErrForbidden
	}
	if code == "" {
		return v.render(p)
	}
	d, _, err := c.diagnosis(v.ctx, v.actor, code)
	if errors.Is(err, admin.ErrNotFound) {
		return v.refused(p, admin.Faults{{Field: "code", Reason: admin.Unknown, Value: web.Clip(code, 40),
			Text: "is the code of no request that was refused in the last week"}})
	}
	if err != nil {
		return err
	}
	p.Parts = append(p.Parts, v.diagnosisPart(d))
	return v.render(p)
}

// diagnosisPart shows what was expected beside what was received, and how to put it right.
func (v *visit) diagnosisPart(d Diagnosis) templates.ConsolePart {
	part := templates.ConsolePart{ID: "request-" + d.Code, Facts: []templates.ConsoleFact{
		fact("admin.doctor.code", code(d.Code)), fact("admin.audit.time", at(d.Time)), fact("admin.doctor.endpoint",
			code(d.Endpoint)),
		fact("admin.application", []templates.Cell{link(d.ClientID, v.c.path("applications", d.ClientID))}),
		fact("admin.doctor.error", code(d.Error)), fact("admin.doctor.reason", text(d.Reason)),
	}}
	for _, f := range d.Findings {
		step := templates.ConsoleStep{Label: say("admin.doctor.field", "field", f.Field), State: stepDone}
		if !f.OK {
			step.State, step.Expected, step.Received = stepFailed, f.Expected, f.Received
		}
		part.Steps = append(part.Steps, step)
		if f.Fix != "" && v.may(admin.VerbClientUpdate) {
			fix := v.post("fix-"+f.Fix+"-"+d.Code, f.Fix, "admin.doctor."+f.Fix, "applications", d.ClientID)
			fix.Hidden = [][2]string{{"code", d.Code}}
			part.Forms = append(part.Forms, fix)
		}
	}
	return part
}

// applyFix does what a finding offers: what was received becomes part of the registration. The
// value is the one that was kept, and not one that a form could bring along.
func (c *Console) applyFix(v *visit, id, fix string) error {
	d, f, err := c.diagnosis(v.ctx, v.actor, v.form.Get("code"))
	if err != nil {
		return err
	}
	if d.ClientID != id || !slices.ContainsFunc(d.Findings, func(one Finding) bool { return one.Fix == fix }) {
		return nothingChosen()
	}
	_, _, err = c.Admin.UpdateClient(v.ctx, v.actor, id, admin.ClientChange{Change: func(client *clients.Client) error {
		add := func(list []string, value string) []string {
			if slices.Contains(list, value) {
				return list
			}
			return append(slices.Clone(list), value)
		}
		switch fix {
		case fixRedirect:
			client.RedirectURIs = add(client.RedirectURIs, f.Received["redirect_uri"])
		case fixPostLogout:
			client.PostLogoutRedirectURIs = add(client.PostLogoutRedirectURIs, f.Received["post_logout_redirect_uri"])
		case fixAudience:
			client.Audience = add(client.Audience, f.Received["resource"])
		}
		return nil
	}})
	return err
}
