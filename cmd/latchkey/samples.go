package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"latchkey/clients/api"
	"latchkey/clients/spa"
	"latchkey/clients/webapp"
	"latchkey/cmd/latchkey/config"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
)

// samplesSecretEnv names the variable from which the sample applications' client secrets are
// derived. register and serve do so alike, so that one value is all that the two have to share.
const samplesSecretEnv = "SAMPLES_SECRET"

// sampleSet is the demonstration's applications below a domain of one's own, on https:
// notes.DOMAIN, photos.DOMAIN, ledger.DOMAIN, board.DOMAIN, api.DOMAIN.
type sampleSet struct {
	issuer, domain, secret string
}

func (s sampleSet) url(id string) string { return "https://" + id + "." + s.domain }

// clientSecret is the secret of one application.
func (s sampleSet) clientSecret(id string) string {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte("client secret of " + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// manifest is what the provider has to know about them.
func (s sampleSet) manifest() admin.Manifest {
	m := admin.Manifest{Groups: demoGroups}
	for _, a := range demoApps {
		m.Clients = append(m.Clients, admin.ClientEntry{ClientID: a.id, Type: clients.TypeWeb,
			Decisions:    clients.Decisions{Audience: []string{s.url("api")}, AllowedGroups: a.groups},
			ClientSecret: s.clientSecret(a.id), Metadata: clients.Metadata{
				ClientName: a.name, ClientURI: s.url(a.id), RedirectURIs: []string{s.url(a.id) + webapp.CallbackPath},
				PostLogoutRedirectURIs: []string{s.url(a.id) + webapp.SignedOutPath},
				BackchannelLogoutURI:   s.url(a.id) + webapp.BackchannelLogoutPath,
			}})
	}
	m.Clients = append(m.Clients, admin.ClientEntry{ClientID: "board", Type: clients.TypeSPA,
		Decisions: clients.Decisions{Audience: []string{s.url("api")}}, Metadata: clients.Metadata{
			ClientName: "Board", ClientURI: s.url("board"), RedirectURIs: []string{s.url("board") + spa.CallbackPath},
			PostLogoutRedirectURIs: []string{s.url("board") + spa.SignedOutPath},
		}})
	return m
}

// handler answers for all of them, by the host that was asked for. client is how they call the
// provider and the API.
func (s sampleSet) handler(ctx context.Context, client *http.Client, logger *slog.Logger) (http.Handler, error) {
	hosts := map[string]http.Handler{}
	var err error
	if hosts["api."+s.domain], err = api.New(api.Config{Audience: s.url("api"), Issuer: s.issuer,
		AllowedOrigins: []string{s.url("board")},
		HTTPClient:     client, Logger: logger}); err != nil {
		return nil, err
	}
	var links []webapp.Link
	var boardLinks []spa.Link
	for _, a := range demoApps {
		links, boardLinks = append(links, webapp.Link{Name: a.name, URL: s.url(a.id)}),
			append(boardLinks, spa.Link{Name: a.name, URL: s.url(a.id)})
	}
	links = append(links, webapp.Link{Name: "Board", URL: s.url("board")})
	if hosts["board."+s.domain], err = spa.New(spa.Config{Name: "Board", BaseURL: s.url("board"), Issuer: s.issuer,
		ClientID: "board", Resources: []string{s.issuer, s.url("api")},
		APIs: []spa.API{{Name: "API", URL: s.url("api")}}, Others: boardLinks}); err != nil {
		return nil, err
	}
	for i, a := range demoApps {
		others := slices.Delete(slices.Clone(links), i, i+1)
		hosts[a.id+"."+s.domain], err = webapp.New(ctx, webapp.Config{Name: a.name, Kind: a.kind, Look: a.look,
			BaseURL: s.url(a.id), Issuer: s.issuer,
			ClientID: a.id, ClientSecret: s.clientSecret(a.id),
			Resources: []string{s.issuer, s.url("api")}, APIs: []webapp.API{{Name: "API", URL: s.url("api")}},
			Others: others, HTTPClient: client, Logger: logger.With("application", a.id)})
		if err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := hosts[r.Host]
		switch {
		case h != nil:
			h.ServeHTTP(w, r)
			return
		case r.URL.Path == "/healthz":
			// Whoever watches this process asks it by address, and wants to know only that it is
			// there.
			fmt.Fprintln(w, "ok")
			return
		}
		http.Error(w, "no application of this name here", http.StatusMisdirectedRequest)
	}), nil
}

func (sh *shell) samplesCommand() *cobra.Command {
	var s sampleSet
	var listenAt string
	read := func(c config.Config) error {
		s.issuer = c.Issuer
		if err := config.CheckIssuer(s.issuer); err != nil {
			return config.Fault{Key: "issuer", Text: err.Error()}
		}
		if u, err := url.Parse("https://" + s.domain); s.domain == "" || err != nil || u.Host != s.domain ||
			u.Host != strings.ToLower(u.Host) {
			return usage("--domain must be the name that the applications' hosts end in, such as example.com")
		}
		for _, kv := range sh.env {
			if k, v, ok := strings.Cut(kv, "="); ok && k == samplesSecretEnv {
				s.secret = v
			}
		}
		if len(s.secret) < 32 {
			return fmt.Errorf("%s must have at least 32 characters, and chance must have chosen them: openssl rand -hex 32", samplesSecretEnv)
		}
		return nil
	}
	serveThem := &cobra.Command{
		Use:   "serve",
		Short: "Run the sample applications, behind a proxy that speaks https for them",
		Long: `Run the sample applications on one port, told apart by their hosts: notes, photos, ledger, board and api below --domain. A proxy in front
speaks https. Their client secrets are derived from the environment variable SAMPLES_SECRET, as samples register does.`,
		Args: exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := sh.config(cmd)
			if err != nil {
				return err
			}
			if err := read(c); err != nil {
				return err
			}
			if err := config.CheckListen(listenAt); err != nil {
				return config.Fault{Key: "--listen", Text: err.Error()}
			}
			ctx := cmd.Context()
			logger := newLogger(sh.stderr, c)
			handler, err := s.handler(ctx, &http.Client{Timeout: 10 * time.Second}, logger)
			if err != nil {
				return err
			}
			l, err := listen(ctx, listenAt, "--listen")
			if err != nil {
				return err
			}
			server := newServer(handler, logger, new(atomic.Int64))
			failed := make(chan error, 1)
			go func() { failed <- server.Serve(l) }()
			logger.Info("ready", "listen", listenAt, "issuer", s.issuer, "domain", s.domain)
			select {
			case err := <-failed: // a listener that ends by itself is broken
				return err
			case <-ctx.Done():
			}
			patience, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			if server.Shutdown(patience) != nil {
				_ = server.Close()
			}
			return nil
		},
	}
	register := &cobra.Command{
		Use:   "register",
		Short: "Make the sample applications known to the provider",
		Long:  `Make the sample applications known to the provider, as apply does: what is there already is brought up to date, and a second time nothing changes.`,
		Args:  exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.onSite(cmd, true, func(ctx context.Context, open *site) error {
				if err := read(open.Config); err != nil {
					return err
				}
				out := sh.changes(false)
				err := open.admin.Apply(ctx, open.actor, admin.ManifestOptions{}, s.manifest(), out.tell)
				return errors.Join(err, out.end())
			})
		},
	}
	check := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the sample applications on this machine whether they are there; the exit code is the answer",
		Args:  exactArgs(0, ""),
		RunE: func(*cobra.Command, []string) error {
			_, port, err := net.SplitHostPort(listenAt)
			if err != nil {
				return config.Fault{Key: "--listen", Text: err.Error()}
			}
			client := &http.Client{Timeout: 5 * time.Second}
			resp, err := client.Get("http://" + net.JoinHostPort("127.0.0.1", port) + "/healthz")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s", resp.Status)
			}
			sh.printf("ready\n")
			return nil
		},
	}
	for _, c := range []*cobra.Command{serveThem, check} {
		c.Flags().StringVar(&listenAt, "listen", "127.0.0.1:9000", "`ADDRESS` and port of the applications")
	}
	for _, c := range []*cobra.Command{serveThem, register} {
		c.Flags().StringVar(&s.domain, "domain", "", "`NAME` that the applications' hosts end in")
	}
	serveThem.Flags().String("issuer", "", "the provider's `URL`")
	sh.storeFlags(register)
	sh.jsonFlag(register)
	return commandGroup("samples", "The sample applications: run them on hosts of their own", serveThem, register,
		check)
}
