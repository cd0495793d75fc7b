package people

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MinPassword is the shortest password in characters. NIST SP 800-63B-4 §3.1.1.2 asks for 15 where a password is
// the only factor and 8 beside another; length alone helps more than any rule about kinds of characters, and there is no such rule here.
const MinPassword = 10

//go:embed common.txt
var commonText string

// common are the words and phrases that guessing begins with, in lower case without digits and signs around them.
var common = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			for _, w := range strings.Fields(line) {
				words[w] = true
			}
		}
	}
	return words
})

// CheckPassword reports whether a password may be set for the person: 10 characters to 1024 bytes, not made of the username or e-mail address, not
// one that guessing begins with. others are further words that it must not be made of: the service's name. The error is a sentence for the person.
func CheckPassword(password, username, email string, others ...string) error {
	if !utf8.ValidString(password) {
		return Refusal("The password is not valid text.")
	}
	if len(password) > MaxPassword {
		return Refusal(fmt.Sprintf("The password is too long: at most %d bytes.", MaxPassword))
	}
	password = norm.NFC.String(password)
	if n := utf8.RuneCountInString(password); n < MinPassword {
		return Refusal(fmt.Sprintf("The password is too short: it needs at least %d characters. A few words in a row are easy to remember.", MinPassword))
	}
	if strings.ContainsFunc(password, unicode.IsControl) {
		return Refusal("The password contains a character that cannot be typed.")
	}
	plain := strings.ToLower(password)
	mail, domain, _ := strings.Cut(email, "@")
	for _, own := range append([]string{username, email, mail, domain, "latchkey"}, others...) {
		if own = strings.ToLower(norm.NFC.String(own)); utf8.RuneCountInString(own) < 4 {
			continue
		}
		// Apart from the name itself there must be a password's worth of something else.
		if rest := strings.ReplaceAll(plain, own, ""); rest != plain && utf8.RuneCountInString(strings.TrimFunc(rest, notLetter)) < 4 && utf8.RuneCountInString(rest) < MinPassword {
			return Refusal("The password is too close to the name of the person or of this service.")
		}
	}
	if easy(plain) {
		return Refusal("The password is too easy to guess. Choose another one.")
	}
	return nil
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// easy recognises a lower-case password that a guesser reaches early: few characters, one part again and again, a run along the
// alphabet or the keyboard, common words with digits and signs around or in place of letters.
func easy(plain string) bool {
	distinct := map[rune]bool{}
	for _, r := range plain {
		distinct[r] = true
	}
	squeezed := string(slices.Compact([]rune(plain))) // 112233 is 123
	if len(distinct) < 5 || repeats(plain) || walks(plain) || walks(squeezed) {
		return true
	}
	for _, p := range []string{plain, unleet(plain)} {
		core := strings.TrimFunc(p, notLetter)
		letters := strings.Map(func(r rune) rune {
			if notLetter(r) {
				return -1
			}
			return r
		}, p)
		// The characters around the word are digits of a year, an exclamation mark. Many of them are a password of their own.
		around := utf8.RuneCountInString(p) - utf8.RuneCountInString(letters)
		if around <= 8 && (common()[core] || common()[letters] || twoCommon(letters)) {
			return true
		}
		if common()[p] || letters == "" && walks(p) {
			return true
		}
	}
	return false
}

// twoCommon reports whether the letters are a common word twice, or two of the words.
func twoCommon(letters string) bool {
	for i := 3; i <= len(letters)-3; i++ {
		if common()[letters[:i]] && common()[letters[i:]] {
			return len(letters) < 16
		}
	}
	return false
}

// repeats reports whether the whole is one part again and again that would be too short by itself.
func repeats(s string) bool {
	for n := 1; n <= min(len(s)/2, MinPassword-1); n++ {
		if strings.HasPrefix(s[n:], s[:len(s)-n]) {
			return true
		}
	}
	return false
}

// rows are what fingers run along.
var rows = []string{"abcdefghijklmnopqrstuvwxyz", "0123456789", "1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
	"1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp", "qweasdzxc", "!@#$%^&*()", "!\"§$%&/()="}

// walks reports whether nearly all of it consists of pieces of three and more neighbours on such a row, in either direction.
func walks(s string) bool {
	covered, r := 0, []rune(s)
	for i := 0; i < len(r); {
		n := 0
		for _, row := range rows {
			n = max(n, along(r[i:], row), along(r[i:], reverse(row)))
		}
		if n >= 3 {
			covered += n
			i += n
		} else {
			i++
		}
	}
	return len(r)-covered <= 2
}

// along is how many characters of s follow each other on the row.
func along(s []rune, row string) int {
	n := 0
	for n < len(s) && strings.Contains(row, string(s[:n+1])) {
		n++
	}
	return n
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s", "7", "t", "!", "i", "8", "b", "9", "g")

func unleet(s string) string {
	// Signs at the end are signs, those within a word stand for letters.
	end := len(strings.TrimRightFunc(s, notLetter))
	return leet.Replace(s[:end]) + s[end:]
}
