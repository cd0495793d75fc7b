package web

import (
	"net/url"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// App describes the application to the person, in what is known about it.
func (s *Site) App(client clients.Client, redirect clients.Redirect) templates.App {
	a := templates.App{
		Name: client.Name(), HomeURI: client.ClientURI, PolicyURI: client.PolicyURI, TOSURI: client.TOSURI,
		Unverified: client.Dynamic,
		Accent:     client.Accent, Welcome: client.Welcome,
		LeadsTo: leadsTo(client, redirect),
	}
	if client.LogoURI != "" {
		a.LogoURI = s.Path + "/logo/" + url.PathEscape(client.ID)
	}
	if u, err := url.Parse(redirect.String()); err == nil {
		a.Host = u.Hostname()
	}
	return a
}

// Person describes somebody to themselves.
func Person(u storage.User) templates.Person {
	name := u.Claims.Name
	if name == "" {
		name = u.Username
	}
	return templates.Person{Name: name, Username: u.Username, Email: u.Claims.Email}
}
