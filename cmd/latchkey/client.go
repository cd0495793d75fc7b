package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/registration"
)

const oneClientID = "one client_id"

func (sh *shell) clientCommand() *cobra.Command {
	return commandGroup("client", "Applications: create, list, change, delete",
		sh.clientCreate(), sh.clientList(), sh.clientShow(), sh.clientUpdate(), sh.clientRotateSecret(),
		sh.clientDelete())
}

// clientFlags are what can be said about an application: each flag is one field of the record,
// named by the standard's word without what it is about. What has no flag goes into --metadata.
var clientFlags = []struct {
	name, usage string
	field       func(*clients.Client) any // *string, *[]string or *bool
}{
	{"name", "`NAME` that people read", func(c *clients.Client) any { return &c.ClientName }},
	{"redirect-uri", "a `URI` that people come back to; may be repeated",
		func(c *clients.Client) any { return &c.RedirectURIs }},
	{"post-logout-redirect-uri", "a `URI` that people come back to after signing out; may be repeated",
		func(c *clients.Client) any { return &c.PostLogoutRedirectURIs }},
	{"backchannel-logout-uri", "`URI` that is told when a session ends",
		func(c *clients.Client) any { return &c.BackchannelLogoutURI }},
	{"backchannel-logout-session-required", "logout tokens must name the session",
		func(c *clients.Client) any { return &c.BackchannelLogoutSessionRequired }},
	{"frontchannel-logout-uri", "`URI` that is shown in a frame when a session ends",
		func(c *clients.Client) any { return &c.FrontchannelLogoutURI }},
	{"frontchannel-logout-session-required", "that address gets iss and sid",
		func(c *clients.Client) any { return &c.FrontchannelLogoutSessionRequired }},
	{"scope", "`SCOPES` that it may ask for, separated by blanks (default: all)",
		func(c *clients.Client) any { return &c.Scope }},
	{"grant-type", "a `GRANT` that it may use; may be repeated (default: what fits the type)",
		func(c *clients.Client) any { return &c.GrantTypes }},
	{"response-type", "a response `TYPE` that it may ask for, such as \"code id_token\"; may be repeated (default: code)", func(c *clients.Client) any { return &c.ResponseTypes }},
	{"token-endpoint-auth-method", "`METHOD` by which it says who it is (default: what fits the type)",
		func(c *clients.Client) any { return &c.TokenEndpointAuthMethod }},
	{"id-token-alg", "`ALG` that signs its ID tokens: RS256, ES256, PS256, EdDSA (default RS256)",
		func(c *clients.Client) any { return &c.IDTokenSignedResponseAlg }},
	{"userinfo-alg", "`ALG` that signs its userinfo (default: plain JSON)",
		func(c *clients.Client) any { return &c.UserinfoSignedResponseAlg }},
	{"access-token-alg", "of an API: `ALG` that signs the access tokens for it: RS256, ES256, PS256, EdDSA (default: the provider's)", func(c *clients.Client) any { return &c.AccessTokenSignedResponseAlg }},
	{"request-object-alg", "`ALG` that it signs request objects with",
		func(c *clients.Client) any { return &c.RequestObjectSigningAlg }},
	{"require-signed-request-object", "it has to sign its requests",
		func(c *clients.Client) any { return &c.RequireSignedRequestObject }},
	{"require-pushed-authorization-requests", "it has to push its requests (RFC 9126)",
		func(c *clients.Client) any { return &c.RequirePushedAuthorizationRequests }},
	{"dpop-bound-access-tokens", "its tokens are bound to a key by DPoP proofs (RFC 9449)",
		func(c *clients.Client) any { return &c.DPoPBoundAccessTokens }},
	{"subject-type", "public, or pairwise: people have another sub than elsewhere (`TYPE`)",
		func(c *clients.Client) any { return &c.SubjectType }},
	{"sector-identifier-uri", "`URI` of the list of redirect URIs that share pairwise subjects",
		func(c *clients.Client) any { return &c.SectorIdentifierURI }},
	{"jwks-uri", "`URI` of its public keys", func(c *clients.Client) any { return &c.JWKSURI }},
	{"client-uri", "`URI` of its home page", func(c *clients.Client) any { return &c.ClientURI }},
	{"logo-uri", "`URI` of its logo", func(c *clients.Client) any { return &c.LogoURI }},
	{"policy-uri", "`URI` of its privacy policy", func(c *clients.Client) any { return &c.PolicyURI }},
	{"tos-uri", "`URI` of its terms", func(c *clients.Client) any { return &c.TOSURI }},
	{"contact", "an `ADDRESS` of the people who run it; may be repeated",
		func(c *clients.Client) any { return &c.Contacts }},
	{"initiate-login-uri", "`URI` where others can start a sign-in",
		func(c *clients.Client) any { return &c.InitiateLoginURI }},
	{"request-uri", "a `URI` of a request object; may be repeated",
		func(c *clients.Client) any { return &c.RequestURIs }},

	{"group", "a `GROUP` whose members may use it; may be repeated (default: everybody)",
		func(c *clients.Client) any { return &c.AllowedGroups }},
	{"owner-group", "a `GROUP` whose application owners look after it; may be repeated (default: only administrators do)", func(c *clients.Client) any { return &c.OwnerGroups }},
	{"audience", "an API `URI` that its access tokens may be for; may be repeated. For an API: its own names",
		func(c *clients.Client) any { return &c.Audience }},
	{"origin", "a web `ORIGIN` that may call the provider from a browser, or that its callback leads on to; may be repeated", func(c *clients.Client) any { return &c.Origins }},
	{"skip-consent", "people are not asked for consent: it is the operator's own application",
		func(c *clients.Client) any { return &c.SkipConsent }},
	{"insecure-silent-loopback", "skip consent at http redirect URIs too, where whoever listens can pretend to be it",
		func(c *clients.Client) any { return &c.InsecureSilentLoopback }},
	{"without-pkce", "it may leave out PKCE (never for public clients)",
		func(c *clients.Client) any { return &c.WithoutPKCE }},
	{"require-second-factor", "a password alone lets nobody in; who has no second factor sets one up at the sign-in",
		func(c *clients.Client) any { return &c.RequireSecondFactor }},
	{"claims-in-id-token", "ID tokens also have name, email and so on",
		func(c *clients.Client) any { return &c.ClaimsInIDToken }},
	{"either-secret-method", "it may send its secret in the Authorization header or in the body",
		func(c *clients.Client) any { return &c.EitherSecretMethod }},
	{"opaque-access-tokens", "access tokens are random and need introspection",
		func(c *clients.Client) any { return &c.OpaqueAccessTokens }},
	{"legacy-assertion-audience", "client assertions may be addressed to the token endpoint",
		func(c *clients.Client) any { return &c.LegacyAssertionAudience }},
	{"accent", "`COLOUR` of buttons and links on the pages of a sign-in to it, such as #14594a",
		func(c *clients.Client) any { return &c.Accent }},
	{"welcome", "a `LINE` on its sign-in page", func(c *clients.Client) any { return &c.Welcome }},
	{"refusal-contact", "`WHO` is named to people who may not use it",
		func(c *clients.Client) any { return &c.RefusalContact }},
	{"disabled", "nobody can use it for now", func(c *clients.Client) any { return &c.Disabled }},
}

