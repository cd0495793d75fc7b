package account

import (
	"net/http"
	"slices"

	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowPreferences lets a person choose language and time zone.
func (p *Pages) ShowPreferences(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.visitor(w, r, languagePath)
	if err != nil || !ok {
		return err
	}
	frame, err := p.frame(w, r, user, languagePath, sessionCSRF(session))
	if err != nil {
		return err
	}
	out := templates.Preferences{Frame: frame, Languages: p.Web.Templates.Languages(), Zones: web.Zones(),
		Zone: user.Claims.Zoneinfo}
	if user.Claims.Locale != "" {
		out.Locale = p.Web.Templates.Match([]string{user.Claims.Locale}, "")
	}
	// another name of one of these, or none of a country
	if z := out.Zone; z != "" && web.KnownZone(z) && !slices.Contains(out.Zones, z) {
		out.Zones = append([]string{z}, out.Zones...)
	}
	return p.Web.Render(w, r, http.StatusOK, out)
}

// ChangePreferences stores language and time zone. They are the locale and zoneinfo claims too.
func (p *Pages) ChangePreferences(w http.ResponseWriter, r *http.Request) error {
	form, _, user, ok, err := p.sessionForm(w, r, languagePath)
	if err != nil || !ok {
		return err
	}
	locale, zone := form.Get("locale"), form.Get("zoneinfo")
	if locale != "" && !slices.Contains(p.Web.Templates.Locales(), locale) || zone != "" && !web.KnownZone(zone) {
		return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
	}
	_, err = p.Admin.UpdateSelf(r.Context(), p.actor(r, user), func(c *storage.Claims) {
		// A region that was known stays, as long as the language is the same: fr-CA is fr here.
		if c.Locale == "" || locale == "" || p.Web.Templates.Match([]string{c.Locale}, "") != locale {
			c.Locale = locale
		}
		c.Zoneinfo = zone
	})
	if bad, err := badClaim(err); err != nil {
		return err
	} else if bad != "" {
		return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
	}
	return p.done(w, languagePath, "language")
}
