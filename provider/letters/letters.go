package letters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/provider/audit"
	"latchkey/provider/mail"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Config is what Letters needs. All fields must be set, but Audit.
type Config struct {
	Web       *web.Site
	Store     *storage.Store
	Transport mail.Transport
	Audit     *audit.Log // nil: no events
	Logger    *slog.Logger

	LinkTTL       time.Duration // how long a link works
	InvitationTTL time.Duration // how long that of an invitation works
}

// Letters writes to people. A nil *Letters writes to nobody: there is no mail.
type Letters struct {
	Config
	Queue *mail.Queue
}

// New makes Letters.
func New(c Config) *Letters {
	l := &Letters{Config: c}
	l.Queue = mail.NewQueue(c.Store, c.Transport, l.compose, c.Web.Now, c.Logger, l.count)
	return l
}

// count counts an attempt to send a mail.
func (l *Letters) count(sent, givenUp bool) {
	outcome := web.Delivered
	switch {
	case !sent && givenUp:
		outcome = web.GivenUp
	case !sent:
		outcome = web.Failing
	}
	l.Web.Metrics.Mail(outcome)
}

// Kinds of storage.Mail that are dispatched rather than sent: somebody typed who they are, and
// whether there is such an account is looked up apart from the request.
const (
	AskedReset = "reset-asked" // for a link that sets a new password
	AskedLost  = "lost-asked"  // for one that begins the way back without anything
)

// askedSignUp is the kind of a mail with which somebody asked for an account at Account.
const askedSignUp = "sign-up-asked"

// AskSignUp queues a mail to an address at which somebody wants an account. It does not look
// whether there is one.
func (l *Letters) AskSignUp(r *http.Request, address, name string) error {
	return l.Queue.Put(r.Context(), storage.Mail{Kind: askedSignUp, Account: address, Lang: l.Web.Language(r),
		Args: map[string]string{"name": name}}, l.LinkTTL)
}

// composeSignUp writes to an address at which somebody wants an account: a link to make it, or that
// there is one.
func (l *Letters) composeSignUp(ctx context.Context, m storage.Mail) (mail.Message, error) {
	lang, to := l.Web.Templates.Match(nil, m.Lang), m.Account
	owner, err := l.owner(ctx, to)
	if err != nil {
		return mail.Message{}, err
	}
	words := templates.Mail{Kind: templates.MailSignUp, Person: to} // see stranger
	if owner.ID != "" {
		lang = l.languageOf(owner, m.Lang)
		if readsAt(owner, to) {
			to = owner.Claims.Email
		}
		words = templates.Mail{Kind: templates.MailSignUpKnown, Person: cmp.Or(owner.Claims.Name, owner.Username),
			Args: templates.Args{"username": owner.Username}}
	} else {
		until := m.CreatedAt.Add(l.LinkTTL)
		value := storage.Random()
		err := l.Store.ReplaceLink(ctx, storage.Link{Hash: storage.Hash(value), Purpose: storage.LinkSignUp,
			UserID:  storage.Hash(strings.ToLower(to)),
			Address: to, Name: m.Args["name"], CreatedAt: l.Web.Now(), ExpiresAt: until})
		if err != nil {
			return mail.Message{}, err
		}
		words.Link, words.Valid = l.Web.URL(Paths[storage.LinkSignUp])+"?link="+url.QueryEscape(value),
			until.Sub(l.Web.Now())
	}
	out := mail.Message{To: to, Lang: lang}
	out.Subject, out.Text, out.HTML, err = l.Web.Templates.Mail(lang, words)
	return out, err
}

// noticeLife is how long a mail about something that has happened is tried to be sent.
const noticeLife = 3 * 24 * time.Hour

// mostAccounts is how many accounts with one e-mail address get a mail when that is asked for.
const mostAccounts = 3

// verbs of the events of this package, by the kind of mail that was asked for.
var askedVerbs = map[string]string{AskedReset: "user.reset_mail", AskedLost: "user.recovery"}

// asked is the kind of mail with a link that what was asked for becomes.
var asked = map[string]string{AskedReset: templates.MailReset, AskedLost: templates.MailLost}

// Ask queues a mail of one of the Asked kinds for what somebody typed. It does not look whether
// there is such an account, so that it tells and costs the same for everybody.
func (l *Letters) Ask(r *http.Request, kind, typed string) error {
	return l.Queue.Put(r.Context(), storage.Mail{Kind: kind, Account: typed, Lang: l.Web.Language(r),
		Args: map[string]string{"address": l.Web.ClientAddress(r), "request_id": web.RequestID(r)}}, l.LinkTTL)
}