// clientEdit is what the flags of a command say about an application.
type clientEdit struct {
	sh       *shell
	flags    []func(*clients.Client) // what was given, one a flag
	metadata func(*clients.Client) error
	secret   bool // it is on standard input
}

// register adds the flags to a command.
func (e *clientEdit) register(cmd *cobra.Command) {
	f := cmd.Flags()
	for _, flag := range clientFlags {
		switch flag.field(&clients.Client{}).(type) {
		case *string:
			f.String(flag.name, "", flag.usage)
		case *[]string:
			f.StringArray(flag.name, nil, flag.usage)
		case *bool:
			f.Bool(flag.name, false, flag.usage)
		}
	}
	f.String("jwks-file", "", "`FILE` with its public keys, a JWK Set")
	f.String("metadata", "", "`FILE` with client metadata by their standard names, JSON or YAML; flags come on top")
	f.BoolVar(&e.secret, "secret-stdin", false, "read the client secret from standard input, in place of making one")
}

// read reads flags and files, once: a change may be made several times, when another administrator
// was faster.
func (e *clientEdit) read(cmd *cobra.Command) error {
	f := cmd.Flags()
	e.metadata = func(*clients.Client) error { return nil }
	if file, _ := f.GetString("metadata"); file != "" {
		name, text, err := config.ReadText(file, e.sh.stdin)
		if err != nil {
			return err
		}
		e.metadata = func(c *clients.Client) error {
			_, err := config.ReadYAML(name, text, &c.Metadata)
			return err
		}
	}
	if file, _ := f.GetString("jwks-file"); file != "" {
		set, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !json.Valid(set) {
			return fmt.Errorf("%s is not JSON", file)
		}
		e.flags = append(e.flags, func(c *clients.Client) { c.JWKS = set })
	}
	for _, flag := range clientFlags {
		if !f.Changed(flag.name) {
			continue
		}
		e.flags = append(e.flags, func(c *clients.Client) {
			switch p := flag.field(c).(type) {
			case *string:
				*p, _ = f.GetString(flag.name)
			case *[]string:
				given, _ := f.GetStringArray(flag.name)
				*p = notEmpty(given) // --group "" empties the list
			case *bool:
				*p, _ = f.GetBool(flag.name)
			}
		})
	}
	return nil
}

