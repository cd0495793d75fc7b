package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/provider/console"
)

func (sh *shell) whyCommand() *cobra.Command {
	return sh.siteCommand(siteCommand{
		use:     "why USERNAME CLIENT_ID",
		short:   "Say whether a person may use an application, and by which rule",
		example: "  latchkey why ada grafana",
		args:    exactArgs(2, "a username and a client_id"), json: true,
		run: func(ctx context.Context, s *site, args []string) error {
			u, err := s.admin.User(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			client, err := s.admin.Client(ctx, s.actor, args[1])
			if err != nil {
				return err
			}
			a := console.Why(client, u)
			if sh.json {
				return sh.printJSON(a)
			}
			answer := "no"
			if a.Allowed {
				answer = "yes"
			}
			text := a.Text
			if len(a.Groups) > 0 {
				text += ": " + strings.Join(a.Groups, ", ")
			}
			sh.printf("%s: %s\n", answer, printable(text))
			return nil
		},
	})
}
