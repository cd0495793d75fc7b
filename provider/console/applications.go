package console

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
)

// Application is a client as the API shows one.
type Application struct {
	ClientID string `json:"client_id"`
	Type     string `json:"type"`
	clients.Metadata
	clients.Decisions
	Dynamic         bool       `json:"dynamic" jsonschema:"it registered itself, and nobody has vouched for it"`
	HasSecret       bool       `json:"has_secret"`
	SecretExpiresAt *time.Time `json:"secret_expires_at,omitempty"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
	ManagedBy       string     `json:"managed_by,omitempty" jsonschema:"the file that keeps it; not in lists"`
	// ClientSecret is there once, when it is made.
	ClientSecret string `json:"client_secret,omitempty" jsonschema:"there once, when it is made, and cannot be read again"`
}

func applicationOf(c clients.Client) Application {
	a := Application{ClientID: c.ID, Type: c.Type, Metadata: c.Metadata, Decisions: c.Decisions, Dynamic: c.Dynamic,
		HasSecret: len(c.SecretHash) > 0, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
	if !c.SecretExpiresAt.IsZero() {
		a.SecretExpiresAt = &c.SecretExpiresAt
	}
	return a
}

// NewApplication is an application that is to be registered.
type NewApplication struct {
	ClientID string `json:"client_id,omitempty" jsonschema:"without it the application gets a random one"`
	Type     string `json:"type" jsonschema:"web, spa, native, service or api"`
	clients.Metadata
	clients.Decisions
}

// ApplicationEdit is what PATCH changes about an application.
type ApplicationEdit struct {
	Type string `json:"type,omitempty"`
	clients.Metadata
	clients.Decisions
}

// Secret is a client secret. It cannot be read again.
type Secret struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// Disconnected says how much was taken back.
type Disconnected struct {
	Consents int `json:"consents"`
	Grants   int `json:"grants"`
}

// applicationsTable are the operations about applications.
func (c *Console) applicationsTable() []operation {
	shown := func(cl *call, client clients.Client, secret string, err error) (any, error) {
		cl.version = client.Version
		a := applicationOf(client)
		a.ClientSecret = secret
		if err != nil {
			return nil, err
		}
		a.ManagedBy, err = c.Admin.ManagedBy(cl.ctx, "client", client.ID)
		return a, err
	}
	return []operation{
		{id: "listApplications", method: http.MethodGet, path: "/applications", verb: admin.VerbClientRead,
			summary: "List and search applications, by client_id",
			query: []parameter{{name: "q", about: "words that stand in client_id, name or address"},
				{name: "type", about: "applications of this type", values: clients.Types},
				{name: "state", about: "enabled or disabled applications", values: personStates}},
			answer: typeOf[page[Application]](), listed: true, do: func(cl *call) (any, error) {
				all, err := c.Admin.Clients(cl.ctx, cl.who.actor)
				if err != nil {
					return nil, err
				}
				all = after(filterClients(all, cl.query), cl, func(c clients.Client) string { return c.ID })
				return cut(cl, all, func(c clients.Client) string { return c.ID }, applicationOf), nil
			}},
		{id: "createApplication", method: http.MethodPost, path: "/applications", verb: admin.VerbClientCreate,
			summary: "Register an application",
			body:    typeOf[NewApplication](), answer: typeOf[Application](), created: true, versioned: true, once: true,
			do: func(cl *call) (any, error) {
				n := body[NewApplication](cl)
				client, secret, err := c.Admin.CreateClient(cl.ctx, cl.who.actor, admin.NewClient{
					Client: clients.Client{ID: n.ClientID, Type: n.Type, Metadata: n.Metadata, Decisions: n.Decisions}})
				cl.location = "/applications/" + url.PathEscape(client.ID)
				return shown(cl, client, secret, err)
			}},
		{id: "getApplication", method: http.MethodGet, path: "/applications/{client_id}", verb: admin.VerbClientRead,
			summary: "Read an application",
			answer:  typeOf[Application](), versioned: true, do: func(cl *call) (any, error) {
				client, err := c.Admin.Client(cl.ctx, cl.who.actor, cl.path["client_id"])
				return shown(cl, client, "", err)
			}},
		{id: "changeApplication", method: http.MethodPatch, path: "/applications/{client_id}",
			verb: admin.VerbClientUpdate, summary: "Change an application (JSON merge patch)",
			body: typeOf[ApplicationEdit](), answer: typeOf[Application](), versioned: true, guarded: true,
			do: func(cl *call) (any, error) {
				client, secret, err := c.Admin.UpdateClient(cl.ctx, cl.who.actor, cl.path["client_id"],
					admin.ClientChange{Seen: cl.seen,
						Change: func(client *clients.Client) error {
							edit := ApplicationEdit{}
							if err := merge(ApplicationEdit{client.Type, client.Metadata, client.Decisions}, cl.raw,
								&edit); err != nil {
								return err
							}
							client.Type, client.Metadata, client.Decisions = edit.Type, edit.Metadata, edit.Decisions
							return nil
						}})
				return shown(cl, client, secret, err)
			}},
		{id: "deleteApplication", method: http.MethodDelete, path: "/applications/{client_id}",
			verb: admin.VerbClientDelete, summary: "Delete an application for good, with all that people granted it",
			do: func(cl *call) (any, error) {
				return nil, c.Admin.DeleteClient(cl.ctx, cl.who.actor, cl.path["client_id"])
			}},
		{id: "rotateSecret", method: http.MethodPost, path: "/applications/{client_id}/secret",
			verb: admin.VerbClientSecret, summary: "Give an application another secret; the old one stops working at once",
			answer: typeOf[Secret](), once: true, do: func(cl *call) (any, error) {
				client, secret, err := c.Admin.RotateSecret(cl.ctx, cl.who.actor, cl.path["client_id"], "")
				return Secret{client.ID, secret}, err
			}},
	}
}

// filterClients are the clients that a search asks for.
func filterClients(all []clients.Client, query url.Values) []clients.Client {
	all = matching(all, query.Get("q"), func(c clients.Client) string {
		return c.ID + " " + c.ClientName + " " +
			c.ClientURI
	})
	return slices.DeleteFunc(all, func(c clients.Client) bool {
		typ, state := query.Get("type"), query.Get("state")
		return typ != "" && c.Type != typ || state != "" && c.Disabled != (state == personStates[1])
	})
}
