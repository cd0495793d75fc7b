package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"latchkey/clients/api"
	"latchkey/clients/cli"
	"latchkey/clients/flaskapi"
	"latchkey/clients/localhost"
	"latchkey/clients/mailbox"
	"latchkey/clients/spa"
	"latchkey/clients/webapp"
	"latchkey/cmd/latchkey/config"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// Ports of the demonstration, counted from --port.
const (
	portProvider = 0
	portBoard    = 4
	portMailbox  = 5
	portAPI      = 10
	portFlask    = 11
	portsEnd     = 12

	defaultDemoPort = 9700
)

// demoApp is one of the three registrations of the sample web application.
type demoApp struct {
	id, name string
	port     int
	kind     webapp.Kind
	look     webapp.Look
	groups   []string
	note     string
}

var demoApps = []demoApp{
	{"notes", "Notes", 1, webapp.KindNotes, webapp.LookPaper, nil, "a web application"},
	{"photos", "Photos", 2, webapp.KindPhotos, webapp.LookGallery, nil, "another one, on another host"},
	{"ledger", "Ledger", 3, webapp.KindLedger, webapp.LookMeadow, []string{"staff"},
		"for members of the group staff only"},
}

var demoGroups = []admin.GroupEntry{
	{Name: "staff", Description: "Everybody who works here"},
	{Name: "admins", Description: "They look after things", Roles: []string{"admin"}},
}

var demoPeople = []struct {
	username string
	role     string // what they administer
	groups   []string
	claims   storage.Claims
	note     string
}{
	{"alice", "", []string{"staff"}, storage.Claims{Name: "Alice Example", GivenName: "Alice", FamilyName: "Example",
		Email: "alice@example.com", EmailVerified: true},
		"an ordinary user: the API's /admin answers 403"},
	{"bob", storage.RoleOwner, []string{"admins", "staff"}, storage.Claims{Name: "Bob Example", GivenName: "Bob",
		FamilyName: "Example", Email: "bob@example.com", EmailVerified: true},
		"administers the provider, too; the API's /admin answers 200, and asks for a new sign-in after five minutes"},
	{"carol", "", nil, storage.Claims{Name: "Carol Example", GivenName: "Carol", FamilyName: "Example",
		Email: "carol@example.com", EmailVerified: true},
		"a guest: may not use Ledger"},
}

// demoInfo is what the demonstration prints.
type demoInfo struct {
	Issuer       string     `json:"issuer"`
	Account      string     `json:"account"` // URL of the page where people look after themselves
	Admin        string     `json:"admin"`   // URL of the pages for administrators
	Mailbox      string     `json:"mailbox"` // URL of the page with every mail; nobody guesses it
	Applications []demoSite `json:"applications"`
	APIs         []demoSite `json:"apis"`
	People       []demoWho  `json:"people"`
	CommandLine  string     `json:"command_line"` // starts the sample command-line application
	FlaskHint    string     `json:"flask_hint,omitempty"`
}

type demoSite struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	ClientID string `json:"client_id,omitempty"`
	Note     string `json:"note"`
}

type demoWho struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Note     string `json:"note"`
}

// demoOptions are the flags.
type demoOptions struct {
	port          int
	data, mongodb string
	verbose       bool
}

func (sh *shell) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try it: the provider and sample applications, on this machine, with people to sign in as",
		Long: `Run the provider and several sample applications on this machine, under host names below localhost, with people to sign in as. Nothing
has to be installed or configured, and nothing is kept, unless --data names a folder. Ctrl-C ends everything.`,
		Example: `  latchkey demo
  latchkey demo --port 9800 --data ./demo`,
		Args: exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.port < 1 || o.port > 65535-portsEnd {
				return usage("--port must be from 1 to %d; it and the %d after it are used", 65535-portsEnd, portsEnd-1)
			}
			return sh.demo(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.port, "port", defaultDemoPort, "first `PORT`; the provider's, the others follow")
	f.StringVar(&o.data, "data", "", "`FOLDER` to keep everything in (default: a temporary one)")
	f.StringVar(&o.mongodb, "mongodb", "",
		"connection `URI` of MongoDB, in place of the embedded database; without --data, a database of its own that is dropped at the end")
	f.BoolVar(&o.verbose, "verbose", false, "show the provider's whole log, not the refusals alone")
	sh.jsonFlag(cmd)
	return cmd
}

// address is the URL of the demonstration's host with the given offset to the first port.
func (o demoOptions) address(host string, offset int) string {
	return "http://" + host + ".localhost:" + strconv.Itoa(o.port+offset)
}

