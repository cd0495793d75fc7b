package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"latchkey/cmd/latchkey/config"
	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/audit"
	"latchkey/provider/outbound"
	"latchkey/provider/people"
	"latchkey/provider/registration"
	"latchkey/provider/signup"
	"latchkey/provider/storage"
	"latchkey/provider/token"
)

// site is what a configuration names, opened: everything that a server or a command works with.
type site struct {
	config.Config
	store  *storage.Store
	sealer *keys.Sealer
	ring   *keys.Ring
	hasher *people.Hasher
	logger *slog.Logger
	now    func() time.Time

	passwords people.PasswordPolicy
	throttle  *people.Throttle
	audit     *audit.Log
	admin     *admin.Admin
	actor     admin.Actor // who runs the command
	counts    counts
	tracer    trace.Tracer // nil: nobody traces
	release   func()       // of the lock that one server on a file has, nil for commands
}

// openStore opens the database that the configuration names.
func openStore(ctx context.Context, c *config.Config) (*storage.Store, error) {
	uri, err := c.MongoURI()
	if err != nil {
		return nil, err
	}
	if uri != "" {
		s, err := storage.OpenMongoDB(ctx, uri)
		if err != nil {
			return nil, unavailableError{err}
		}
		return s, nil
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	db, err := storage.OpenSQLite(ctx, c.DatabaseFile())
	if err != nil && (strings.Contains(err.Error(), "is not a database") || strings.Contains(err.Error(),
		"malformed")) {
		err = fmt.Errorf("%w; it is damaged, or something else: put a backup in its place, with latchkey restore", err)
	}
	if err != nil {
		return nil, unavailableError{err}
	}
	return db, nil
}

// masterKey finds the master key, or makes one for a database that has no use for an earlier one. A
// database that was sealed under a key that is not there is refused: a new key would not open it,
// and would hide that the old one is missing.
func masterKey(ctx context.Context, c *config.Config, store keys.Store) ([]byte, error) {
	if c.MasterKey != "" {
		return keys.ParseMasterKey(c.MasterKey)
	}
	path := c.MasterKeyPath()
	key, err := keys.ReadMasterKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	set, err := store.KeySet(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for keys: %w", err)
	}
	switch {
	case set.Version > 0:
		return nil, fmt.Errorf("the master key is missing: %s is not there, and the database was made with one. Put the file back, or name it in master_key_file", path)
	case c.MasterKeyFile != "":
		return nil, fmt.Errorf("the master key is missing: %s is not there. Make it with: (umask 077; openssl rand -base64 32 > %s)", path, path)
	}
	return keys.CreateMasterKey(path)
}

// openServer is open for a server: of those that use one database file, only one may answer.
func openServer(ctx context.Context, c config.Config, logger *slog.Logger) (*site, error) {
	if orphanedMasterKey(&c) {
		return nil, fmt.Errorf("the database is missing: %s is there, and no %s that belongs to it. Put the database back (latchkey restore), "+
			"or name its folder with --data. To begin anew all the same: latchkey init", c.MasterKeyPath(),
			c.DatabaseFile())
	}
	s, err := open(ctx, c, logger, true)
	if err != nil {
		return nil, err
	}
	if db := s.store.Embedded(); db != nil {
		if s.release, err = db.LockServe(); err != nil {
			_ = s.store.Close()
			return nil, err
		}
	}
	s.actor = admin.Actor{Kind: storage.ActorSystem, Name: "latchkey"}
	// Discovery says that requests can be encrypted (OIDC Discovery §3), so there are keys to
	// encrypt them to.
	for _, alg := range []string{"RSA-OAEP-256", "ECDH-ES"} {
		if err := s.ring.EnsureAlgorithm(ctx, keys.UseEncryption, alg); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// open opens what the configuration names. create permits it to make what is missing.
func open(ctx context.Context, c config.Config, logger *slog.Logger, create bool) (_ *site, err error) {
	if !create {
		if err := c.Exists(); err != nil {
			return nil, unavailableError{err}
		}
	}
	s := &site{Config: c, logger: logger, now: time.Now, counts: newCounts()}
	if s.store, err = openStore(ctx, &c); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.store.Close()
		}
	}()
	if _, err = masterKey(ctx, &c, s.store); err != nil {
		return nil, err
	}
	if s.sealer, err = keys.OpenSealer(ctx, keys.SealerConfig{Store: s.store, Masters: c.MasterKeys,
		Now: s.now}); err != nil {
		return nil, c.WrongMasterKey(err)
	}
	s.ring, err = keys.Open(ctx, keys.Config{Store: s.store, Sealer: s.sealer, Now: s.now, Logger: logger,
		Algorithms:  []string{c.AccessTokenSignedResponseAlg, provider.DefaultAccessTokenAlg},
		RotateEvery: time.Duration(c.Lifetimes.SigningKey), PublishAfter: c.PublishKeys(), KeepAfter: c.KeepKeys()})
	if err != nil {
		return nil, c.WrongMasterKey(err)
	}
	s.hasher = people.NewHasher(people.Params{Memory: uint32(c.Passwords.MemoryKiB), Time: uint32(c.Passwords.Passes),
		Threads: 1}, c.Passwords.Concurrency)
	s.throttle = &people.Throttle{Counters: s.store, Key: s.sealer.Derive("throttle", 32),
		PerAccount: c.Passwords.AttemptsPerAccount, PerAddress: c.Passwords.AttemptsPerAddress}
	s.audit = &audit.Log{Store: s.store, Now: s.now, Keep: time.Duration(c.Audit.Keep), Logger: logger}
	if s.passwords, err = c.PasswordPolicy(); err != nil {
		return nil, fmt.Errorf("passwords.blocklist_file: %w", err)
	}
	s.admin = admin.New(admin.Config{
		Store: s.store, Audit: s.audit, Now: s.now, Keys: s.ring, Sealer: s.sealer, Hasher: s.hasher,
		Throttle: s.throttle,
		Sessions: sessions{s}, Outbound: fetcher{s}, Name: c.Name, Passwords: s.passwords, Logger: logger,
		AllowNone: c.InsecureAllowNone, GrantTypes: token.GrantTypes(),
	})
	return s, nil
}

// sessions ends sessions by the provider's own logic: applications are told, now or when a server
// runs again. The provider is made when it is needed: most commands do without.
type sessions struct{ *site }

func (s sessions) EndSessions(ctx context.Context, userID string) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	return p.EndSessions(ctx, userID)
}

