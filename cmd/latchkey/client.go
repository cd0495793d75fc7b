package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
	"latchkey/provider/token"
)

func (sh *shell) clientCommand() *cobra.Command {
	return family("client", "Applications: create, list, change, delete",
		sh.clientCreate(), sh.clientList(), sh.clientShow(), sh.clientUpdate(), sh.clientRotateSecret(), sh.clientDelete())
}

// clientFlags are what can be said about an application: each flag is one field of the record, named by the standard's word without what
// it is about. What has no flag goes into --metadata.
var clientFlags = []struct {
	name, usage string
	field       func(*clients.Client) any // *string, *[]string or *bool
}{
	{"name", "`NAME` that people read", func(c *clients.Client) any { return &c.ClientName }},
	{"redirect-uri", "a `URI` that people come back to; may be repeated", func(c *clients.Client) any { return &c.RedirectURIs }},
	{"post-logout-redirect-uri", "a `URI` that people come back to after signing out; may be repeated", func(c *clients.Client) any { return &c.PostLogoutRedirectURIs }},
	{"backchannel-logout-uri", "`URI` that is told when a session ends", func(c *clients.Client) any { return &c.BackchannelLogoutURI }},
	{"backchannel-logout-session-required", "logout tokens must name the session", func(c *clients.Client) any { return &c.BackchannelLogoutSessionRequired }},
	{"frontchannel-logout-uri", "`URI` that is shown in a frame when a session ends", func(c *clients.Client) any { return &c.FrontchannelLogoutURI }},
	{"frontchannel-logout-session-required", "that address gets iss and sid", func(c *clients.Client) any { return &c.FrontchannelLogoutSessionRequired }},
	{"scope", "`SCOPES` that it may ask for, separated by blanks (default: all)", func(c *clients.Client) any { return &c.Scope }},
	{"grant-type", "a `GRANT` that it may use; may be repeated (default: what fits the type)", func(c *clients.Client) any { return &c.GrantTypes }},
	{"response-type", "a response `TYPE` that it may ask for, such as \"code id_token\"; may be repeated (default: code)", func(c *clients.Client) any { return &c.ResponseTypes }},
	{"token-endpoint-auth-method", "`METHOD` by which it says who it is (default: what fits the type)", func(c *clients.Client) any { return &c.TokenEndpointAuthMethod }},
	{"id-token-alg", "`ALG` that signs its ID tokens: RS256, ES256, PS256, EdDSA (default RS256)", func(c *clients.Client) any { return &c.IDTokenSignedResponseAlg }},
	{"userinfo-alg", "`ALG` that signs its userinfo (default: plain JSON)", func(c *clients.Client) any { return &c.UserinfoSignedResponseAlg }},
	{"request-object-alg", "`ALG` that it signs request objects with", func(c *clients.Client) any { return &c.RequestObjectSigningAlg }},
	{"require-signed-request-object", "it has to sign its requests", func(c *clients.Client) any { return &c.RequireSignedRequestObject }},
	{"subject-type", "public, or pairwise: people have another sub than elsewhere (`TYPE`)", func(c *clients.Client) any { return &c.SubjectType }},
	{"sector-identifier-uri", "`URI` of the list of redirect URIs that share pairwise subjects", func(c *clients.Client) any { return &c.SectorIdentifierURI }},
	{"jwks-uri", "`URI` of its public keys", func(c *clients.Client) any { return &c.JWKSURI }},
	{"client-uri", "`URI` of its home page", func(c *clients.Client) any { return &c.ClientURI }},
	{"logo-uri", "`URI` of its logo", func(c *clients.Client) any { return &c.LogoURI }},
	{"policy-uri", "`URI` of its privacy policy", func(c *clients.Client) any { return &c.PolicyURI }},
	{"tos-uri", "`URI` of its terms", func(c *clients.Client) any { return &c.TOSURI }},
	{"contact", "an `ADDRESS` of whoever runs it; may be repeated", func(c *clients.Client) any { return &c.Contacts }},
	{"initiate-login-uri", "`URI` where others can start a sign-in", func(c *clients.Client) any { return &c.InitiateLoginURI }},
	{"request-uri", "a `URI` of a request object; may be repeated", func(c *clients.Client) any { return &c.RequestURIs }},

	{"group", "a `GROUP` whose members may use it; may be repeated (default: everybody)", func(c *clients.Client) any { return &c.AllowedGroups }},
	{"audience", "an API `URI` that its access tokens may be for; may be repeated. For an API: its own names", func(c *clients.Client) any { return &c.Audience }},
	{"origin", "a web `ORIGIN` that may call us from a browser, or that its callback leads on to; may be repeated", func(c *clients.Client) any { return &c.Origins }},
	{"skip-consent", "people are not asked: it is our own application", func(c *clients.Client) any { return &c.SkipConsent }},
	{"without-pkce", "it may leave out PKCE (never for public clients)", func(c *clients.Client) any { return &c.WithoutPKCE }},
	{"claims-in-id-token", "ID tokens also have name, email and so on", func(c *clients.Client) any { return &c.ClaimsInIDToken }},
	{"opaque-access-tokens", "access tokens are random and need introspection", func(c *clients.Client) any { return &c.OpaqueAccessTokens }},
	{"legacy-assertion-audience", "client assertions may be addressed to the token endpoint", func(c *clients.Client) any { return &c.LegacyAssertionAudience }},
	{"refusal-contact", "`WHO` is named to people who may not use it", func(c *clients.Client) any { return &c.RefusalContact }},
	{"disabled", "nobody can use it for now", func(c *clients.Client) any { return &c.Disabled }},
}

