package api

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxEntries = 500       // of one person
	maxPeople  = 1000      // with a ledger
	maxCents   = 100000000 // of one entry, in either direction
	maxWhat    = 120       // characters
	maxBody    = 4 << 10   // bytes of a new entry
)

// entry is one line of a ledger.
type entry struct {
	ID    string    `json:"id"`
	When  time.Time `json:"when"`
	What  string    `json:"what"`
	Cents int64     `json:"cents"` // what came in; negative: what went out
}

// ledger keeps everybody's entries, each person's apart: the subject of the access token is whose
// they are.
type ledger struct {
	file string // empty: in memory only

	mu        sync.Mutex
	bySubject map[string][]entry // the newest last
}

var errFull = errors.New("the ledger is full")

// openLedger reads the file, if there is one.
func openLedger(file string) (*ledger, error) {
	l := &ledger{file: file, bySubject: map[string][]entry{}}
	if file == "" {
		return l, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &l.bySubject); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}

// of returns the person's entries, the newest first, and what they come to.
func (l *ledger) of(subject string) (entries []entry, balance int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.bySubject[subject]
	entries = make([]entry, 0, len(own))
	for i := len(own) - 1; i >= 0; i-- {
		entries, balance = append(entries, own[i]), balance+own[i].Cents
	}
	return entries, balance
}

func (l *ledger) add(subject string, e entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, known := l.bySubject[subject]
	if len(own) >= maxEntries || (!known && len(l.bySubject) >= maxPeople) {
		return errFull
	}
	return l.replace(subject, append(own[:len(own):len(own)], e))
}

// remove reports whether there was such an entry.
func (l *ledger) remove(subject, id string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rest []entry
	for _, e := range l.bySubject[subject] {
		if e.ID != id {
			rest = append(rest, e)
		}
	}
	if len(rest) == len(l.bySubject[subject]) {
		return false, nil
	}
	return true, l.replace(subject, rest)
}

// replace changes a person's entries, in the file first: what was answered for is there after a
// restart.
func (l *ledger) replace(subject string, own []entry) error {
	before, known := l.bySubject[subject]
	l.bySubject[subject] = own
	err := l.write()
	if err != nil {
		l.bySubject[subject] = before
		if !known {
			delete(l.bySubject, subject)
		}
	}
	return err
}

func (l *ledger) write() error {
	if l.file == "" {
		return nil
	}
	text, err := json.Marshal(l.bySubject)
	if err != nil {
		return err
	}
	// A whole file takes the place of the other, so that a crash leaves one of the two.
	fresh, err := os.CreateTemp(filepath.Dir(l.file), filepath.Base(l.file)+".*")
	if err != nil {
		return err
	}
	_, err = fresh.Write(text)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), l.file)
	}
	if err != nil {
		_ = os.Remove(fresh.Name()) // it may be gone already
	}
	return err
}

// listEntries answers with the caller's entries and what they come to.
func (a *api) listEntries(w http.ResponseWriter, _ *http.Request, t token) {
	entries, balance := a.ledger.of(t.Subject)
	answer(w, http.StatusOK, map[string]any{"entries": entries, "balance": balance})
}

// addEntry writes a new entry into the caller's ledger.
func (a *api) addEntry(w http.ResponseWriter, r *http.Request, t token) {
	asked, wrong := readEntry(w, r)
	if wrong != "" {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_entry", "error_description": wrong})
		return
	}
	asked.ID, asked.When = rand.Text(), a.config.Now().UTC().Truncate(time.Second)
	switch err := a.ledger.add(t.Subject, asked); {
	case errors.Is(err, errFull):
		answer(w, http.StatusConflict, map[string]any{"error": "full",
			"error_description": "the ledger is full: remove an entry first"})
	case err != nil:
		a.notKept(w, r, err)
	default:
		answer(w, http.StatusCreated, map[string]any{"entry": asked})
	}
}

// removeEntry removes one of the caller's entries. Other people's do not exist for it.
func (a *api) removeEntry(w http.ResponseWriter, r *http.Request, t token) {
	switch found, err := a.ledger.remove(t.Subject, r.PathValue("id")); {
	case err != nil:
		a.notKept(w, r, err)
	case !found:
		answer(w, http.StatusNotFound, map[string]any{"error": "not_found",
			"error_description": "there is no such entry in this ledger"})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (a *api) notKept(w http.ResponseWriter, r *http.Request, err error) {
	a.config.Logger.ErrorContext(r.Context(), "write the ledger", "cause", err)
	answer(w, http.StatusInternalServerError, map[string]any{"error": "server_error",
		"error_description": "the entry could not be written"})
}

// readEntry reads what and cents of a new entry, or says what is wrong with the request.
func readEntry(w http.ResponseWriter, r *http.Request) (e entry, wrong string) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return e, "the body must be application/json"
	}
	var asked struct {
		What  string `json:"what"`
		Cents *int64 `json:"cents"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := d.Decode(&asked); err != nil || d.More() {
		return e, `the body must be one object like {"what": "Train", "cents": -1250}`
	}
	what := strings.TrimSpace(asked.What)
	switch {
	case what == "" || utf8.RuneCountInString(what) > maxWhat || strings.ContainsFunc(what, unicode.IsControl):
		return e, fmt.Sprintf("what must be a line of 1 to %d characters", maxWhat)
	case asked.Cents == nil || *asked.Cents == 0 || *asked.Cents > maxCents || *asked.Cents < -maxCents:
		return e, fmt.Sprintf("cents must be a whole number from -%d to %d, and not 0", maxCents, maxCents)
	}
	return entry{What: what, Cents: *asked.Cents}, ""
}
