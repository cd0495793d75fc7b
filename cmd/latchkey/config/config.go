package config

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/audit"
	"latchkey/provider/clients"
	"latchkey/provider/mail"
	"latchkey/provider/people"
	"latchkey/provider/registration"
)

// Config is everything that can be configured. Each key of the file is also an environment
// variable: tls.cert_file is LATCHKEY_TLS_CERT_FILE; lists are separated by commas there. A flag
// beats the environment, the environment beats the file.
type Config struct {
	// Issuer is the address that people and applications know the provider by:
	// https://id.example.com. Required.
	Issuer string `json:"issuer"`
	// Name is what the pages call it. Default Latchkey.
	Name string `json:"name"`
	// Templates is a folder with templates and messages that take the place of those built in.
	// Default none.
	Templates string `json:"templates" path:"true"`
	// Listen is where it answers: address and port. Default 127.0.0.1:8080.
	Listen string `json:"listen"`
	// Data is the folder of the database and of the master key. Default ./data.
	Data string `json:"data"`
	// MongoDB is the connection string of a replica set or a sharded cluster, which then holds
	// everything in place of the embedded database. Default none.
	MongoDB string `json:"mongodb" secret:"true"`
	// MongoDBFile is a file with that connection string.
	MongoDBFile string `json:"mongodb_file" path:"true"`
	// MasterKey seals private keys and client secrets, and hashes the others: base64 of 32 random
	// bytes. Default: the file master.key in the data folder, made at the first start.
	MasterKey string `json:"master_key" secret:"true"`
	// MasterKeyFile is a file with the master key, readable by its owner only.
	MasterKeyFile string `json:"master_key_file" path:"true"`
	// OldMasterKey is the master key that master_key takes the place of, until latchkey rekey has
	// run. Default none.
	OldMasterKey string `json:"old_master_key" secret:"true"`
	// OldMasterKeyFile is a file with that master key.
	OldMasterKeyFile string `json:"old_master_key_file" path:"true"`

	TLS struct {
		// CertFile is the certificate with its chain, PEM. With it, the provider speaks https
		// itself.
		CertFile string `json:"cert_file" path:"true"`
		// KeyFile is the certificate's private key, PEM. A changed file is taken up without a
		// restart.
		KeyFile string `json:"key_file" path:"true"`
	} `json:"tls"`

	// TrustedProxies are the addresses of the proxies in front: only they may say with
	// X-Forwarded-For and X-Forwarded-Proto whom they speak for. Default none.
	TrustedProxies []string `json:"trusted_proxies"`
	// MetricsListen is where /metrics, /healthz and /readyz answer beside the public address.
	// Empty: nowhere. Default 127.0.0.1:9464.
	MetricsListen string `json:"metrics_listen"`
	// ShutdownDelay is how long a server that was told to stop goes on answering while /readyz says
	// no, so that proxies learn of it in time; at most 5m. Default 5s.
	ShutdownDelay Duration `json:"shutdown_delay"`

	Log struct {
		// Format is text or json. Default text.
		Format string `json:"format"`
		// Level is debug, info, warn or error. Default info.
		Level string `json:"level"`
	} `json:"log"`

	Traces struct {
		// Endpoint is where the spans of requests are sent, by OTLP over HTTP in JSON:
		// http://127.0.0.1:4318/v1/traces. Default none.
		Endpoint string `json:"endpoint"`
		// Percent is how many of a hundred traces are sent, 1 to 100. Default 100.
		Percent int `json:"percent"`
	} `json:"traces"`

	Lifetimes struct {
		// Code is how long an authorization code is good, at most 10m. Default 60s.
		Code Duration `json:"code"`
		// AccessToken is how long an access token is good. Default 10m.
		AccessToken Duration `json:"access_token"`
		// IDToken is how long an ID token is good. Default 10m.
		IDToken Duration `json:"id_token"`
		// RefreshIdle ends a refresh token that is not used for so long. Default 30d.
		RefreshIdle Duration `json:"refresh_idle"`
		// RefreshAbsolute ends a grant with offline access. Default 180d.
		RefreshAbsolute Duration `json:"refresh_absolute"`
		// RefreshGrace is how long a replaced refresh token still yields the one that replaced it,
		// for applications that lost the answer. Default 10s.
		RefreshGrace Duration `json:"refresh_grace"`
		// SessionIdle ends a session in which nothing happens for so long. Default 2h.
		SessionIdle Duration `json:"session_idle"`
		// SessionAbsolute ends a session whatever happens. Default 12h.
		SessionAbsolute Duration `json:"session_absolute"`
		// RememberedIdle is SessionIdle for those who chose to stay signed in. Default 14d.
		RememberedIdle Duration `json:"remembered_idle"`
		// RememberedAbsolute is SessionAbsolute for those who chose to stay signed in. Default 30d.
		RememberedAbsolute Duration `json:"remembered_absolute"`
		// Interaction is how long a person may take to sign in. Default 1h.
		Interaction Duration `json:"interaction"`
		// MailLink is how long the link of a mail works, from 5m to 1d. Default 30m.
		MailLink Duration `json:"mail_link"`
		// Invitation is how long the link of an invitation works, from 1h to 30d. Default 7d.
		Invitation Duration `json:"invitation"`
		// SigningKey is how long a key signs before the next one takes over. Default 90d.
		SigningKey Duration `json:"signing_key"`
	} `json:"lifetimes"`

	// AccessTokenSignedResponseAlg signs access tokens for APIs whose registration does not name an
	// algorithm itself: RS256, ES256, PS256 or EdDSA. Default ES256.
	AccessTokenSignedResponseAlg string `json:"access_token_signed_response_alg"`

	// Registration says who may register applications over HTTP: closed, token (whoever has an
	// initial access token, see latchkey token create), or open (anybody). Default closed.
	Registration string `json:"registration"`
	// Passkeys says what domain passkeys belong to.
	Passkeys struct {
		// RPID is the domain. Changing it makes every passkey worthless. Default the host of the
		// issuer; where that is an IP address there are no passkeys.
		RPID string `json:"rp_id"`
		// RelatedOrigins are other sites of yours that use the same passkeys, such as
		// https://id.example.de. Browsers read the list below the domain. Default none.
		RelatedOrigins []string `json:"related_origins"`
	} `json:"passkeys"`
	// RequireSecondFactor lets nobody in by password alone. Default false.
	RequireSecondFactor bool `json:"require_second_factor"`
	// RequireAdministratorSecondFactor does so for administrators, whoever has a role. Default false.
	RequireAdministratorSecondFactor bool `json:"require_administrator_second_factor"`
	// RequirePushedAuthorizationRequests lets no application send its authorization request through
	// the browser (RFC 9126). Default false; single applications say it in their registration.
	RequirePushedAuthorizationRequests bool `json:"require_pushed_authorization_requests"`
	// RequireDPoPNonce wants a nonce of the provider in each DPoP proof (RFC 9449), so that none
	// can be made ahead. Default false.
	RequireDPoPNonce bool `json:"require_dpop_nonce"`
	// RegistrationsPerHour limits registration per client address; 0 is no limit. Default 60.
	RegistrationsPerHour int `json:"registrations_per_hour"`
	// RegistrationResources lists the APIs that clients which register themselves may ask for
	// tokens for (RFC 8707), by the URIs that they send as resource: https://mcp.example.com/mcp.
	// Default none.
	RegistrationResources []string `json:"registration_resources"`
	// RegistrationUnused is how long an application that registered itself is kept while nobody
	// signs in to it; 0 keeps it for good. Default 720h (30 days).
	RegistrationUnused Duration `json:"registration_unused"`

	Outbound struct {
		// AllowLoopback lets the provider call addresses of this machine that applications
		// registered. For demonstrations and certification runs only. Default false.
		AllowLoopback bool `json:"allow_loopback"`
		// AllowPrivate lists networks that are not public and that the provider may call:
		// 10.20.0.0/16. Default none.
		AllowPrivate []string `json:"allow_private"`
		// CAFile has further certificate authorities, PEM, to trust in these calls beside the
		// system's.
		CAFile string `json:"ca_file" path:"true"`
	} `json:"outbound"`

	Passwords struct {
		// MemoryKiB is what one password costs in memory. Default 19456.
		MemoryKiB int `json:"memory_kib"`
		// Passes is how often that memory is gone through. Default 2.
		Passes int `json:"passes"`
		// Concurrency is how many are computed at once; 0 is one per processor. Default 0.
		Concurrency int `json:"concurrency"`
		// AttemptsPerAccount is how many failures close an account for the rest of 15 minutes.
		// Default 10.
		AttemptsPerAccount int `json:"attempts_per_account"`
		// AttemptsPerAddress is the same for one client address, over all accounts. Default 100.
		AttemptsPerAddress int `json:"attempts_per_address"`
		// MinLength is the shortest password that may be set, in characters, from 8 to 64. Default
		// 10.
		MinLength int `json:"min_length"`
		// BlocklistFile has further passwords that may not be set, one a line. Default none.
		BlocklistFile string `json:"blocklist_file" path:"true"`
	} `json:"passwords"`

	Mail struct {
		// Mode is off (no mails are sent, and what needs them is not offered), smtp, or folder
		// (mails are written into files). Default off.
		Mode string `json:"mode"`
		// From is the address that mails come from: accounts@example.com.
		From string `json:"from"`
		// Folder is where mode folder writes mails, one file each. Default mails in the data
		// folder.
		Folder string `json:"folder" path:"true"`

		SMTP struct {
			// Address is the mail server's name and port: smtp.example.com:587.
			Address string `json:"address"`
			// Security is starttls (required of the server), tls (from the first byte, usual at
			// port 465), or none (without a password, and for a server on this machine alone).
			// Default starttls.
			Security string `json:"security"`
			// User is whom to authenticate as. Default none.
			User string `json:"user"`
			// Password is that user's.
			Password string `json:"password" secret:"true"`
			// PasswordFile is a file with that password, read again for each mail.
			PasswordFile string `json:"password_file" path:"true"`
			// CAFile has further certificate authorities, PEM, to trust beside the system's.
			CAFile string `json:"ca_file" path:"true"`
		} `json:"smtp"`
	} `json:"mail"`

	Look struct {
		// LogoFile is a picture in place of the key: PNG, JPEG, GIF or WebP, at most 16 KB.
		// Default none.
		LogoFile string `json:"logo_file" path:"true"`
		// Accent is the colour of buttons and links: #14594a. It must be readable (WCAG 2.2,
		// contrast 4.5). Default ours.
		Accent string `json:"accent"`
		// AccentDark is the same in the dark scheme. Default made of accent, or ours.
		AccentDark string `json:"accent_dark"`
		// Background is the colour around the card: #f2f0e8. Default ours.
		Background string `json:"background"`
		// BackgroundDark is the same in the dark scheme. Default ours.
		BackgroundDark string `json:"background_dark"`
		// Welcome is a line on the sign-in page. Default none.
		Welcome string `json:"welcome"`
		// HelpURI is where the foot of each page leads to for help. Default none.
		HelpURI string `json:"help_uri"`
		// PrivacyURI is where it leads to for how data is treated. Default none.
		PrivacyURI string `json:"privacy_uri"`
		// ImprintURI is where it leads to for who runs the provider. Default none.
		ImprintURI string `json:"imprint_uri"`
	} `json:"look"`

	SignUp struct {
		// Mode says who may make an account for themselves: closed (nobody), domain (whoever reads
		// mail at one of domains), approval (everybody; an administrator enables the account with
		// latchkey user enable), or open (everybody). It needs mail. Default closed.
		Mode string `json:"mode"`
		// Domains are those of mode domain: example.com. Default none.
		Domains []string `json:"domains"`
	} `json:"sign_up"`

	Account struct {
		// Editable lists the claims that people may change about themselves: name, given_name,
		// middle_name, family_name, nickname, email (by a link in a mail), gender, birthdate,
		// phone_number, profile, picture, website, address, locale, zoneinfo. Default name,
		// given_name, middle_name, family_name, nickname, email, locale, zoneinfo.
		Editable []string `json:"editable"`
		// Delete lets people delete their account. Default false.
		Delete bool `json:"delete"`
		// RecoveryWait is how long people wait who have lost everything that they sign in with,
		// until a mail lets them choose a password and removes their second factors: from 1h to
		// 30d. 0s: there is no such way. Default 0s.
		RecoveryWait Duration `json:"recovery_wait"`
	} `json:"account"`

	Audit struct {
		// Keep is how long events of the audit log are kept. Default 400d.
		Keep Duration `json:"keep"`
	} `json:"audit"`

	// InsecureAllowNone lets applications register for unsigned ID tokens and request objects (alg
	// none). Only the certification suite needs it. Default false.
	InsecureAllowNone bool `json:"insecure_allow_none"`
	// InsecurePublicClientsWithoutPKCE lets public clients that registered themselves leave out
	// PKCE, so that whoever sees a code can use it. Only the certification suite needs it. Default
	// false.
	InsecurePublicClientsWithoutPKCE bool `json:"insecure_public_clients_without_pkce"`

	file    string           // what was read, "" for none
	said    map[string]Fault // where each key that somebody set was set: without a text
	unread  Faults           // what could not be read
	notices []string         // what was changed silently, to be said aloud
}