func (o demoOptions) issuer() string       { return o.address("id", portProvider) }
func (o demoOptions) apiURL() string       { return o.address("api", portAPI) }
func (o demoOptions) flaskURL() string     { return o.address("flask", portFlask) }
func (o demoOptions) boardURL() string     { return o.address("board", portBoard) }
func (a demoApp) url(o demoOptions) string { return o.address(a.id, a.port) }

// kept is the file of an application that keeps what people enter; "" if nothing is kept.
func (o demoOptions) kept(name string) string {
	if o.data == "" {
		return ""
	}
	return filepath.Join(o.data, name)
}

// demoWait is how long whoever has lost everything waits in the demonstration: long enough to see
// the mails, and to stop it.
const demoWait = 2 * time.Minute

// config is the provider's configuration for the demonstration. It may call loopback addresses,
// because the applications are there.
func (o demoOptions) config(data string) config.Config {
	c := config.Default()
	c.ShutdownDelay = 0 // nobody is in front of it
	c.Issuer, c.Listen = o.issuer(), net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port))
	c.Data, c.MongoDB, c.MetricsListen = data, o.mongodb, ""
	c.Log.Level = "info"
	c.Outbound.AllowLoopback = true
	c.Mail.Mode, c.Mail.From, c.Mail.Folder = "folder", "accounts@id.localhost", filepath.Join(data, "mails")
	c.SignUp.Mode = "open"
	c.Account.Delete, c.Account.RecoveryWait = true, config.Duration(demoWait)
	return c
}

// demo runs until ctx ends.
func (sh *shell) demo(ctx context.Context, o demoOptions) (err error) {
	listeners := map[int][]net.Listener{}
	defer func() {
		for _, ls := range listeners {
			for _, l := range ls {
				_ = l.Close()
			}
		}
	}()
	for offset := range portsEnd {
		used := offset <= portMailbox || offset == portAPI
		if !used {
			continue
		}
		if listeners[offset], err = listenLocalhost(ctx, o.port+offset, "--port"); err != nil {
			return err
		}
	}

	// Python takes longest to start, and needs nothing of the others.
	flask := make(chan startedFlask, 1)
	flaskContext, endFlask := context.WithCancel(context.WithoutCancel(ctx))
	go func(o demoOptions) { flask <- startFlask(flaskContext, o) }(o)
	defer func() {
		endFlask()
		if f := <-flask; f.stop != nil {
			f.stop()
		}
	}()

	data, opened := o.data, false
	if data == "" {
		if data, err = os.MkdirTemp("", "latchkey-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(data)
		if o.mongodb != "" {
			var drop func(time.Duration) error
			if o.mongodb, drop, err = throwawayDatabase(o.mongodb); err != nil {
				return err
			}
			defer func() {
				if !opened { // why it did not open is what to read, and whether there was anything to drop is not known
					_ = drop(time.Second)
					return
				}
				err = errors.Join(err, drop(10*time.Second))
			}()
		}
	}
	c := o.config(data)
	logger := newLogger(sh.stderr, c)
	if !o.verbose {
		logger = slog.New(refusals{slog.NewTextHandler(sh.stderr, &slog.HandlerOptions{ReplaceAttr: shorter})})
	}
	s, err := openServer(ctx, c, logger)
	if err != nil {
		return err
	}
	opened = true
	defer s.Close()
	passwords, err := demoPasswords(filepath.Join(data, "demo-passwords.json"))
	if err != nil {
		return err
	}
	secrets, err := s.seedDemo(ctx, o, passwords)
	if err != nil {
		return err
	}
	p, err := s.provider()
	if err != nil {
		return err
	}

	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	work := s.work(background, p)
	all := newServers(logger, new(atomic.Int64))
	start := func(offset int, h http.Handler) {
		for _, l := range listeners[offset] {
			all.start(l, nil, h)
		}
		delete(listeners, offset) // the server's to close
	}
	start(portProvider, p.Handler())
	defer func() {
		all.stop()
		endBackground()
		work.Wait()
	}()

	f := <-flask
	flask <- f // for whoever stops it
	apps, err := o.applications(background, secrets, f.hint == "", logger)
	if err != nil {
		return err
	}
	box := mailbox.New(c.Mail.Folder)
	apps[portMailbox] = box
	for offset, h := range apps {
		start(offset, h)
	}
	info := o.info(passwords, f.hint)
	info.Mailbox = o.address("mail", portMailbox) + box.Path()
	if err := checkDemo(ctx, info); err != nil {
		return err
	}
	if err := sh.printDemo(info, o); err != nil {
		return err
	}
	select {
	case err := <-all.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// listenLocalhost opens a port at both loopback addresses, because browsers try both for names
// below localhost, and whoever else listened at the other one would be sent the passwords.
func listenLocalhost(ctx context.Context, port int, setting string) ([]net.Listener, error) {
	first, err := listen(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), setting)
	if err != nil {
		return nil, err
	}
	second, err := new(net.ListenConfig).Listen(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		_ = first.Close()
		return nil, fmt.Errorf("port %d is taken: something is listening at [::1]:%d already; choose another with %s",
			port, port, setting)
	}
	if err != nil {
		return []net.Listener{first}, nil //nolint:nilerr // a machine without IPv6 has the first alone
	}
	return []net.Listener{first, second}, nil
}

type startedFlask struct {
	stop func()
	hint string // why it did not start
}

func startFlask(ctx context.Context, o demoOptions) startedFlask {
	python, ok, hint := flaskapi.Available(ctx)
	if !ok {
		return startedFlask{hint: hint}
	}
	stop, err := flaskapi.Start(ctx, python, net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port+portFlask)),
		flaskapi.Config{Audience: o.flaskURL(), Issuer: o.issuer(), AllowedOrigins: []string{o.boardURL()},
			LedgerFile: o.kept("ledger-flask.json")})
	if err != nil {
		return startedFlask{hint: err.Error()}
	}
	return startedFlask{stop: stop}
}

