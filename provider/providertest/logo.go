package providertest

import (
	"latchkey/provider/clients"
)

// Picture makes a client whose logo is at uri.
func (w *World) Picture(id, uri string) clients.Client {
	w.t.Helper()
	return w.AddClient(id, func(c *clients.Client) { c.LogoURI = uri })
}