// Default is the configuration of which nobody has said anything: an issuer is all that it lacks.
func Default() Config {
	var c Config
	c.Name = "Latchkey"
	c.Listen = "127.0.0.1:8080"
	c.Data = "data"
	c.MetricsListen = "127.0.0.1:9464"
	c.ShutdownDelay = Duration(5 * time.Second)
	c.Traces.Percent = 100
	c.Log.Format, c.Log.Level = "text", "info"
	l, d := &c.Lifetimes, provider.DefaultLifetimes()
	l.Code, l.AccessToken, l.IDToken = Duration(d.CodeTTL), Duration(d.AccessTokenTTL), Duration(d.IDTokenTTL)
	l.RefreshIdle, l.RefreshAbsolute, l.RefreshGrace = Duration(d.RefreshIdle), Duration(d.RefreshAbsolute),
		Duration(d.RefreshGrace)
	l.SessionIdle, l.SessionAbsolute = Duration(d.SessionIdle), Duration(d.SessionAbsolute)
	l.RememberedIdle, l.RememberedAbsolute, l.Interaction = Duration(d.RememberedIdle), Duration(d.RememberedMax),
		Duration(d.InteractionTTL)
	l.MailLink = Duration(d.LinkTTL)
	l.Invitation = Duration(d.InvitationTTL)
	l.SigningKey = 90 * Day
	c.Passwords.MinLength = people.MinPassword
	c.SignUp.Mode = "closed"
	c.Account.Editable = provider.DefaultEditableClaims()
	c.Mail.Mode, c.Mail.SMTP.Security = mailOff, string(mail.StartTLS)
	c.AccessTokenSignedResponseAlg = provider.DefaultAccessTokenAlg
	c.Registration, c.RegistrationsPerHour = string(registration.Closed), 60
	c.RegistrationUnused = Duration(30 * 24 * time.Hour)
	c.Passwords.MemoryKiB, c.Passwords.Passes = 19456, 2
	c.Passwords.AttemptsPerAccount, c.Passwords.AttemptsPerAddress = 10, 100
	c.Audit.Keep = Duration(audit.DefaultKeep)
	return c
}

