package people

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"latchkey/provider/storage"
)

const (
	maxUsername      = 128 // code points
	maxUsernameBytes = 254
)

// CanonicalUsername returns the one form under which a username is stored, found and counted: the
// UsernameCaseMapped profile (RFC 8265 §3.3) after NFKC and case folding, without white space
// around it. It may look like an e-mail address. Names that could be mistaken for another are
// refused: invisible characters, letters of several scripts in one word, letters that only look
// like Latin ones. The error is a sentence for the person.
func CanonicalUsername(s string) (string, error) {
	if len(s) > 4*maxUsernameBytes {
		return "", Refusal("The username is too long.")
	}
	if !utf8.ValidString(s) {
		return "", Refusal("The username is not valid text.")
	}
	s = strings.TrimSpace(s)
	if s == "" {
		return "", Refusal("Enter a username.")
	}
	for _, r := range s { // before NFKC, which would make some of them disappear
		if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) || unicode.Is(unicode.Variation_Selector, r) ||
			unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
			return "", Refusal("The username contains an invisible character.")
		}
		if unicode.IsSpace(r) {
			return "", Refusal("The username contains a space.")
		}
	}
	s = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
	s, err := precis.UsernameCaseMapped.String(s)
	if err != nil {
		return "", Refusal("The username contains a character that usernames cannot have.")
	}
	if utf8.RuneCountInString(s) > maxUsername || len(s) > maxUsernameBytes {
		return "", Refusal("The username is too long.")
	}
	local, domain, isAddress := strings.Cut(s, "@")
	if strings.Contains(domain, "@") || isAddress && (local == "" || domain == "") {
		return "", Refusal("The username has an @ in a place where no e-mail address has one.")
	}
	if err := checkWord(local); err != nil {
		return "", err
	}
	if isAddress {
		for _, label := range strings.Split(domain, ".") {
			if strings.HasPrefix(label, "xn--") {
				return "", Refusal("Write the domain in the username in its own letters, not as xn--.")
			}
			if label == "" {
				return "", Refusal("The domain in the username is not complete.")
			}
			if err := checkWord(label); err != nil {
				return "", err
			}
		}
	}
	return s, nil
}

// SignInName is what somebody typed as their name in the form in which users are found by it, see
// storage.User.SignInNames: the canonical username, or the key of an address that could be no
// username. possible is false for what can be nobody's name; such a name is good for counting
// attempts alone, and is no text that a username could be.
func SignInName(typed string) (name string, possible bool) {
	if name, err := CanonicalUsername(typed); err == nil {
		return name, true
	}
	if len(typed) <= maxUsernameBytes && utf8.ValidString(typed) && strings.Contains(typed, "@") {
		if key := storage.AddressKey(typed); key != "" {
			return key, true
		}
	}
	return "\x00" + strings.ToLower(strings.TrimSpace(typed[:min(len(typed), maxUsernameBytes)])), false
}

// checkWord looks for characters that make a word be taken for another.
func checkWord(word string) error {
	if first, _ := utf8.DecodeRuneInString(word); !unicode.IsLetter(first) && !unicode.IsDigit(first) && first != '_' {
		return Refusal("The username must begin with a letter or a digit.")
	}
	var scripts []string
	lookalikes := true
	var previous rune
	for _, r := range word {
		switch {
		case r < utf8.RuneSelf:
			if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-+'", r)) {
				return Refusal("The username may have letters, digits and . _ - + ' @ only.")
			}
		case unicode.IsMark(r):
			// What exists in one piece was composed by NFC. A mark that remains on a Latin letter
			// is decoration.
			if unicode.Is(unicode.Latin, previous) || previous < utf8.RuneSelf {
				return Refusal("The username contains an accent that does not belong to its letter.")
			}
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			return Refusal("The username may have letters, digits and . _ - + ' @ only.")
		case unicode.Is(unicode.Latin, r) && !plainLatin(r):
			return Refusal("The username contains a letter that looks like another one.")
		}
		if unicode.IsLetter(r) || r >= utf8.RuneSelf && unicode.IsDigit(r) {
			if s := script(r); s != "" && (len(scripts) == 0 || scripts[len(scripts)-1] != s) {
				scripts = append(scripts, s)
			}
			lookalikes = lookalikes && strings.ContainsRune(likeLatin, r)
		}
		previous = r
	}
	if !written(scripts) {
		return Refusal("The username mixes letters of different alphabets.")
	}
	if lookalikes && len(scripts) > 0 && scripts[0] != "Latin" {
		return Refusal("The username consists of letters that look like Latin ones.")
	}
	return nil
}

// plainLatin reports whether a lower-case Latin letter is one that languages are written in: an
// ASCII letter with or without an accent, or one of the few others. The dotless i and the phonetic
// letters look too much like ASCII ones.
func plainLatin(r rune) bool {
	if r < utf8.RuneSelf || strings.ContainsRune("æœøåðþđħłŋßəɓɗƙɛɔơư", r) {
		return true
	}
	base, _ := utf8.DecodeRuneInString(norm.NFD.String(string(r)))
	return base < utf8.RuneSelf
}

// likeLatin are the lower-case letters of other scripts that look like a Latin one.
const likeLatin = "аеорсухіјѕһԁԛԝѵүцгпкɡ" + "αοιυνκρτχγωϲϳ" + "օսոհցզյ" + "०ဝ"

// script names the script of a letter, "" for those that belong to all.
func script(r rune) string {
	if r < utf8.RuneSelf {
		return "Latin"
	}
	for _, name := range commonScripts {
		if unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			if name == "Common" || name == "Inherited" {
				return ""
			}
			return name
		}
	}
	return "Unknown"
}

var commonScripts = []string{"Latin", "Cyrillic", "Greek", "Han", "Hiragana", "Katakana", "Hangul", "Arabic", "Hebrew",
	"Devanagari", "Thai"}

// written reports whether the scripts make one way of writing: a single one, or those of Japanese,
// Korean or Chinese (the highly restrictive level of UTS 39 §5.2, without Latin).
func written(scripts []string) bool {
	in := func(allowed ...string) bool {
		for _, s := range scripts {
			ok := false
			for _, a := range allowed {
				ok = ok || a == s
			}
			if !ok {
				return false
			}
		}
		return true
	}
	return len(scripts) == 0 || in(scripts[0]) || in("Han", "Hiragana", "Katakana") || in("Han", "Hangul") ||
		in("Han", "Bopomofo")
}
