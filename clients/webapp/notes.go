package webapp

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxNote   = 4000 // characters
	maxNotes  = 200  // of one person
	maxPeople = 1000 // with notes
)

var errFull = errors.New("full")

// ownNotes returns a person's notes, the newest first.
func (a *app) ownNotes(subject string) (own []note) {
	a.store.read(func(c contents) { own = slices.Clone(c.Notes[subject]) })
	slices.Reverse(own)
	return own
}

// keepNote writes a new note, or another text into the one that the form names.
func (a *app) keepNote(w http.ResponseWriter, r *http.Request, s session) {
	t := textsFor(r)
	text := strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n"))
	if text == "" || utf8.RuneCountInString(text) > maxNote || !utf8.ValidString(text) {
		a.fail(w, r, http.StatusBadRequest, t.NoteBad)
		return
	}
	written := note{ID: rand.Text(), Text: text, Changed: a.config.Now()}
	err := a.store.notes(s.subject, func(own []note, people int) ([]note, error) {
		if id := r.PostForm.Get("id"); id != "" {
			written.ID = id
			n := len(own)
			if own = slices.DeleteFunc(own, func(n note) bool { return n.ID == id }); len(own) == n {
				return own, nil // removed in another tab: that is what counts
			}
		}
		if len(own) >= maxNotes || (len(own) == 0 && people >= maxPeople) {
			return nil, errFull
		}
		return append(own, written), nil
	})
	a.afterChange(w, r, err, t.NotesFull)
}

func (a *app) removeNote(w http.ResponseWriter, r *http.Request, s session) {
	err := a.store.notes(s.subject, func(own []note, _ int) ([]note, error) {
		return slices.DeleteFunc(own, func(n note) bool { return n.ID == r.PostForm.Get("id") }), nil
	})
	a.afterChange(w, r, err, "")
}

// afterChange leads back to the page, or says why nothing was changed.
func (a *app) afterChange(w http.ResponseWriter, r *http.Request, err error, full string) {
	switch {
	case errors.Is(err, errFull):
		a.fail(w, r, http.StatusConflict, full)
	case err != nil:
		a.config.Logger.ErrorContext(r.Context(), "write the contents", "cause", err)
		a.fail(w, r, http.StatusInternalServerError, textsFor(r).NotKept)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}