// Duration is a time.Duration that is written with days too: 90s, 10m, 12h, 30d.
type Duration time.Duration

// Day is 24 hours.
const Day = Duration(24 * time.Hour)

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			*d = Duration(n) * Day
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("must be a duration such as 90s, 10m, 12h or 30d")
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string {
	if d >= Day && d%Day == 0 {
		return strconv.Itoa(int(d/Day)) + "d"
	}
	s := time.Duration(d).String() // 12h0m0s
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Setting is one key of the configuration.
type Setting struct {
	Key    string // tls.cert_file
	Env    string // LATCHKEY_TLS_CERT_FILE
	Value  reflect.Value
	Secret bool // never printed
	Path   bool // of a file
}

// Settings lists every key, in the order of the struct.
func (c *Config) Settings() []Setting {
	var out []Setting
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name := f.Tag.Get("json")
			if name == "" {
				continue
			}
			if f.Type.Kind() == reflect.Struct {
				walk(v.Field(i), prefix+name+".")
				continue
			}
			key := prefix + name
			out = append(out, Setting{Key: key, Env: envName(key), Value: v.Field(i), Secret: f.Tag.Get("secret") != "",
				Path: f.Tag.Get("path") != ""})
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	return out
}

func envName(key string) string {
	return "LATCHKEY_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// set reads a setting from text, as it stands in the environment or a flag.
func (s Setting) set(text string) error {
	if t, ok := s.Value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return t.UnmarshalText([]byte(text))
	}
	switch s.Value.Kind() {
	case reflect.String:
		s.Value.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("must be true or false")
		}
		s.Value.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("must be a whole number")
		}
		s.Value.SetInt(int64(n))
	case reflect.Slice:
		var list []string
		for _, part := range strings.Split(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		s.Value.Set(reflect.ValueOf(list))
	default:
		panic("config: no reader for " + s.Key)
	}
	return nil
}

