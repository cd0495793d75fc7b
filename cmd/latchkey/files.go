package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// maxSecretFile bounds what is read as a secret.
const maxSecretFile = 64 << 10

// readSecretFile reads a secret that is alone in a file. The key is named in errors, the value never.
func readSecretFile(key, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: %s is not a file", key, path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("%s: %s can be read or written by everybody; run: chmod 600 %s", key, path, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	value := strings.TrimRight(string(text), "\r\n")
	if value == "" || strings.ContainsAny(value, "\r\n") {
		return "", fmt.Errorf("%s: %s must have the value in one line and nothing else", key, path)
	}
	return value, nil
}

// readCAs reads certificate authorities, to be trusted beside those of the system.
func readCAs(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", path)
	}
	return pool, nil
}

func issuerPath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// readPassword reads a password: from standard input when asked to, else by a prompt that does not show it.
func (sh *shell) readPassword(ctx context.Context, fromStdin bool, prompt string) (string, error) {
	if fromStdin {
		line, err := bufio.NewReader(io.LimitReader(sh.stdin, maxSecretFile)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", errors.New("standard input has no password on its first line")
		}
		return line, nil
	}
	f, ok := sh.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usage("nobody is there to type a password; pipe it in with --password-stdin")
	}
	first, err := sh.typed(ctx, int(f.Fd()), prompt)
	if err != nil {
		return "", err
	}
	second, err := sh.typed(ctx, int(f.Fd()), "Once more")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}

// typed reads a line from the terminal without showing it. When ctx ends it leaves the terminal as it was.
func (sh *shell) typed(ctx context.Context, terminal int, prompt string) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	sh.notef("%s: ", prompt)
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(terminal)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		sh.notef("\n")
		if l.err != nil {
			return "", fmt.Errorf("read the password: %w", l.err)
		}
		return string(l.text), nil
	case <-ctx.Done():
		sh.notef("\n")
		return "", errors.Join(errors.New("interrupted; nothing was changed"), term.Restore(terminal, before))
	}
}
