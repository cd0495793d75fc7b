package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/storage"
)

// maxEvents bounds what one call of latchkey audit prints.
const maxEvents = 100_000

func (sh *shell) auditCommand() *cobra.Command {
	var actor, object, since, until string
	var filter storage.EventFilter
	var limit int
	cmd := sh.siteCommand(siteCommand{
		use:   "audit",
		short: "List what was done: by whom, to what, and what came of it; newest first",
		long: `List the events of the audit log, newest first: who did what to which object, from where, and what came of it.

An outcome of done or refused is what it says. A change that is begun was cut off: look whether it was made. An event that has a count stands for
so many failed attempts of the same kind. Before and after are the fields that changed; --json has all of an event. No secret is among it.

Events are kept for audit.keep.`,
		example: `  latchkey audit --since 24h
  latchkey audit --object user:ada --verb user.
  latchkey audit --actor command: --since 2026-05-01 --until 2026-06-01 --json`,
		args: exactArgs(0, ""), json: true,
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar(&actor, "actor", "", "only what `WHO` did: a username, client_id or sub; user:ada, client:notes, command:, system: say of which kind")
			f.StringVar(&filter.VerbPrefix, "verb", "",
				"only what was done that begins with `VERB`, such as client. or client.create")
			f.StringVar(&object, "object", "", "only what was done to `WHAT`: a username, group, client_id or sub; user:ada, group:staff and so on say of which kind")
			f.StringVar(&since, "since", "", "only from `TIME` on: 24h or 7d ago, 2026-05-01, or 2026-05-01T12:00:00Z")
			f.StringVar(&until, "until", "", "only before `TIME`")
			f.IntVar(&limit, "limit", 100, "at most so `MANY`")
		},
		before: func(_ *cobra.Command, _ []string) error {
			if limit < 1 || limit > maxEvents {
				return usage("--limit must be from 1 to %d", maxEvents)
			}
			var ok bool
			if filter.ActorKind, filter.Actor, ok = party(actor, storage.ActorUser, storage.ActorClient,
				storage.ActorCommand, storage.ActorSystem); !ok {
				return usage("--actor must begin with user:, client:, command: or system:, or be a name alone")
			}
			if filter.ObjectKind, filter.Object, ok = party(object, objectKinds...); !ok {
				return usage("--object must begin with one of %s:, or be a name alone",
					strings.Join(objectKinds, ":, "))
			}
			for _, t := range []struct {
				flag, text string
				into       *time.Time
			}{{"since", since, &filter.Since}, {"until", until, &filter.Until}} {
				if *t.into, ok = moment(t.text, time.Now()); !ok {
					return usage("--%s must be how long ago, such as 24h or 7d, or a time, such as 2026-05-01 or 2026-05-01T12:00:00Z", t.flag)
				}
			}
			return nil
		},
		run: func(ctx context.Context, s *site, _ []string) error {
			events, before := []storage.Event{}, ""
			for len(events) < limit {
				page, err := s.admin.Events(ctx, s.actor, filter, before, min(500, limit-len(events)))
				if err != nil {
					return err
				}
				if len(page) == 0 {
					break
				}
				events, before = append(events, page...), page[len(page)-1].ID
			}
			return sh.printEvents(events)
		},
	})
	cmd.AddCommand(sh.auditVerifyCommand())
	return cmd
}

// objectKinds are the kinds of object that events have.
var objectKinds = []string{"user", "group", "client", "session", "consent", "token", "key", "manifest"}

// party reads a name with or without a kind before it: user:ada, ada, or user: for all of the kind.
func party(s string, kinds ...string) (kind, name string, ok bool) {
	before, after, found := strings.Cut(s, ":")
	if !found {
		return "", s, true
	}
	return before, after, slices.Contains(kinds, before)
}

// moment reads a time, or how long ago. "" is the zero time.
func moment(s string, now time.Time) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	var ago config.Duration
	if ago.UnmarshalText([]byte(s)) == nil {
		return now.Add(-time.Duration(ago)), ago >= 0
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	t, err := time.ParseInLocation(time.DateOnly, s, time.Local)
	return t, err == nil
}

func (sh *shell) printEvents(events []storage.Event) error {
	if sh.json {
		return sh.printJSON(events)
	}
	rows := [][]string{{"TIME", "ACTOR", "VERB", "OBJECT", "OUTCOME", "DETAILS"}}
	for _, e := range events {
		outcome := e.Outcome
		if e.Reason != "" {
			outcome += ": " + e.Reason
		}
		rows = append(rows, []string{e.Time.Local().Format("2006-01-02 15:04:05"), partyName(e.Actor), e.Verb,
			partyName(e.Object), outcome, eventDetails(e)})
	}
	return sh.table(rows)
}

// partyName is who or what, in one word.
func partyName(p storage.EventParty) string {
	name := p.Name
	if name == "" {
		name = p.ID
	}
	if p.Kind == "client" && p.ID != "" {
		name = p.ID
	}
	return strings.TrimSuffix(p.Kind+":"+name, ":")
}

// eventDetails is what there is besides, in one line: the fields that changed, how many, from
// where.
func eventDetails(e storage.Event) string {
	var out []string
	if e.Count > 1 {
		out = append(out, "count="+jsonText(e.Count))
	}
	if e.ClientID != "" {
		out = append(out, "client="+e.ClientID)
	}
	if e.Address != "" {
		out = append(out, "address="+e.Address)
	}
	var before, after map[string]json.RawMessage
	_ = json.Unmarshal(e.Before, &before)
	_ = json.Unmarshal(e.After, &after)
	var names []string
	for name := range before {
		names = append(names, name)
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		was, is := shortText(before[name]), shortText(after[name])
		switch {
		case e.Before == nil, was == "":
			out = append(out, name+"="+is)
		case e.After != nil || is != "":
			out = append(out, name+"="+was+"→"+is)
		default:
			out = append(out, name+"="+was)
		}
	}
	const most = 200
	line := []rune(strings.Join(out, " "))
	if len(line) > most {
		line = append(line[:most], '…')
	}
	return string(line)
}

func jsonText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// shortText is a JSON value for people: texts without quotes.
func shortText(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

func (sh *shell) auditVerifyCommand() *cobra.Command {
	var expect string
	return sh.siteCommand(siteCommand{
		use:   "verify",
		short: "Say whether the audit log is as it was sealed",
		long: `Look at the whole audit log and at the chain of hashes over it. A running server seals events when they are five minutes old. An event that
was changed, added or removed since is found, unless the chain was made anew after that place: note the head that this command prints
where nobody who can write to the database can write, and give it with --expect the next time.`,
		example: "  latchkey audit verify\n  latchkey audit verify --expect 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
		args:    exactArgs(0, ""), json: true,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&expect, "expect", "", "the head that was printed before, a `HASH`")
		},
		run: func(ctx context.Context, s *site, _ []string) error {
			v, err := s.audit.Verify(ctx, s.store, expect)
			if err != nil {
				return err
			}
			if sh.json {
				if err := sh.printJSON(v); err != nil {
					return err
				}
			} else {
				for _, f := range v.Faults {
					sh.printf("%s\n", printable(f))
				}
				sh.printf("head %s\n", v.Head)
			}
			if len(v.Faults) > 0 {
				return fmt.Errorf("the audit log is not as it was sealed: %d faults", len(v.Faults))
			}
			return sh.done("The audit log is as it was sealed: %d events in %d seals; %d seals are of events that are not kept any more, %d events are not sealed yet.", v.Events, v.Seals, v.Expired, v.Open)
		},
	})
}