func (s sessions) EndSession(ctx context.Context, one storage.Session) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	return p.EndSession(ctx, one)
}

// fetcher makes the one call to another's address that administration needs.
type fetcher struct{ *site }

func (s fetcher) Get(ctx context.Context, address string, maxBytes int64, accept ...string) ([]byte, error) {
	client, err := s.outbound()
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, address, maxBytes, accept...)
}

// outbound makes the guarded client for calls to addresses that applications have named.
func (s *site) outbound() (*outbound.Client, error) {
	c := &s.Config
	calls := outbound.Config{AllowLoopback: c.Outbound.AllowLoopback,
		AllowPrivate: config.ParsePrefixes(c.Outbound.AllowPrivate), Logger: s.logger, Now: s.now}
	if c.Outbound.CAFile != "" {
		var err error
		if calls.RootCAs, err = config.ReadCAs(c.Outbound.CAFile); err != nil {
			return nil, fmt.Errorf("outbound.ca_file: %w", err)
		}
	}
	if s.tracer != nil {
		calls.Span = outboundSpans(s.tracer)
	}
	return outbound.New(calls), nil
}

func (s *site) Close() error {
	s.audit.Wait()
	if s.release != nil {
		s.release()
	}
	return s.store.Close()
}

// placeholderIssuer stands for the issuer in commands that were not told it. Nothing that they
// store contains it.
const placeholderIssuer = "https://issuer.invalid"

