package recovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"latchkey/provider/mail"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// noticeLife is how long the notice of a change is tried to be sent.
const noticeLife = 3 * 24 * time.Hour

// mostAccounts is how many accounts with one e-mail address get a mail when that is asked for.
const mostAccounts = 3

// compose writes the text of a mail that is about to be sent.
func (p *Pages) compose(ctx context.Context, m storage.Mail) (mail.Message, error) {
	if m.Kind == kindAsked {
		return mail.Message{}, p.dispatch(ctx, m)
	}
	user, err := p.Store.User(ctx, m.UserID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && user.Claims.Email == "" && m.To == "" {
		return mail.Message{}, mail.ErrNobody
	}
	if err != nil {
		return mail.Message{}, fmt.Errorf("load user: %w", err)
	}
	words := templates.Mail{Kind: m.Kind, Person: user.Claims.Name, Args: templates.Args{"username": user.Username}}
	if words.Person == "" {
		words.Person = user.Username
	}
	to, lang := user.Claims.Email, p.languageOf(user, m.Lang)
	if m.To != "" {
		to = m.To
	}
	switch m.Kind {
	case kindReset:
		if user.Disabled {
			return mail.Message{}, mail.ErrNobody
		}
		until := m.CreatedAt.Add(p.LinkTTL)
		words.Valid = until.Sub(p.Web.Now())
		if words.Link, err = p.newLink(ctx, user, until); err != nil {
			return mail.Message{}, err
		}
	default:
		for name, value := range m.Args {
			words.Args[name] = value
		}
		words.Args["time"] = p.Web.Templates.MailDate(lang, web.Location(user.Claims.Zoneinfo), m.CreatedAt)
	}
	out := mail.Message{To: to, Lang: lang}
	out.Subject, out.Text, out.HTML, err = p.Web.Templates.Mail(lang, words)
	return out, err
}

// languageOf is the language in which the user is written to: their own, or that of the page on
// which the mail was asked for.
func (p *Pages) languageOf(user storage.User, asked string) string {
	var own []string
	if user.Claims.Locale != "" {
		own = []string{user.Claims.Locale}
	}
	return p.Web.Templates.Match(own, asked)
}

// dispatch looks up for whom a link was asked for, and queues a mail for each. mail.ErrDispatched
// is its success.
func (p *Pages) dispatch(ctx context.Context, asked storage.Mail) error {
	users, err := p.find(ctx, asked.Account)
	if err != nil {
		return err
	}
	left := asked.ExpiresAt.Sub(p.Web.Now())
	for _, u := range users {
		if u.Disabled || u.Claims.Email == "" {
			continue
		}
		e := storage.Event{Actor: storage.EventParty{Kind: storage.ActorUser}, Verb: verbAsked, Address: asked.Args["address"], RequestID: asked.Args["request_id"],
			Object: storage.EventParty{Kind: "user", ID: u.ID, Name: u.Username}}
		p.Audit.Note(ctx, e)
		if err := p.Mails.Put(ctx, storage.Mail{Kind: kindReset, UserID: u.ID, Lang: asked.Lang}, left); err != nil {
			return err
		}
	}
	return mail.ErrDispatched
}

// find returns the accounts that what was typed may mean: the one with that username, and otherwise
// those with that e-mail address.
func (p *Pages) find(ctx context.Context, typed string) ([]storage.User, error) {
	if username, err := people.CanonicalUsername(typed); err == nil {
		u, err := p.Store.UserByUsername(ctx, username)
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
		users, err := p.Store.UsersByEmail(ctx, spelling, mostAccounts)
		if err != nil || len(users) > 0 {
			return users, err
		}
	}
	return nil, nil
}

// newLink makes the address in a mail. It takes the place of every earlier one of the user. Its
// origin is the issuer's, whatever a request has said.
func (p *Pages) newLink(ctx context.Context, user storage.User, until time.Time) (string, error) {
	value := storage.Random()
	err := p.Store.ReplaceLink(ctx, storage.Link{Hash: storage.Hash(value), Purpose: storage.LinkReset, UserID: user.ID, Address: user.Claims.Email,
		State: stateOf(user), CreatedAt: p.Web.Now(), ExpiresAt: until})
	if err != nil {
		return "", err
	}
	return p.Web.URL("/password/reset") + "?link=" + url.QueryEscape(value), nil
}

// stateOf changes whenever the user's password or address does, so that a link made before is void.
func stateOf(u storage.User) string { return storage.Hash(u.PasswordHash + "\x00" + u.Claims.Email) }
