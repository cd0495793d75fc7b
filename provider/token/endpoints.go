package token

import (
	"latchkey/provider/clientauth"
	"latchkey/provider/grants"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Endpoints are what programs call. All fields must be set.
type Endpoints struct {
	Web     *web.Site
	Store   *storage.Store
	Clients *clientauth.Authenticator
	Grants  *grants.Grants
}
