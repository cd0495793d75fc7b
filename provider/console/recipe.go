package console

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v4"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/templates"
)

//go:embed recipes/*.yaml
var recipeFiles embed.FS

// recipe is how a known application is registered here, and configured there.
type recipe struct {
	ID      string
	Name    string   `yaml:"name"`
	Type    string   `yaml:"type"`
	Address string   `yaml:"address"` // an example
	Return  []string `yaml:"redirect_uris"`
	Left    []string `yaml:"post_logout_redirect_uris"`
	Scope   string   `yaml:"scope"`
	Claims  bool     `yaml:"claims_in_id_token"`
	NoPKCE  bool     `yaml:"without_pkce"` // it cannot send code_challenge
	Either  bool     `yaml:"either_secret_method"`
	Method  string   `yaml:"token_endpoint_auth_method"`
	Alg     string   `yaml:"id_token_signed_response_alg"`
	Where   string   `yaml:"where"`  // where the configuration goes
	Config  string   `yaml:"config"` // a text/template of recipeValues

	template *template.Template
}

// recipeValues are what the configuration of an application is made of.
type recipeValues struct {
	Name, Issuer, ClientID, ClientSecret, Address, Host, RedirectURI, Scope string
	Authorize, Token, Userinfo, JWKS, Logout, Discovery                     string
}