// apply sets what was given and leaves the rest.
func (e *clientEdit) apply(c *clients.Client) error {
	if err := e.metadata(c); err != nil {
		return err
	}
	for _, set := range e.flags {
		set(c)
	}
	return nil
}

// broughtSecret is the secret on standard input, "" if none is brought along.
func (e *clientEdit) broughtSecret(ctx context.Context) (string, error) {
	if !e.secret {
		return "", nil
	}
	return e.sh.readPassword(ctx, true, "")
}

func (sh *shell) clientCreate() *cobra.Command {
	var typ, id string
	var missing bool
	e := &clientEdit{sh: sh}
	return sh.siteCommand(siteCommand{
		use:   "create",
		short: "Register an application",
		long: `Register an application. The type sets what fits:

  web      runs on a server and keeps a secret
  spa      runs in a browser: no secret
  native   runs on a device: no secret, redirects to 127.0.0.1 or a scheme of its own
  service  a program without a person
  api      takes access tokens, and may introspect them

The client secret is printed once and cannot be read again.`,
		example: `  latchkey client create --name Notes --type web --redirect-uri https://notes.example.com/callback
  latchkey client create --name Board --type spa --redirect-uri https://board.example.com/ --json
  latchkey client create --name Backup --type service --audience https://files.example.com`,
		args: exactArgs(0, ""), creates: true, json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&typ, "type", clients.TypeWeb, "`TYPE`: "+strings.Join(clients.Types, ", "))
			cmd.Flags().StringVar(&id, "id", "", "client `ID` (default: a random one)")
			ifMissing(cmd, &missing)
			e.register(cmd)
		},
		before: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(clients.Types, typ) {
				return usage("--type must be one of %s", strings.Join(clients.Types, ", "))
			}
			if missing && id == "" {
				return usage("--if-missing needs --id: a random one is never there")
			}
			return e.read(cmd)
		},
		run: func(ctx context.Context, s *site, _ []string) error {
			n := admin.NewClient{}
			if err := e.apply(&n.Client); err != nil {
				return err
			}
			if n.ClientName == "" {
				return usage("--name is missing: people read it when they sign in")
			}
			n.ID, n.Type = id, typ
			var err error
			if n.Secret, err = e.broughtSecret(ctx); err != nil {
				return err
			}
			c, secret, err := s.admin.CreateClient(ctx, s.actor, n)
			if sh.thereAlready(missing, err) {
				if c, err = s.admin.Client(ctx, s.actor, id); err != nil {
					return err
				}
				return sh.printClient(c)
			}
			if err != nil {
				return err
			}
			sh.warnUseless(c)
			return sh.printNewClient(s, c, secret)
		},
	})
}

// newClient is a client at the only moment at which its secret is known.
type newClient struct {
	clients.Client
	ClientSecret string `json:"client_secret,omitempty"`
	Issuer       string `json:"issuer,omitempty"`
	Discovery    string `json:"discovery,omitempty"` // URL of the discovery document
}

func (sh *shell) printNewClient(s *site, c clients.Client, secret string) error {
	sh.warnAlwaysAsks(c)
	n := newClient{Client: c, ClientSecret: secret, Issuer: s.Issuer}
	if s.Issuer != "" {
		n.Discovery = s.Issuer + "/.well-known/openid-configuration"
	}
	if sh.json {
		return sh.printJSON(n)
	}
	sh.printf("%s is registered. Put this into the application:\n\n", printable(c.Name()))
	rows := [][]string{{"  issuer", n.Issuer}, {"  discovery URL", n.Discovery}, {"  client_id", c.ID}}
	if s.Issuer == "" {
		rows = [][]string{{"  issuer", "the one that latchkey serve runs with"}, {"  client_id", c.ID}}
	}
	if secret != "" {
		rows = append(rows, []string{"  client_secret", secret})
	}
	for _, u := range c.RedirectURIs {
		rows = append(rows, []string{"  redirect_uri", u})
	}
	if err := sh.table(rows); err != nil {
		return err
	}
	if secret != "" {
		sh.printf("\nThe secret is not shown again. If it gets lost: latchkey client rotate-secret %s\n", c.ID)
	}
	return nil
}

