package account

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"latchkey/provider/admin"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// field is a claim that a person may be let change themselves.
type field struct {
	claim, kind, hint, autocomplete string
	of                              func(*storage.Claims) *string
	most                            int // bytes
}

const (
	hintLink      = "profile.hint.link"
	hintBirthdate = "profile.hint.birthdate"
)

// fields are all that a person may ever be let change here. What others rely on is not among them:
// the username, the e-mail address (which has a way of its own), groups, and that something was
// verified.
var fields = []field{
	{"name", "text", "", "name", func(c *storage.Claims) *string { return &c.Name }, 200},
	{"given_name", "text", "", "given-name", func(c *storage.Claims) *string { return &c.GivenName }, 200},
	{"middle_name", "text", "", "additional-name", func(c *storage.Claims) *string { return &c.MiddleName }, 200},
	{"family_name", "text", "", "family-name", func(c *storage.Claims) *string { return &c.FamilyName }, 200},
	{"nickname", "text", "", "nickname", func(c *storage.Claims) *string { return &c.Nickname }, 200},
	{"gender", "text", "", "sex", func(c *storage.Claims) *string { return &c.Gender }, 100},
	{"birthdate", "text", hintBirthdate, "off", func(c *storage.Claims) *string { return &c.Birthdate }, 10},
	{"phone_number", "tel", "", "tel", func(c *storage.Claims) *string { return &c.PhoneNumber }, 50},
	{"profile", "url", hintLink, "off", func(c *storage.Claims) *string { return &c.Profile }, 500},
	{"picture", "url", hintLink, "photo", func(c *storage.Claims) *string { return &c.Picture }, 500},
	{"website", "url", hintLink, "url", func(c *storage.Claims) *string { return &c.Website }, 500},
	{"address", "lines", "", "street-address", formattedAddress, 500},
	{"locale", "", "", "", func(c *storage.Claims) *string { return &c.Locale }, 35},
	{"zoneinfo", "", "", "", func(c *storage.Claims) *string { return &c.Zoneinfo }, 60},
}

// formattedAddress is the address in one text. What else was known of it is about another text.
func formattedAddress(c *storage.Claims) *string {
	a := storage.Address{Formatted: addressLines(c.Address)}
	c.Address = &a
	return &a.Formatted
}

// addressLines is an address as it stands on a letter.
func addressLines(a *storage.Address) string {
	if a == nil {
		return ""
	}
	if a.Formatted != "" {
		return a.Formatted
	}
	var lines []string
	for _, l := range []string{a.StreetAddress, strings.TrimSpace(a.PostalCode + " " + a.Locality), a.Region,
		a.Country} {
		if l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

// EditableClaims lists, by claim name (OIDC Core §5.1), what Config.Editable can hold.
func EditableClaims() []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.claim)
	}
	return append(out, "email") // has a page of its own, and needs mail
}

// DefaultEditable is what people may change about themselves unless it is configured.
func DefaultEditable() []string {
	return []string{"name", "given_name", "middle_name", "family_name", "nickname", "email", "locale", "zoneinfo"}
}

// editable are the fields that the person may change on the profile page.
func (p *Pages) editable() []field {
	return slices.DeleteFunc(slices.Clone(fields), func(f field) bool {
		return f.kind == "" ||
			!slices.Contains(p.Editable, f.claim)
	})
}

// ShowProfile shows a person what is known about them.
func (p *Pages) ShowProfile(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.visitor(w, r, profilePath)
	if err != nil || !ok {
		return err
	}
	return p.renderProfile(w, r, http.StatusOK, session, user, user.Claims, "")
}

// renderProfile shows the profile, with typed in its form; bad is the claim that cannot be stored.
func (p *Pages) renderProfile(w http.ResponseWriter, r *http.Request, status int, s storage.Session, u storage.User,
	typed storage.Claims, bad string) error {
	frame, err := p.frame(w, r, u, profilePath, sessionCSRF(s))
	if err != nil {
		return err
	}
	out := templates.Profile{Frame: frame, Claims: knownClaims(u), Groups: u.Groups, Bad: bad}
	for _, f := range p.editable() {
		out.Fields = append(out.Fields, templates.ProfileField{
			Claim: f.claim, Value: *f.of(&typed), Type: f.kind, Hint: f.hint, Autocomplete: f.autocomplete,
		})
	}
	return p.Web.Render(w, r, status, out)
}

// ChangeProfile changes what the person may change. Of the form nothing else is looked at.
func (p *Pages) ChangeProfile(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.sessionForm(w, r, profilePath)
	if err != nil || !ok {
		return err
	}
	sent := p.editable()
	sent = slices.DeleteFunc(sent, func(f field) bool { return !form.Has(f.claim) })
	if len(sent) == 0 {
		return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
	}
	fill := func(c *storage.Claims) (bad string) {
		for _, f := range sent {
			value := strings.TrimSpace(strings.ReplaceAll(form.Get(f.claim), "\r\n", "\n"))
			if len(value) > f.most || f.kind != "lines" && strings.ContainsAny(value, "\r\n\t") {
				return f.claim
			}
			phone := c.PhoneNumber
			*f.of(c) = value
			if c.Address != nil && *c.Address == (storage.Address{}) {
				c.Address = nil
			}
			c.PhoneNumberVerified = c.PhoneNumberVerified && c.PhoneNumber == phone
		}
		return ""
	}
	typed := user.Claims
	bad := fill(&typed)
	if bad == "" {
		_, err = p.Admin.UpdateSelf(r.Context(), p.actor(r, user), func(c *storage.Claims) { fill(c) })
		bad, err = badClaim(err)
	}
	if err != nil {
		return err
	}
	if bad != "" {
		return p.renderProfile(w, r, http.StatusBadRequest, session, user, typed, bad)
	}
	return p.done(w, profilePath, "saved")
}

// badClaim is the claim that cannot be stored, if that is what the error says.
func badClaim(err error) (string, error) {
	var faults admin.Faults
	if !errors.As(err, &faults) || len(faults) == 0 {
		return "", err
	}
	claim, _, _ := strings.Cut(strings.TrimPrefix(faults[0].Field, "claims."), ".")
	return claim, nil
}

// actor is the person who changes something of their own.
func (p *Pages) actor(r *http.Request, u storage.User) admin.Actor {
	return admin.Actor{Kind: storage.ActorUser, ID: u.ID, Name: u.Username, Address: p.Web.ClientAddress(r),
		RequestID: web.RequestID(r)}
}

// knownClaims lists what applications may learn about the person, by the standard's names
// (OIDC Core §5.1).
func knownClaims(u storage.User) [][2]string {
	c := u.Claims
	yes := func(v bool) string {
		if v {
			return "true"
		}
		return ""
	}
	var out [][2]string
	for _, claim := range [][2]string{
		{"preferred_username", u.Username}, {"name", c.Name}, {"given_name", c.GivenName},
		{"middle_name", c.MiddleName}, {"family_name", c.FamilyName},
		{"nickname", c.Nickname}, {"email", c.Email}, {"email_verified", yes(c.Email != "" && c.EmailVerified)},
		{"phone_number", c.PhoneNumber}, {"phone_number_verified", yes(c.PhoneNumber != "" && c.PhoneNumberVerified)},
		{"address", addressLines(c.Address)}, {"birthdate", c.Birthdate}, {"gender", c.Gender}, {"locale", c.Locale},
		{"zoneinfo", c.Zoneinfo},
		{"profile", c.Profile}, {"picture", c.Picture}, {"website", c.Website},
	} {
		if claim[1] != "" {
			out = append(out, claim)
		}
	}
	return out
}
