package web

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"time"

	"latchkey/provider/oauth"
)

// Problem is a refusal of the administration API, in the form of RFC 9457. The program that called
// reads Type, its developer Title, Detail and Errors.
type Problem struct {
	Status int            `json:"status"`
	Type   string         `json:"type"`             // a URI that names the kind of problem, see ProblemType
	Title  string         `json:"title"`            // the kind in words, the same for all problems of that kind
	Detail string         `json:"detail,omitempty"` // what is wrong with this request, and what was expected
	Errors []FieldProblem `json:"errors,omitempty"` // field by field, where the problem is about what was sent
	// RequestID is the reference that the log has, too.
	RequestID string `json:"request_id,omitempty"`

	cause error
	wait  time.Duration
}

// FieldProblem is what is wrong with one field of a request.
type FieldProblem struct {
	Field  string `json:"field"`  // by its JSON name and path, such as claims.email; or the name of a parameter
	Reason string `json:"reason"` // one word, such as invalid
	Detail string `json:"detail"` // what was expected
}

// ProblemType is the URI of a kind of problem. It names, and leads nowhere (RFC 9457 §3.1.1).
func ProblemType(name string) string { return "tag:latchkey,2026:problem:" + name }

// NewProblem makes a problem of a kind: a word such as conflict, and what it means.
func NewProblem(status int, name, title string) *Problem {
	return &Problem{Status: status, Type: ProblemType(name), Title: title}
}

// Because adds the cause, which the log has and the answer does not.
func (p *Problem) Because(err error) *Problem { p.cause = err; return p }

// With says what is wrong with this request.
func (p *Problem) With(detail string, fields ...FieldProblem) *Problem {
	p.Detail, p.Errors = detail, fields
	return p
}

// RetryAfter says when to try again (RFC 9110 §10.2.3).
func (p *Problem) RetryAfter(wait time.Duration) *Problem { p.wait = wait; return p }

func (p *Problem) Error() string {
	text := p.Title
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	for _, f := range p.Errors {
		text += "; " + f.Field + " " + f.Detail
	}
	if p.cause != nil {
		text += ": " + p.cause.Error()
	}
	return text
}

func (p *Problem) Unwrap() error { return p.cause }

// rest adapts a handler of the administration API, whose problems a program reads by RFC 9457.
func (s *Site) rest(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), apiHeaders)
		if err := h(w, r); err != nil {
			s.errorProblem(w, r, err)
		}
	})
}

// errorProblem tells a problem by RFC 9457. One of the four places that write a problem.
func (s *Site) errorProblem(w http.ResponseWriter, r *http.Request, err error) {
	Note(r, err)
	var p *Problem
	if !errors.As(err, &p) {
		e := oauth.AsError(err)
		switch {
		case Unavailable(err):
			p = NewProblem(http.StatusServiceUnavailable, "unavailable",
				"The provider cannot answer just now").RetryAfter(time.Second)
		case e.Code == oauth.ServerError:
			p = NewProblem(http.StatusInternalServerError, "internal", "Something went wrong here")
		default:
			p = NewProblem(max(http.StatusBadRequest, e.HTTPStatus()), "invalid-request",
				"The request is not as it should be").With(e.Description)
		}
	}
	said := *p
	said.RequestID = RequestID(r)
	if said.wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(said.wait/time.Second)+1, 10))
	}
	body, err := json.Marshal(said)
	if err != nil {
		panic(err) // plain strings
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(said.Status)
	_, _ = w.Write(body)
}