// warnUseless says what the client cannot do, where that is rarely what was meant.
func (sh *shell) warnUseless(c clients.Client) {
	scopes := strings.Fields(c.Scope)
	switch {
	case c.Type == clients.TypeAPI && len(c.Audience) == 0:
		sh.notef("This API has no audience: no access token is for it. Name its address: latchkey client update %s --audience https://api.example.com\n", c.ID)
	case c.Type == clients.TypeService && len(c.Audience) == 0:
		sh.notef("This service has no audience: it gets tokens for no API. Name one: latchkey client update %s --audience https://api.example.com\n", c.ID)
	case len(c.RedirectURIs) > 0 && len(scopes) > 0 && !slices.Contains(scopes, "openid"):
		sh.notef("Its scopes are without openid: it gets no ID token, and cannot tell who has signed in. If it should: latchkey client update %s --scope %q\n", c.ID, "openid "+c.Scope)
	}
}

// warnAlwaysAsks says that people are asked although the client is not to ask.
func (sh *shell) warnAlwaysAsks(c clients.Client) {
	if c.SkipConsent && c.AlwaysAsks() {
		sh.notef("skip-consent has no effect here: anything on a device can answer at %s and pretend to be %s, so people are asked each time (RFC 8252 section 8.6). "+
			"Register an https redirect URI that the application claims; for development on one's own machine there is --insecure-silent-loopback.\n",
			strings.Join(c.RedirectURIs, ", "), printable(c.Name()))
	}
}

func (sh *shell) clientList() *cobra.Command {
	return list(sh, "List all applications", []string{"CLIENT_ID", "NAME", "TYPE", "GROUPS", "STATE"},
		func(ctx context.Context, s *site) ([]clients.Client, error) { return s.admin.Clients(ctx, s.actor) },
		func(c clients.Client) []string {
			state := "active"
			if c.Disabled {
				state = "disabled"
			} else if c.Dynamic {
				state = "registered itself"
			}
			return []string{c.ID, c.Name(), c.Type, strings.Join(c.AllowedGroups, " "), state}
		})
}

func (sh *shell) printClient(c clients.Client) error {
	if sh.json {
		return sh.printJSON(c)
	}
	// The record as it is, one line a member: what the standards call it is what one looks for.
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	var rows [][]string
	for _, name := range names {
		switch v := members[name].(type) {
		case []any:
			for i, e := range v {
				label := name
				if i > 0 {
					label = ""
				}
				rows = append(rows, []string{label, fmt.Sprint(e)})
			}
		case map[string]any:
			text, _ := json.Marshal(v)
			rows = append(rows, []string{name, string(text)})
		default:
			rows = append(rows, []string{name, fmt.Sprint(v)})
		}
	}
	return sh.table(rows)
}

func (sh *shell) clientShow() *cobra.Command {
	return show(sh, "CLIENT_ID", oneClientID, "Show an application",
		func(ctx context.Context, s *site, id string) (clients.Client, error) {
			return s.admin.Client(ctx, s.actor, id)
		}, sh.printClient)
}

func (sh *shell) clientUpdate() *cobra.Command {
	e := &clientEdit{sh: sh}
	return sh.siteCommand(siteCommand{
		use:   "update CLIENT_ID",
		short: "Change an application; what is not named stays",
		long: `Change an application; what is not named stays. A list is replaced as a whole, and emptied by "".

--skip-consent switches a decision on, --skip-consent=false off again.`,
		example: `  latchkey client update notes --redirect-uri https://notes.example.com/callback --group staff
  latchkey client update notes --disabled`,
		args: exactArgs(1, oneClientID), json: true,
		flags: e.register,
		before: func(cmd *cobra.Command, args []string) error {
			if err := needsChange(cmd, args); err != nil {
				return err
			}
			return e.read(cmd)
		},
		run: func(ctx context.Context, s *site, args []string) error {
			brought, err := e.broughtSecret(ctx)
			if err != nil {
				return err
			}
			c, secret, err := s.admin.UpdateClient(ctx, s.actor, args[0], admin.ClientChange{Change: e.apply,
				Secret: brought})
			if err != nil {
				return err
			}
			if secret != "" {
				return sh.printNewClient(s, c, secret)
			}
			sh.warnAlwaysAsks(c)
			return sh.printClient(c)
		},
	})
}