// Notice tells a user of something that has happened to their account: one of the kinds of
// templates.Mail that carry no link. It goes to the address that they have, to the one that they
// had until lately, and to the ones in also. An error is a fault of the store.
func (l *Letters) Notice(r *http.Request, user storage.User, kind string, args map[string]string,
	also ...string) error {
	if l == nil {
		return nil
	}
	said := map[string]string{"address": l.Web.ClientAddress(r), "username": user.Username}
	for name, value := range args {
		said[name] = value
	}
	for _, to := range l.addresses(user, also...) {
		err := l.Queue.Put(r.Context(), storage.Mail{Kind: kind, UserID: user.ID, To: to,
			Lang: l.languageOf(user, l.Web.Language(r)), Args: said}, noticeLife)
		if err != nil {
			return err
		}
	}
	return nil
}

// Addresses are all that belong to a user, each once, the one that they have first.
func (l *Letters) Addresses(user storage.User) []string { return l.addresses(user) }

// addresses are all that belong to a user, each once.
func (l *Letters) addresses(user storage.User, also ...string) []string {
	all := append([]string{user.Claims.Email}, also...)
	for _, f := range user.FormerAddresses {
		if l.Web.Now().Before(f.Until) {
			all = append(all, f.Address)
		}
	}
	var out []string
	for _, a := range all {
		if a != "" && !slices.ContainsFunc(out, func(b string) bool { return strings.EqualFold(a, b) }) {
			out = append(out, a)
		}
	}
	return out
}

// Send queues a mail of a kind that carries a link, to the user or to another address of theirs.
func (l *Letters) Send(ctx context.Context, user storage.User, kind, to, lang string) error {
	return l.Queue.Put(ctx, storage.Mail{Kind: kind, UserID: user.ID, To: to, Lang: lang}, l.LinkTTL)
}

// SendFor is Send for a mail that is of use for longer than the links of most.
func (l *Letters) SendFor(ctx context.Context, user storage.User, kind, to, lang string, life time.Duration) error {
	return l.Queue.Put(ctx, storage.Mail{Kind: kind, UserID: user.ID, To: to, Lang: lang}, life)
}

// SendAt is Send for a mail that is due later.
func (l *Letters) SendAt(ctx context.Context, user storage.User, kind, lang string, due time.Time) error {
	return l.Queue.PutAt(ctx, storage.Mail{Kind: kind, UserID: user.ID, Lang: lang}, due, noticeLife)
}

// compose writes the text of a mail that is about to be sent.
func (l *Letters) compose(ctx context.Context, m storage.Mail) (mail.Message, error) {
	if asked[m.Kind] != "" {
		return mail.Message{}, l.dispatch(ctx, m)
	}
	if m.Kind == askedSignUp {
		return l.composeSignUp(ctx, m)
	}
	user, err := l.Store.User(ctx, m.UserID)
	gone := errors.Is(err, storage.ErrNotFound)
	to := cmp.Or(m.To, user.Claims.Email)
	if gone && m.Kind != templates.MailDeleted || to == "" {
		return mail.Message{}, mail.ErrNobody
	}
	if err != nil && !gone {
		return mail.Message{}, fmt.Errorf("load user: %w", err)
	}
	lang := l.languageOf(user, m.Lang)
	username := cmp.Or(user.Username, m.Args["username"])
	words := templates.Mail{Kind: m.Kind, Person: cmp.Or(user.Claims.Name, username),
		Args: templates.Args{"username": username}}
	for name, value := range m.Args {
		words.Args[name] = value
	}
	if stranger(m.Kind, user, to) {
		words.Person = to
	}
	words.Args["time"] = l.Web.Templates.MailDate(lang, web.Location(user.Claims.Zoneinfo), m.CreatedAt)
	if device, ok := m.Args["device"]; ok && device == "" {
		words.Args["device"] = l.Web.Templates.Text(lang, templates.Message{Key: "account.device.unknown"})
	}
	if purpose, ok := purposes[m.Kind]; ok {
		if user.Disabled {
			return mail.Message{}, mail.ErrNobody
		}
		if words.Link, words.Valid, err = l.linkFor(ctx, purpose, user, to, m); err != nil {
			return mail.Message{}, err
		}
		if words.Link == "" { // the address is somebody else's: they are told, and nobody else
			return l.composeTaken(ctx, to)
		}
	}
	out := mail.Message{To: to, Lang: lang}
	out.Subject, out.Text, out.HTML, err = l.Web.Templates.Mail(lang, words)
	return out, err
}

