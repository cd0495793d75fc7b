package webapp

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

// texts is everything that the pages say, in one language. A %s stands for a name or a number.
type texts struct {
	Language            string            `json:"-"` // RFC 5646
	OtherApplications   string            `json:"other_applications"`
	TaglineNotes        string            `json:"tagline_notes"`
	TaglinePhotos       string            `json:"tagline_photos"`
	TaglineLedger       string            `json:"tagline_ledger"`
	WelcomeNotes        string            `json:"welcome_notes"`
	WelcomePhotos       string            `json:"welcome_photos"`
	WelcomeLedger       string            `json:"welcome_ledger"`
	WelcomeText         string            `json:"welcome_text"`
	SignIn              string            `json:"sign_in"`
	SignedInAs          string            `json:"signed_in_as"`
	SignOutEverywhere   string            `json:"sign_out_everywhere"`
	SignOutHere         string            `json:"sign_out_here"`
	EndedHere           string            `json:"ended_here"`
	EndedBackchannel    string            `json:"ended_backchannel"`
	EndedReturn         string            `json:"ended_return"`
	EndedRefused        string            `json:"ended_refused"`
	FormUnreadable      string            `json:"form_unreadable"`
	FormForeign         string            `json:"form_foreign"`
	ProviderAway        string            `json:"provider_away"`
	CookiesNeeded       string            `json:"cookies_needed"`
	AnswerGarbled       string            `json:"answer_garbled"`
	AnswerForeign       string            `json:"answer_foreign"`
	AnswerOfAnother     string            `json:"answer_of_another"`
	AnswerEmpty         string            `json:"answer_empty"`
	SignInIncomplete    string            `json:"sign_in_incomplete"`
	NoRefreshToken      string            `json:"no_refresh_token"`
	NotRenewed          string            `json:"not_renewed"`
	RenewedBadly        string            `json:"renewed_badly"`
	NoSignOutEverywhere string            `json:"no_sign_out_everywhere"`
	NoSuchAPI           string            `json:"no_such_api"`
	AccessRanOut        string            `json:"access_ran_out"`
	NotKept             string            `json:"not_kept"`
	Errors              map[string]string `json:"errors"`
	ItSays              string            `json:"it_says"`
	NotesTitle          string            `json:"notes_title"`
	NoteLabel           string            `json:"note_label"`
	NoteAdd             string            `json:"note_add"`
	NoteEdit            string            `json:"note_edit"`
	NoteSave            string            `json:"note_save"`
	NotesEmpty          string            `json:"notes_empty"`
	NoteBad             string            `json:"note_bad"`
	NotesFull           string            `json:"notes_full"`
	Remove              string            `json:"remove"`
	PhotosTitle         string            `json:"photos_title"`
	PictureLabel        string            `json:"picture_label"`
	CaptionLabel        string            `json:"caption_label"`
	PictureAdd          string            `json:"picture_add"`
	HungBy              string            `json:"hung_by"`
	PictureBad          string            `json:"picture_bad"`
	CaptionBad          string            `json:"caption_bad"`
	PicturesFull        string            `json:"pictures_full"`
	Scenes              []string          `json:"scenes"`
	LedgerTitle         string            `json:"ledger_title"`
	Balance             string            `json:"balance"`
	EntryWhat           string            `json:"entry_what"`
	EntryAmount         string            `json:"entry_amount"`
	EntryWay            string            `json:"entry_way"`
	EntryOut            string            `json:"entry_out"`
	EntryIn             string            `json:"entry_in"`
	EntryAdd            string            `json:"entry_add"`
	EntryDate           string            `json:"entry_date"`
	EntriesEmpty        string            `json:"entries_empty"`
	EntryBad            string            `json:"entry_bad"`
	LedgerAway          string            `json:"ledger_away"`
	LedgerMissing       string            `json:"ledger_missing"`
	Amount              string            `json:"money"`
	DecimalMark         string            `json:"decimal_mark"`
	GroupMark           string            `json:"group_mark"`
	Behind              string            `json:"behind"`
	BehindText          string            `json:"behind_text"`
	Username            string            `json:"username"`
	Email               string            `json:"email"`
	Subject             string            `json:"subject"`
	Groups              string            `json:"groups"`
	Roles               string            `json:"roles"`
	None                string            `json:"none"`
	CallAnAPI           string            `json:"call_an_api"`
	CallText            string            `json:"call_text"`
	GoodFor             string            `json:"good_for"`
	Expired             string            `json:"expired"`
	CallAnonymous       string            `json:"call_anonymous"`
	CallTampered        string            `json:"call_tampered"`
	WithToken           string            `json:"with_token"`
	WithoutToken        string            `json:"without_token"`
	WithTampered        string            `json:"with_tampered"`
	NoAnswer            string            `json:"no_answer"`
	Renew               string            `json:"renew"`
	Renewed             string            `json:"renewed"`
	SteppedUp           string            `json:"stepped_up"`
	IDToken             string            `json:"id_token"`
	Verified            string            `json:"verified"`
	Header              string            `json:"header"`
	Claims              string            `json:"claims"`
	Footer              string            `json:"footer"`
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

// textsFor chooses the language that the browser likes best (RFC 9110 §12.5.4).
func textsFor(r *http.Request) *texts {
	header := strings.Join(r.Header.Values("Accept-Language"), ",")
	if len(header) > maxLanguages {
		header = header[:maxLanguages]
	}
	wanted, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return byLanguage[0]
	}
	_, i, _ := matcher.Match(wanted...)
	return byLanguage[i]
}

// Money writes an amount of euros.
func (t *texts) Money(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "\u2212", -cents
	}
	whole := fmt.Sprint(cents / 100)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + t.GroupMark + whole[i:]
	}
	return sign + fmt.Sprintf(t.Amount, fmt.Sprintf("%s%s%02d", whole, t.DecimalMark, cents%100))
}

// failure says what an error of the provider means to a person (RFC 6749 §4.1.2.1,
// OIDC Core §3.1.2.6).
func (t *texts) failure(code, description string) string {
	words := t.Errors[code]
	if words == "" {
		words = t.Errors["other"]
	}
	if description != "" {
		words += " " + fmt.Sprintf(t.ItSays, clip(description, 300))
	}
	return words + " (" + clip(code, 60) + ")"
}

// clip bounds a text that comes from outside.
func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