func (s Setting) String() string {
	switch v := s.Value.Interface().(type) {
	case []string:
		return strings.Join(v, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// siblings are pairs of which only one may be set: the value, or the file that has it.
var siblings = map[string]string{"mongodb": "mongodb_file", "mongodb_file": "mongodb", "master_key": "master_key_file",
	"master_key_file": "master_key",
	"old_master_key":  "old_master_key_file", "old_master_key_file": "old_master_key",
	"mail.smtp.password": "mail.smtp.password_file", "mail.smtp.password_file": "mail.smtp.password"}

// DefaultFile is read from the working directory when no other is named.
const DefaultFile = "latchkey.yaml"

// notOurs are variables that a container platform sets for a service that happens to be called
// latchkey, and those of the tests.
var notOurs = regexp.MustCompile(`^LATCHKEY_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)\w*)?|TEST_\w+)$`)

// Load reads the configuration from the file, the environment (KEY=value pairs) and flags (by key),
// in this order of precedence. All that is wrong with it as text is returned at once; Validate says
// that too, with what is wrong with its meaning.
func Load(file string, environ []string, flags map[string]string) (Config, error) {
	c := Default()
	c.said = map[string]Fault{}
	var fs Faults

	vars := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "LATCHKEY_") {
			vars[k] = v
		}
	}
	if file == "" {
		file = vars["LATCHKEY_CONFIG"]
	}
	if file == "" {
		if _, err := os.Stat(DefaultFile); err == nil {
			file = DefaultFile
		}
	}
	if file != "" {
		c.file = file
		lines, err := ReadYAMLFile(file, nil, &c)
		var wrong Faults
		var one Fault
		switch {
		case errors.As(err, &wrong):
			fs = append(fs, wrong...)
		case errors.As(err, &one):
			fs = append(fs, one)
		case err != nil:
			return c, fmt.Errorf("configuration: %w", err)
		}
		for _, s := range c.Settings() {
			_, said := lines[s.Key]
			if said {
				c.said[s.Key] = Fault{file, lines[s.Key], s.Key, ""}
			}
			if s.Path && said && s.Value.String() != "" {
				s.Value.SetString(RelativeTo(file, s.Value.String()))
			}
			if sib := siblings[s.Key]; sib != "" && lines[s.Key] > 0 && lines[sib] > lines[s.Key] {
				fs = append(fs, Fault{file, lines[sib], sib, "is set, and so is " + s.Key + "; keep one of them"})
			}
		}
		if lines["data"] > 0 {
			c.Data = RelativeTo(file, c.Data)
		}
		if c.MasterKey != "" || c.OldMasterKey != "" || c.Mail.SMTP.Password != "" || hasPassword(c.MongoDB) {
			if exposed(file, 0o077) {
				fs = append(fs, Fault{file, 0, "", "holds a secret and can be read by others; run: chmod 600 " + file})
			}
		}
	}

	set := func(source string, s Setting, text string) {
		c.said[s.Key] = Fault{"", 0, source, ""}
		if err := s.set(text); err != nil {
			fs = append(fs, Fault{"", 0, source, err.Error()})
		}
		if sib := siblings[s.Key]; sib != "" {
			for _, o := range c.Settings() {
				if o.Key == sib {
					o.Value.SetString("") // what a stronger source says replaces both forms
				}
			}
		}
	}
	known := map[string]bool{"LATCHKEY_CONFIG": true}
	fields := map[string]reflect.Value{}
	for _, s := range c.Settings() {
		known[s.Env], fields[s.Env] = true, s.Value
		text, ok := vars[s.Env]
		if !ok {
			continue
		}
		if sib := siblings[s.Key]; sib != "" && s.Key < sib {
			if _, both := vars[envName(sib)]; both {
				fs = append(fs, Fault{"", 0, envName(sib), "is set, and so is " + s.Env + "; keep one of them"})
			}
		}
		set(s.Env, s, text)
	}
	for k := range vars {
		if !known[k] && !notOurs.MatchString(k) {
			fs = append(fs, Fault{"", 0, k, "there is no such variable" + suggestion(k, fields)})
		}
	}
	for _, s := range c.Settings() {
		if text, ok := flags[s.Key]; ok {
			set("--"+s.Key, s, text)
		}
	}
	if trimmed := strings.TrimRight(c.Issuer, "/"); trimmed != c.Issuer && trimmed != "" {
		c.notices = append(c.notices, fmt.Sprintf("issuer: the slash at the end was taken away; applications have to be told %s", trimmed))
		c.Issuer = trimmed
	}
	slices.SortStableFunc(fs, func(a, b Fault) int { return a.Line - b.Line })
	c.unread = fs
	return c, fs.OrNil()
}

// File is the configuration file that was read, "" for none.
func (c *Config) File() string { return c.file }

// FaultOf is something wrong with the meaning of a key, or of the section with that name, and where
// it was set.
func (c *Config) FaultOf(key, format string, args ...any) Fault {
	at, ok := c.said[key]
	if !ok {
		at = Fault{File: c.file, Key: key}
		for k, said := range c.said {
			if strings.HasPrefix(k, key+".") && said.Line > at.Line {
				at.Line = said.Line
			}
		}
	}
	at.Text = fmt.Sprintf(format, args...)
	return at
}

// unsure says that nothing can be said about the meaning of a key, because something could not be
// read: the key itself, or one that may have been meant by it.
func (c *Config) unsure(key string) bool {
	if len(c.unread) == 0 {
		return false
	}
	said := false
	for k := range c.said {
		said = said || k == key || strings.HasPrefix(k, key+".")
	}
	for _, f := range c.unread {
		if f.Key == key || f.Key == c.said[key].Key || strings.HasPrefix(f.Key, key+".") {
			return true
		}
	}
	return !said
}

// RelativeTo resolves a path in a configuration file: it is meant from where the file is.
func RelativeTo(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

func hasPassword(uri string) bool {
	_, rest, _ := strings.Cut(uri, "://")
	hosts, _, _ := strings.Cut(rest, "/")
	user, ok := beforeLast(hosts, "@")
	return ok && strings.Contains(user, ":")
}

// beforeLast returns what stands before the last sep, and reports whether there is one.
func beforeLast(s, sep string) (before string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], true
	}
	return s, false
}

