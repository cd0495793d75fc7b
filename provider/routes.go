package provider

import (
	"net/http"

	"github.com/gorilla/mux"

	"latchkey/templates"
)

// routes is the list of every route. A page shows its problems to a person, an api tells them to a program, and a
// data endpoint may also be called from a browser on another origin.
func (p *Provider) routes() http.Handler {
	root := mux.NewRouter()
	root.UseEncodedPath()
	root.SkipClean(true) // every address has one spelling; the others are not redirected to it but are nothing

	// RFC 8414 §3.1 puts the well-known part between host and path, OIDC Discovery §4 behind the path. Both are served.
	root.Handle("/.well-known/oauth-authorization-server"+p.path, p.public(p.metadata)).Methods("GET", "HEAD", "OPTIONS")
	root.Handle("/.well-known/openid-configuration"+p.path, p.public(p.metadata)).Methods("GET", "HEAD", "OPTIONS")
	root.Handle("/.well-known/webfinger", p.public(p.webfinger)).Methods("GET", "HEAD", "OPTIONS")
	root.HandleFunc("/healthz", p.healthz).Methods("GET", "HEAD")
	root.HandleFunc("/readyz", p.readyz).Methods("GET", "HEAD")

	r := root
	if p.path != "" {
		r = root.PathPrefix(p.path).Subrouter()
		r.Handle("/.well-known/oauth-authorization-server", p.public(p.metadata)).Methods("GET", "HEAD", "OPTIONS")
		r.Handle("/.well-known/openid-configuration", p.public(p.metadata)).Methods("GET", "HEAD", "OPTIONS")
	}
	r.Handle("/jwks", p.public(p.jwks)).Methods("GET", "HEAD", "OPTIONS")
	r.Handle("/logo/{client_id}", p.public(p.logo)).Methods("GET", "HEAD")
	r.PathPrefix("/assets/").Handler(http.StripPrefix(p.path, templates.Assets())).Methods("GET", "HEAD")

	// A person is looking. What only looks at a page may do so by HEAD (RFC 9110 §9.3.2), but not where GET has consequences: a program that
	// checks links must not sign anybody out, or use up what waits for a person.
	r.Handle("/authorize", p.page(p.authorize)).Methods("GET", "POST")
	r.Handle("/login", p.form(p.showLogin)).Methods("GET", "HEAD")
	r.Handle("/login", p.form(p.login)).Methods("POST")
	r.Handle("/consent", p.form(p.showConsent)).Methods("GET", "HEAD")
	r.Handle("/consent", p.form(p.consent)).Methods("POST")
	r.Handle("/accounts", p.form(p.showAccounts)).Methods("GET", "HEAD")
	r.Handle("/accounts", p.form(p.chooseAccount)).Methods("POST")
	r.Handle("/logout", p.page(p.logout)).Methods("GET", "POST")
	r.Handle("/logout/confirm", p.form(p.confirmLogout)).Methods("POST")
	r.Handle("/logout/done", p.form(p.loggedOut)).Methods("GET", "HEAD")
	r.Handle("/session", p.page(p.checkSession)).Methods("GET", "HEAD")
	r.Handle("/account", p.form(p.account)).Methods("GET", "HEAD")
	r.Handle("/account", p.form(p.changeAccount)).Methods("POST")
	r.Handle("/", p.form(p.home)).Methods("GET", "HEAD")

	// A program is calling.
	r.Handle("/token", p.cors(p.token)).Methods("POST", "OPTIONS")
	r.Handle("/userinfo", p.cors(p.userinfo)).Methods("GET", "POST", "OPTIONS")
	r.Handle("/revoke", p.cors(p.revoke)).Methods("POST", "OPTIONS")
	r.Handle("/introspect", p.api(p.introspect)).Methods("POST")
	if p.Registration != RegistrationClosed {
		r.Handle("/register", p.api(p.register)).Methods("POST")
		r.Handle("/register/{client_id}", p.api(p.readRegistration)).Methods("GET")
		r.Handle("/register/{client_id}", p.api(p.updateRegistration)).Methods("PUT")
		r.Handle("/register/{client_id}", p.api(p.deleteRegistration)).Methods("DELETE")
	}
	root.NotFoundHandler = p.either(notFound)
	root.MethodNotAllowedHandler = p.either(methodNotAllowed(root))
	return p.observe(root)
}

// variable is a part of the path.
func variable(r *http.Request, name string) string { return mux.Vars(r)[name] }
