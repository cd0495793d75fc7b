package people

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// maxHashText is the longest spelling of a hash, in bytes: a credential of Keycloak.
const maxHashText = 2048

var errHash = errors.New("people: the password hash is in no spelling that can be used: argon2id, argon2i, scrypt or PBKDF2 as PHC strings, bcrypt, " +
	"sha256-crypt, sha512-crypt, or what Django, Werkzeug and Keycloak store, at usable costs")

// A spelling is one way to write a hash down. read takes what follows the prefix; false means that
// it is malformed.
type spelling struct {
	prefix string
	read   func(rest string) (stored, bool)
}

// spellings are those that are read. No prefix begins with another.
var spellings = slices.Concat(
	[]spelling{
		{"$argon2id$", argon2PHC(argon2id)},
		{"$argon2i$", argon2PHC(argon2i)},
		{"argon2$argon2id$", argon2PHC(argon2id)}, // Django
		{"argon2$argon2i$", argon2PHC(argon2i)},
		{"$2a$", bcryptText("$2a$", bcryptPlain)},
		{"$2b$", bcryptText("$2b$", bcryptPlain)},
		{"$2y$", bcryptText("$2y$", bcryptPlain)},
		{"bcrypt$$2b$", bcryptText("$2b$", bcryptPlain)}, // Django
		{"bcrypt$$2a$", bcryptText("$2a$", bcryptPlain)},
		{"bcrypt_sha256$$2b$", bcryptText("$2b$", bcryptSHA256)},
		{"bcrypt_sha256$$2a$", bcryptText("$2a$", bcryptSHA256)},
		{"$scrypt$", scryptPHC},
		{"scrypt$", scryptDjango},
		{"scrypt:", scryptWerkzeug},
		{"$5$", shaCrypt(sha256Crypt, 43)},
		{"$6$", shaCrypt(sha512Crypt, 86)},
		{"{", keycloak},
	},
	pbkdf2Spellings("sha1", pbkdf2SHA1),
	pbkdf2Spellings("sha256", pbkdf2SHA256),
	pbkdf2Spellings("sha512", pbkdf2SHA512),
	[]spelling{{"$pbkdf2$", pbkdf2PHC(pbkdf2SHA1)}},
)

func pbkdf2Spellings(digest string, a algorithm) []spelling {
	return []spelling{
		{"$pbkdf2-" + digest + "$", pbkdf2PHC(a)},
		{"pbkdf2_" + digest + "$", pbkdf2Django(a)},
		{"pbkdf2:" + digest + ":", pbkdf2Werkzeug(a)},
	}
}

// parse takes a stored hash apart.
func (h *Hasher) parse(text string) (stored, error) {
	if len(text) > maxHashText {
		return stored{}, errHash
	}
	for _, spelling := range spellings {
		rest, ok := strings.CutPrefix(text, spelling.prefix)
		if !ok {
			continue
		}
		s, ok := spelling.read(rest)
		if s.algorithm != bcryptPlain && s.algorithm != bcryptSHA256 {
			s.length = len(s.hash)
			ok = ok && len(s.hash) >= 16 && len(s.hash) <= 128 && len(s.salt) <= 256
		}
		if !ok || !s.usable(h.params) {
			return stored{}, errHash
		}
		return s, nil
	}
	return stored{}, errHash
}

var unpadded = base64.RawStdEncoding.Strict()

// phc spells an argon2 hash as the PHC string format does.
func (s stored) phc() string {
	return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s", s.algorithm, argon2.Version, s.memory, s.passes, s.threads,
		unpadded.EncodeToString(s.salt), unpadded.EncodeToString(s.hash))
}

// number reads a decimal number without a sign or leading zeros, which fits into 32 bits.
func number(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && strconv.FormatUint(n, 10) == text
}

// numbers reads parameters such as m=19456,t=2,p=1 in this order.
func numbers(text string, names ...string) ([]uint32, bool) {
	parts := strings.Split(text, ",")
	if len(parts) != len(names) {
		return nil, false
	}
	values := make([]uint32, len(names))
	for i, name := range names {
		digits, ok := strings.CutPrefix(parts[i], name+"=")
		if !ok {
			return nil, false
		}
		if values[i], ok = number(digits); !ok {
			return nil, false
		}
	}
	return values, true
}

