package templates

import (
	"strings"
	"testing"
	"time"
)

func TestMailsAreCompleteInEveryLanguage(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	used := map[string]bool{"mail.hello": true, "mail.from": true, "mail.notice.note": true}
	for _, kind := range mailKinds {
		for _, part := range []string{"subject", "text", "button", "note"} {
			used["mail."+kind+"."+part] = true
		}
	}
	for key := range english().messages {
		if strings.HasPrefix(key, "mail.") && !used[key] {
			t.Errorf("%q is of no mail", key)
		}
	}
	for _, lang := range s.order {
		for _, kind := range mailKinds {
			link := "https://id.example/password/reset?link=abc"
			subject, text, body, err := s.Mail(lang, Mail{Kind: kind, Person: "Ada Lovelace", Link: link,
				Valid: 30 * time.Minute,
				Args: Args{"username": "ada", "time": s.MailDate(lang, nil, testNow), "address": "192.0.2.7",
					"device": "Firefox (Linux)"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"Ada Lovelace", "Latchkey", link} {
				if !strings.Contains(text, want) || !strings.Contains(body, want) {
					t.Errorf("%s %s lacks %q:\n%s\n%s", lang, kind, want, text, body)
				}
			}
			if subject == "" || strings.ContainsAny(subject, "\r\n{}") || strings.ContainsAny(text, "{}<>") {
				t.Errorf("%s %s: %q\n%s", lang, kind, subject, text)
			}
			if lang == "ar" && !strings.Contains(body, `dir="rtl"`) {
				t.Errorf("%s", body)
			}
			// What is fetched when a mail is read tells that it was read.
			for _, fetched := range []string{"<img", "src=", "url(", "<script", "<link", "@import"} {
				if strings.Contains(body, fetched) {
					t.Errorf("%s %s has %s", lang, kind, fetched)
				}
			}
		}
	}
	if _, _, _, err := s.Mail("en", Mail{Kind: "unknown"}); err == nil {
		t.Error("a mail that there is not")
	}
}

func TestAHostileNameStaysANameInAMail(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	name := "<a href=//evil.test>x</a>{{.Token}}\r\nBcc: x@y\u202e" + strings.Repeat("long ", 4000)
	subject, text, body, err := s.Mail("en", Mail{Kind: MailReset, Person: name, Link: "https://id.example/x",
		Valid: time.Minute, Args: Args{"username": name}})
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 1500 || strings.ContainsAny(subject+text+body, "\r\u202e") || strings.Contains(text, "\nBcc") {
		t.Errorf("%q\n%s", subject, text)
	}
	if links := tagged(parse(t, body), "a"); len(links) != 1 {
		t.Errorf("%d links:\n%s", len(links), body)
	}
}
