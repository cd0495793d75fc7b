package spa

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/text/language"
)

//go:embed texts/*.json
var textFiles embed.FS

// texts is everything that the page says, in one language. A %s stands for a name or a number.
type texts struct {
	Language          string            `json:"-"` // RFC 5646
	OtherApplications string            `json:"other_applications"`
	Tagline           string            `json:"tagline"`
	NeedsScripts      string            `json:"needs_scripts"`
	Wait              string            `json:"wait"`
	Welcome           string            `json:"welcome"`
	WelcomeText       string            `json:"welcome_text"`
	SignIn            string            `json:"sign_in"`
	SignInSilently    string            `json:"sign_in_silently"`
	SignedInAs        string            `json:"signed_in_as"`
	SignOutEverywhere string            `json:"sign_out_everywhere"`
	SignOutHere       string            `json:"sign_out_here"`
	Glance            string            `json:"glance"`
	Balance           string            `json:"balance"`
	NoLedger          string            `json:"no_ledger"`
	Course            string            `json:"course"`
	Latest            string            `json:"latest"`
	NothingYet        string            `json:"nothing_yet"`
	What              string            `json:"what"`
	Amount            string            `json:"amount"`
	Way               string            `json:"way"`
	Out               string            `json:"out"`
	In                string            `json:"in"`
	Enter             string            `json:"enter"`
	Elsewhere         string            `json:"elsewhere"`
	Behind            string            `json:"behind"`
	BehindText        string            `json:"behind_text"`
	Username          string            `json:"username"`
	Email             string            `json:"email"`
	Subject           string            `json:"subject"`
	Groups            string            `json:"groups"`
	Roles             string            `json:"roles"`
	CallAnAPI         string            `json:"call_an_api"`
	CallAnonymous     string            `json:"call_anonymous"`
	CallTampered      string            `json:"call_tampered"`
	IDToken           string            `json:"id_token"`
	Header            string            `json:"header"`
	Claims            string            `json:"claims"`
	Footer            string            `json:"footer"`
	Script            map[string]string `json:"script"` // for app.js
}

// languages are those of the folder texts, the one for everybody else first.
var languages = []language.Tag{language.English, language.German, language.French}

var byLanguage, matcher = readTexts(), language.NewMatcher(languages)

func readTexts() []*texts {
	var all []*texts
	for _, tag := range languages {
		file, err := textFiles.Open("texts/" + tag.String() + ".json")
		if err != nil {
			panic(err) // it is embedded
		}
		t := &texts{Language: tag.String()}
		d := json.NewDecoder(file)
		d.DisallowUnknownFields()
		if err := d.Decode(t); err != nil {
			panic(fmt.Errorf("texts/%s.json: %w", tag, err))
		}
		all = append(all, t)
	}
	return all
}

// maxLanguages bounds what is read of the Accept-Language header.
const maxLanguages = 500

// languageFor returns the place in byLanguage of the language that the browser likes best
// (RFC 9110 §12.5.4).
func languageFor(r *http.Request) int {
	header := strings.Join(r.Header.Values("Accept-Language"), ",")
	if len(header) > maxLanguages {
		header = header[:maxLanguages]
	}
	wanted, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return 0
	}
	_, i, _ := matcher.Match(wanted...)
	return i
}

// CallLabel is what the button of a call says.
func (t *texts) CallLabel(way string) string {
	switch way {
	case "anonymous":
		return t.CallAnonymous
	case "tampered":
		return t.CallTampered
	}
	return "GET /" + way
}