// demoPasswords reads the passwords of the people, or makes them: random, because not only the
// person in front of the machine reaches its loopback addresses.
func demoPasswords(file string) (map[string]string, error) {
	passwords := map[string]string{}
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &passwords); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for _, p := range demoPeople {
		if passwords[p.username] == "" {
			passwords[p.username] = makePassword()
		}
	}
	if text, err = json.MarshalIndent(passwords, "", "  "); err != nil {
		return nil, err
	}
	return passwords, os.WriteFile(file, append(text, '\n'), 0o600)
}

var passwordWords = strings.Fields(`acorn amber anchor apple arrow autumn badger bamboo basket beacon birch breeze bridge bronze button canyon
	carrot castle cedar cherry cobalt comet copper coral cotton cricket crystal dapple desert dolphin ember falcon feather forest garden
	ginger glacier hammer harbor hazel honey island jasmine juniper kettle lantern lemon lilac maple marble meadow mirror nutmeg olive
	orchid otter paper pebble pepper pillow planet puzzle rabbit river saddle saffron silver spruce summer sunset thistle timber tulip
	velvet violet walnut willow winter yellow`)

// makePassword makes one that can be typed: three words and three digits, 28 random bits, which is
// plenty where guessing is limited.
func makePassword() string {
	pick := func(n int) int {
		i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
		if err != nil {
			panic(err) // the system's randomness does not fail
		}
		return int(i.Int64())
	}
	word := func() string { return passwordWords[pick(len(passwordWords))] }
	return fmt.Sprintf("%s-%s-%s-%03d", word(), word(), word(), pick(1000))
}