// stranger reports whether a mail may go to somebody who has nothing to do with the user. It greets
// nobody by a name that the user has chosen: people would send their own words to anybody in that
// way, and the mail would vouch for them.
func stranger(kind string, user storage.User, to string) bool {
	return kind == templates.MailAddress && !readsAt(user, to)
}

// composeTaken tells the owner of an address that somebody wanted it for another account.
func (l *Letters) composeTaken(ctx context.Context, address string) (mail.Message, error) {
	owner, err := l.owner(ctx, address)
	if err != nil || owner.ID == "" || !readsAt(owner, address) {
		return mail.Message{}, cmp.Or(err, mail.ErrNobody)
	}
	lang := l.languageOf(owner, "")
	out := mail.Message{To: owner.Claims.Email, Lang: lang}
	out.Subject, out.Text, out.HTML, err = l.Web.Templates.Mail(lang, templates.Mail{
		Kind: templates.MailAddressTaken, Person: cmp.Or(owner.Claims.Name, owner.Username),
		Args: templates.Args{"username": owner.Username},
	})
	return out, err
}

// owner is the user whom an address is a name of: who has shown that it is theirs, or whose username
// it is; the zero User if there is none.
func (l *Letters) owner(ctx context.Context, address string) (storage.User, error) {
	if key := storage.AddressKey(address); key != "" {
		u, err := l.Store.UserBySignInName(ctx, key)
		if err == nil || !errors.Is(err, storage.ErrNotFound) {
			return u, err
		}
	}
	// One of several who have it, so that it is nobody's name.
	for _, spelling := range slices.Compact([]string{address, strings.ToLower(address)}) {
		users, err := l.Store.UsersByEmail(ctx, spelling, mostAccounts)
		if err != nil {
			return storage.User{}, fmt.Errorf("look up the address: %w", err)
		}
		for _, u := range users {
			if u.Claims.EmailVerified {
				return u, nil
			}
		}
	}
	return storage.User{}, nil
}

// readsAt reports whether the user has shown that the address is theirs.
func readsAt(u storage.User, address string) bool {
	return u.Claims.EmailVerified && storage.AddressKey(u.Claims.Email) == storage.AddressKey(address)
}

// languageOf is the language in which the user is written to: their own, or that of the page on
// which the mail was asked for.
func (l *Letters) languageOf(user storage.User, asked string) string {
	var own []string
	if user.Claims.Locale != "" {
		own = []string{user.Claims.Locale}
	}
	return l.Web.Templates.Match(own, asked)
}

// dispatch looks up for whom a link was asked for, and queues a mail for each. mail.ErrDispatched
// is its success.
func (l *Letters) dispatch(ctx context.Context, m storage.Mail) error {
	users, err := l.find(ctx, m.Account)
	if err != nil {
		return err
	}
	left := m.ExpiresAt.Sub(l.Web.Now())
	for _, u := range users {
		if u.Disabled || u.Claims.Email == "" {
			continue
		}
		l.Audit.Note(ctx, storage.Event{Actor: storage.EventParty{Kind: storage.ActorUser}, Verb: askedVerbs[m.Kind],
			Address:   m.Args["address"],
			RequestID: m.Args["request_id"], Object: storage.EventParty{Kind: "user", ID: u.ID, Name: u.Username}})
		if err := l.Queue.Put(ctx, storage.Mail{Kind: asked[m.Kind], UserID: u.ID, Lang: m.Lang}, left); err != nil {
			return err
		}
	}
	return mail.ErrDispatched
}

// find returns the accounts that what was typed may mean: the one that is signed in to by it, and
// otherwise those with that e-mail address.
func (l *Letters) find(ctx context.Context, typed string) ([]storage.User, error) {
	if name, possible := people.SignInName(typed); possible {
		u, err := l.Store.UserBySignInName(ctx, name)
		if err == nil {
			return []storage.User{u}, nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return nil, fmt.Errorf("load user: %w", err)
		}
	}
	if mail.CheckAddress(typed) != nil {
		return nil, nil //nolint:nilerr // what is no address is nobody's, which is no error
	}
	for _, spelling := range []string{typed, strings.ToLower(typed)} {
		users, err := l.Store.UsersByEmail(ctx, spelling, mostAccounts)
		if err != nil || len(users) > 0 {
			return users, err
		}
	}
	return nil, nil
}
