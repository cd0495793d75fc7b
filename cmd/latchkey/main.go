package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A reader of the log that has gone away must not end the server.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; from then on the next one ends the process at once.
	context.AfterFunc(ctx, stop)
	if !signal.Ignored(syscall.SIGHUP) { // nohup wants us to go on when the terminal is closed
		again := make(chan os.Signal, 1)
		signal.Notify(again, syscall.SIGHUP)
		ctx = withReload(ctx, again, stop)
	}
	os.Exit(Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
