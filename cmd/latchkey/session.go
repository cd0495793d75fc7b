package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/provider/storage"
)

func (sh *shell) sessionCommand() *cobra.Command {
	return commandGroup("session", "Sessions of people: list, end", sh.sessionList(), sh.sessionEnd())
}

// shownSession is a session as it is printed.
type shownSession struct {
	ID         string    `json:"sid"`
	SignedInAt time.Time `json:"auth_time"`
	LastSeen   time.Time `json:"last_seen"`
	ExpiresAt  time.Time `json:"expires_at"`
	Address    string    `json:"address,omitempty"`
	UserAgent  string    `json:"user_agent,omitempty"`
	AMR        []string  `json:"amr,omitempty"`
	ACR        string    `json:"acr,omitempty"`
	Clients    []string  `json:"clients,omitempty"` // client_ids of the applications that it signed the person in to
}

func shownSessions(all []storage.Session) []shownSession {
	out := []shownSession{}
	for _, s := range all {
		out = append(out, shownSession{s.ID, s.AuthTime, s.LastSeen, s.ExpiresAt, s.Address, s.UserAgent, s.AMR, s.ACR,
			s.Clients})
	}
	return out
}

func (sh *shell) sessionList() *cobra.Command {
	return sh.siteCommand(siteCommand{
		use:   "list USERNAME",
		short: "List where a person is signed in",
		args:  exactArgs(1, oneUsername), json: true,
		run: func(ctx context.Context, s *site, args []string) error {
			u, err := s.admin.User(ctx, s.actor, args[0])
			if err != nil {
				return err
			}
			found, err := s.admin.SessionsOfUser(ctx, s.actor, u.ID)
			if err != nil {
				return err
			}
			all := shownSessions(found)
			if sh.json {
				return sh.printJSON(all)
			}
			rows := [][]string{{"SID", "SIGNED IN", "LAST SEEN", "ADDRESS", "APPLICATIONS"}}
			for _, one := range all {
				rows = append(rows, []string{one.ID, one.SignedInAt.Format(time.RFC3339),
					one.LastSeen.Format(time.RFC3339),
					one.Address, strings.Join(one.Clients, " ")})
			}
			return sh.table(rows)
		},
	})
}

func (sh *shell) sessionEnd() *cobra.Command {
	return act(sh, "end SID", "one sid, as latchkey session list shows it",
		"End one session, and tell the applications that it reached",
		func(ctx context.Context, s *site, id string) (string, error) {
			_, err := s.admin.EndSession(ctx, s.actor, id)
			return "The session is ended. A running server tells the applications.", err
		})
}
