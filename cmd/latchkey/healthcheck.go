package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// cause is why a connection failed, without what everybody on the way there had to say.
func cause(err error) error {
	var number syscall.Errno
	switch wrapped := new(url.Error); {
	case errors.As(err, &number):
		return number
	case errors.As(err, &wrapped):
		return wrapped.Err
	}
	return err
}

func (sh *shell) healthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the server on this machine whether it is ready; the exit code is the answer",
		Long:  `Ask the server that the configuration describes, on this machine, whether it is ready: /readyz at its listen address. For container platforms.`,
		Args:  exactArgs(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := sh.config(cmd)
			if err != nil {
				return err
			}
			host, port, err := net.SplitHostPort(c.Listen)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			// A wildcard is no address to go to.
			switch host {
			case "", "0.0.0.0":
				host = "127.0.0.1"
			case "::":
				host = "::1"
			}
			scheme := "http"
			transport := &http.Transport{}
			if c.TLS.CertFile != "" {
				scheme = "https"
				// It is this machine that is asked, whatever the certificate calls it, and it is
				// only asked how it is.
				transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
			}
			client := &http.Client{Timeout: 5 * time.Second, Transport: transport,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			defer client.CloseIdleConnections()
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, scheme+"://"+net.JoinHostPort(host,
				port)+"/readyz", nil)
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return fmt.Errorf("nothing answers at %s; is latchkey serve running, and does it listen there? (%w)",
					req.URL.Host, cause(err))
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s %s", resp.Status, printable(strings.TrimSpace(string(body))))
			}
			sh.printf("ready\n")
			return nil
		},
	}
	cmd.Flags().StringVar(&sh.configFile, "config", "", "configuration `FILE` (default: latchkey.yaml if it is there)")
	cmd.Flags().String("listen", "", "`ADDRESS` that the server listens at")
	return cmd
}