// provider makes the provider. Reads from top to bottom what it consists of.
func (s *site) provider() (*provider.Provider, error) {
	c := s.Config
	issuer := c.Issuer
	if issuer == "" {
		issuer = placeholderIssuer
	}
	c.Issuer = issuer
	pages, err := c.Pages(s.now)
	if err != nil {
		return nil, err
	}
	calls, err := s.outbound()
	if err != nil {
		return nil, err
	}
	transport, err := c.MailTransport()
	if err != nil {
		return nil, err
	}
	store := s.store
	if s.tracer != nil {
		store = store.Traced(storeSpans(s.tracer))
	}
	number, _ := version()
	return provider.New(provider.Config{
		Issuer:    issuer,
		Version:   number,
		Name:      c.Name,
		Store:     store,
		Keys:      s.ring,
		Sealer:    s.sealer,
		Templates: pages,
		People: &people.Authenticator{Store: store, Hasher: s.hasher, Throttle: s.throttle, Now: s.now,
			Logger: s.logger},
		Outbound: calls,
		Audit:    s.audit,
		Logger:   s.logger,
		Now:      s.now,

		Tracer:    s.tracer,
		Mail:      transport,
		Passwords: s.passwords,

		TrustedProxies: config.ParsePrefixes(c.TrustedProxies),

		Lifetimes: provider.Lifetimes{
			CodeTTL:         time.Duration(c.Lifetimes.Code),
			AccessTokenTTL:  time.Duration(c.Lifetimes.AccessToken),
			IDTokenTTL:      time.Duration(c.Lifetimes.IDToken),
			RefreshIdle:     time.Duration(c.Lifetimes.RefreshIdle),
			RefreshAbsolute: time.Duration(c.Lifetimes.RefreshAbsolute),
			RefreshGrace:    time.Duration(c.Lifetimes.RefreshGrace),
			SessionIdle:     time.Duration(c.Lifetimes.SessionIdle),
			SessionAbsolute: time.Duration(c.Lifetimes.SessionAbsolute),
			RememberedIdle:  time.Duration(c.Lifetimes.RememberedIdle),
			RememberedMax:   time.Duration(c.Lifetimes.RememberedAbsolute),
			InteractionTTL:  time.Duration(c.Lifetimes.Interaction),
			LinkTTL:         time.Duration(c.Lifetimes.MailLink),
			InvitationTTL:   time.Duration(c.Lifetimes.Invitation),
		},

		AccessTokenAlg: c.AccessTokenSignedResponseAlg,

		Registration:         registration.Mode(c.Registration),
		RegistrationsPerHour: c.RegistrationsPerHour,

		RegistrationResources: c.RegistrationResources, RegistrationUnused: time.Duration(c.RegistrationUnused),

		InsecureAllowNone:   c.InsecureAllowNone,
		EditableClaims:      append([]string{}, c.Account.Editable...),
		MayDeleteAccount:    c.Account.Delete,
		SignUp:              signup.Mode(c.SignUp.Mode),
		SignUpDomains:       c.SignUp.Domains,
		LostWait:            time.Duration(c.Account.RecoveryWait),
		RequireSecondFactor: c.RequireSecondFactor,
		Passkeys: provider.PasskeyConfig{RPID: c.Passkeys.RPID,
			RelatedOrigins: c.Passkeys.RelatedOrigins},
		InsecurePublicWithoutPKCE: c.InsecurePublicClientsWithoutPKCE,

		RequireAdministratorSecondFactor: c.RequireAdministratorSecondFactor,

		RequirePushedAuthorizationRequests: c.RequirePushedAuthorizationRequests,
		RequireDPoPNonce:                   c.RequireDPoPNonce,
	})
}

// onSite runs a command on the store that its flags and the configuration name. Commands that only
// read pass create false.
func (sh *shell) onSite(cmd *cobra.Command, create bool, run func(context.Context, *site) error) error {
	c, err := sh.config(cmd)
	if err != nil {
		return err
	}
	if err := c.CheckStore().OrNil(); err != nil {
		return err
	}
	if c.Issuer != "" {
		if err := config.CheckIssuer(c.Issuer); err != nil {
			return c.FaultOf("issuer", "%v", err)
		}
	}
	s, err := open(cmd.Context(), c, slog.New(slog.DiscardHandler), create)
	if err != nil {
		return err
	}
	if db := s.store.Embedded(); db != nil {
		db.Yield() // to the server that may be running
	}
	s.actor = sh.actor()
	err = inWords(run(cmd.Context(), s))
	if closing := s.Close(); err == nil {
		err = closing
	}
	return err
}