func registerClientFlags(cmd *cobra.Command) {
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
	f.Bool("secret-stdin", false, "read the client secret from standard input, in place of making one")
}

// applyClientFlags sets what was said about the application and leaves the rest.
func (sh *shell) applyClientFlags(cmd *cobra.Command, c *clients.Client) error {
	f := cmd.Flags()
	if file, _ := f.GetString("metadata"); file != "" {
		if _, err := readYAMLFile(file, sh.stdin, &c.Metadata); err != nil {
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
		c.JWKS = set
	}
	for _, flag := range clientFlags {
		if !f.Changed(flag.name) {
			continue
		}
		switch p := flag.field(c).(type) {
		case *string:
			*p, _ = f.GetString(flag.name)
		case *[]string:
			list, _ := f.GetStringArray(flag.name)
			*p = slices.DeleteFunc(list, func(s string) bool { return s == "" }) // --group "" empties the list
		case *bool:
			*p, _ = f.GetBool(flag.name)
		}
	}
	return nil
}

// clientPolicy is what an administrator may register.
func (s *site) clientPolicy() clients.Policy {
	return clients.Policy{AllowNone: s.InsecureAllowNone, GrantTypes: token.GrantTypes()}
}

func (s *site) secretHasher() *clients.SecretHasher {
	return clients.NewSecretHasher(s.sealer.Derive("client secrets", 32))
}

// prepareClient checks a client that is about to be stored, and makes the keys that it needs.
func (s *site) prepareClient(ctx context.Context, c clients.Client) (clients.Client, error) {
	c, err := clients.Prepare(c, s.clientPolicy())
	if err != nil {
		return c, plain(err)
	}
	if err := s.checkGroups(ctx, c.AllowedGroups); err != nil {
		return c, err
	}
	if c.SectorIdentifierURI != "" {
		p, err := s.provider()
		if err != nil {
			return c, err
		}
		if err := p.Registrations.CheckSector(ctx, c); err != nil {
			return c, plain(err)
		}
	}
	return c, nil
}

// plain is a refusal without the code that is only for programs.
func plain(err error) error {
	var e *oauth.Error
	if errors.As(err, &e) {
		return errors.New(e.Description)
	}
	return err
}

// needsSecret says whether the client has no secret of the kind that its method takes.
func needsSecret(c clients.Client) bool {
	return c.UsesSecret() && (len(c.SecretHash) == 0 || c.TokenEndpointAuthMethod == oauth.AuthClientSecretJWT && len(c.SealedSecret) == 0)
}

func (sh *shell) clientCreate() *cobra.Command {
	var typ, id string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Register an application",
		Long: `Register an application. The type sets what fits:

  web      runs on a server and keeps a secret
  spa      runs in a browser: no secret
  native   runs on a device: no secret, redirects to 127.0.0.1 or a scheme of its own
  service  a program without a person
  api      takes access tokens, and may introspect them

The client secret is printed once and cannot be read again.`,
		Example: `  latchkey client create --name Notes --type web --redirect-uri https://notes.example.com/callback
  latchkey client create --name Board --type spa --redirect-uri https://board.example.com/ --json
  latchkey client create --name Backup --type service --audience https://files.example.com`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(clients.Types, typ) {
				return usage("--type must be one of %s", strings.Join(clients.Types, ", "))
			}
			return sh.onSite(cmd, true, func(ctx context.Context, s *site) error {
				draft := clients.Client{}
				if err := sh.applyClientFlags(cmd, &draft); err != nil {
					return err
				}
				if draft.ClientName == "" {
					return usage("--name is missing: people read it when they sign in")
				}
				made, err := clients.NewClient(typ, draft.Metadata, s.clientPolicy())
				if err != nil {
					return plain(err)
				}
				draft.ID, draft.Type, draft.Metadata = made.ID, made.Type, made.Metadata
				if id != "" {
					draft.ID = id
				}
				c, err := s.prepareClient(ctx, draft)
				if err != nil {
					return err
				}
				secret, err := sh.giveSecret(ctx, cmd, s, &c)
				if err != nil {
					return err
				}
				if err := s.createClient(ctx, &c); err != nil {
					return err
				}
				return sh.printNewClient(s, c, secret)
			})
		},
	}
	cmd.Flags().StringVar(&typ, "type", clients.TypeWeb, "`TYPE`: "+strings.Join(clients.Types, ", "))
	cmd.Flags().StringVar(&id, "id", "", "client `ID` (default: a random one)")
	registerClientFlags(cmd)
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

