package console

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/audit"
	"latchkey/provider/grants"
	"latchkey/provider/session"
	"latchkey/provider/signin"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what a Console needs. All fields must be set, unless they say otherwise.
type Config struct {
	Web      *web.Site
	Store    *storage.Store
	Sealer   *keys.Sealer
	Admin    *admin.Admin
	Grants   *grants.Grants
	Sessions *session.Sessions
	SignIn   *signin.Pages
	Audit    *audit.Log
	Logger   *slog.Logger
	// Ready are what /readyz asks, which the pages show one by one.
	Ready []web.Check
	// Version is that of the program.
	Version string
	// Mail says that mails are sent.
	Mail bool
	// Handler serves the whole provider: for a relying party inside.
	Handler func() http.Handler
}

// Console is the administration over HTTP: the API and the pages.
type Console struct {
	Config
	operations []operation
	recipes    []recipe
	document   *web.Document // the OpenAPI document
	answersKey []byte        // of the fingerprints of requests that are carried out once

	requests *web.Limit // by credential
	wrong    *web.Limit // wrong credentials, by address
}

// New makes a Console.
func New(cfg Config) (*Console, error) {
	c := &Console{Config: cfg, requests: web.NewLimit(perCredential, limitWindow), wrong: web.NewLimit(wrongPerHost,
		limitWindow), answersKey: cfg.Sealer.Derive("idempotency keys", 32)}
	var err error
	if c.recipes, err = readRecipes(); err != nil {
		return nil, err
	}
	c.operations = c.table()
	text, err := c.openAPI()
	if err != nil {
		return nil, err
	}
	c.document, err = web.NewJSONDocument(text, "application/json", time.Minute)
	return c, err
}

// Scopes lists the scopes of the API, sorted.
func Scopes() []string { return slices.Sorted(maps.Keys(scopeAbout)) }

// actor is a user as the use cases know who acts.
func (c *Console) actor(u storage.User) admin.Actor {
	return admin.Actor{Kind: storage.ActorUser, ID: u.ID, Name: u.Username}
}