// seedDemo makes people, groups and applications, as far as they are missing, and gives each
// application a new secret. It only touches a database that was empty, or that an earlier
// demonstration has made.
func (s *site) seedDemo(ctx context.Context, o demoOptions, passwords map[string]string) (secrets map[string]string,
	err error) {
	if _, err := s.store.Setting(ctx, "demo"); errors.Is(err, storage.ErrNotFound) {
		users, err := s.store.Users(ctx, "", 1)
		if err != nil {
			return nil, err
		}
		apps, err := s.store.Clients(ctx, "", 1)
		if err != nil {
			return nil, err
		}
		if len(users)+len(apps) > 0 {
			return nil, errors.New("this database is in use for something else than a demonstration; name another one")
		}
		if _, err := s.store.SetOnce(ctx, "demo", []byte("1")); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}

	var m admin.Manifest
	for _, g := range demoGroups {
		if _, err := s.store.Group(ctx, g.Name); errors.Is(err, storage.ErrNotFound) {
			m.Groups = append(m.Groups, g)
		} else if err != nil {
			return nil, err
		}
	}
	for _, p := range demoPeople {
		if _, err := s.store.UserByUsername(ctx, p.username); errors.Is(err, storage.ErrNotFound) {
			m.People = append(m.People, admin.UserEntry{Username: p.username, Role: p.role, Groups: p.groups,
				Claims:   p.claims,
				Password: passwords[p.username]})
		} else if err != nil {
			return nil, err
		}
	}
	secrets = map[string]string{}
	for _, a := range demoApps {
		secrets[a.id] = clients.NewSecret()
		base := a.url(o)
		m.Clients = append(m.Clients, admin.ClientEntry{
			ClientID: a.id, Type: clients.TypeWeb, ClientSecret: secrets[a.id],
			Metadata: clients.Metadata{ClientName: a.name, ClientURI: base, RedirectURIs: []string{base +
				webapp.CallbackPath},
				PostLogoutRedirectURIs: []string{base + webapp.SignedOutPath}, BackchannelLogoutURI: base +
					webapp.BackchannelLogoutPath},
			Decisions: clients.Decisions{SkipConsent: true, ClaimsInIDToken: true, Audience: []string{o.apiURL(),
				o.flaskURL()}, AllowedGroups: a.groups,
				RefusalContact: "help@example.com"},
		})
	}
	m.Clients = append(m.Clients,
		admin.ClientEntry{ClientID: "board", Type: clients.TypeSPA,
			Metadata: clients.Metadata{ClientName: "Board", ClientURI: o.boardURL(),
				RedirectURIs:           []string{o.boardURL() + spa.CallbackPath},
				PostLogoutRedirectURIs: []string{o.boardURL() + spa.SignedOutPath}},
			Decisions: clients.Decisions{SkipConsent: true, InsecureSilentLoopback: true, ClaimsInIDToken: true,
				Audience: []string{o.apiURL(), o.flaskURL()}}},
		admin.ClientEntry{ClientID: "whoami", Type: clients.TypeNative,
			Metadata: clients.Metadata{ClientName: "Who am I", RedirectURIs: []string{"http://127.0.0.1" +
				cli.CallbackPath}},
			Decisions: clients.Decisions{Audience: []string{o.apiURL(), o.flaskURL()}}},
		admin.ClientEntry{ClientID: "api", Type: clients.TypeAPI, ClientSecret: clients.NewSecret(),
			Metadata: clients.Metadata{ClientName: "API"}, Decisions: clients.Decisions{Audience: []string{o.apiURL(),
				o.flaskURL()}}})

	err = s.admin.Apply(ctx, s.actor, admin.ManifestOptions{}, m, func(admin.PlannedChange) error { return nil })
	return secrets, err
}

// applications makes the sample applications, by port.
func (o demoOptions) applications(ctx context.Context, secrets map[string]string, withFlask bool,
	logger *slog.Logger) (map[int]http.Handler, error) {
	caller := func() *http.Client { return localhost.Client(10 * time.Second) }
	var webAPIs []webapp.API
	var spaAPIs []spa.API
	resources := []string{o.issuer()} // userinfo and each API take only tokens that name them
	for _, a := range o.apis(withFlask) {
		key := ""
		if a.URL == o.flaskURL() {
			key = "flask"
		}
		webAPIs = append(webAPIs, webapp.API{Key: key, Name: a.Name, URL: a.URL})
		spaAPIs = append(spaAPIs, spa.API{Key: key, Name: a.Name, URL: a.URL})
		resources = append(resources, a.URL)
	}
	others := func(self string) (web []webapp.Link, single []spa.Link) {
		for _, a := range demoApps {
			if a.id != self {
				web, single = append(web, webapp.Link{Name: a.name, URL: a.url(o)}),
					append(single, spa.Link{Name: a.name, URL: a.url(o)})
			}
		}
		if self != "board" {
			web = append(web, webapp.Link{Name: "Board", URL: o.boardURL()})
		}
		return web, single
	}
	out := map[int]http.Handler{}
	var faults []error
	add := func(offset int, h http.Handler, err error) {
		out[offset], faults = h, append(faults, err)
	}
	for _, a := range demoApps {
		web, _ := others(a.id)
		h, err := webapp.New(ctx, webapp.Config{Name: a.name, Kind: a.kind, Look: a.look, BaseURL: a.url(o),
			Issuer:   o.issuer(),
			ClientID: a.id, ClientSecret: secrets[a.id], Resources: resources, APIs: webAPIs, Others: web,
			StayAtProvider: true,
			File:           o.kept(a.id + ".json"), HTTPClient: caller(), Logger: logger.With("application", a.id)})
		add(a.port, h, err)
	}
	_, single := others("board")
	h, err := spa.New(spa.Config{Name: "Board", BaseURL: o.boardURL(), Issuer: o.issuer(), ClientID: "board",
		Resources: resources,
		APIs:      spaAPIs, Others: single})
	add(portBoard, h, err)
	h, err = api.New(api.Config{Audience: o.apiURL(), Issuer: o.issuer(), AllowedOrigins: []string{o.boardURL()},
		LedgerFile: o.kept("ledger.json"), HTTPClient: caller(), Logger: logger.With("application", "api")})
	add(portAPI, h, err)
	return out, errors.Join(faults...)
}

