package console

import (
	"net/http"

	"latchkey/provider/web"
)

// pages are the rows of the table of endpoints that people ask for.
func (c *Console) pages() []web.Endpoint {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	rows := []struct {
		path    string
		show    web.Handler
		confirm web.Handler
		change  web.Handler
	}{
		{"", c.show(c.start), nil, nil},
		{"/search", c.show(c.search), nil, nil},
		{"/why", c.show(c.why), nil, nil},
		{"/doctor", c.show(c.doctor), nil, nil},
		{"/preview", c.show(c.previewPage), nil, nil},
		{"/people", c.show(c.people), nil, c.change(c.createPersonForm)},
		{"/people/new", c.show(c.newPerson), nil, nil},
		{"/people/{sub}", c.show(c.person), c.showFresh(freshFor, c.confirmPerson), c.change(c.changePerson)},
		{"/groups", c.show(c.groups), nil, c.change(c.createGroupForm)},
		{"/groups/{group}", c.show(c.group), c.showFresh(freshFor, c.confirmGroup), c.change(c.changeGroup)},
		{"/applications", c.show(c.applications), nil, c.change(c.createApplicationForm)},
		{"/applications/new", c.show(c.newApplication), nil, nil},
		{"/applications/{client_id}", c.show(c.application), c.showFresh(freshFor, c.confirmApplication),
			c.change(c.changeApplication)},
		{"/sessions", c.show(c.sessions), nil, c.change(c.changeSessions)},
		{"/tokens", c.showFresh(changeFor, c.tokens), nil, c.change(c.changeTokens)},
		{"/keys", c.show(c.keys), c.showFresh(freshFor, c.confirmKeys), c.change(c.changeKeys)},
		{"/audit", c.show(c.audit), nil, nil},
		{"/audit/export", c.showFresh(changeFor, c.exportAudit), nil, nil},
		{"/files", c.show(c.files), nil, nil},
		{"/mail", c.show(c.mail), nil, nil},
		{"/health", c.show(c.healthPage), nil, nil},
	}
	var table []web.Endpoint
	for _, row := range rows {
		table = append(table, web.Endpoint{Path: Pages + row.path, Methods: get, Audience: web.AudienceForm,
			Handler: row.show})
		if row.change != nil {
			table = append(table, web.Endpoint{Path: Pages + row.path, Methods: post, Audience: web.AudienceForm,
				Handler: row.change})
		}
		if row.confirm != nil {
			table = append(table, web.Endpoint{Path: Pages + row.path + "/confirm", Methods: get,
				Audience: web.AudienceForm, Handler: row.confirm})
		}
	}
	return append(table,
		web.Endpoint{Path: Pages + "/setup", Methods: get, Audience: web.AudienceForm, Handler: c.showSetup},
		web.Endpoint{Path: Pages + "/setup", Methods: post, Audience: web.AudienceForm, Handler: c.setUp},
	)
}
