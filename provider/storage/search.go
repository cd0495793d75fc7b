package storage

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of what a record is found by.
const (
	maxTerms = 32  // of one record
	maxTerm  = 64  // bytes of one
	maxWords = 8   // of one search
	maxQuery = 256 // bytes of one search
)

// fold is text as it is compared in a search: without case and accents, in compatibility form.
func fold(text string) string {
	text = norm.NFKD.String(cases.Fold().String(norm.NFKC.String(text)))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, text)
}

// searchTerms are the texts whose beginnings find a record: what stands between blanks in the given
// texts, and the words in it. ada.king@example.com is found by itself, example.com, ada, king,
// example and com.
func searchTerms(texts ...string) []string {
	var all []string
	add := func(term string) {
		if term = clipTerm(term); term != "" && len(all) < maxTerms && !slices.Contains(all, term) {
			all = append(all, term)
		}
	}
	for _, text := range texts {
		for _, whole := range strings.Fields(fold(text)) {
			add(whole)
			if _, domain, ok := strings.Cut(whole, "@"); ok {
				add(domain)
			}
			for _, word := range strings.FieldsFunc(whole, func(r rune) bool {
				return !unicode.IsLetter(r) &&
					!unicode.IsDigit(r)
			}) {
				add(word)
			}
		}
	}
	return all
}

// searchWords are the words of a search, as searchTerms has them.
func searchWords(search string) []string {
	if len(search) > maxQuery {
		search = strings.ToValidUTF8(search[:maxQuery], "")
	}
	words := strings.Fields(fold(search))
	for i := range words {
		words[i] = clipTerm(words[i])
	}
	return words[:min(len(words), maxWords)]
}

func clipTerm(term string) string {
	if len(term) <= maxTerm {
		return term
	}
	return strings.ToValidUTF8(term[:maxTerm], "")
}