// giveSecret gives the client the secret on standard input, or a new one if it needs one, and returns it.
func (sh *shell) giveSecret(ctx context.Context, cmd *cobra.Command, s *site, c *clients.Client) (string, error) {
	var secret string
	if brought, _ := cmd.Flags().GetBool("secret-stdin"); brought {
		var err error
		if secret, err = sh.readPassword(ctx, true, ""); err != nil {
			return "", err
		}
	} else if needsSecret(*c) {
		secret = clients.NewSecret()
	} else {
		return "", nil
	}
	return secret, plain(c.SetSecret(secret, s.secretHasher(), s.sealer))
}

func (s *site) createClient(ctx context.Context, c *clients.Client) error {
	c.CreatedAt, c.Version = s.timestamp(), 1
	c.UpdatedAt = c.CreatedAt
	if err := registration.EnsureKeys(ctx, s.ring, c.Metadata); err != nil {
		return err
	}
	err := s.store.CreateClient(ctx, *c)
	if errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("the client_id %q is taken", c.ID)
	}
	return err
}

// newClient is a client at the only moment at which its secret is known.
type newClient struct {
	clients.Client
	ClientSecret string `json:"client_secret,omitempty"`
	Issuer       string `json:"issuer,omitempty"`
	Discovery    string `json:"discovery,omitempty"` // URL of the discovery document
}

func (sh *shell) printNewClient(s *site, c clients.Client, secret string) error {
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

// clients reads all applications.
func (s *site) clients(ctx context.Context) ([]clients.Client, error) {
	all := []clients.Client{}
	after := ""
	for {
		page, err := s.store.Clients(ctx, after, 500)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return all, nil
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
}

func (s *site) client(ctx context.Context, id string) (clients.Client, error) {
	c, err := s.store.Client(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return c, fmt.Errorf("there is no application with the client_id %q", id)
	}
	return c, err
}

func (sh *shell) clientList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all applications",
		Args:  exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				all, err := s.clients(ctx)
				if err != nil {
					return err
				}
				if sh.json {
					return sh.printJSON(all)
				}
				rows := [][]string{{"CLIENT_ID", "NAME", "TYPE", "GROUPS", "STATE"}}
				for _, c := range all {
					state := "active"
					if c.Disabled {
						state = "disabled"
					} else if c.Dynamic {
						state = "registered itself"
					}
					rows = append(rows, []string{c.ID, c.Name(), c.Type, strings.Join(c.AllowedGroups, " "), state})
				}
				return sh.table(rows)
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
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
	cmd := &cobra.Command{
		Use:   "show CLIENT_ID",
		Short: "Show an application",
		Args:  exactly(1, "one client_id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				c, err := s.client(ctx, args[0])
				if err != nil {
					return err
				}
				return sh.printClient(c)
			})
		},
	}
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

// changeClient changes a client, again if somebody else changed it meanwhile.
func (s *site) changeClient(ctx context.Context, id string, change func(*clients.Client) error) (clients.Client, error) {
	for range 10 {
		c, err := s.client(ctx, id)
		if err != nil {
			return c, err
		}
		if err := change(&c); err != nil {
			return c, err
		}
		c.UpdatedAt = s.timestamp()
		if err := registration.EnsureKeys(ctx, s.ring, c.Metadata); err != nil {
			return c, err
		}
		if err = s.store.UpdateClient(ctx, c); err == nil {
			return c, nil
		} else if !errors.Is(err, storage.ErrConflict) {
			return c, err
		}
	}
	return clients.Client{}, fmt.Errorf("%s is being changed by others all the time; try again", id)
}