func (o demoOptions) apis(withFlask bool) []demoSite {
	out := []demoSite{{Name: "API", URL: o.apiURL(), ClientID: "api",
		Note: "takes access tokens and keeps the ledger: /public, /me, /admin, /entries"}}
	if withFlask {
		out = append(out, demoSite{Name: "API in Flask", URL: o.flaskURL(), Note: "the same in Python"})
	}
	return out
}

func (o demoOptions) info(passwords map[string]string, flaskHint string) demoInfo {
	info := demoInfo{Issuer: o.issuer(), Account: o.issuer() + "/account", Admin: o.issuer() + "/admin",
		APIs: o.apis(flaskHint == ""), FlaskHint: flaskHint,
		CommandLine: "go run ./clients/cli/whoami --issuer " + o.issuer() + " --client-id whoami"}
	for _, a := range demoApps {
		info.Applications = append(info.Applications, demoSite{a.name, a.url(o), a.id, a.note})
	}
	info.Applications = append(info.Applications, demoSite{"Board", o.boardURL(), "board", "runs in the browser alone"})
	for _, p := range demoPeople {
		info.People = append(info.People, demoWho{p.username, passwords[p.username], p.note})
	}
	return info
}

// checkDemo asks everybody for an answer, as a browser would, before anything is promised.
func checkDemo(ctx context.Context, info demoInfo) error {
	urls := []string{info.Issuer + "/.well-known/openid-configuration", info.Issuer + "/readyz"}
	urls = append(urls, info.Mailbox)
	for _, a := range info.Applications {
		urls = append(urls, a.URL+"/")
	}
	for _, a := range info.APIs {
		urls = append(urls, a.URL+"/public")
	}
	client := localhost.Client(10 * time.Second)
	defer client.CloseIdleConnections()
	failures := make([]error, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
			if err != nil {
				failures[i] = err
				return
			}
			resp, err := client.Do(req)
			if err != nil {
				failures[i] = err
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				failures[i] = fmt.Errorf("%s does not answer as it should: %s", u, resp.Status)
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

func (sh *shell) printDemo(info demoInfo, o demoOptions) error {
	if sh.json {
		return sh.printJSON(info)
	}
	kept := "Nothing is kept."
	if o.data != "" {
		kept = "Everything is kept in " + o.data + "."
	}
	sh.printf("\nLatchkey is running. %s Ctrl-C ends it.\n\n", kept)
	rows := [][]string{{"  Provider", info.Issuer, "where people sign in; their own pages are below /account"},
		{"  Administration", info.Admin, "people, groups, applications, sessions, keys, audit log; as bob"}}
	for _, a := range slices.Concat(info.Applications, info.APIs) {
		rows = append(rows, []string{"  " + a.Name, a.URL, a.Note})
	}
	rows = append(rows, []string{"  Mailbox", info.Mailbox, "every mail of the provider, for who has this address"})
	if err := sh.table(rows); err != nil {
		return err
	}
	if info.FlaskHint != "" {
		sh.printf("  %s\n", printable(info.FlaskHint))
	}
	sh.printf("\nSign in as\n")
	rows = nil
	for _, p := range info.People {
		rows = append(rows, []string{"  " + p.Username, p.Password, p.Note})
	}
	if err := sh.table(rows); err != nil {
		return err
	}
	first, second, last := info.Applications[0], info.Applications[1], info.Applications[len(info.Applications)-1]
	sh.printf(`
Try this
  1. Sign in at %s, then open %s and %s: they know you already.
  2. Call the API's /admin as alice, and as bob; as bob again after five minutes: you are asked to sign in once more.
  3. Open %s as carol: she is told why she may not, and whom to ask.
  4. Sign out everywhere, and look at the others.
  5. Create an account, forget a password, change your address, or say that you have lost everything: the mails are in the mailbox.
  6. From a terminal: %s
  7. Administer at %s as bob: register an application, and let it be tried there.

What is refused, and why, is reported below.

`, first.Name, second.Name, last.Name, info.Applications[2].Name, info.CommandLine, info.Admin)
	return nil
}
