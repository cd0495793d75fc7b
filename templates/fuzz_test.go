package templates

import "testing"

// FuzzMessageFile reads files that an operator may put into messages/.
func FuzzMessageFile(f *testing.F) {
	f.Add("en", []byte(`{"messages": {"login.submit": "Let me in"}}`))
	f.Add("eo", []byte(`{"name": "Esperanto", "direction": "rtl", "months": [], "messages": {"time.minutes-ago": {"one": "{n}", "other": "{"}}}`))
	f.Fuzz(func(_ *testing.T, lang string, text []byte) {
		c, err := newCatalogue(lang)
		if err != nil || c.read(text) != nil {
			return
		}
		_ = c.faults()
		_ = c.lacks()
		for key := range c.messages {
			_ = (&Set{languages: map[string]*catalogue{"en": english(), lang: c}}).Missing(key)
		}
	})
}