// CheckStore says what is wrong with where things are kept; that is all that most commands need to
// know.
func (c *Config) CheckStore() (fs Faults) {
	bad := func(key, format string, args ...any) {
		if !c.unsure(key) {
			fs = append(fs, c.FaultOf(key, format, args...))
		}
	}
	if c.Data == "" {
		bad("data", "is empty; it names a folder, such as ./data")
	}
	if !slices.Contains(keys.SigningAlgorithms, c.AccessTokenSignedResponseAlg) {
		bad("access_token_signed_response_alg", "must be one of %s", strings.Join(keys.SigningAlgorithms, ", "))
	}
	key, uri := "mongodb", c.MongoDB
	if c.MongoDBFile != "" {
		var err error
		if key, uri = "mongodb_file", ""; !c.unsure(key) {
			if uri, err = c.MongoURI(); err != nil {
				bad(key, "%s", strings.TrimPrefix(err.Error(), key+": "))
			}
		}
	}
	if uri != "" {
		switch u, err := url.Parse(uri); {
		case !strings.HasPrefix(uri, "mongodb://") && !strings.HasPrefix(uri, "mongodb+srv://"):
			bad(key, "must begin with mongodb:// or mongodb+srv://, such as mongodb://db1,db2,db3/latchkey?replicaSet=rs0")
		case err == nil && (u.Query().Has("w") && u.Query().Get("w") != "majority" ||
			u.Query().Get("journal") == "false"):
			bad(key, "must not ask for less than w=majority and journal=true: what was acknowledged could be lost. Leave both out")
		}
	}
	if c.MasterKey != "" {
		if _, err := keys.ParseMasterKey(c.MasterKey); err != nil {
			bad("master_key", "%v", err)
		}
	}
	if c.OldMasterKey != "" {
		if _, err := keys.ParseMasterKey(c.OldMasterKey); err != nil {
			bad("old_master_key", "%v", err)
		}
	}
	if c.Passwords.MemoryKiB < 7168 || c.Passwords.Passes < 1 || c.Passwords.MemoryKiB*c.Passwords.Passes < 35840 {
		bad("passwords", "cost too little to compute: memory_kib × passes must be 35840 or more, and memory_kib 7168 or more; 19456 and 2 are usual")
	}
	if c.Passwords.MemoryKiB > 4<<20 || c.Passwords.Passes > 100 || c.Passwords.Concurrency < 0 ||
		c.Passwords.Concurrency > 1024 {
		bad("passwords", "cost too much to compute; memory_kib 19456, passes 2, concurrency 0 are usual")
	}
	for _, claim := range c.Account.Editable {
		if !slices.Contains(provider.EditableClaims(), claim) {
			bad("account.editable", "%q is not one of %s", claim, strings.Join(provider.EditableClaims(), ", "))
		}
	}
	switch mode := c.SignUp.Mode; {
	case !slices.Contains(provider.SignUpModes(), mode):
		bad("sign_up.mode", "must be one of %s", strings.Join(provider.SignUpModes(), ", "))
	case mode != "closed" && c.Mail.Mode == mailOff:
		bad("sign_up.mode", "%s needs mail, so that addresses are confirmed: set mail.mode", mode)
	case mode == "domain" && len(c.SignUp.Domains) == 0:
		bad("sign_up.domains", "is missing; it names those of mode domain, such as example.com")
	}
	for _, d := range c.SignUp.Domains {
		if d == "" || strings.ToLower(d) != d || strings.ContainsAny(d, "@ /*") || !strings.Contains(d, ".") {
			bad("sign_up.domains", "%q is not a domain in lower case, such as example.com", d)
		}
	}
	if look, err := c.look(); err != nil {
		bad("look.logo_file", "%v", err)
	} else {
		for field, err := range look.Check() {
			bad("look."+field, "%v", err)
		}
	}
	if w := c.Account.RecoveryWait; w != 0 && (w < Duration(time.Hour) || w > 30*Day) {
		bad("account.recovery_wait", "must be from 1h to 30d, such as 3d, or 0s for no such way")
	}
	if i := c.Lifetimes.Invitation; i < Duration(time.Hour) || i > 30*Day {
		bad("lifetimes.invitation", "must be from 1h to 30d, such as 7d")
	}
	if c.Passwords.MinLength < 8 || c.Passwords.MinLength > 64 {
		bad("passwords.min_length", "must be from 8 to 64, such as 10")
	}
	if _, err := c.PasswordPolicy(); err != nil {
		bad("passwords.blocklist_file", "%v", err)
	}
	return fs
}

