package provider

import (
	"net/http"

	"github.com/gorilla/mux"

	"latchkey/provider/registration"
	"latchkey/provider/web"
	"latchkey/templates"
)

// routes is the list of every route. A page shows its problems to a person, an api tells them to a program, and a
// data endpoint may also be called from a browser on another origin.
func (p *Provider) routes() http.Handler {
	root := mux.NewRouter()
	root.UseEncodedPath()
	root.SkipClean(true) // every address has one spelling; the others are not redirected to it but are nothing

	// RFC 8414 §3.1 puts the well-known part between host and path, OIDC Discovery §4 behind the path. Both are served.
	root.Handle("/.well-known/oauth-authorization-server"+p.Web.Path, p.Web.Public(p.Registrations.Metadata)).Methods("GET", "HEAD", "OPTIONS")
	root.Handle("/.well-known/openid-configuration"+p.Web.Path, p.Web.Public(p.Registrations.Metadata)).Methods("GET", "HEAD", "OPTIONS")
	root.Handle("/.well-known/webfinger", p.Web.Public(p.Registrations.Webfinger)).Methods("GET", "HEAD", "OPTIONS")
	root.HandleFunc("/healthz", p.Web.Healthz).Methods("GET", "HEAD")
	root.HandleFunc("/readyz", p.Web.Readyz).Methods("GET", "HEAD")

	r := root
	if p.Web.Path != "" {
		r = root.PathPrefix(p.Web.Path).Subrouter()
		r.Handle("/.well-known/oauth-authorization-server", p.Web.Public(p.Registrations.Metadata)).Methods("GET", "HEAD", "OPTIONS")
		r.Handle("/.well-known/openid-configuration", p.Web.Public(p.Registrations.Metadata)).Methods("GET", "HEAD", "OPTIONS")
	}
	r.Handle("/jwks", p.Web.Public(p.Registrations.JWKS)).Methods("GET", "HEAD", "OPTIONS")
	r.Handle("/logo/{client_id}", p.Web.Public(p.Registrations.Logo)).Methods("GET", "HEAD")
	r.PathPrefix("/assets/").Handler(http.StripPrefix(p.Web.Path, templates.Assets())).Methods("GET", "HEAD")

	// A person is looking. What only looks at a page may do so by HEAD (RFC 9110 §9.3.2), but not where GET has consequences: a program that
	// checks links must not sign anybody out, or use up what waits for a person.
	r.Handle("/authorize", p.Web.Page(p.SignIn.Authorize)).Methods("GET", "POST")
	r.Handle("/login", p.Web.Form(p.SignIn.ShowLogin)).Methods("GET", "HEAD")
	r.Handle("/login", p.Web.Form(p.SignIn.Login)).Methods("POST")
	r.Handle("/consent", p.Web.Form(p.SignIn.ShowConsent)).Methods("GET", "HEAD")
	r.Handle("/consent", p.Web.Form(p.SignIn.Consent)).Methods("POST")
	r.Handle("/accounts", p.Web.Form(p.SignIn.ShowAccounts)).Methods("GET", "HEAD")
	r.Handle("/accounts", p.Web.Form(p.SignIn.ChooseAccount)).Methods("POST")
	r.Handle("/logout", p.Web.Page(p.Account.Logout)).Methods("GET", "POST")
	r.Handle("/logout/confirm", p.Web.Form(p.Account.ConfirmLogout)).Methods("POST")
	r.Handle("/logout/done", p.Web.Form(p.Account.LoggedOut)).Methods("GET", "HEAD")
	r.Handle("/session", p.Web.Page(p.SignIn.CheckSession)).Methods("GET", "HEAD")
	r.Handle("/account", p.Web.Form(p.Account.Account)).Methods("GET", "HEAD")
	r.Handle("/account", p.Web.Form(p.Account.ChangeAccount)).Methods("POST")
	r.Handle("/", p.Web.Form(p.Account.Home)).Methods("GET", "HEAD")

	// A program is calling.
	r.Handle("/token", p.Web.CORS(p.Tokens.Token)).Methods("POST", "OPTIONS")
	r.Handle("/userinfo", p.Web.CORS(p.Tokens.Userinfo)).Methods("GET", "POST", "OPTIONS")
	r.Handle("/revoke", p.Web.CORS(p.Tokens.Revoke)).Methods("POST", "OPTIONS")
	r.Handle("/introspect", p.Web.API(p.Tokens.Introspect)).Methods("POST")
	if p.Registration != registration.Closed {
		r.Handle("/register", p.Web.API(p.Registrations.Register)).Methods("POST")
		r.Handle("/register/{client_id}", p.Web.API(p.Registrations.Read)).Methods("GET")
		r.Handle("/register/{client_id}", p.Web.API(p.Registrations.Update)).Methods("PUT")
		r.Handle("/register/{client_id}", p.Web.API(p.Registrations.Delete)).Methods("DELETE")
	}
	root.NotFoundHandler = p.Web.PageOrJSON(web.NotFound)
	root.MethodNotAllowedHandler = p.Web.PageOrJSON(web.MethodNotAllowed(root))
	return p.Web.Observe(root)
}
