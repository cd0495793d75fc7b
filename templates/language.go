package templates

// Preferences lets a person choose language and time zone. Its form posts csrf, locale and zoneinfo
// to Action; "" is what the browser asks for, and UTC.
type Preferences struct {
	Frame
	Languages []Language
	Locale    string // what is chosen
	Zones     []string
	Zone      string
}

// NoticePreferencesSaved is what Preferences.Notice says: a key of a message.
const NoticePreferencesSaved = "language.saved"

func (Preferences) file() string { return "account/language" }

// Policy is the least: the form goes to ourselves.
func (Preferences) Policy() Policy { return Policy{} }

func preferencesSamples() []sample {
	full := Preferences{
		Frame: sampleFrame(NavLanguage, "/account/language"), Locale: "de", Zone: "Europe/London",
		Languages: []Language{{"de", "Deutsch"}, {"en", "English"}, {"ar", "العربية"}},
		Zones:     []string{"America/New_York", "Europe/London"},
	}
	full.Notice = NoticePreferencesSaved
	return []sample{{"full", full}, {"empty", Preferences{}}}
}
