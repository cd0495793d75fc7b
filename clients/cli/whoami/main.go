// Command whoami signs in with the browser and prints who it is. It needs an issuer and the id of a
// native client:
//
//	go run ./clients/cli/whoami --issuer http://id.localhost:9700 --client-id whoami
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"latchkey/clients/cli"
)

func main() {
	issuer := flag.String("issuer", "http://id.localhost:9700", "the provider, exactly as it writes itself")
	clientID := flag.String("client-id", "",
		"the id of a native client with the redirect URI http://127.0.0.1/callback")
	scopes := flag.String("scope", "profile email groups", "scopes to ask for beside openid")
	browser := flag.Bool("browser", true, "open the browser; the address is printed in any case")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()

	config := cli.Config{Issuer: *issuer, ClientID: *clientID, Scopes: strings.Fields(*scopes), HTTPClient: client(),
		Out: os.Stdout}
	if *browser {
		config.OpenBrowser = open
	}
	if _, err := cli.Login(ctx, config); err != nil {
		fmt.Fprintln(os.Stderr, "whoami:", err)
		os.Exit(1)
	}
}

// open shows the address in the person's own browser.
func open(address string) error {
	switch runtime.GOOS {
	case "darwin":
		return exec.Command("open", address).Start()
	case "windows":
		return exec.Command("rundll32", "url.dll,FileProtocolHandler", address).Start()
	default:
		return exec.Command("xdg-open", address).Start()
	}
}

// client reaches names below localhost, which always mean this machine (RFC 6761 §6.3) although
// many systems' resolvers do not know it. An application whose provider has a name in the DNS does
// without.
func client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
				address = net.JoinHostPort("localhost", port)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
}
