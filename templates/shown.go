package templates

import (
	"hash/fnv"
	"html/template"
	"net/mail"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxShown    = 80  // characters of a name
	maxSentence = 600 // characters of a sentence
	maxMarks    = 2   // combining marks on one letter
)

// shown is a text from outside as it may be shown: in one line, without characters that reorder or
// hide others, and not endless.
func shown(s string) string { return shownAtMost(s, maxShown) }

func shownAtMost(s string, limit int) string {
	var b strings.Builder
	var previous rune
	n, marks, space := 0, 0, false
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case unicode.IsSpace(r):
			space = n > 0
			continue
		case r == '\u200c' || r == '\u200d':
			// Joiners belong to some scripts and to emoji, and only hide between Latin letters.
			if previous < 0x80 {
				continue
			}
		case r == '\ufe0f' || r == '\ufe0e':
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs,
			unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			continue
		case unicode.Is(unicode.M, r):
			if marks++; marks > maxMarks {
				continue
			}
		default:
			marks = 0
		}
		if n == limit || space && n+1 == limit {
			return b.String() + "…"
		}
		if space {
			b.WriteByte(' ')
			space, n = false, n+1
		}
		b.WriteRune(r)
		previous, n = r, n+1
	}
	return b.String()
}

// initials stand in for a picture.
func initials(name, username string) string {
	words := strings.Fields(shown(name))
	if len(words) == 0 {
		words = strings.Fields(shown(username))
	}
	if len(words) > 1 {
		words = []string{words[0], words[len(words)-1]}
	}
	var b strings.Builder
	for _, w := range words {
		if r, _ := utf8.DecodeRuneInString(w); unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}

// hues is how many colours the stylesheet has for tiles without a picture.
const hues = 6

// hue gives a name one of the colours, always the same.
func hue(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(shown(name)))
	return int(h.Sum32() % hues)
}

// host is the host of an address, "" when it has none.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// link is an address that a page may link to, or nil. html/template lets http, https and relative
// addresses through; beyond these a native application's own scheme may be followed, which by RFC
// 8252 §7.1 has a dot in it. That leaves out everything that a browser runs or opens itself, such
// as javascript, data, blob and file.
func link(address string) any {
	scheme, _, ok := strings.Cut(address, ":")
	switch {
	case address == "":
		return nil
	case !ok || strings.ContainsAny(scheme, "/?#"):
		if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "?") {
			return nil
		}
		return address
	case strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http"):
		return address
	case strings.Contains(scheme, ".") && onlyOf(strings.ToLower(scheme), schemeCharacters):
		return template.URL(address)
	}
	return nil
}

// contact is whom to ask: a mail or https address can be followed, anything else is words.
func contact(whom string) span {
	s := span{Text: shown(whom), Name: true}
	if at, err := mail.ParseAddress(whom); err == nil && at.Name == "" && at.Address == whom {
		s.Link = "mailto:" + (&url.URL{Path: whom}).EscapedPath()
	} else if strings.HasPrefix(whom, "https://") && host(whom) != "" {
		s.Link = whom
	}
	return s
}
