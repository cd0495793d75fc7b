package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// Audience is who calls an endpoint, and so who reads its problems.
type Audience int

const (
	// AudiencePage is a user whom an application or a link sent here; problems are pages.
	AudiencePage Audience = iota
	// AudienceForm is a user on a page of ours: what changes something must come from our own
	// pages.
	AudienceForm
	// AudienceAPI is a program on a server; problems are JSON.
	AudienceAPI
	// AudienceCORS is a program that may run in a browser, on an origin that is registered for a
	// client.
	AudienceCORS
	// AudienceREST is a program that administers; problems are those of RFC 9457.
	AudienceREST
	// AudiencePublic is any program on any origin: the answer is the same for all.
	AudiencePublic
	// AudiencePlain is whoever fetches files or asks whether the process lives. The handler writes
	// everything itself.
	AudiencePlain
)

// Endpoint is one row of the table of endpoints. Routes, discovery, Allow, CORS, metrics and the
// tests that attack every address range over the rows.
type Endpoint struct {
	Path     string   // below the issuer, in the notation of gorilla/mux, e.g. /register/{client_id}
	Methods  []string // without OPTIONS, which follows from Audience
	Audience Audience
	Handler  Handler
	Member   string // of the provider metadata, which then holds the address, e.g. token_endpoint; "": none
	AtRoot   bool   // Path is below the host, not below the issuer
	Prefix   bool   // the row answers everything below Path, too
}

// methods are those that the route takes, OPTIONS included where other origins may ask
// (Fetch §3.2.2).
func (e Endpoint) methods() []string {
	if e.Audience == AudienceCORS || e.Audience == AudiencePublic {
		return append(slices.Clone(e.Methods), http.MethodOptions)
	}
	return e.Methods
}

// adapted is the handler with what its audience needs around it.
func (s *Site) adapted(e Endpoint) http.Handler {
	switch e.Audience {
	case AudiencePage:
		return s.page(e.Handler)
	case AudienceForm:
		return s.form(e.Handler)
	case AudienceAPI:
		return s.api(e.Handler)
	case AudienceREST:
		return s.rest(e.Handler)
	case AudienceCORS:
		return s.cors(strings.Join(e.Methods, ", "), e.Handler)
	case AudiencePublic:
		return s.public(e.Handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := e.Handler(w, r); err != nil {
			s.errorJSON(w, r, err)
		}
	})
}

// Plain makes a row's handler of one that writes everything itself.
func Plain(h http.Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// Routes serves the table. What is in no row is answered by a page or by JSON, as the caller likes
// it.
func (s *Site) Routes(table []Endpoint) http.Handler {
	root := mux.NewRouter()
	root.UseEncodedPath()
	root.SkipClean(true) // every address has one spelling; the others are not redirected to it but are nothing
	below := root
	if s.Path != "" {
		below = root.PathPrefix(s.Path).Subrouter()
	}
	for _, e := range table {
		router, handler := below, s.adapted(e)
		if e.AtRoot {
			router = root
		}
		// The router writes into what it is given, and the table is shared by all who make one.
		if e.Prefix {
			router.PathPrefix(e.Path).Handler(handler).Methods(slices.Clone(e.methods())...)
		} else {
			router.Handle(e.Path, handler).Methods(slices.Clone(e.methods())...)
		}
	}
	root.NotFoundHandler = s.pageOrJSON(s.notFound)
	root.MethodNotAllowedHandler = s.pageOrJSON(methodNotAllowed(root, table))
	return s.observe(root)
}