// bytesOf reads base64 with or without padding, and with the dot in place of the plus sign that
// Passlib writes. An empty text, white space and stray bits are refused.
func bytesOf(text string) ([]byte, bool) {
	text = strings.ReplaceAll(strings.TrimRight(text, "="), ".", "+")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	b, err := unpadded.DecodeString(text)
	return b, err == nil
}

func hexOf(text string) ([]byte, bool) {
	b, err := hex.DecodeString(text)
	return b, err == nil
}

// argon2PHC reads v=19$m=…,t=…,p=…$salt$hash.
func argon2PHC(a algorithm) func(string) (stored, bool) {
	return func(rest string) (s stored, ok bool) {
		parts := strings.Split(rest, "$")
		if len(parts) != 4 || parts[0] != fmt.Sprintf("v=%d", argon2.Version) {
			return s, false
		}
		n, ok := numbers(parts[1], "m", "t", "p")
		if !ok || n[2] > mostThreads {
			return s, false
		}
		s.cost = cost{algorithm: a, memory: n[0], passes: n[1], threads: n[2]}
		var saltOK, hashOK bool
		s.salt, saltOK = bytesOf(parts[2])
		s.hash, hashOK = bytesOf(parts[3])
		// Its own spelling is the only one.
		return s, saltOK && hashOK && len(s.salt) >= 8 && strings.HasSuffix(s.phc(), "$"+rest)
	}
}