// Validate says everything that is wrong with the configuration of a server, each with the key to
// fix and an example of a right value.
func (c *Config) Validate() error {
	fs := append(slices.Clone(c.unread), c.CheckStore()...)
	bad := func(key, format string, args ...any) {
		if !c.unsure(key) {
			fs = append(fs, c.FaultOf(key, format, args...))
		}
	}

	if err := CheckIssuer(c.Issuer); err != nil {
		bad("issuer", "%v", err)
	}
	secure := strings.HasPrefix(c.Issuer, "https:")
	if c.Name == "" || len(c.Name) > 100 {
		bad("name", "must be a short text, such as Example Accounts")
	}
	if c.Templates != "" {
		if _, err := c.Pages(nil); err != nil {
			bad("templates", "%v", err)
		}
	}
	if err := CheckListen(c.Listen); err != nil {
		bad("listen", "%v", err)
	}
	if e := c.Traces.Endpoint; e != "" {
		if u, err := url.Parse(e); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
			u.User != nil {
			bad("traces.endpoint", "must be the whole URL of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces")
		}
	}
	if c.Traces.Percent < 1 || c.Traces.Percent > 100 {
		bad("traces.percent", "must be from 1 to 100; leave traces.endpoint out to send none")
	}
	if c.MetricsListen != "" {
		if err := CheckListen(c.MetricsListen); err != nil {
			bad("metrics_listen", "%v", err)
		} else if host, _, _ := net.SplitHostPort(c.MetricsListen); host == "" {
			bad("metrics_listen", "must name an address, such as 127.0.0.1:9464, or 0.0.0.0:9464 if the network around it is trusted")
		} else if c.MetricsListen == c.Listen {
			bad("metrics_listen", "must be another port than listen, such as 127.0.0.1:9464")
		}
	}
	switch {
	case (c.TLS.CertFile == "") != (c.TLS.KeyFile == ""):
		bad("tls", "needs both cert_file and key_file, such as /etc/latchkey/tls.crt and /etc/latchkey/tls.key")
	case c.TLS.CertFile != "":
		if err := checkTLS(c.TLS.CertFile, c.TLS.KeyFile); err != nil {
			bad("tls", "%v", err)
		}
		if strings.HasPrefix(c.Issuer, "http:") {
			bad("issuer", "must begin with https:// because tls.cert_file is set")
		}
	case secure && len(c.TrustedProxies) == 0:
		bad("tls", "is missing, and the issuer is https. Either set tls.cert_file and tls.key_file, or let a proxy speak https and name its address in trusted_proxies, such as 127.0.0.1")
	}
	if err := people.CheckRPID(c.Passkeys.RPID); c.Passkeys.RPID != "" && err != nil {
		bad("passkeys.rp_id", "%v. Give a domain such as example.com", err)
	}
	for _, origin := range c.Passkeys.RelatedOrigins {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" || u.Host == "" ||
			u.Scheme+"://"+u.Host != origin {
			bad("passkeys.related_origins", "%q is no origin; use one such as https://id.example.de, without a path",
				origin)
		}
	}
	for _, p := range c.TrustedProxies {
		prefix, err := parsePrefix(p)
		switch {
		case err != nil:
			bad("trusted_proxies", "%q is no address; use one such as 10.0.0.5 or 10.0.0.0/24", p)
		case prefix.Addr().Is4() && prefix.Bits() < 8 || prefix.Addr().Is6() && prefix.Bits() < 7:
			bad("trusted_proxies", "%s trusts too many addresses: a client among them could forge its own address. Name the proxies, such as 10.0.0.5", p)
		}
	}
	if c.ShutdownDelay < 0 || c.ShutdownDelay > Duration(5*time.Minute) {
		bad("shutdown_delay", "%v is out of bounds; it may be from 0s to 5m", c.ShutdownDelay)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format", "must be text or json")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level", "must be debug, info, warn or error")
	}
	for _, b := range []struct {
		key         string
		v, min, max Duration
	}{
		{"code", c.Lifetimes.Code, Duration(5 * time.Second), Duration(10 * time.Minute)},
		{"access_token", c.Lifetimes.AccessToken, Duration(10 * time.Second), Day},
		{"id_token", c.Lifetimes.IDToken, Duration(10 * time.Second), Day},
		{"refresh_idle", c.Lifetimes.RefreshIdle, Duration(time.Minute), 3650 * Day},
		{"refresh_absolute", c.Lifetimes.RefreshAbsolute, Duration(time.Minute), 3650 * Day},
		{"refresh_grace", c.Lifetimes.RefreshGrace, Duration(time.Second), Duration(5 * time.Minute)},
		{"session_idle", c.Lifetimes.SessionIdle, Duration(time.Minute), 90 * Day},
		{"session_absolute", c.Lifetimes.SessionAbsolute, Duration(time.Minute), 90 * Day},
		{"remembered_idle", c.Lifetimes.RememberedIdle, Duration(time.Minute), 400 * Day},
		{"remembered_absolute", c.Lifetimes.RememberedAbsolute, Duration(time.Minute), 400 * Day},
		{"interaction", c.Lifetimes.Interaction, Duration(time.Minute), Day},
		{"mail_link", c.Lifetimes.MailLink, Duration(5 * time.Minute), Day},
		{"signing_key", c.Lifetimes.SigningKey, Day, 3650 * Day},
	} {
		if b.v < b.min || b.v > b.max {
			bad("lifetimes."+b.key, "%v is out of bounds; it may be from %v to %v", b.v, b.min, b.max)
		}
	}
	for _, pair := range [][2]Setting{
		{{Key: "refresh_idle", Value: reflect.ValueOf(c.Lifetimes.RefreshIdle)},
			{Key: "refresh_absolute", Value: reflect.ValueOf(c.Lifetimes.RefreshAbsolute)}},
		{{Key: "session_idle", Value: reflect.ValueOf(c.Lifetimes.SessionIdle)},
			{Key: "session_absolute", Value: reflect.ValueOf(c.Lifetimes.SessionAbsolute)}},
		{{Key: "remembered_idle", Value: reflect.ValueOf(c.Lifetimes.RememberedIdle)}, {Key: "remembered_absolute",
			Value: reflect.ValueOf(c.Lifetimes.RememberedAbsolute)}},
	} {
		if pair[0].Value.Int() > pair[1].Value.Int() {
			bad("lifetimes."+pair[0].Key, "%v is longer than lifetimes.%s, %v", pair[0], pair[1].Key, pair[1])
		}
	}
	if c.Audit.Keep < Day || c.Audit.Keep > 3650*Day {
		bad("audit.keep", "%v is out of bounds; it may be from 1d to 3650d", c.Audit.Keep)
	}
	if !slices.Contains([]string{"closed", "token", "open"}, c.Registration) {
		bad("registration", "must be closed, token or open")
	}
	if d := time.Duration(c.RegistrationUnused); d != 0 && d < time.Hour {
		bad("registration_unused", "must be at least 1h, or 0 for good")
	}
	if c.RegistrationsPerHour < 0 {
		bad("registrations_per_hour", "must be 0 (no limit) or more, such as 60")
	}
	for _, r := range c.RegistrationResources {
		if !clients.ValidResource(r) {
			bad("registration_resources", "%q must be an absolute URI without a fragment, such as https://mcp.example.com/mcp", r)
		}
	}
	for _, p := range c.Outbound.AllowPrivate {
		if prefix, err := parsePrefix(p); err != nil || prefix.Bits() == 0 {
			bad("outbound.allow_private", "%q is no network; use one such as 10.20.0.0/16", p)
		}
	}
	if c.Outbound.CAFile != "" {
		if _, err := ReadCAs(c.Outbound.CAFile); err != nil {
			bad("outbound.ca_file", "%v", err)
		}
	}
	if c.Passwords.AttemptsPerAccount < 1 || c.Passwords.AttemptsPerAddress < 1 {
		bad("passwords", "attempts_per_account and attempts_per_address must be 1 or more; 10 and 100 are usual")
	}
	c.checkMail(bad)
	slices.SortStableFunc(fs, func(a, b Fault) int { return a.Line - b.Line })
	return fs.OrNil()
}

