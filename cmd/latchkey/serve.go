package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider"
)

// Limits of the listeners. They bound what an idle or slow connection can hold.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10

	stopTimeout = 10 * time.Second       // for requests that are under way at the end
	acceptRest  = 200 * time.Millisecond // for connections that the system has accepted, and this program not yet
	turnAway    = time.Second            // from the last new connection until idle ones are closed
	purgeEvery  = 10 * time.Minute
)

func (sh *shell) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the provider",
		Long: `Run the provider until it is told to stop by SIGTERM or SIGINT. Then it says at /readyz that it is not ready any more, and goes on
answering for shutdown_delay, each connection once. It takes no new connections after that, finishes what is under way, at most 10
seconds, and ends; a second signal ends it at once. SIGHUP makes it read the certificate, texts, templates and look again.

What is missing at the first start, database, master key and signing keys, is made.`,
		Example: `  latchkey serve --config /etc/latchkey.yaml
  latchkey serve --issuer http://localhost:8080
  LATCHKEY_ISSUER=https://id.example.com LATCHKEY_TRUSTED_PROXIES=10.0.0.5 latchkey serve --listen :8080`,
		Args: exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := sh.serverConfig(cmd)
			if err != nil {
				return err
			}
			logger, lost, end := serverLogger(sh.stderr, c)
			defer end()
			return serve(cmd.Context(), c, serveOptions{logger: logger, lostLines: lost, again: func() (config.Config,
				error) {
				return sh.serverConfig(cmd)
			}})
		},
	}
	cmd.Flags().String("listen", "", "`ADDRESS` and port to answer at, such as :8080")
	sh.storeFlags(cmd)
	return cmd
}

