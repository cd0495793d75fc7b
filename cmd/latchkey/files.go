package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPassword bounds what is read as a password.
const maxPassword = 64 << 10

// readPassword reads a password: from standard input when asked to, else by a prompt that does not
// show it.
func (sh *shell) readPassword(ctx context.Context, fromStdin bool, prompt string) (string, error) {
	if fromStdin {
		line, err := bufio.NewReader(io.LimitReader(sh.stdin, maxPassword)).ReadString('\n')
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

// typed reads a line from the terminal without showing it. When ctx ends it leaves the terminal as
// it was.
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