// Warnings are what is permitted and still should not surprise anybody.
func (c *Config) Warnings() []string {
	out := slices.Clone(c.notices)
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if c.InsecureAllowNone {
		warn("insecure_allow_none: applications may register for unsigned ID tokens and request objects; only the certification suite needs that")
	}
	if c.InsecurePublicClientsWithoutPKCE {
		warn("insecure_public_clients_without_pkce: an attacker who sees the code of a public client can use it; only the certification suite needs that")
	}
	if c.Mail.Mode == mailFolder {
		warn("mail.mode: folder: mails are written into files and reach nobody")
	}
	if c.Outbound.AllowLoopback {
		warn("outbound.allow_loopback: a registered client can make the provider call programs on this machine; only demonstrations and certification runs need that")
	}
	if c.Registration == string(registration.Open) {
		warn("registration: open: any client can register itself")
		if c.RegistrationsPerHour == 0 {
			warn("registrations_per_hour: 0: and as many as they like")
		}
	}
	if strings.HasPrefix(c.Issuer, "http:") {
		warn("issuer: http is for trying things out on this machine; people on others need https")
	}
	if host, _, err := net.SplitHostPort(c.MetricsListen); err == nil && c.MetricsListen != "" && !loopbackHost(host) {
		warn("metrics_listen: %s can be read from other machines", c.MetricsListen)
	}
	if c.MongoDB != "" && !hasPassword(c.MongoDB) && !strings.Contains(c.MongoDB, "authMechanism=") {
		warn("mongodb: connects without a password; every program that reaches that database can read and write everything")
	}
	return out
}

