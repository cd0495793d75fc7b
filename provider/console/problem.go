package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// The kinds of problem. Their titles are the same for every problem of the kind (RFC 9457 §3.1.3).
func unauthorized() *web.Problem {
	return web.NewProblem(http.StatusUnauthorized, "unauthorized", "A credential is needed")
}

func forbidden() *web.Problem {
	return web.NewProblem(http.StatusForbidden, "forbidden", "The credential does not permit this")
}

func notFound() *web.Problem {
	return web.NewProblem(http.StatusNotFound, "not-found", "There is no such object")
}

func conflict() *web.Problem {
	return web.NewProblem(http.StatusConflict, "conflict", "Something else stands in the way")
}

func stale() *web.Problem {
	return web.NewProblem(http.StatusPreconditionFailed, "stale", "The object has been changed meanwhile").
		With("read it again, and send its new ETag in If-Match")
}

func unguarded() *web.Problem {
	return web.NewProblem(http.StatusPreconditionRequired, "unguarded", "The request does not say what it changes").
		With("send the object's ETag in If-Match; If-Match: * changes it whatever it is")
}

func invalid(fields ...web.FieldProblem) *web.Problem {
	return web.NewProblem(http.StatusBadRequest, "invalid", "The request is not as it should be").With("", fields...)
}

func invalidParameter(name, detail string) *web.Problem {
	return invalid(web.FieldProblem{Field: name, Reason: string(admin.Invalid), Detail: detail})
}

// problemOf is an error of a use case as the API says it. Others stay as they are.
func problemOf(err error) error {
	var object *admin.ObjectError
	named := ""
	if errors.As(err, &object) && object.Name != "" {
		named = fmt.Sprintf("%s %q", object.Kind, object.Name)
	}
	var faults admin.Faults
	switch {
	case errors.As(err, &faults):
		p := web.NewProblem(http.StatusUnprocessableEntity, "invalid-value", "A value cannot be accepted")
		for _, f := range faults {
			detail := f.Text
			if detail == "" {
				detail = "is " + string(f.Reason)
			}
			if f.Value != "" {
				detail = fmt.Sprintf("%q %s", f.Value, detail)
			}
			p.Errors = append(p.Errors, web.FieldProblem{Field: f.Field, Reason: string(f.Reason), Detail: detail})
		}
		return p.Because(err)
	case errors.Is(err, admin.ErrNotFound), errors.Is(err, storage.ErrNotFound), errors.Is(err, keys.ErrNoSuchKey):
		return notFound().With(named).Because(err)
	case errors.Is(err, admin.ErrForbidden):
		return forbidden().With("the role of whoever holds it does not include this").Because(err)
	case errors.Is(err, admin.ErrTaken):
		return conflict().With("the name is taken: " + named).Because(err)
	case errors.Is(err, admin.ErrManaged):
		return web.NewProblem(http.StatusConflict, "managed", "A file keeps the object").
			With(fmt.Sprintf("%s is kept by the file %q; change it there, and apply that", named, object.By)).
			Because(err)
	case errors.Is(err, admin.ErrInUse):
		return conflict().With(fmt.Sprintf("%s is needed by %q", named, object.By)).Because(err)
	case errors.Is(err, admin.ErrConflict), errors.Is(err, storage.ErrConflict):
		return stale().Because(err)
	case errors.Is(err, storage.ErrConsumed):
		return conflict().With("this was done before").Because(err)
	case errors.Is(err, people.ErrBusy):
		return web.NewProblem(http.StatusServiceUnavailable, "unavailable",
			"The provider cannot answer just now").RetryAfter(1)
	}
	return err
}

var (
	unknownField = regexp.MustCompile(`^json: unknown field "(.*)"$`)
	maxDepth     = 20
)

// decode reads JSON strictly: one value, no member that is not there, valid and not too deep. The
// problem names the member.
func decode(text []byte, into any) error {
	if err := shallow(text); err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return invalid().With("something follows the JSON value")
		}
		return nil
	case errors.As(err, &wrong):
		return invalid(web.FieldProblem{Field: wrong.Field, Reason: string(admin.Invalid), Detail: "is a " +
			wrong.Value + "; expected is a " + kindName(wrong)})
	}
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		return invalid(web.FieldProblem{Field: web.Clip(m[1], 100), Reason: string(admin.Unwanted),
			Detail: "is no member that can be set here"})
	}
	return invalid().With("the body is not valid JSON").Because(err)
}

func kindName(e *json.UnmarshalTypeError) string {
	switch kind := e.Type.Kind().String(); {
	case kind == "slice":
		return "list"
	case kind == "struct" || kind == "map":
		return "object"
	case kind == "bool":
		return "boolean"
	case strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "float"):
		return "number"
	default:
		return kind
	}
}

// shallow refuses JSON that is nested too deep, before anything recursive looks at it.
func shallow(text []byte) error {
	depth, quoted, escaped := 0, false, false
	for _, b := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return invalid().With(fmt.Sprintf("the body is nested deeper than %d levels", maxDepth))
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return nil
}

// merge applies a JSON merge patch (RFC 7396) to what current says, and reads the result into the
// record that into points to, strictly.
func merge(current any, patch []byte, into any) error {
	if err := shallow(patch); err != nil {
		return err
	}
	text, err := json.Marshal(current)
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	var was, change any
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	if err := json.Unmarshal(patch, &change); err != nil {
		return invalid().With("the body is not valid JSON").Because(err)
	}
	if _, ok := change.(map[string]any); !ok {
		return invalid().With("the body must be a JSON object")
	}
	if text, err = json.Marshal(patched(was, change)); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return decode(text, into)
}

// patched is MergePatch of RFC 7396 §2.
func patched(was, change any) any {
	members, ok := change.(map[string]any)
	if !ok {
		return change
	}
	out, ok := was.(map[string]any)
	if !ok {
		out = map[string]any{}
	}
	for name, value := range members {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = patched(out[name], value)
		}
	}
	return out
}
