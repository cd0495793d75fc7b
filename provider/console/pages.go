package console

import "latchkey/provider/web"

// pages are the rows of the table of endpoints that people ask for.
func (c *Console) pages() []web.Endpoint { return nil }
