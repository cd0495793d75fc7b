package console

import (
	"net/http"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/storage"
)

// Session is one browser in which a person is signed in.
type Session struct {
	ID         string    `json:"id"`
	Sub        string    `json:"sub"`
	SignedInAt time.Time `json:"signed_in_at"`
	LastSeen   time.Time `json:"last_seen"`
	ExpiresAt  time.Time `json:"expires_at"`
	AMR        []string  `json:"amr" jsonschema:"how the person proved who they are (RFC 8176)"`
	UserAgent  string    `json:"user_agent,omitempty"`
	Address    string    `json:"address,omitempty"`
	Clients    []string  `json:"clients" jsonschema:"the applications that it signed the person in to"`
}

func sessionOf(s storage.Session) Session {
	return Session{ID: s.ID, Sub: s.UserID, SignedInAt: s.AuthTime, LastSeen: s.LastSeen, ExpiresAt: s.ExpiresAt,
		AMR:       listOf(s.AMR),
		UserAgent: s.UserAgent, Address: s.Address, Clients: listOf(s.Clients)}
}

// listOf is a list that is written as [] when it is empty.
func listOf(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// Grant is what a person let an application have.
type Grant struct {
	ID        string    `json:"id"`
	Sub       string    `json:"sub"`
	ClientID  string    `json:"client_id"`
	Session   string    `json:"session,omitempty"`
	Scope     []string  `json:"scope"`
	Resource  []string  `json:"resource,omitempty"`
	Offline   bool      `json:"offline" jsonschema:"it outlives the session"`
	CreatedAt time.Time `json:"created_at"`
	LastUsed  time.Time `json:"last_used"`
	ExpiresAt time.Time `json:"expires_at"`
}

func grantOf(g storage.Grant) Grant {
	return Grant{ID: g.ID, Sub: g.UserID, ClientID: g.ClientID, Session: g.SessionID, Scope: listOf(g.Scope),
		Resource: g.Resource, Offline: g.Offline,
		CreatedAt: g.CreatedAt, LastUsed: g.LastUsed, ExpiresAt: g.ExpiresAt}
}

// Consent is what a person allows an application without being asked again.
type Consent struct {
	Sub       string    `json:"sub"`
	ClientID  string    `json:"client_id"`
	Scope     []string  `json:"scope"`
	CreatedAt time.Time `json:"created_at"`
}

func consentOf(s storage.Consent) Consent {
	return Consent{Sub: s.UserID, ClientID: s.ClientID, Scope: listOf(s.Scope), CreatedAt: s.CreatedAt}
}

// sessionsTable are the operations about sessions, grants and consents.
func (c *Console) sessionsTable() []operation {
	return []operation{
		{id: "listSessions", method: http.MethodGet, path: "/sessions", verb: admin.VerbSessionRead,
			summary: "List the sessions that are valid now, the newest first",
			answer:  typeOf[page[Session]](), listed: true, do: func(cl *call) (any, error) {
				found, err := c.Admin.ListSessions(cl.ctx, cl.who.actor, cl.cursor, cl.limit+1)
				if err != nil {
					return nil, err
				}
				return cut(cl, found, func(s storage.Session) string { return s.ID }, sessionOf), nil
			}},
		{id: "endSession", method: http.MethodDelete, path: "/sessions/{session}", verb: admin.VerbSessionEnd,
			summary: "End a session, and tell the applications that it reached",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.EndSession(cl.ctx, cl.who.actor, cl.path["session"])
				return nil, err
			}},
		{id: "listSessionsOfPerson", method: http.MethodGet, path: "/people/{sub}/sessions",
			verb: admin.VerbSessionRead, summary: "List the sessions of a person that are valid now",
			answer: typeOf[page[Session]](), do: func(cl *call) (any, error) {
				found, err := c.Admin.SessionsOfUser(cl.ctx, cl.who.actor, cl.path["sub"])
				return whole(found, sessionOf), err
			}},
		{id: "endSessionsOfPerson", method: http.MethodDelete, path: "/people/{sub}/sessions",
			verb: admin.VerbUserSignOut, summary: "End all sessions of a person, and revoke all that they granted",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.EndSessions(cl.ctx, cl.who.actor, cl.path["sub"])
				return nil, err
			}},
		{id: "listGrantsOfPerson", method: http.MethodGet, path: "/people/{sub}/grants", verb: admin.VerbGrantRead,
			summary: "List what applications may do now in the name of a person",
			answer:  typeOf[page[Grant]](), do: func(cl *call) (any, error) {
				found, err := c.Admin.GrantsOfUser(cl.ctx, cl.who.actor, cl.path["sub"])
				return whole(found, grantOf), err
			}},
		{id: "listConsentsOfPerson", method: http.MethodGet, path: "/people/{sub}/consents", verb: admin.VerbGrantRead,
			summary: "List what a person allows applications without being asked again",
			answer:  typeOf[page[Consent]](), do: func(cl *call) (any, error) {
				found, err := c.Admin.ConsentsOfUser(cl.ctx, cl.who.actor, cl.path["sub"])
				return whole(found, consentOf), err
			}},
		{id: "disconnectPerson", method: http.MethodDelete, path: "/people/{sub}/applications/{client_id}",
			verb:    admin.VerbConsentRevoke,
			summary: "Take back all that a person has allowed an application",
			do: func(cl *call) (any, error) {
				return nil, c.Admin.Disconnect(cl.ctx, cl.who.actor, cl.path["sub"], cl.path["client_id"])
			}},
		{id: "listGrantsOfApplication", method: http.MethodGet, path: "/applications/{client_id}/grants",
			verb: admin.VerbGrantRead, summary: "List what an application may do now in the names of people, the newest first",
			answer: typeOf[page[Grant]](), listed: true, do: func(cl *call) (any, error) {
				found, err := c.Admin.GrantsOfClient(cl.ctx, cl.who.actor, cl.path["client_id"], cl.cursor, cl.limit+1)
				if err != nil {
					return nil, err
				}
				return cut(cl, found, func(g storage.Grant) string { return g.ID }, grantOf), nil
			}},
		{id: "disconnectApplication", method: http.MethodDelete, path: "/applications/{client_id}/grants",
			verb:    admin.VerbConsentRevoke,
			summary: "Take back all that people have allowed an application",
			answer:  typeOf[Disconnected](), do: func(cl *call) (any, error) {
				consents, grants, err := c.Admin.DisconnectClient(cl.ctx, cl.who.actor, cl.path["client_id"], false)
				return Disconnected{consents, grants}, err
			}},
		{id: "revokeGrant", method: http.MethodDelete, path: "/grants/{grant}", verb: admin.VerbGrantRevoke,
			summary: "Take back one grant, with its tokens",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.RevokeGrant(cl.ctx, cl.who.actor, cl.path["grant"])
				return nil, err
			}},
	}
}

// whole is a list that has one page.
func whole[R, T any](rows []R, shown func(R) T) *page[T] {
	out := &page[T]{Items: make([]T, 0, len(rows))}
	for _, r := range rows {
		out.Items = append(out.Items, shown(r))
	}
	return out
}
