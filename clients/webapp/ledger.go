package webapp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The ledger is kept by the first API. The application shows it and writes into it with the
// person's access token, so that the API decides whose ledger it is.

const (
	maxWhat  = 120       // characters of an entry, as the API has it
	maxCents = 100000000 // of an entry, likewise
)

type ledgerEntry struct {
	ID    string    `json:"id"`
	When  time.Time `json:"when"`
	What  string    `json:"what"`
	Cents int64     `json:"cents"`
}

// ledgerPage is what the page shows of the ledger.
type ledgerPage struct {
	Entries []ledgerEntry `json:"entries"`
	Balance int64         `json:"balance"`
	Trouble string        `json:"-"` // why it cannot be shown
	Ended   bool          `json:"-"` // the API takes the access token no more
}

// readLedger asks the API for the person's entries.
func (a *app) readLedger(ctx context.Context, t *texts, s session) (l ledgerPage) {
	if len(a.config.APIs) == 0 {
		return ledgerPage{Trouble: t.LedgerMissing}
	}
	got, err := a.ledgerCall(ctx, s, http.MethodGet, "/entries", nil)
	switch {
	case err != nil:
		a.config.Logger.WarnContext(ctx, "read the ledger", "cause", err)
		l.Trouble = fmt.Sprintf(t.LedgerAway, cause(err))
	case got.Status == http.StatusUnauthorized:
		l.Trouble, l.Ended = t.AccessRanOut, true
	case got.Status != http.StatusOK:
		l.Trouble = fmt.Sprintf(t.LedgerAway, strconv.Itoa(got.Status)+" "+got.StatusText)
	default:
		if err := json.Unmarshal([]byte(got.Body), &l); err != nil {
			l = ledgerPage{Trouble: fmt.Sprintf(t.LedgerAway, "JSON")}
		}
	}
	return l
}

// ledgerCall calls the first API with the access token. body is sent as JSON, unless it is nil.
func (a *app) ledgerCall(ctx context.Context, s session, method, path string, body any) (answer, error) {
	var got answer
	text, err := json.Marshal(body)
	if err != nil {
		return got, err
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(a.config.APIs[0].URL, "/")+path,
		bytes.NewReader(text))
	if err != nil {
		return got, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.accessToken)
	return got, a.ask(req, &got, maxLedger)
}

const maxLedger = 1 << 20 // bytes

// amountPattern is an amount as people type it: whole euros, or with cents after a point or comma.
var amountPattern = regexp.MustCompile(`^([0-9]{1,7})(?:[.,]([0-9]{1,2}))?$`)

func parseAmount(text string) (cents int64, ok bool) {
	m := amountPattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, false
	}
	whole, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, false
	}
	part, err := strconv.ParseInt((m[2] + "00")[:2], 10, 64)
	if err != nil {
		return 0, false
	}
	cents = whole*100 + part
	return cents, cents > 0 && cents <= maxCents
}

// enter writes a new entry.
func (a *app) enter(w http.ResponseWriter, r *http.Request, s session) {
	cents, ok := parseAmount(r.PostForm.Get("amount"))
	what := strings.TrimSpace(r.PostForm.Get("what"))
	if !ok || what == "" || utf8.RuneCountInString(what) > maxWhat {
		a.fail(w, r, http.StatusBadRequest, textsFor(r).EntryBad)
		return
	}
	if r.PostForm.Get("way") != "in" {
		cents = -cents
	}
	a.changeLedger(w, r, s, http.MethodPost, "/entries", map[string]any{"what": what, "cents": cents})
}

// strike removes an entry.
func (a *app) strike(w http.ResponseWriter, r *http.Request, s session) {
	a.changeLedger(w, r, s, http.MethodDelete, "/entries/"+url.PathEscape(r.PostForm.Get("id")), nil)
}

func (a *app) changeLedger(w http.ResponseWriter, r *http.Request, s session, method, path string, body any) {
	t := textsFor(r)
	if len(a.config.APIs) == 0 {
		a.fail(w, r, http.StatusNotImplemented, t.LedgerMissing)
		return
	}
	got, err := a.ledgerCall(r.Context(), s, method, path, body)
	switch {
	case err != nil:
		a.config.Logger.WarnContext(r.Context(), "write the ledger", "cause", err)
		a.fail(w, r, http.StatusBadGateway, fmt.Sprintf(t.LedgerAway, cause(err)))
	case got.Status == http.StatusUnauthorized:
		a.fail(w, r, http.StatusUnauthorized, t.AccessRanOut)
	case got.Status == http.StatusBadRequest:
		a.fail(w, r, http.StatusBadRequest, t.EntryBad)
	case got.Status/100 != 2 && got.Status != http.StatusNotFound: // not found: struck in another tab
		a.fail(w, r, http.StatusBadGateway, fmt.Sprintf(t.LedgerAway, strconv.Itoa(got.Status)+" "+got.StatusText))
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}
