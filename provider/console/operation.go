package console

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"latchkey/provider/web"
)

// Base is the path of the API, below the issuer.
const Base = "/api/v1"

// operation is one row of the table of operations. Routes, the OpenAPI document, what a credential
// needs and the tests that try every operation range over the rows.
type operation struct {
	id      string // operationId in the OpenAPI document
	method  string
	path    string // below Base, in the notation of gorilla/mux
	scope   string // what the credential needs
	verb    string // what the role of its holder needs: one of admin's Verb constants; "" for nothing
	summary string

	query   []parameter
	body    reflect.Type // of the request, nil for none
	answer  reflect.Type // nil: 204, without a body
	created bool         // 201 in place of 200

	versioned bool // the answer has an ETag
	guarded   bool // the request needs If-Match
	once      bool // the request may have an Idempotency-Key
	listed    bool // the answer is a page of a list: limit and cursor

	do func(c *call) (any, error)
}

// parameter is a parameter of the query.
type parameter struct {
	name, about string
	format      string   // date-time, or ""
	values      []string // that it may have; nil: any
}

// call is one request of the API under way. Who calls is known, and may; the request has the form
// that the operation wants.
type call struct {
	*http.Request
	ctx   context.Context
	op    *operation
	who   caller
	path  map[string]string // variables of the path, decoded
	query url.Values
	body  any // a pointer to what operation.body says
	raw   []byte
	seen  int64 // the version that If-Match names, 0 for any

	limit  int    // of a list
	cursor string // what the page begins after, "" for the first page
	next   string // what the next page begins after: set by the operation
	more   bool   // there is a next page: set by the operation

	version  int64  // of the answer's object: set by the operation, for the ETag
	location string // of a new object: set by the operation, below Base
}

// body is the body of the request.
func body[T any](c *call) T { return *c.body.(*T) }

// typeOf is the type of a body or an answer.
func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// status is what the operation answers with when it has done what was asked.
func (o *operation) status() int {
	switch {
	case o.answer == nil:
		return http.StatusNoContent
	case o.created:
		return http.StatusCreated
	}
	return http.StatusOK
}

// time reads a time of the query, RFC 3339 or a date.
func (c *call) time(name string) (time.Time, error) {
	text := c.query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalidParameter(name,
		"is no time such as 2026-11-25T08:00:00Z, and no date such as 2026-11-25")
}

// Page is a page of a list.
type page[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the next page.
	Next string `json:"next,omitempty" jsonschema:"the cursor of the next page; absent on the last one"`
}

// Endpoints are the rows of the table of endpoints that the API and the pages answer.
func (c *Console) Endpoints() []web.Endpoint {
	table := []web.Endpoint{
		{Path: Base + "/openapi.json", Methods: []string{http.MethodGet, http.MethodHead}, Audience: web.AudiencePublic,
			Handler: func(w http.ResponseWriter, r *http.Request) error { return c.document.Serve(w, r) }},
	}
	for i := range c.operations {
		op := &c.operations[i]
		methods := []string{op.method}
		table = append(table, web.Endpoint{Path: Base + op.path, Methods: methods, Audience: web.AudienceREST,
			Handler: func(w http.ResponseWriter, r *http.Request) error { return c.serve(w, r, op) }})
	}
	return append(table, c.pages()...)
}