func (sh *shell) clientRotateSecret() *cobra.Command {
	e := &clientEdit{sh: sh}
	return sh.siteCommand(siteCommand{
		use:   "rotate-secret CLIENT_ID",
		short: "Give an application a new secret; the old one stops working at once",
		args:  exactArgs(1, oneClientID), json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&e.secret, "secret-stdin", false,
				"read the new secret from standard input, in place of making one")
		},
		run: func(ctx context.Context, s *site, args []string) error {
			brought, err := e.broughtSecret(ctx)
			if err != nil {
				return err
			}
			c, secret, err := s.admin.RotateSecret(ctx, s.actor, args[0], brought)
			if err != nil {
				return err
			}
			if sh.json {
				return sh.printJSON(newClient{Client: c, ClientSecret: secret})
			}
			sh.printf("%s\n", secret)
			return sh.done("%s has this secret now; the old one does not work any more.", c.ID)
		},
	})
}

func (sh *shell) clientDelete() *cobra.Command {
	return destroy(sh, "delete CLIENT_ID", oneClientID,
		"Delete an application for good, and revoke all that it was given",
		"Delete the application %s for good? Nobody can sign in to it any more.",
		func(ctx context.Context, s *site, id string) (string, error) {
			return id + " is deleted, and all that it was given is revoked.", s.admin.DeleteClient(ctx, s.actor, id)
		})
}

func (sh *shell) tokenCommand() *cobra.Command {
	return commandGroup("token", "Initial access tokens, for applications that register themselves: create, list, revoke",
		sh.tokenCreate(), sh.tokenList(), sh.tokenRevoke())
}

func (sh *shell) tokenCreate() *cobra.Command {
	var valid string
	var ttl config.Duration
	return sh.siteCommand(siteCommand{
		use:   "create",
		short: "Create an initial access token: it permits one application to register itself",
		long: `Create an initial access token (RFC 7591 §3). It permits one registration at the registration endpoint, which has to be on:
registration: token.`,
		example: `  latchkey token create --valid 24h`,
		args:    exactArgs(0, ""), creates: true, json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&valid, "valid", "24h", "how `LONG` it may be used")
		},
		before: func(*cobra.Command, []string) error {
			if err := ttl.UnmarshalText([]byte(valid)); err != nil || ttl < config.Duration(time.Minute) ||
				ttl > 365*config.Day {
				return usage("--valid must be a duration from 1m to 365d, such as 24h")
			}
			return nil
		},
		run: func(ctx context.Context, s *site, _ []string) error {
			value, expires, err := s.admin.CreateInitialAccessToken(ctx, s.actor, time.Duration(ttl))
			if err != nil {
				return err
			}
			if sh.json {
				return sh.printJSON(map[string]any{"initial_access_token": value, "expires_at": expires})
			}
			sh.printf("%s\n", value)
			if s.Registration == string(registration.Closed) {
				sh.notef("Registration is closed by the configuration; set registration: token to use this.\n")
			}
			return sh.done("Good for one registration, for %v. It is not shown again.", ttl)
		},
	})
}

// shownToken is an initial access token as it is printed. Its value is not known any more.
type shownToken struct {
	ID        string    `json:"id"`
	State     string    `json:"state"` // active, used or expired
	IssuedBy  string    `json:"issued_by,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	UsedAt    time.Time `json:"used_at,omitzero"`
}

func (sh *shell) tokenList() *cobra.Command {
	return list(sh, "List initial access tokens, also those that were used or have expired within a day",
		[]string{"ID", "STATE", "ISSUED BY", "CREATED", "EXPIRES"},
		func(ctx context.Context, s *site) ([]shownToken, error) {
			all, err := s.admin.InitialAccessTokens(ctx, s.actor)
			var out []shownToken
			for _, t := range all {
				shown := shownToken{t.Hash, "active", t.IssuedBy, t.CreatedAt, t.ExpiresAt, t.ConsumedAt}
				if !t.ConsumedAt.IsZero() {
					shown.State = "used"
				} else if !s.now().Before(t.ExpiresAt) {
					shown.State = "expired"
				}
				out = append(out, shown)
			}
			return out, err
		},
		func(t shownToken) []string {
			return []string{t.ID, t.State, t.IssuedBy, t.CreatedAt.Format(time.RFC3339),
				t.ExpiresAt.Format(time.RFC3339)}
		})
}

func (sh *shell) tokenRevoke() *cobra.Command {
	return act(sh, "revoke ID", "one ID, as latchkey token list shows it",
		"Revoke an initial access token before it is used",
		func(ctx context.Context, s *site, id string) (string, error) {
			return "The token permits no registration any more.", s.admin.RevokeInitialAccessToken(ctx, s.actor, id)
		})
}