// newLogger writes structured lines.
func newLogger(w io.Writer, c config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // Validate has seen it
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// serveOptions is what a server is given beside its configuration.
type serveOptions struct {
	logger    *slog.Logger
	lostLines func() float64                // of the log
	again     func() (config.Config, error) // reads the configuration once more
}

// serve is the wiring of the server: it opens everything, answers until ctx ends, and closes
// everything in the opposite order.
func serve(ctx context.Context, c config.Config, o serveOptions) error {
	logger := o.logger
	again := reloads(ctx)
	// The ports come first: a second server by mistake should fail for that reason, before it
	// touches anything.
	public, err := listen(ctx, c.Listen, "--listen")
	if err != nil {
		return err
	}
	defer public.Close()
	var inner net.Listener
	if c.MetricsListen != "" {
		inner, err = listen(ctx, c.MetricsListen, "metrics_listen")
		switch {
		case err == nil:
			defer inner.Close()
		case c.MetricsListen == config.Default().MetricsListen:
			// Nobody asked for this port by name: the second of two servers on one machine does
			// without it.
			logger.Warn("no metrics", "reason", err.Error())
			c.MetricsListen = ""
		default:
			return err
		}
	}

	s, err := openServer(ctx, c, logger)
	if err != nil {
		return err
	}
	defer s.Close()
	if db := s.store.Embedded(); db != nil && db.Made() {
		logger.Warn("made a new database: there is nobody in it", "file", db.Path())
	}
	leaveRoom(s.hasher.Concurrency())
	endTraces := func() {}
	if c.Traces.Endpoint != "" {
		s.tracer, endTraces = newTracer(c, logger)
	}
	defer endTraces()
	p, err := s.provider()
	if err != nil {
		return err
	}

	var stopping atomic.Bool
	handler := leaving(&stopping, p.Handler())
	var cert *certificate
	var secure *tls.Config
	if c.TLS.CertFile != "" {
		cert, err = loadCertificate(c.TLS.CertFile, c.TLS.KeyFile, logger)
		if err != nil {
			return err
		}
		secure = cert.config()
	}
	s.observe(p, cert, o.lostLines)
	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	work := s.work(background, p)

	outer, side := newServers(logger, s.counts.dropped), newServers(logger, s.counts.dropped)
	outer.start(public, secure, handler)
	if inner != nil {
		side.start(inner, nil, innerHandler(p, handler))
	}
	for _, w := range slices.Concat(c.Warnings(), s.masterKeyWarnings(), config.CertificateWarnings(&c, time.Now())) {
		logger.Warn(w)
	}
	if link, err := p.Console.SetUpLink(ctx); err != nil {
		logger.Warn("no set-up link was made", "error", err)
	} else if link != "" {
		logger.Warn("nobody administers yet: whoever opens this link, once and within a day, becomes the owner", "link", link)
	}
	number, _ := version()
	logger.Info("ready", "issuer", c.Issuer, "listen", c.Listen, "metrics_listen", c.MetricsListen, "version", number)
	debug.FreeOSMemory() // the start leaves several times of what idling needs

running:
	for {
		select {
		case <-again:
			if cert != nil {
				cert.reload()
			}
			if err := s.rereadPages(p, o.again); err != nil {
				logger.Error("texts and look not read again; those before stay", "reason", err.Error())
				continue
			}
			logger.Info("told to read again: certificate, texts, templates and look are; other settings want a restart")
			continue
		case err = <-outer.failed: // a listener that ends by itself is broken
		case err = <-side.failed:
		case <-ctx.Done():
		}
		break running
	}
	if err == nil {
		logger.Info("stopping", "shutdown_delay", c.ShutdownDelay.String())
		// 1. Whoever asks /readyz learns of it, and every connection is answered once more.
		stopping.Store(true)
		if delay := time.Duration(c.ShutdownDelay); delay > 0 {
			time.Sleep(delay)
			// 2. A proxy that comes with a new connection is refused, and asks another instance:
			// nothing of its request was read. After that it does not use the idle connections that
			// it has, either.
			outer.refuse()
			time.Sleep(turnAway)
		}
	}
	// 3. What is idle is closed, what is under way is finished.
	stopping.Store(true)
	outer.stop()
	endBackground()
	work.Wait()
	// Last, so that until the end somebody can see that it is stopping.
	side.stop()
	if err != nil {
		return err
	}
	logger.Info("stopped")
	return nil
}

// rereadPages puts the texts, templates and look in place that the configuration names now.
func (s *site) rereadPages(p *provider.Provider, again func() (config.Config, error)) error {
	c, err := again()
	if err != nil {
		return err
	}
	shown := s.Config // the issuer, and what people know it by, belong to the run
	shown.Look, shown.Templates = c.Look, c.Templates
	pages, err := shown.Pages(s.now)
	if err != nil {
		return err
	}
	p.Web.Templates.Replace(pages)
	return nil
}

// leaveRoom lets Go run one goroutine more at once than passwords are hashed. A hash computes for
// tens of milliseconds without letting anything else in, so that otherwise, on as many processors
// as hashes, every other request waits for Go to interrupt them in turn. The operating system
// shares the processors between them far more finely.
func leaveRoom(hashes int) {
	if n := hashes + 1; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
}

// servers answer at one or several listeners until they are stopped together.
type servers struct {
	logger    *slog.Logger
	dropped   *atomic.Int64 // connections, see serverLog
	all       []*http.Server
	listeners []net.Listener
	failed    chan error // the first listener that ended by itself
}

func newServers(logger *slog.Logger, dropped *atomic.Int64) *servers {
	return &servers{logger: logger, dropped: dropped, failed: make(chan error, 1)}
}

// start answers at a listener of plain TCP, over TLS where secure is given.
func (s *servers) start(l net.Listener, secure *tls.Config, h http.Handler) {
	server := newServer(h, s.logger, s.dropped)
	s.all, s.listeners = append(s.all, server), append(s.listeners, l)
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			select {
			case s.failed <- fmt.Errorf("listen at %s: %w", l.Addr(), err):
			default:
			}
		}
	}()
}

