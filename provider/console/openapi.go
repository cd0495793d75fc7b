package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/web"
)

// pathVariable is a variable in a path of the table.
var pathVariable = regexp.MustCompile(`\{([a-z_]+)\}`)

// schemaName is the name that a type has in the OpenAPI document.
func schemaName(t reflect.Type) string {
	name := t.Name()
	if item, ok := strings.CutPrefix(name, "page["); ok { // page[latchkey/provider/console.Person]
		name = strings.TrimSuffix(item[strings.LastIndexByte(item, '.')+1:], "]") + "List"
	}
	return name
}

// schemaOf is the JSON Schema of a type. A patch may leave out every member, and removes one by
// null (RFC 7396).
func schemaOf(t reflect.Type, patch bool) (*jsonschema.Schema, error) {
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		typeOf[time.Time]():       {Type: "string", Format: "date-time"},
		typeOf[json.RawMessage](): {Type: "object"},
	}})
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t, err)
	}
	nullableLists(s)
	if patch {
		s.Required = nil
		for name, member := range s.Properties {
			s.Properties[name] = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{member, {Type: "null"}},
				Description: member.Description}
		}
	}
	return s, nil
}

// nullableLists says that a list is a list: the schema of a Go slice permits null, which no answer
// of ours has.
func nullableLists(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if slices.Equal(s.Types, []string{"null", "array"}) {
		s.Type, s.Types = "array", nil
	}
	for _, p := range s.Properties {
		nullableLists(p)
	}
	nullableLists(s.Items)
	nullableLists(s.AdditionalProperties)
}

// object is an object of the OpenAPI document.
type object = map[string]any

// openAPI is the OpenAPI 3.1 document of the table.
func (c *Console) openAPI() (object, error) {
	schemas := object{}
	ref := func(t reflect.Type, patch bool) (object, error) {
		name := schemaName(t)
		if patch {
			name += "Patch"
		}
		if schemas[name] == nil {
			s, err := schemaOf(t, patch)
			if err != nil {
				return nil, err
			}
			schemas[name] = s
		}
		return object{"$ref": "#/components/schemas/" + name}, nil
	}
	problem, err := ref(typeOf[web.Problem](), false)
	if err != nil {
		return nil, err
	}
	paths := object{}
	for i := range c.operations {
		op := &c.operations[i]
		described, err := op.describe(ref, problem)
		if err != nil {
			return nil, err
		}
		there, ok := paths[op.path].(object)
		if !ok {
			there = object{}
			paths[op.path] = there
		}
		there[strings.ToLower(op.method)] = described
	}
	scopes := object{}
	for name, about := range scopeAbout {
		scopes[name] = about
	}
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "Latchkey administration", "version": "1",
			"description": "People, groups, applications, sessions, keys and the audit log of the provider. Every refusal is a problem by RFC 9457. " +
				"A credential permits what its scopes name, as far as the role of its holder permits it, too."},
		"servers": []object{{"url": c.Web.URL(Base)}},
		"paths":   paths,
		"components": object{
			"schemas": schemas,
			"securitySchemes": object{
				"apiKey": object{"type": "http", "scheme": "bearer",
					"description": "An API key (lkk_…), made on the page Keys and tokens or by latchkey api-key create"},
				"accessToken": object{"type": "oauth2",
					"description": "An access token of a person, for the resource " + c.Resource() + " (RFC 8707)",
					"flows": object{"authorizationCode": object{"authorizationUrl": c.Web.URL("/authorize"),
						"tokenUrl": c.Web.URL("/token"), "scopes": scopes}}},
			},
		},
	}, nil
}

// describe is the operation object of one row.
func (op *operation) describe(ref func(reflect.Type, bool) (object, error), problem object) (object, error) {
	out := object{"operationId": op.id, "summary": op.summary, "tags": []string{strings.SplitN(op.path, "/", 3)[1]}}
	if op.scope != "" {
		out["x-latchkey-scope"], out["x-latchkey-roles"] = op.scope, admin.RolesFor(op.verb)
		out["security"] = []object{{"apiKey": []string{op.scope}}, {"accessToken": []string{op.scope}}}
	} else {
		out["security"] = []object{{"apiKey": []string{}}, {"accessToken": []string{}}}
	}
	text := object{"type": "string"}
	var parameters []object
	add := func(in, name, about string, required bool, schema object) {
		p := object{"in": in, "name": name, "required": required, "schema": schema}
		if about != "" {
			p["description"] = about
		}
		parameters = append(parameters, p)
	}
	for _, m := range pathVariable.FindAllStringSubmatch(op.path, -1) {
		add("path", m[1], "", true, text)
	}
	for _, q := range op.query {
		schema := object{"type": "string", "maxLength": maxQuery}
		if q.format != "" {
			schema["format"] = q.format
		}
		if q.values != nil {
			schema["enum"] = q.values
		}
		add("query", q.name, q.about, false, schema)
	}
	if op.listed {
		add("query", "limit", "how many at most", false, object{"type": "integer", "minimum": 1, "maximum": maxPage,
			"default": defaultPage})
		add("query", "cursor", "next of the page before", false, text)
	}
	if op.guarded {
		add("header", "If-Match", "the ETag of the object as it was read, or *", true, text)
	}
	if op.once {
		add("header", "Idempotency-Key", "the same request with the same key is carried out once, and answered the same for a day", false, object{"type": "string", "maxLength": 200})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if op.body != nil {
		schema, err := ref(op.body, op.method == http.MethodPatch)
		if err != nil {
			return nil, err
		}
		kind := "application/json"
		if op.method == http.MethodPatch {
			kind = "application/merge-patch+json"
		}
		out["requestBody"] = object{"required": true, "content": object{kind: object{"schema": schema}}}
	}
	answer := object{"description": http.StatusText(op.status())}
	if op.answer != nil {
		schema, err := ref(op.answer, false)
		if err != nil {
			return nil, err
		}
		answer["content"] = object{"application/json": object{"schema": schema}}
	}
	if op.versioned {
		answer["headers"] = object{"ETag": object{"schema": text}}
	}
	refusal := object{"description": "A problem (RFC 9457)",
		"content": object{"application/problem+json": object{"schema": problem}}}
	out["responses"] = object{strconv.Itoa(op.status()): answer, "default": refusal}
	return out, nil
}

// checkAlgorithms refuses what is no algorithm of the provider's keys.
func checkAlgorithms(algorithms []string) error {
	var faults admin.Faults
	for _, alg := range algorithms {
		if !slices.Contains(keys.SigningAlgorithms, alg) && !slices.Contains(keys.EncryptionAlgorithms, alg) {
			faults = append(faults, admin.Fault{Field: "algorithms", Reason: admin.Unknown, Value: alg,
				Text: "is not an algorithm of this provider"})
		}
	}
	if faults == nil {
		return nil
	}
	return faults
}
