package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/console"
	"latchkey/provider/storage"
)

// mostDiagnosed is how many refused requests of an application are printed.
const mostDiagnosed = 20

func (sh *shell) doctorCommand() *cobra.Command {
	return sh.siteCommand(siteCommand{
		use:   "doctor ID",
		short: "Say why requests of an application were refused: what was expected, and what was received",
		long: `Say why requests of an application were refused. ID is the reference on the page that a person saw, or a client_id for the last ones.
Refused requests are kept for a week, without secrets, and not more than some of an hour.`,
		example: "  latchkey doctor 7KQ2MZB4XWPA\n  latchkey doctor notes",
		args:    exactArgs(1, "a reference or a client_id"), json: true,
		run: func(ctx context.Context, s *site, args []string) error {
			all, err := diagnoses(ctx, s, args[0])
			if err != nil {
				return err
			}
			if sh.json {
				return sh.printJSON(all)
			}
			if len(all) == 0 {
				return sh.done("No request of %s was refused in the last week.", args[0])
			}
			for _, d := range all {
				sh.printf("%s  %s  %s  %d %s\n  %s\n", d.Code, d.Time.UTC().Format("2006-01-02 15:04:05"),
					printable(d.Endpoint), d.Status, printable(d.Error), printable(d.Reason))
				for _, f := range d.Findings {
					if f.OK {
						sh.printf("  %s is right\n", f.Field)
						continue
					}
					sh.printf("  %s\n    expected  %s\n    received  %s\n", f.Field,
						printable(strings.ReplaceAll(f.Expected, "\n", ", ")), printable(f.Received))
				}
			}
			return nil
		},
	})
}

// diagnoses are the refused request with this reference, or the last ones of a client.
func diagnoses(ctx context.Context, s *site, id string) ([]console.Diagnosis, error) {
	f, err := s.admin.FailedRequest(ctx, s.actor, strings.ToUpper(id))
	if err == nil {
		client, err := s.store.Client(ctx, f.ClientID)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
		return []console.Diagnosis{console.Diagnose(f, client, err == nil)}, nil
	}
	if !errors.Is(err, admin.ErrNotFound) {
		return nil, err
	}
	var client clients.Client
	if client, err = s.admin.Client(ctx, s.actor, id); err != nil {
		return nil, err
	}
	found, err := s.store.FailedRequests(ctx, client.ID, mostDiagnosed)
	all := []console.Diagnosis{}
	for _, f := range found {
		all = append(all, console.Diagnose(f, client, true))
	}
	return all, err
}
