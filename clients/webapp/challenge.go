package webapp

import (
	"net/http"
	"strings"
)

// bearerChallenge returns the parameters of the first Bearer challenge among the WWW-Authenticate
// headers, names in lower case, or nil (RFC 9110 §11.6.1, RFC 6750 §3). A header that it cannot
// read has none.
func bearerChallenge(h http.Header) map[string]string {
	for _, rest := range h.Values("WWW-Authenticate") {
		var parameters map[string]string // of the Bearer challenge, while inside it
		for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			word, after := cutToken(rest)
			if word == "" {
				break
			}
			after = strings.TrimLeft(after, " \t")
			value, isParameter := strings.CutPrefix(after, "=")
			if !isParameter { // a scheme: another challenge begins
				if parameters != nil {
					return parameters
				}
				if strings.EqualFold(word, "Bearer") {
					parameters = map[string]string{}
				}
				rest = after
				continue
			}
			text, after, ok := parameterValue(strings.TrimLeft(value, " \t"))
			if !ok {
				break
			}
			if name := strings.ToLower(word); parameters != nil {
				if _, again := parameters[name]; again { // RFC 6750 §3: no attribute more than once
					return nil
				}
				parameters[name] = text
			}
			rest = after
		}
		if parameters != nil && rest == "" {
			return parameters
		}
	}
	return nil
}

// cutToken splits off a token (RFC 9110 §5.6.2).
func cutToken(s string) (word, rest string) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) >= 0) {
		i++
	}
	return s[:i], s[i:]
}

// parameterValue splits off a token or a quoted string (RFC 9110 §5.6.4).
func parameterValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false // the quote does not end
}
