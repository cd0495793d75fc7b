package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"latchkey/provider/audit"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

var noon = time.Now().UTC().Truncate(time.Hour)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func all(t *testing.T, s *storage.Store) []storage.Event {
	t.Helper()
	events, err := s.Events(t.Context(), storage.EventFilter{}, "", 10_000)
	must(t, err)
	return events
}

func TestEventOfAChangeIsBegunAndSettled(t *testing.T) {
	t.Parallel()
	s := storagetest.SQLite(t)
	l := &audit.Log{Store: s, Now: func() time.Time { return noon }, Keep: time.Hour}
	e, err := l.Begin(t.Context(), storage.Event{Verb: "user.delete",
		Actor: storage.EventParty{Name: strings.Repeat("ü", 1000)}})
	must(t, err)
	got := all(t, s)
	if len(got) != 1 || got[0].Outcome != storage.OutcomeBegun || !got[0].Time.Equal(noon) ||
		!got[0].ExpiresAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("begun: %+v", got)
	}
	if n := len(got[0].Actor.Name); n > 210 {
		t.Errorf("a name of %d bytes was stored", n)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel() // the caller has gone
	l.Settle(gone, e, storage.OutcomeDone, "")
	if got := all(t, s); got[0].Outcome != storage.OutcomeDone {
		t.Errorf("settled: %+v", got)
	}
}

func TestEventThatCannotBeStoredIsInTheServersLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &audit.Log{Store: down{}, Now: func() time.Time { return noon },
		Logger: slog.New(slog.NewTextHandler(&out, nil))}
	l.Note(t.Context(), storage.Event{Verb: "session.begin", Actor: storage.EventParty{ID: "u1"}})
	if text := out.String(); !strings.Contains(text, "session.begin") || !strings.Contains(text, "actor=u1") ||
		!strings.Contains(text, "level=ERROR") {
		t.Error(text)
	}
	if _, err := l.Begin(t.Context(), storage.Event{}); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a change may be made whose event was not stored: %v", err)
	}
}

type down struct{ *storage.Store }

func (down) AppendEvent(context.Context, storage.Event) error { return storage.ErrUnavailable }

func TestNoLogIsNoError(t *testing.T) {
	t.Parallel()
	var l *audit.Log
	e, err := l.Begin(t.Context(), storage.Event{})
	must(t, err)
	l.Settle(t.Context(), e, storage.OutcomeDone, "")
	l.Note(t.Context(), e)
	l.Failure(t.Context(), e, "scope")
}

// A flood of failures leaves a few events, which say how many there were.
func TestFailuresOfAFloodAreBounded(t *testing.T) {
	t.Parallel()
	s := storagetest.SQLite(t)
	now := noon
	l := &audit.Log{Store: s, Now: func() time.Time { return now }}
	const flood = 1024
	for range flood {
		l.Failure(t.Context(), storage.Event{Verb: "sign_in.fail", Reason: "wrong_password"}, "account ada",
			"network 192.0.2.0")
	}
	events, sum := all(t, s), 0
	for _, e := range events {
		sum += max(e.Count, 1)
		if e.Outcome != storage.OutcomeRefused {
			t.Errorf("%+v", e)
		}
	}
	if len(events) != 17 || sum != flood { // ten, 16, 32, 64, 128, 256, 512, 1024
		t.Errorf("%d failures left %d events, which stand for %d", flood, len(events), sum)
	}
	// Another account from the same network: the network has had its share.
	for i := range 100 {
		l.Failure(t.Context(), storage.Event{Verb: "sign_in.fail"}, fmt.Sprint("account ", i), "network 192.0.2.0")
	}
	if n := len(all(t, s)) - len(events); n > 34 {
		t.Errorf("100 accounts from one network left %d events", n)
	}
	now = now.Add(time.Hour)
	before := len(all(t, s))
	l.Failure(t.Context(), storage.Event{Verb: "sign_in.fail"}, "account ada", "network 192.0.2.0")
	if n := len(all(t, s)); n != before+1 {
		t.Error("the next hour begins with a limit that is used up")
	}
}

func TestDiffHasWhatChangedAndNoSecret(t *testing.T) {
	t.Parallel()
	type inner struct {
		Email  string `json:"email,omitempty"`
		Secret string `json:"-"`
	}
	type record struct {
		Name   string   `json:"name"`
		Claims inner    `json:"claims"`
		List   []string `json:"list,omitempty"`
	}
	for name, c := range map[string]struct {
		before, after any
		want          string
	}{
		"created":   {nil, record{Name: "a"}, ` {"name":"a"}`},
		"deleted":   {record{Name: "a"}, nil, `{"name":"a"} `},
		"one field": {record{Name: "a"}, record{Name: "b"}, `{"name":"a"} {"name":"b"}`},
		"inside": {record{Claims: inner{Email: "a"}}, record{Claims: inner{Email: "b"}},
			`{"claims.email":"a"} {"claims.email":"b"}`},
		"added":        {record{}, record{List: []string{"x"}}, ` {"list":["x"]}`},
		"removed":      {record{List: []string{"x"}}, record{}, `{"list":["x"]} `},
		"secret alone": {record{Claims: inner{Secret: "a"}}, record{Claims: inner{Secret: "b"}}, ` `},
		"too long":     {nil, map[string]string{"a": strings.Repeat("x", 3000)}, ` {"a":"[3002 bytes]"}`},
		"nothing":      {nil, nil, ` `},
	} {
		from, to, err := audit.Diff(c.before, c.after)
		if got := string(from) + " " + string(to); err != nil || got != c.want {
			t.Errorf("%s: %s %v, want %s", name, got, err, c.want)
		}
	}
	many := map[string]string{}
	for i := range 1000 {
		many[fmt.Sprintf("member-%04d", i)] = strings.Repeat("x", 1000)
	}
	if _, to, err := audit.Diff(nil, many); err != nil || len(to) > 32<<10 {
		t.Errorf("%d bytes, %v", len(to), err)
	}
}
