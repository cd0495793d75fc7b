package people

import (
	"cmp"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"hash"

	"github.com/go-crypt/x/crypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// An algorithm makes hashes of passwords. New ones are made by argon2id alone; the others come with
// accounts that were imported.
type algorithm string

const (
	argon2id     algorithm = "argon2id"
	argon2i      algorithm = "argon2i"
	bcryptPlain  algorithm = "bcrypt"
	bcryptSHA256 algorithm = "bcrypt of sha256" // of the SHA-256 in hexadecimal digits, as Django does
	pbkdf2SHA1   algorithm = "pbkdf2-sha1"
	pbkdf2SHA256 algorithm = "pbkdf2-sha256"
	pbkdf2SHA512 algorithm = "pbkdf2-sha512"
	scryptAny    algorithm = "scrypt"
	sha256Crypt  algorithm = "sha256-crypt"
	sha512Crypt  algorithm = "sha512-crypt"
)

// digests are the hash functions below PBKDF2.
var digests = map[algorithm]func() hash.Hash{pbkdf2SHA1: sha1.New, pbkdf2SHA256: sha256.New, pbkdf2SHA512: sha512.New}

// A cost is what decides how long it takes to check a hash.
type cost struct {
	algorithm algorithm
	memory    uint32 // argon2: KiB; scrypt: its N
	passes    uint32 // argon2: passes; bcrypt: the exponent; PBKDF2 and SHA-crypt: iterations; scrypt: its r
	threads   uint32 // argon2; scrypt: its p
	length    int    // bytes of the hash
}

func (c cost) compare(other cost) int {
	return cmp.Or(cmp.Compare(c.algorithm, other.algorithm), cmp.Compare(c.memory, other.memory),
		cmp.Compare(c.passes, other.passes),
		cmp.Compare(c.threads, other.threads), cmp.Compare(c.length, other.length))
}

// What an imported hash may cost at most: some seconds of a slow core, and 256 MiB. The least is
// what a standard or the product itself allows; argon2id has more, see usable.
const (
	leastMemory, leastTime = 7 << 10, 1
	mostMemory, mostTime   = 256 << 10, 16
	mostThreads            = 16
	mostWork               = 1 << 20 // KiB times passes
	leastBcrypt            = 4
	mostBcrypt             = 15
	leastIterations        = 1000    // RFC 8018 §4.2, and the least of SHA-crypt
	mostIterations         = 4 << 20 // PBKDF2: times the blocks of the hash
	mostRounds             = 1 << 20 // SHA-crypt
	mostBlocks             = 1 << 22 // scrypt: N r p
)

// usable reports whether the cost is within bounds. An argon2id hash may cost less than the bound
// where the hasher's own parameters do.
func (c cost) usable(own Params) bool {
	m, t, p := uint64(c.memory), uint64(c.passes), uint64(c.threads)
	switch c.algorithm {
	case argon2id, argon2i:
		return m <= mostMemory && t <= mostTime && p >= 1 && p <= mostThreads && m >= 8*p && m*t <= mostWork &&
			m >= uint64(min(leastMemory, own.Memory)) && t >= uint64(min(leastTime, own.Time))
	case bcryptPlain, bcryptSHA256:
		return t >= leastBcrypt && t <= mostBcrypt
	case pbkdf2SHA1, pbkdf2SHA256, pbkdf2SHA512:
		size := digests[c.algorithm]().Size()
		return t >= leastIterations && t*uint64((c.length+size-1)/size) <= mostIterations
	case scryptAny:
		return m >= 1<<10 && m&(m-1) == 0 && m <= 1<<21 && t >= 1 && t <= 64 && p >= 1 && p <= mostThreads &&
			m*t/8 <= mostMemory && m*t*p <= mostBlocks
	case sha256Crypt, sha512Crypt:
		return t >= leastIterations && t <= mostRounds
	}
	return false
}

// stored is a hash taken apart.
type stored struct {
	cost
	salt []byte
	hash []byte
	text string // of bcrypt: the hash as its library reads it
}

// matches reports whether the hash is that of the password.
func (s stored) matches(password []byte) bool {
	switch s.algorithm {
	case bcryptSHA256:
		sum := sha256.Sum256(password)
		password = []byte(hex.EncodeToString(sum[:]))
	case bcryptPlain:
		password = password[:min(len(password), 72)] // as each of the products does
	default:
		return subtle.ConstantTimeCompare(s.sum(password), s.hash) == 1
	}
	if s.text == "" { // nobody's
		_, _ = bcrypt.GenerateFromPassword(password, int(s.passes))
		return false
	}
	return bcrypt.CompareHashAndPassword([]byte(s.text), password) == nil
}

// sum computes the hash of the password, for all but bcrypt. Cost and salt have been checked.
func (s stored) sum(password []byte) []byte {
	length := len(s.hash)
	if length == 0 {
		length = s.length
	}
	switch s.algorithm {
	case argon2id:
		return argon2.IDKey(password, s.salt, s.passes, s.memory, uint8(s.threads), uint32(length))
	case argon2i:
		return argon2.Key(password, s.salt, s.passes, s.memory, uint8(s.threads), uint32(length))
	case scryptAny:
		key, err := scrypt.Key(password, s.salt, int(s.memory), int(s.passes), int(s.threads), length)
		if err != nil {
			return nil
		}
		return key
	case sha256Crypt:
		return crypt.KeySHACrypt(sha256.New, password, s.salt, int(s.passes))
	case sha512Crypt:
		return crypt.KeySHACrypt(sha512.New, password, s.salt, int(s.passes))
	}
	key, err := pbkdf2.Key(digests[s.algorithm], string(password), s.salt, int(s.passes), length)
	if err != nil {
		return nil
	}
	return key
}
