package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/provider/admin"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Bounds of requests.
const (
	maxBody     = 256 << 10
	maxQuery    = 500 // bytes of one value
	defaultPage = 50
	maxPage     = 500

	keepAnswerFor = 24 * time.Hour
)

// serve answers one request of the API.
//
// 1. Who calls, and may they? 2. Is the request as the operation wants it? 3. Was it made before?
// 4. Do it. 5. Answer.
func (c *Console) serve(w http.ResponseWriter, r *http.Request, op *operation) error {
	who, err := c.authenticate(w, r)
	if err != nil {
		return err
	}
	if wait := c.requests.Count(who.credential, c.Web.Now()); wait > 0 {
		return tooMany(wait)
	}
	if op.scope != "" && !permits(who.scope, op.scope) {
		w.Header().Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+op.scope+`"`)
		return forbidden().With("the credential lacks the scope " + op.scope)
	}
	who.actor.Within = within(who.scope)
	cl := &call{Request: r, ctx: r.Context(), op: op, who: who}
	if err := c.read(w, cl); err != nil {
		return err
	}
	finish, kept, err := c.claim(cl)
	if err != nil {
		return err
	}
	if kept != nil {
		if op.verb != "" && !slices.Contains(admin.RolesFor(op.verb), who.user.Role) {
			return problemOf(admin.ErrForbidden) // what was told then is not for who they are now
		}
		kept.write(w)
		return nil
	}
	said, err := op.do(cl)
	if err != nil {
		err = problemOf(err)
		finish(nil, err)
		return err
	}
	answer, err := c.answer(cl, said)
	finish(answer, err)
	if err != nil {
		return err
	}
	answer.write(w)
	return nil
}

// read checks the form of a request.
func (c *Console) read(w http.ResponseWriter, cl *call) error {
	r, op := cl.Request, cl.op
	cl.path = map[string]string{}
	for _, m := range pathVariable.FindAllStringSubmatch(op.path, -1) {
		name := m[1]
		value, err := url.PathUnescape(web.Variable(r, name))
		if err != nil || !utf8.ValidString(value) || strings.ContainsRune(value, 0) || len(value) > maxQuery {
			return notFound()
		}
		cl.path[name] = value
	}
	var err error
	if cl.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return invalid().With("the query of the address is malformed")
	}
	if err := cl.checkQuery(); err != nil {
		return err
	}
	if op.guarded {
		if cl.seen, err = ifMatch(r); err != nil {
			return err
		}
	}
	if op.listed {
		if err := c.readPage(cl); err != nil {
			return err
		}
	}
	if cl.raw, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return web.NewProblem(http.StatusRequestEntityTooLarge, "too-large",
				"The body is too large").With(fmt.Sprintf("at most %d bytes are read", maxBody))
		}
		return invalid().With("the body could not be read").Because(err)
	}
	if op.body == nil {
		if len(cl.raw) > 0 {
			return invalid().With("this operation takes no body")
		}
		return nil
	}
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	json := kind == "application/json" || op.method == http.MethodPatch && kind == "application/merge-patch+json"
	if charset := parameters["charset"]; err != nil || !json || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return web.NewProblem(http.StatusUnsupportedMediaType, "media-type",
			"The body has a media type that is not read").With("send application/json")
	}
	if !utf8.Valid(cl.raw) {
		return invalid().With("the body is not valid UTF-8")
	}
	if op.method == http.MethodPatch {
		return nil // merged into the record that is there
	}
	cl.body = reflect.New(op.body).Interface()
	return decode(cl.raw, cl.body)
}

// checkQuery refuses parameters that the operation does not have: a mistyped filter must not look
// like a list of everything.
func (cl *call) checkQuery() error {
	for name, values := range cl.query {
		if cl.op.listed && (name == "limit" || name == "cursor") {
			if len(values) != 1 {
				return invalidParameter(name, "must be there once")
			}
			continue
		}
		i := slices.IndexFunc(cl.op.query, func(p parameter) bool { return p.name == name })
		switch {
		case i < 0:
			return invalidParameter(web.Clip(name, 100), "is no parameter of this operation")
		case len(values) != 1:
			return invalidParameter(name, "must be there once")
		case len(values[0]) > maxQuery || !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0):
			return invalidParameter(name, fmt.Sprintf("must be text of at most %d bytes", maxQuery))
		}
		if may := cl.op.query[i].values; may != nil && !slices.Contains(may, values[0]) {
			return invalidParameter(name, "must be one of "+strings.Join(may, ", "))
		}
	}
	return nil
}

// ifMatch is the version that If-Match names (RFC 9110 §13.1.1), 0 for any.
func ifMatch(r *http.Request) (int64, error) {
	switch values := r.Header.Values("If-Match"); {
	case len(values) == 0:
		return 0, unguarded()
	case len(values) > 1:
		return 0, invalid(web.FieldProblem{Field: "If-Match", Reason: "invalid", Detail: "must be there once"})
	case values[0] == "*":
		return 0, nil
	default:
		text, ok := strings.CutPrefix(values[0], `"`)
		text, closed := strings.CutSuffix(text, `"`)
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || !closed || err != nil || n < 1 {
			return 0, stale() // an ETag that no object of ours ever had
		}
		return n, nil
	}
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// readPage reads limit and cursor. A cursor is sealed, and good for the same list of the same
// caller alone.
func (c *Console) readPage(cl *call) error {
	cl.limit = defaultPage
	if text := cl.query.Get("limit"); cl.query.Has("limit") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return invalidParameter("limit", fmt.Sprintf("must be a number from 1 to %d", maxPage))
		}
		cl.limit = n
	}
	if cl.query.Has("cursor") {
		after, err := c.openCursor(cl.query.Get("cursor"), cl.listName())
		if err != nil {
			return invalidParameter("cursor", "is not one that this list gave; begin without it")
		}
		cl.cursor = after
	}
	return nil
}