var bcryptForm = regexp.MustCompile(`^[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// bcryptText reads what follows $2b$: two digits of cost, then salt and hash.
func bcryptText(prefix string, a algorithm) func(string) (stored, bool) {
	return func(rest string) (stored, bool) {
		text := prefix + rest
		exponent, err := bcrypt.Cost([]byte(text))
		if err != nil || !bcryptForm.MatchString(rest) {
			return stored{}, false
		}
		return stored{cost: cost{algorithm: a, passes: uint32(exponent)}, text: text}, true
	}
}

// pbkdf2PHC reads 29000$salt$hash, as Passlib and Authelia write it, and i=29000,l=32$salt$hash.
func pbkdf2PHC(a algorithm) func(string) (stored, bool) {
	return func(rest string) (s stored, ok bool) {
		parts := strings.Split(rest, "$")
		if len(parts) != 3 {
			return s, false
		}
		s.algorithm = a
		length := -1
		if s.passes, ok = number(parts[0]); !ok {
			if n, withLength := numbers(parts[0], "i", "l"); withLength {
				s.passes, length, ok = n[0], int(n[1]), true
			} else if n, alone := numbers(parts[0], "i"); alone {
				s.passes, ok = n[0], true
			}
		}
		var saltOK, hashOK bool
		s.salt, saltOK = bytesOf(parts[1])
		s.hash, hashOK = bytesOf(parts[2])
		return s, ok && saltOK && hashOK && (length < 0 || length == len(s.hash))
	}
}

// pbkdf2Django reads 600000$salt$hash, where the salt is text.
func pbkdf2Django(a algorithm) func(string) (stored, bool) {
	return func(rest string) (s stored, ok bool) {
		parts := strings.Split(rest, "$")
		if len(parts) != 3 || parts[1] == "" {
			return s, false
		}
		s.algorithm, s.salt = a, []byte(parts[1])
		var hashOK bool
		s.passes, ok = number(parts[0])
		s.hash, hashOK = bytesOf(parts[2])
		return s, ok && hashOK
	}
}

// pbkdf2Werkzeug reads 600000$salt$hash, where the salt is text and the hash hexadecimal.
func pbkdf2Werkzeug(a algorithm) func(string) (stored, bool) {
	return func(rest string) (s stored, ok bool) {
		parts := strings.Split(rest, "$")
		if len(parts) != 3 || parts[1] == "" {
			return s, false
		}
		s.algorithm, s.salt = a, []byte(parts[1])
		var hashOK bool
		s.passes, ok = number(parts[0])
		s.hash, hashOK = hexOf(parts[2])
		return s, ok && hashOK
	}
}

// scryptPHC reads ln=16,r=8,p=1$salt$hash.
func scryptPHC(rest string) (s stored, ok bool) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return s, false
	}
	n, ok := numbers(parts[0], "ln", "r", "p")
	if !ok || n[0] > 21 {
		return s, false
	}
	s.cost = cost{algorithm: scryptAny, memory: 1 << n[0], passes: n[1], threads: n[2]}
	var saltOK, hashOK bool
	s.salt, saltOK = bytesOf(parts[1])
	s.hash, hashOK = bytesOf(parts[2])
	return s, saltOK && hashOK
}

// scryptDjango reads 16384$salt$8$1$hash, where the salt is text.
func scryptDjango(rest string) (s stored, ok bool) {
	parts := strings.Split(rest, "$")
	if len(parts) != 5 || parts[1] == "" {
		return s, false
	}
	s.salt = []byte(parts[1])
	s.hash, ok = bytesOf(parts[4])
	return s, s.scryptCost(parts[0], parts[2], parts[3]) && ok
}

// scryptWerkzeug reads 32768:8:1$salt$hash, where the salt is text and the hash hexadecimal.
func scryptWerkzeug(rest string) (s stored, ok bool) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 || parts[1] == "" {
		return s, false
	}
	costs := strings.Split(parts[0], ":")
	if len(costs) != 3 {
		return s, false
	}
	s.salt = []byte(parts[1])
	s.hash, ok = hexOf(parts[2])
	return s, s.scryptCost(costs[0], costs[1], costs[2]) && ok
}

func (s *stored) scryptCost(n, r, p string) bool {
	var ok [3]bool
	s.algorithm = scryptAny
	s.memory, ok[0] = number(n)
	s.passes, ok[1] = number(r)
	s.threads, ok[2] = number(p)
	return ok == [3]bool{true, true, true}
}

var (
	cryptSalt = regexp.MustCompile(`^[^$:\s]{1,16}$`)
	cryptHash = regexp.MustCompile(`^[./0-9A-Za-z]+$`)
)

// shaCrypt reads salt$hash and rounds=656000$salt$hash; without rounds there are 5000 of them.
func shaCrypt(a algorithm, digits int) func(string) (stored, bool) {
	return func(rest string) (s stored, ok bool) {
		parts := strings.Split(rest, "$")
		s.cost = cost{algorithm: a, passes: 5000}
		if len(parts) == 3 {
			n, ok := numbers(parts[0], "rounds")
			if !ok {
				return s, false
			}
			s.passes, parts = n[0], parts[1:]
		}
		if len(parts) != 2 || !cryptSalt.MatchString(parts[0]) || !cryptHash.MatchString(parts[1]) ||
			len(parts[1]) != digits {
			return s, false
		}
		s.salt, s.hash = []byte(parts[0]), []byte(parts[1])
		return s, true
	}
}

// keycloak reads a credential as Keycloak's database and its export of a realm have it: an object
// with secretData and credentialData, each an object or the text of one. The brace that begins it
// has been cut off.
func keycloak(rest string) (s stored, ok bool) {
	var credential struct {
		Secret nested `json:"secretData"`
		Data   nested `json:"credentialData"`
	}
	var secret struct {
		Value string `json:"value"`
		Salt  string `json:"salt"`
	}
	var data struct {
		Algorithm  string              `json:"algorithm"`
		Iterations uint32              `json:"hashIterations"`
		Parameters map[string][]string `json:"additionalParameters"`
	}
	if json.Unmarshal([]byte("{"+rest), &credential) != nil || json.Unmarshal(credential.Secret, &secret) != nil ||
		json.Unmarshal(credential.Data, &data) != nil {
		return s, false
	}
	var saltOK, hashOK bool
	s.salt, saltOK = bytesOf(secret.Salt)
	s.hash, hashOK = bytesOf(secret.Value)
	s.passes, ok = data.Iterations, saltOK && hashOK
	switch data.Algorithm {
	case "pbkdf2":
		s.algorithm = pbkdf2SHA1
	case "pbkdf2-sha256":
		s.algorithm = pbkdf2SHA256
	case "pbkdf2-sha512":
		s.algorithm = pbkdf2SHA512
	case "argon2":
		one := func(name string) string {
			if values := data.Parameters[name]; len(values) == 1 {
				return values[0]
			}
			return ""
		}
		s.algorithm = map[string]algorithm{"id": argon2id, "i": argon2i}[one("type")]
		var memoryOK, threadsOK bool
		s.memory, memoryOK = number(one("memory"))
		s.threads, threadsOK = number(one("parallelism"))
		ok = ok && one("version") == "1.3" && memoryOK && threadsOK && len(s.salt) >= 8
	default:
		return s, false
	}
	return s, ok
}

// nested is a JSON object, or a string that has the text of one.
type nested json.RawMessage

// UnmarshalJSON takes either.
func (n *nested) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		b = []byte(text)
	}
	*n = append(nested(nil), b...)
	return nil
}
