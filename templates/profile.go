package templates

import "strings"

// Profile shows a person what is known about them. Its form posts csrf and the fields by their
// claim names to Action.
type Profile struct {
	Frame
	Claims [][2]string // claim name and value; names of standard claims are shown in words
	Groups []string
	Fields []ProfileField // what the person may change; none: there is no form
	Bad    string         // the claim that cannot be stored; "" at first
}

// NoticeProfileSaved is what Profile.Notice says: a key of a message.
const NoticeProfileSaved = "profile.saved"

// ProfileField is one claim that the person may change.
type ProfileField struct {
	Claim, Value string
	Type         string // of the input: text, tel or url; or lines, for a text of several lines
	Hint         string // a key of a message; "": none
	Autocomplete string // HTML §4.10.18.7
}

func (Profile) file() string { return "account/profile" }

// Policy is the least: the form goes to ourselves.
func (Profile) Policy() Policy { return Policy{} }

// ProfileDetail is one row of what is known.
type ProfileDetail struct {
	Claim, Value string
	Confirmed    bool
}

// Details are the rows of what is known and cannot be changed in the form: that an address was
// confirmed stands beside it, and a name is not taken apart into the very words that it consists
// of.
func (p Profile) Details() []ProfileDetail {
	values, edited := map[string]string{}, map[string]bool{}
	for _, c := range p.Claims {
		values[c[0]] = c[1]
	}
	for _, f := range p.Fields {
		edited[f.Claim] = true
	}
	words := strings.Fields(values["name"])
	var out []ProfileDetail
	for _, c := range p.Claims {
		switch name := c[0]; name {
		case "email_verified", "phone_number_verified":
			continue
		case "given_name", "family_name", "middle_name":
			if containsRun(words, strings.Fields(c[1])) {
				continue
			}
		}
		if !edited[c[0]] {
			out = append(out, ProfileDetail{Claim: c[0], Value: c[1], Confirmed: values[c[0]+"_verified"] == "true"})
		}
	}
	return out
}

// containsRun reports whether all words of part follow each other in whole.
func containsRun(whole, part []string) bool {
	return len(part) > 0 && strings.Contains(" "+strings.Join(whole, " ")+" ", " "+strings.Join(part, " ")+" ")
}

func profileSamples() []sample {
	full := Profile{
		Frame: sampleFrame(NavProfile, "/account/profile"),
		Claims: [][2]string{
			{"preferred_username", "ada"}, {"name", "Ada Lovelace"}, {"given_name", "Ada"}, {"nickname", "Enchantress"},
			{"email", "ada@example.org"}, {"email_verified", "true"}, {"shoe_size", "38"},
		},
		Groups: []string{"engineers", "admins"},
		Fields: []ProfileField{
			{Claim: "name", Value: "Ada Lovelace", Type: "text", Autocomplete: "name"},
			{Claim: "birthdate", Type: "text", Hint: "profile.hint.birthdate", Autocomplete: "off"},
			{Claim: "website", Value: "https://ada.example/", Type: "url", Hint: "profile.hint.link",
				Autocomplete: "url"},
			{Claim: "address", Value: "12 St James’s Square\nLondon", Type: "lines", Autocomplete: "street-address"},
		},
	}
	full.Notice = NoticeProfileSaved
	bad, fixed := full, full
	bad.Notice, bad.Bad = "", "website"
	fixed.Notice, fixed.Fields = "", nil
	return []sample{{"full", full}, {"bad", bad}, {"fixed", fixed}, {"empty", Profile{}}}
}
