package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// setUpFor is how long a set-up link works.
const setUpFor = 24 * time.Hour

// settingSetUp is there once somebody became the first owner by a set-up link: no other link makes
// one from then on, whatever became of that person.
const settingSetUp = "set-up"

// SetUpLink makes a link by which whoever opens it becomes the first owner, once. It returns "" if
// there is an owner, or was one who was made in this way.
func (c *Console) SetUpLink(ctx context.Context) (string, error) {
	closed, err := c.setUpClosed(ctx)
	if err != nil || closed {
		return "", err
	}
	value, hash := storage.NewSecret()
	now := c.Web.Now()
	t := storage.Token{Hash: hash, Kind: storage.TokenSetUp, CreatedAt: now, ExpiresAt: now.Add(setUpFor)}
	if err := c.Store.CreateToken(ctx, t); err != nil {
		return "", fmt.Errorf("store the set-up link: %w", err)
	}
	return c.Web.URL(Pages+"/setup") + "?token=" + value, nil
}

func (c *Console) setUpClosed(ctx context.Context) (bool, error) {
	_, err := c.Store.Setting(ctx, settingSetUp)
	if err == nil || !errors.Is(err, storage.ErrNotFound) {
		return err == nil, err
	}
	owners, err := c.Store.FindUsers(ctx, storage.UserFilter{Role: storage.RoleOwner}, "", 1)
	return len(owners) > 0, err
}

// setUpToken checks a set-up link.
func (c *Console) setUpToken(ctx context.Context, value string) (hash string, err error) {
	gone := func(err error) error { return web.RefusePage(http.StatusGone, templates.SetUpGone).Because(err) }
	closed, err := c.setUpClosed(ctx)
	if err != nil {
		return "", err
	}
	if closed {
		return "", gone(errors.New("there is an owner, or was one"))
	}
	hash = storage.Hash(value)
	t, err := c.Store.Token(ctx, storage.TokenSetUp, hash)
	if errors.Is(err, storage.ErrNotFound) {
		return "", gone(err)
	}
	if err != nil {
		return "", err
	}
	if !t.ConsumedAt.IsZero() || !c.Web.Now().Before(t.ExpiresAt) {
		return "", gone(errors.New("the link was used, or is too old"))
	}
	return hash, nil
}

// setUpPage is the form of the first owner, with what was entered.
func (c *Console) setUpPage(w http.ResponseWriter, r *http.Request, token string, n admin.NewUser) (templates.Console,
	error) {
	browser, err := c.Web.Browser(w, r)
	if err != nil {
		return templates.Console{}, err
	}
	username := field("username", "admin.username", "text", n.Username)
	username.Required, username.Auto = true, "username"
	password, repeat := field("password", "admin.password", "password", ""), field("repeat", "admin.password.repeat",
		"password", "")
	password.Required, password.Auto, repeat.Required, repeat.Auto = true, "new-password", true, "new-password"
	return templates.Console{ID: "console-setup", Title: say("admin.setup"), Lead: say("admin.setup.lead"),
		Parts: []templates.ConsolePart{{ID: "setup", Forms: []templates.ConsoleForm{{
			ID: "setup-form", Action: c.path("setup"), CSRF: c.Web.CSRF(browser, "setup:"+storage.Hash(token)),
			Hidden: [][2]string{{"token", token}}, Submit: say("admin.setup.submit"), Main: true,
			Fields: []templates.ConsoleField{username, field("name", "admin.name", "text", n.Claims.Name),
				field("email", "admin.email", "email", n.Claims.Email), password, repeat},
		}}}}}, nil
}

// showSetup shows the form behind a set-up link.
func (c *Console) showSetup(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return web.RefusePage(http.StatusGone, templates.SetUpGone).Because(err)
	}
	token := query.Get("token")
	if _, err := c.setUpToken(r.Context(), token); err != nil {
		return err
	}
	p, err := c.setUpPage(w, r, token, admin.NewUser{})
	if err != nil {
		return err
	}
	return c.Web.Render(w, r, http.StatusOK, p)
}

// setUp makes the first owner. Everything is checked first; then the link is used up, which one of
// many can, and then the way is closed for good.
func (c *Console) setUp(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	token := form.Get("token")
	if err := c.Web.CheckCSRF(r, form.Get("csrf"), "setup:"+storage.Hash(token)); err != nil {
		return err
	}
	hash, err := c.setUpToken(ctx, token)
	if err != nil {
		return err
	}
	n := admin.NewUser{Username: form.Get("username"), Password: form.Get("password"), Role: storage.RoleOwner,
		Claims: storage.Claims{Name: form.Get("name"), Email: form.Get("email")}}
	err = c.Admin.CheckUser(ctx, n)
	var faults admin.Faults
	switch {
	case n.Password == "":
		err = admin.Faults{{Field: "password", Reason: admin.Missing}}
	case err == nil && form.Get("repeat") != n.Password:
		err = admin.Faults{{Field: "repeat", Reason: admin.Invalid, Text: "is another password"}}
	}
	if errors.As(err, &faults) || errors.Is(err, admin.ErrTaken) {
		p, pageErr := c.setUpPage(w, r, token, n)
		if pageErr != nil {
			return pageErr
		}
		v := &visit{Request: r, c: c, w: w, ctx: ctx}
		return v.refused(p, err)
	}
	if err != nil {
		return err
	}
	if err := c.Admin.HashPassword(ctx, &n); err != nil {
		return err
	}
	gone := web.RefusePage(http.StatusGone, templates.SetUpGone)
	if _, err := c.Store.ConsumeToken(ctx, storage.TokenSetUp, hash, c.Web.Now()); err != nil {
		if errors.Is(err, storage.ErrConsumed) || errors.Is(err, storage.ErrNotFound) {
			return gone.Because(err)
		}
		return err
	}
	// Two instances may have made a link each.
	mine := storage.Random()
	first, err := c.Store.SetOnce(ctx, settingSetUp, []byte(mine))
	if err != nil {
		return err
	}
	if string(first) != mine {
		return gone.Because(errors.New("another link was used"))
	}
	actor := admin.Actor{Kind: storage.ActorSystem, Name: "set-up link", Address: c.Web.ClientAddress(r),
		RequestID: web.RequestID(r)}
	if _, err := c.Admin.CreateUser(ctx, actor, n); err != nil {
		return err
	}
	return c.Web.SeeOther(w, Pages, "")
}