// readRecipes reads the recipes, by name.
func readRecipes() ([]recipe, error) {
	files, err := recipeFiles.ReadDir("recipes")
	if err != nil {
		return nil, fmt.Errorf("read recipes: %w", err)
	}
	var all []recipe
	for _, f := range files {
		body, err := recipeFiles.ReadFile("recipes/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("read recipes: %w", err)
		}
		r := recipe{ID: strings.TrimSuffix(f.Name(), ".yaml")}
		if err := yaml.Unmarshal(body, &r); err != nil {
			return nil, fmt.Errorf("recipes/%s: %w", f.Name(), err)
		}
		if r.template, err = template.New(r.ID).Option("missingkey=error").Parse(r.Config); err != nil {
			return nil, fmt.Errorf("recipes/%s: %w", f.Name(), err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b recipe) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return all, nil
}

// client is the registration of an application by the recipe, at its address.
func (r recipe) client(name, address string) clients.Client {
	at := func(list []string) (out []string) {
		for _, uri := range list {
			out = append(out, strings.ReplaceAll(uri, "{address}", address))
		}
		return out
	}
	return clients.Client{Type: r.Type, Metadata: clients.Metadata{ClientName: cmp.Or(name, r.Name), ClientURI: address,
		RedirectURIs: at(r.Return), PostLogoutRedirectURIs: at(r.Left),
		Scope: r.Scope, TokenEndpointAuthMethod: r.Method, IDTokenSignedResponseAlg: r.Alg},
		Decisions: clients.Decisions{ClaimsInIDToken: r.Claims, WithoutPKCE: r.NoPKCE, EitherSecretMethod: r.Either}}
}

// configuration is what is entered at the application.
func (r recipe) configuration(c *Console, client clients.Client, secret string) (string, error) {
	host := ""
	if u, err := url.Parse(client.ClientURI); err == nil {
		host = u.Host
	}
	values := recipeValues{Name: client.Name(), Issuer: c.Web.Issuer, ClientID: client.ID, ClientSecret: secret,
		Address: client.ClientURI, Host: host,
		Scope: cmp.Or(client.Scope, "openid profile email"), Authorize: c.Web.URL("/authorize"),
		Token: c.Web.URL("/token"), Userinfo: c.Web.URL("/userinfo"),
		JWKS: c.Web.URL("/jwks"), Logout: c.Web.URL("/logout"),
		Discovery: c.Web.URL("/.well-known/openid-configuration")}
	if len(client.RedirectURIs) > 0 {
		values.RedirectURI = client.RedirectURIs[0]
	}
	var out bytes.Buffer
	err := r.template.Execute(&out, values)
	return out.String(), err
}

// recipeNamed finds a recipe.
func (c *Console) recipeNamed(id string) (recipe, bool) {
	i := slices.IndexFunc(c.recipes, func(r recipe) bool { return r.ID == id })
	if i < 0 {
		return recipe{}, false
	}
	return c.recipes[i], true
}

// newApplicationPage is the wizard: what it is first, then where it is.
func (v *visit) newApplicationPage(kind, name, address string, edit clients.Client) templates.Console {
	c := v.c
	p := v.page("application-new", "applications", say("admin.application.new"))
	p.BackURL, p.Back = c.path("applications"), say("admin.applications")
	r, known := c.recipeNamed(kind)
	if !known && !slices.Contains(clients.Types, kind) {
		p.Lead = say("admin.wizard.lead")
		var recipes, types []templates.ConsoleLink
		for _, r := range c.recipes {
			recipes = append(recipes, templates.ConsoleLink{Label: say("admin.wizard.recipe", "name", r.Name),
				URL: c.path("applications", "new") + "?kind=" + r.ID})
		}
		for _, t := range clients.Types {
			types = append(types, templates.ConsoleLink{Label: say("admin.type." + t), URL: c.path("applications",
				"new") + "?kind=" + t})
		}
		p.Parts = []templates.ConsolePart{{ID: "recipes", Heading: say("admin.wizard.recipes"), Links: recipes},
			{ID: "types", Heading: say("admin.wizard.types"), Text: say("admin.wizard.types.lead"), Links: types}}
		return p
	}
	form := templates.ConsoleForm{ID: "application-form", Action: c.path("applications"), CSRF: v.csrf(),
		Submit: say("admin.create"), Main: true, Hidden: [][2]string{{"kind", kind}}}
	if known {
		p.Title = say("admin.wizard.title", "name", r.Name)
		label, where := field("client_name", "admin.name", "text", cmp.Or(name, r.Name)),
			field("address", "admin.wizard.address", "url", cmp.Or(address, r.Address))
		where.Required, where.Hint = true, say("admin.wizard.address.hint")
		form.Fields = []templates.ConsoleField{label, where}
	} else {
		form.Fields = applicationFields(edit)
	}
	p.Parts = []templates.ConsolePart{{ID: "new", Forms: []templates.ConsoleForm{form}}}
	return p
}

func (c *Console) newApplication(v *visit) error {
	if !v.may(admin.VerbClientCreate) {
		return admin.ErrForbidden
	}
	return v.render(v.newApplicationPage(v.query.Get("kind"), "", "", clients.Client{}))
}

// createApplicationForm registers an application, and shows once what it is configured with.
func (c *Console) createApplicationForm(v *visit) error {
	kind := v.form.Get("kind")
	r, known := c.recipeNamed(kind)
	address := strings.TrimRight(strings.TrimSpace(v.form.Get("address")), "/")
	var draft clients.Client
	if known {
		draft = r.client(v.form.Get("client_name"), address)
	} else {
		draft = clients.Client{Type: kind}
		v.readApplication(&draft)
	}
	client, secret, err := c.Admin.CreateClient(v.ctx, v.actor, admin.NewClient{Client: draft})
	if err != nil {
		return v.refused(v.newApplicationPage(kind, v.form.Get("client_name"), address, draft), err)
	}
	p := v.page("application-made", "applications", say("admin.wizard.made", "name", client.Name()))
	p.BackURL, p.Back = c.path("applications", client.ID), say("admin.application.title", "name", client.Name())
	p.Notice = say("admin.created")
	facts := append([]templates.ConsoleFact{fact("admin.client-id", code(client.ID))}, v.endpointFacts()...)
	part := templates.ConsolePart{ID: "made", Facts: facts}
	if secret != "" {
		part.Warn = say("admin.secret.once")
		part.Facts = append([]templates.ConsoleFact{facts[0], fact("admin.secret", code(secret))}, facts[1:]...)
	}
	p.Parts = []templates.ConsolePart{part}
	if known {
		text, err := r.configuration(c, client, secret)
		if err != nil {
			return errors.Join(errors.New("the recipe "+r.ID+" has a fault"), err)
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "configuration", Heading: say("admin.wizard.configuration"),
			Text: say("admin.wizard.where", "where", r.Where),
			Code: &templates.ConsoleCode{ID: "config", Text: text}})
	}
	if len(client.RedirectURIs) > 0 {
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "try", Heading: say("admin.try.heading"),
			Text: say("admin.try.lead"), Forms: []templates.ConsoleForm{v.tryForm(client, secret)}})
	}
	return v.render(p)
}
