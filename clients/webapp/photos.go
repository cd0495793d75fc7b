package webapp

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"embed"
	"fmt"
	"image"
	_ "image/gif"  // for image.DecodeConfig
	_ "image/jpeg" // likewise
	_ "image/png"  // likewise
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxPicture  = 1 << 20 // bytes
	maxSide     = 6000    // pixels
	maxPictures = 24      // on the wall
	maxOwn      = 8       // of one person
	maxCaption  = 80      // characters
)

// scenes are the pictures that hang there from the beginning, drawn for this wall. Their captions
// are in texts.
//
//go:embed scenes/*.svg
var scenes embed.FS

var sceneNames = []string{"light", "tide", "birches", "road", "city", "aurora"}

// hanging is a picture as the page shows it.
type hanging struct {
	Address, Caption, By string
	Hung                 time.Time
	ID                   string // of one's own picture, which one may take down
}

// wall returns what hangs there, the newest first.
func (a *app) wall(t *texts, subject string) (all []hanging) {
	a.store.read(func(c contents) {
		for _, p := range slices.Backward(c.Pictures) {
			h := hanging{Address: "/pictures/" + p.ID, Caption: p.Caption, By: p.By, Hung: p.Hung}
			if p.Owner == subject {
				h.ID = p.ID
			}
			all = append(all, h)
		}
	})
	for i, name := range sceneNames {
		all = append(all, hanging{Address: "/pictures/" + name + ".svg", Caption: t.Scenes[i]})
	}
	return all
}

// picture shows one picture to people who are signed in.
func (a *app) picture(w http.ResponseWriter, r *http.Request) {
	if _, ok := a.session(r); !ok {
		http.Error(w, "sign in first", http.StatusForbidden)
		return
	}
	w.Header().Set("Cache-Control", "private, max-age=3600")
	id := r.PathValue("id")
	if name, ok := strings.CutSuffix(id, ".svg"); ok && slices.Contains(sceneNames, name) {
		http.ServeFileFS(w, r, scenes, "scenes/"+id)
		return
	}
	var found picture
	a.store.read(func(c contents) {
		if i := slices.IndexFunc(c.Pictures, func(p picture) bool { return p.ID == id }); i >= 0 {
			found = c.Pictures[i]
		}
	})
	if found.ID == "" {
		w.Header().Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", found.Kind) // one of three that begin no script, and nosniff is set
	_, _ = w.Write(found.Data)                 // the browser has gone; there is nobody left to tell
}

// hangPicture takes a picture up.
func (a *app) hangPicture(w http.ResponseWriter, r *http.Request, s session) {
	t := textsFor(r)
	caption := strings.TrimSpace(r.PostForm.Get("caption"))
	if caption == "" || utf8.RuneCountInString(caption) > maxCaption || !utf8.ValidString(caption) ||
		strings.ContainsFunc(caption, unicode.IsControl) {
		a.fail(w, r, http.StatusBadRequest, t.CaptionBad)
		return
	}
	file, _, err := r.FormFile("picture")
	if err != nil {
		a.fail(w, r, http.StatusBadRequest, t.PictureBad)
		return
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxPicture+1))
	if err != nil || len(data) > maxPicture {
		a.fail(w, r, http.StatusBadRequest, t.PictureBad)
		return
	}
	size, kind, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || size.Width < 1 || size.Height < 1 || size.Width > maxSide || size.Height > maxSide {
		a.fail(w, r, http.StatusBadRequest, t.PictureBad)
		return
	}
	hung := picture{ID: rand.Text(), Owner: s.subject, By: cmp.Or(s.who.Name, s.who.Username, s.subject),
		Caption: caption,
		Kind:    fmt.Sprintf("image/%s", kind), Data: data, Hung: a.config.Now()}
	err = a.store.pictures(func(all []picture) ([]picture, error) {
		own := 0
		for _, p := range all {
			if p.Owner == s.subject {
				own++
			}
		}
		if len(all) >= maxPictures || own >= maxOwn {
			return nil, errFull
		}
		return append(all, hung), nil
	})
	a.afterChange(w, r, err, t.PicturesFull)
}

// takePictureDown removes one of the person's own pictures.
func (a *app) takePictureDown(w http.ResponseWriter, r *http.Request, s session) {
	err := a.store.pictures(func(all []picture) ([]picture, error) {
		return slices.DeleteFunc(all, func(p picture) bool {
			return p.Owner == s.subject &&
				p.ID == r.PostForm.Get("id")
		}), nil
	})
	a.afterChange(w, r, err, "")
}