// refuse takes no new connections. Those that are there are answered as before.
func (s *servers) refuse() {
	for _, l := range s.listeners {
		if err := dropNew(l); err != nil { // the queue is empty as a rule all the same
			s.logger.Debug("new connections are not dropped before their listener closes", "reason", err.Error())
		}
	}
	time.Sleep(acceptRest)
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// stop lets requests that are under way finish, for a while, and then cuts them off.
func (s *servers) stop() {
	patience, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, server := range s.all {
		wg.Go(func() {
			if err := server.Shutdown(patience); err != nil {
				s.logger.Warn("requests were cut off", "reason", err.Error())
				_ = server.Close()
			}
		})
	}
	wg.Wait()
}

// listen opens a port. setting is how to change it.
func listen(ctx context.Context, addr, setting string) (net.Listener, error) {
	var system net.ListenConfig
	system.SetMultipathTCP(false) // its sockets take no filter, see dropNew
	l, err := system.Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(addr)
		return nil, fmt.Errorf("port %s is taken: something is listening at %s already; choose another with %s", port,
			addr, setting)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened at by this user; choose a port above 1023 with %s", addr,
			setting)
	case err != nil:
		return nil, fmt.Errorf("listen at %s (change it with %s): %w", addr, setting, err)
	}
	return l, nil
}

func newServer(h http.Handler, logger *slog.Logger, dropped *atomic.Int64) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(serverLog{logger, dropped}, "", 0),
	}
}

// serverLog takes what net/http says. Handshakes that failed and the like are somebody else's
// fault, and theirs to repeat as often as they like; that connections cannot be accepted, for want
// of descriptors say, is ours.
type serverLog struct {
	logger  *slog.Logger
	dropped *atomic.Int64
}

func (l serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelDebug
	if strings.Contains(text, "Accept error") {
		level = slog.LevelError
	} else {
		l.dropped.Add(1)
	}
	l.logger.Log(context.Background(), level, text)
	return len(line), nil
}

// leaving makes /readyz say no as soon as the server is about to stop, so that nobody new is sent
// here, and lets every connection end with the answer to its next request: none is closed while
// somebody sends one.
func leaving(stopping *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stopping.Load() {
			w.Header().Set("Connection", "close")
			if r.URL.Path == "/readyz" {
				w.Header().Set("Cache-Control", "no-store")
				http.Error(w, "stopping", http.StatusServiceUnavailable)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// innerHandler serves what only operators see.
func innerHandler(p *provider.Provider, public http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.MetricsHandler())
	mux.Handle("GET /healthz", public)
	mux.Handle("GET /readyz", public)
	return mux
}

// work does what has to be done without anybody asking, until ctx ends.
func (s *site) work(ctx context.Context, p *provider.Provider) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() { p.DeliverLogouts(ctx) })
	wg.Go(func() { p.SendMails(ctx) })
	wg.Go(func() { s.ring.Run(ctx) })
	wg.Go(func() { s.audit.Run(ctx, s.store) })
	wg.Go(func() {
		every(ctx, purgeEvery, func() error { // ends what latchkey rekey began
			if !s.sealer.ResealDue() {
				return nil
			}
			_, err := s.admin.Reseal(ctx)
			return err
		}, func(err error) { s.logger.Error("seal again", "reason", err.Error()) })
	})
	wg.Go(func() {
		every(ctx, purgeEvery, func() error {
			if err := s.store.CheckClock(ctx, s.now()); err != nil {
				return err
			}
			began := time.Now()
			n, err := s.store.Purge(ctx, s.now())
			s.counts.purged.Add(float64(n))
			s.counts.purge.Observe(time.Since(began).Seconds())
			if n > 0 {
				s.logger.Debug("purged", "records", n)
			}
			return err
		}, func(err error) { s.logger.Error("purge", "reason", err.Error()) })
	})
	return &wg
}

// every does something now and then again and again, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func() error, report func(error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := do(); err != nil && ctx.Err() == nil {
			report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