func (sh *shell) clientUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update CLIENT_ID",
		Short: "Change an application; what is not named stays",
		Long: `Change an application; what is not named stays. A list is replaced as a whole, and emptied by "".

Switched on is --skip-consent, switched off again --skip-consent=false.`,
		Example: `  latchkey client update notes --redirect-uri https://notes.example.com/callback --group staff
  latchkey client update notes --disabled`,
		Args: exactly(1, "one client_id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				secret := ""
				c, err := s.changeClient(ctx, args[0], func(c *clients.Client) (err error) {
					if err = sh.applyClientFlags(cmd, c); err != nil {
						return err
					}
					if *c, err = s.prepareClient(ctx, *c); err != nil {
						return err
					}
					if !c.UsesSecret() {
						c.SecretHash, c.SealedSecret, c.SecretExpiresAt = nil, nil, time.Time{}
					}
					if secret == "" { // standard input can be read once
						secret, err = sh.giveSecret(ctx, cmd, s, c)
						return err
					}
					return plain(c.SetSecret(secret, s.secretHasher(), s.sealer))
				})
				if err != nil {
					return err
				}
				if secret != "" {
					return sh.printNewClient(s, c, secret)
				}
				return sh.printClient(c)
			})
		},
	}
	registerClientFlags(cmd)
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) clientRotateSecret() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-secret CLIENT_ID",
		Short: "Give an application a new secret; the old one stops working at once",
		Args:  exactly(1, "one client_id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				secret := clients.NewSecret()
				if brought, _ := cmd.Flags().GetBool("secret-stdin"); brought {
					var err error
					if secret, err = sh.readPassword(ctx, true, ""); err != nil {
						return err
					}
				}
				c, err := s.changeClient(ctx, args[0], func(c *clients.Client) error {
					return plain(c.SetSecret(secret, s.secretHasher(), s.sealer))
				})
				if err != nil {
					return err
				}
				if sh.json {
					return sh.printJSON(newClient{Client: c, ClientSecret: secret})
				}
				sh.printf("%s\n", secret)
				return sh.done("%s has this secret now; the old one does not work any more.", c.ID)
			})
		},
	}
	cmd.Flags().Bool("secret-stdin", false, "read the new secret from standard input, in place of making one")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return cmd
}

func (sh *shell) clientDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete CLIENT_ID",
		Short: "Delete an application for good, and revoke all that it was given",
		Args:  exactly(1, "one client_id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sh.onSite(cmd, false, func(ctx context.Context, s *site) error {
				if _, err := s.client(ctx, args[0]); err != nil {
					return err
				}
				if err := s.store.DeleteClient(ctx, args[0], s.timestamp()); err != nil {
					return err
				}
				return sh.done("%s is deleted, and all that it was given is revoked.", args[0])
			})
		},
	}
	sh.storeFlags(cmd)
	return cmd
}

func (sh *shell) tokenCommand() *cobra.Command {
	var valid string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create an initial access token: it permits one application to register itself",
		Long: `Create an initial access token (RFC 7591 §3). Whoever has it may register one application at the registration endpoint,
which has to be on: registration: token.`,
		Example: `  latchkey token create --valid 24h`,
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ttl Duration
			if err := ttl.UnmarshalText([]byte(valid)); err != nil || ttl < Duration(time.Minute) || ttl > 365*day {
				return usage("--valid must be a duration from 1m to 365d, such as 24h")
			}
			return sh.onSite(cmd, true, func(ctx context.Context, s *site) error {
				now := s.timestamp()
				value, err := registration.NewInitialAccessToken(ctx, s.store, now, time.Duration(ttl))
				if err != nil {
					return err
				}
				if sh.json {
					return sh.printJSON(map[string]any{"initial_access_token": value, "expires_at": now.Add(time.Duration(ttl))})
				}
				sh.printf("%s\n", value)
				if s.Registration == string(registration.Closed) {
					sh.notef("Registration is closed by the configuration; set registration: token to use this.\n")
				}
				return sh.done("Good for one registration, for %v. It is not shown again.", ttl)
			})
		},
	}
	cmd.Flags().StringVar(&valid, "valid", "24h", "how `LONG` it may be used")
	sh.storeFlags(cmd)
	sh.jsonFlag(cmd)
	return family("token", "Initial access tokens, for applications that register themselves", cmd)
}
