package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// ClaimPreview is a claim and why it is there.
type ClaimPreview struct {
	Name   string `json:"name"`
	Value  any    `json:"value,omitempty" jsonschema:"absent for what is another one in every token"`
	Reason string `json:"reason" jsonschema:"protocol, sign-in, or the scope that it belongs to"`
}

// TokenPreview is what an application would be told about a person. It holds claims and no token.
type TokenPreview struct {
	Sub         string         `json:"sub"`
	ClientID    string         `json:"client_id"`
	Access      Access         `json:"access"`
	Scope       []string       `json:"scope" jsonschema:"what of the scope the application would get"`
	IDToken     []ClaimPreview `json:"id_token"`
	AccessToken []ClaimPreview `json:"access_token" jsonschema:"empty for an opaque one"`
	Userinfo    []ClaimPreview `json:"userinfo"`
}

// defaultPreview is the scope that is looked at when none is named.
const defaultPreview = "openid profile email groups"

// preview says what an application would be told, and leaves an event: it shows one person's data
// to another.
func (c *Console) preview(v admin.Actor, r *http.Request, u storage.User, client clients.Client,
	scope string) (TokenPreview, error) {
	if scope == "" {
		scope = defaultPreview
		if client.Scope != "" {
			scope = client.Scope
		}
	}
	asked, err := oauth.ParseScope(scope)
	if err != nil {
		return TokenPreview{}, admin.Faults{{Field: "scope", Reason: admin.Invalid,
			Text: "is not a scope such as openid profile email"}}
	}
	found, err := c.Grants.Preview(r.Context(), client, u, asked)
	if err != nil {
		return TokenPreview{}, err
	}
	c.Audit.Note(r.Context(), storage.Event{Actor: storage.EventParty{Kind: v.Kind, ID: v.ID, Name: v.Name},
		Verb:   "user.preview_tokens",
		Object: storage.EventParty{Kind: "user", ID: u.ID, Name: u.Username}, ClientID: client.ID, Address: v.Address,
		RequestID: v.RequestID})
	shown := func(all []grants.PreviewClaim) []ClaimPreview {
		out := []ClaimPreview{}
		for _, one := range all {
			out = append(out, ClaimPreview(one))
		}
		return out
	}
	return TokenPreview{Sub: u.ID, ClientID: client.ID, Access: Why(client, u), Scope: listOf(found.Scope),
		IDToken:     shown(found.IDToken),
		AccessToken: shown(found.AccessToken), Userinfo: shown(found.Userinfo)}, nil
}

// previewTable is the operation that previews tokens.
func (c *Console) previewTable() []operation {
	return []operation{{id: "previewTokens", method: http.MethodGet, path: "/people/{sub}/tokens/{client_id}",
		verb:    admin.VerbUserRead,
		summary: "Say what an application would be told about a person: claims with their reasons, and no token",
		query: []parameter{{name: "scope",
			about: "what the application asks for; default openid profile email groups, or what it is registered for"}},
		answer: typeOf[TokenPreview](), do: func(cl *call) (any, error) {
			u, err := c.Admin.UserByID(cl.ctx, cl.who.actor, cl.path["sub"])
			if err != nil {
				return nil, err
			}
			client, err := c.Store.Client(cl.ctx, cl.path["client_id"])
			if errors.Is(err, storage.ErrNotFound) {
				return nil, &admin.ObjectError{Err: admin.ErrNotFound, Kind: "client", Name: cl.path["client_id"]}
			}
			if err != nil {
				return nil, err
			}
			return c.preview(cl.who.actor, cl.Request, u, client, cl.query.Get("scope"))
		}}}
}

// previewPage asks for a person, an application and a scope, and shows the preview.
func (c *Console) previewPage(v *visit) error {
	if !v.may(admin.VerbUserRead) || !v.may(admin.VerbClientRead) {
		return admin.ErrForbidden
	}
	username, clientID, scope := strings.TrimSpace(v.query.Get("person")),
		strings.TrimSpace(v.query.Get("application")), strings.TrimSpace(v.query.Get("scope"))
	p := v.page("preview", "applications", say("admin.preview"))
	p.Lead = say("admin.preview.lead")
	scopes := field("scope", "admin.application.scope", "text", scope)
	scopes.Hint = say("admin.application.scope.hint")
	form := templates.ConsoleForm{ID: "preview-form", Action: c.path("preview"), Get: true,
		Submit: say("admin.preview.ask"), Main: true,
		Fields: []templates.ConsoleField{field("person", "admin.username", "text", username),
			field("application", "admin.client-id", "text", clientID), scopes}}
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
	found, err := c.preview(v.actor, v.Request, u, client, scope)
	if err != nil {
		return v.refused(p, err)
	}
	if !found.Access.Allowed {
		p.Problem = say("admin.rule." + strings.ReplaceAll(found.Access.Rule, "_", "-"))
	}
	part := func(id, label string, all []ClaimPreview) error {
		t := templates.ConsoleTable{Caption: say(label), Head: []templates.Message{say("admin.preview.claim"),
			say("admin.preview.value"), say("admin.doctor.reason")}, None: say("admin.preview.none")}
		for _, one := range all {
			value := words("admin.preview.fresh")
			if one.Value != nil {
				written, err := json.Marshal(one.Value)
				if err != nil {
					return err
				}
				value = code(string(written))
			}
			t.Rows = append(t.Rows, [][]templates.Cell{code(one.Name), value, text(one.Reason)})
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: id, Heading: say(label), Table: &t})
		return nil
	}
	if err := errors.Join(part("id-token", "admin.try.id-token", found.IDToken),
		part("access-token", "admin.preview.access-token", found.AccessToken),
		part("userinfo", "admin.try.userinfo", found.Userinfo)); err != nil {
		return err
	}
	return v.render(p)
}
