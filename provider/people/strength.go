package people

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MinPassword is the shortest password in characters. NIST SP 800-63B-4 §3.1.1.2 asks for 15 where
// a password is the only factor and 8 beside another; length alone helps more than any rule about
// kinds of characters, and there is no such rule here.
const MinPassword = 10

//go:embed common.txt
var commonText string

// common are the words and phrases that guessing begins with, in lower case without digits and
// signs around them.
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

// PasswordPolicy says which passwords may be set. The zero value is the default.
type PasswordPolicy struct {
	MinLength int             // in characters; 0: MinPassword
	Blocked   map[string]bool // passwords that may not be used, in lower case and NFC; see ReadBlocklist
	Own       []string        // words that no password may be made of: the provider's name
}

// WeakPassword says why a password may not be set.
type WeakPassword struct {
	Reason string // one of the Weak constants
	N      int    // the limit, where there is one
}

// Reasons of WeakPassword: ends of the keys of messages.
const (
	WeakText    = "text"    // no valid text
	WeakLong    = "long"    // longer than N bytes
	WeakShort   = "short"   // shorter than N characters
	WeakControl = "control" // has a character that cannot be typed
	WeakOwn     = "own"     // made of the name of the person or the provider
	WeakCommon  = "common"  // easy to guess, or blocked
)

func (e *WeakPassword) Error() string {
	switch e.Reason {
	case WeakText:
		return "The password is not valid text."
	case WeakLong:
		return fmt.Sprintf("The password is too long: at most %d bytes.", e.N)
	case WeakShort:
		return fmt.Sprintf("The password is too short: it needs at least %d characters. A few words in a row are easy to remember.", e.N)
	case WeakControl:
		return "The password contains a character that cannot be typed."
	case WeakOwn:
		return "The password is too close to the name of the person or of this service."
	}
	return "The password is too easy to guess. Choose another one."
}

// Least is the shortest password in characters.
func (p PasswordPolicy) Least() int {
	if p.MinLength <= 0 {
		return MinPassword
	}
	return p.MinLength
}

// Check returns a *WeakPassword if the password may not be set for the person: shorter than the
// policy or longer than 1024 bytes, made of the username or e-mail address, blocked, or one that
// guessing begins with.
func (p PasswordPolicy) Check(password, username, email string) error {
	if !utf8.ValidString(password) {
		return &WeakPassword{Reason: WeakText}
	}
	if len(password) > MaxPassword {
		return &WeakPassword{WeakLong, MaxPassword}
	}
	password = norm.NFC.String(password)
	if n := utf8.RuneCountInString(password); n < p.Least() {
		return &WeakPassword{WeakShort, p.Least()}
	}
	if strings.ContainsFunc(password, unicode.IsControl) {
		return &WeakPassword{Reason: WeakControl}
	}
	plain := strings.ToLower(password)
	mail, domain, _ := strings.Cut(email, "@")
	for _, own := range append([]string{username, email, mail, domain, "latchkey"}, p.Own...) {
		if own = strings.ToLower(norm.NFC.String(own)); utf8.RuneCountInString(own) < 4 {
			continue
		}
		// Apart from the name itself there must be a password's worth of something else.
		if rest := strings.ReplaceAll(plain, own, ""); rest != plain &&
			utf8.RuneCountInString(strings.TrimFunc(rest, notLetter)) < 4 &&
			utf8.RuneCountInString(rest) < MinPassword {
			return &WeakPassword{Reason: WeakOwn}
		}
	}
	if p.Blocked[plain] || easy(plain) {
		return &WeakPassword{Reason: WeakCommon}
	}
	return nil
}

// maxBlocklist bounds the passwords of a blocklist: a million take about 100 MB.
const maxBlocklist = 1_000_000

// ReadBlocklist reads passwords that may not be used, one a line, for PasswordPolicy.Blocked. Case
// does not matter.
func ReadBlocklist(r io.Reader) (map[string]bool, error) {
	blocked := map[string]bool{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if line := strings.TrimSuffix(lines.Text(), "\r"); line != "" {
			blocked[strings.ToLower(norm.NFC.String(line))] = true
		}
		if len(blocked) > maxBlocklist {
			return nil, fmt.Errorf("has more than %d passwords", maxBlocklist)
		}
	}
	return blocked, lines.Err()
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// easy recognises a lower-case password that a guesser reaches early: few characters, one part
// again and again, a run along the alphabet or the keyboard, common words with digits and signs
// around or in place of letters.
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
		// The characters around the word are digits of a year, an exclamation mark. Many of them
		// are a password of their own.
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
var rows = []string{"abcdefghijklmnopqrstuvwxyz", "0123456789", "1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm",
	"qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
	"1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp", "qweasdzxc",
	"!@#$%^&*()", "!\"§$%&/()="}

// walks reports whether nearly all of it consists of pieces of three and more neighbours on such a
// row, in either direction.
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

var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s", "7", "t", "!", "i",
	"8", "b", "9", "g")

func unleet(s string) string {
	// Signs at the end are signs, those within a word stand for letters.
	end := len(strings.TrimRightFunc(s, notLetter))
	return leet.Replace(s[:end]) + s[end:]
}