// CheckIssuer says what is wrong with an issuer (OIDC Discovery §3, RFC 8414 §2).
func CheckIssuer(issuer string) error {
	const example = "such as https://id.example.com"
	if issuer == "" {
		return errors.New("is missing; it is the address that people and applications know the provider by, " +
			example + ", or http://localhost:8080 to try it out here")
	}
	if strings.TrimSpace(issuer) != issuer || strings.ContainsAny(issuer, " \t\r\n\"'\\<>") {
		return errors.New("has blanks or quotes in it; it must look like an address, " + example)
	}
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must be an address that begins with https://, " + example)
	case u.Port() != "" && !validPort(u.Port()):
		return errors.New("must have a port from 1 to 65535 or none, " + example)
	case u.User != nil:
		return errors.New("must have no user name or password in it, " + example)
	case strings.ContainsAny(issuer, "?#"):
		return errors.New("must have no query and no fragment, " + example)
	case u.Host != strings.ToLower(u.Host):
		return errors.New("must have its host in lower case, " + example)
	case strings.HasSuffix(u.Host, ":") || u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" &&
		u.Port() == "80":
		return errors.New("must leave out the port that browsers leave out, " + example)
	case strings.Contains(u.Path, "//") || strings.Contains(issuer, "%") || strings.Contains(u.Path+"/", "/../") ||
		strings.Contains(u.Path+"/", "/./"):
		return errors.New("must have a plain path or none, such as https://example.com/id")
	case strings.HasSuffix(u.Path, "/"):
		return errors.New("must not end in a slash, " + example)
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return errors.New("must be https; http is only for loopback hosts (localhost, *.localhost, 127.0.0.1, [::1]), such as http://localhost:8080")
	}
	return nil
}

// loopbackHost reports whether a host is this machine: a loopback address or a name below localhost
// (RFC 6761 §6.3).
func loopbackHost(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// CheckListen says what is wrong with an address to listen at.
func CheckListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !validPort(port) {
		return errors.New("must be an address and a port, such as 127.0.0.1:8080, or :8080 for all addresses")
	}
	if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil {
		return errors.New("must be an IP address and a port, such as 127.0.0.1:8080, or :8080 for all addresses")
	}
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		ip = ip.Unmap().WithZone("")
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// ParsePrefixes reads addresses and networks, such as 10.0.0.5 and 10.0.0.0/24. What is neither is
// left out: Validate has told of it.
func ParsePrefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := parsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// checkTLS reports whether the two files are a certificate and its key, and the key is nobody
// else's to read.
func checkTLS(certFile, keyFile string) error {
	if _, err := ReadCertificate(certFile, keyFile); err != nil {
		return fmt.Errorf("cert_file and key_file cannot be used: %w", err)
	}
	if exposed(keyFile, 0o007) {
		return fmt.Errorf("key_file can be read or written by everybody; run: chmod 600 %s", keyFile)
	}
	return nil
}