// listName names the list that a cursor belongs to: operation, filters and caller.
func (cl *call) listName() string {
	q := url.Values{}
	for name, values := range cl.query {
		if name != "limit" && name != "cursor" {
			q[name] = values
		}
	}
	return cl.op.id + "\x00" + strings.Join(sortedPairs(cl.path), "\x00") + "\x00" + q.Encode() + "\x00" +
		cl.who.credential
}

func sortedPairs(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// written is a finished answer.
type written struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
}

func (a *written) write(w http.ResponseWriter) {
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	if a.Body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // nobody is left to tell
}

// answer writes what an operation says.
func (c *Console) answer(cl *call, said any) (*written, error) {
	a := &written{Status: cl.op.status(), Header: map[string]string{}}
	if cl.op.versioned && cl.version > 0 {
		a.Header["ETag"] = etag(cl.version)
	}
	if cl.location != "" {
		a.Header["Location"] = c.Web.Path + Base + cl.location
	}
	if cl.op.answer == nil {
		return a, nil
	}
	if p, ok := said.(interface{ setNext(string) }); ok && cl.more {
		next, err := c.sealCursor(cl.next, cl.listName())
		if err != nil {
			return nil, err
		}
		p.setNext(next)
	}
	var err error
	if a.Body, err = json.Marshal(said); err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	return a, nil
}

func (p *page[T]) setNext(cursor string) { p.Next = cursor }

// cut makes a page of what was read of a list: one more than asked for tells that there is more.
// key is what the next page begins after.
func cut[R, T any](c *call, rows []R, key func(R) string, shown func(R) T) *page[T] {
	if len(rows) > c.limit {
		rows, c.more = rows[:c.limit], true
		c.next = key(rows[len(rows)-1])
	}
	out := &page[T]{Items: make([]T, 0, len(rows))}
	for _, r := range rows {
		out.Items = append(out.Items, shown(r))
	}
	return out
}

// claim claims the Idempotency-Key of a request. kept is what the same request was answered
// before. finish is to be called with what came of it.
func (c *Console) claim(cl *call) (finish func(*written, error), kept *written, err error) {
	nothing := func(*written, error) {}
	values := cl.Header.Values("Idempotency-Key")
	if len(values) == 0 || !cl.op.once {
		return nothing, nil, nil
	}
	key := values[0]
	if len(values) > 1 || len(key) < 1 || len(key) > 200 ||
		strings.ContainsFunc(key, func(r rune) bool { return r < '!' || r > '~' }) {
		return nothing, nil, invalid(web.FieldProblem{Field: "Idempotency-Key", Reason: "invalid",
			Detail: "must be there once, with 1 to 200 visible characters"})
	}
	id := storage.Hash(cl.who.credential + "\x00" + key)
	asked := c.fingerprint(cl.op.id + "\x00" + strings.Join(sortedPairs(cl.path), "\x00") + "\x00" +
		cl.query.Encode() + "\x00" + string(cl.raw))
	there, err := c.Store.BeginAnswer(cl.ctx, storage.KeptAnswer{ID: id, Fingerprint: asked,
		ExpiresAt: c.Web.Now().Add(keepAnswerFor)}, c.Web.Now())
	switch {
	case err == nil:
	case !errors.Is(err, storage.ErrConsumed):
		return nothing, nil, err
	case there.Fingerprint != asked:
		return nothing, nil, web.NewProblem(http.StatusUnprocessableEntity, "idempotency-key-reused",
			"The Idempotency-Key belongs to another request").
			With("use a new key for each thing that is to be done")
	case there.Status == 0:
		return nothing, nil, conflict().With("a request with this Idempotency-Key is under way, or was cut off: look whether it was done, and use another key if not")
	default:
		plain, err := c.Sealer.Open(there.Sealed, keptData(id))
		if err != nil {
			return nothing, nil, conflict().With("this was done before; what it was answered is not kept any more").Because(err)
		}
		kept = &written{}
		return nothing, kept, json.Unmarshal(plain, kept)
	}
	return func(a *written, failed error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cl.ctx), 5*time.Second)
		defer cancel()
		var p *web.Problem
		switch {
		case failed == nil:
			plain, err := json.Marshal(a)
			if err != nil {
				return
			}
			sealed, err := c.Sealer.Seal(plain, keptData(id))
			if err == nil {
				err = c.Store.FinishAnswer(ctx, id, a.Status, sealed)
			}
			web.Note(cl.Request, err)
		case errors.As(failed, &p) && p.Status < 500: // nothing was changed
			web.Note(cl.Request, c.Store.ForgetAnswer(ctx, id))
		} // else it may have been done: the claim stays, and says so
	}, nil, nil
}

// fingerprint stands for a request. A body may have a password in it, so whoever has the database
// must not be able to try passwords against it.
func (c *Console) fingerprint(request string) string {
	mac := hmac.New(sha256.New, c.answersKey)
	mac.Write([]byte(request))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func keptData(id string) string { return "kept answer:" + id }

// cursorData binds a cursor to its list.
func cursorData(list string) string { return "cursor:" + storage.Hash(list) }
