package webapp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// contents is what people have put into the application.
type contents struct {
	Notes    map[string][]note `json:"notes,omitempty"`    // by subject, the newest last
	Pictures []picture         `json:"pictures,omitempty"` // the newest last
}

type note struct {
	ID      string    `json:"id"`
	Text    string    `json:"text"`
	Changed time.Time `json:"changed"`
}

type picture struct {
	ID      string    `json:"id"`
	Owner   string    `json:"owner"` // subject of the person who hung it up
	By      string    `json:"by"`    // their name then
	Caption string    `json:"caption"`
	Kind    string    `json:"kind"` // image/jpeg, image/png or image/gif
	Data    []byte    `json:"data"`
	Hung    time.Time `json:"hung"`
}

// store keeps the contents in memory, and in a file if it has one.
type store struct {
	file string

	mu  sync.Mutex
	now contents
}

func openStore(file string) (*store, error) {
	s := &store{file: file}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			if err := json.Unmarshal(text, &s.now); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if s.now.Notes == nil {
		s.now.Notes = map[string][]note{}
	}
	return s, nil
}

// read gives look the contents, which it must neither change nor keep.
func (s *store) read(look func(contents)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look(s.now)
}

// notes replaces a person's notes by what change returns, in the file first. An error of change
// changes nothing.
func (s *store) notes(subject string, change func(own []note, people int) ([]note, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.now.Notes[subject]
	after, err := change(append([]note(nil), before...), len(s.now.Notes))
	if err != nil {
		return err
	}
	s.now.Notes[subject] = after
	if err = s.write(); err != nil {
		s.now.Notes[subject] = before
		if !known {
			delete(s.now.Notes, subject)
		}
	}
	return err
}

// pictures replaces the pictures likewise.
func (s *store) pictures(change func(all []picture) ([]picture, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now.Pictures
	after, err := change(append([]picture(nil), before...))
	if err != nil {
		return err
	}
	s.now.Pictures = after
	if err = s.write(); err != nil {
		s.now.Pictures = before
	}
	return err
}

// write puts a whole file in the place of the other, so that a crash leaves one of the two.
func (s *store) write() error {
	if s.file == "" {
		return nil
	}
	text, err := json.Marshal(s.now)
	if err != nil {
		return err
	}
	fresh, err := os.CreateTemp(filepath.Dir(s.file), filepath.Base(s.file)+".*")
	if err != nil {
		return err
	}
	_, err = fresh.Write(text)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), s.file)
	}
	if err != nil {
		_ = os.Remove(fresh.Name()) // it may be gone already
	}
	return err
}
