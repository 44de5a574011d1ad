// Package digest is HTTP digest authentication as SIP uses it, from the side of a server that
// stores HA1 and never a password (RFC 7616, RFC 8760).
package digest

import (
	"crypto/md5" //nolint:gosec // RFC 8760 §2.4: MD5 is what phones have; it is offered last
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
)

// Algorithm of a digest.
type Algorithm uint8

// The algorithms, weakest first.
const (
	MD5 Algorithm = iota
	SHA256
)

// String returns the name as it stands in a challenge.
func (a Algorithm) String() string {
	if a == SHA256 {
		return "SHA-256"
	}
	return "MD5"
}

// Size returns the bytes of a hash.
func (a Algorithm) Size() int {
	if a == SHA256 {
		return sha256.Size
	}
	return md5.Size
}

// appendHash appends the hash of text in hex.
func (a Algorithm) appendHash(dst, text []byte) []byte {
	if a == SHA256 {
		sum := sha256.Sum256(text)
		return hex.AppendEncode(dst, sum[:])
	}
	sum := md5.Sum(text) //nolint:gosec // see the import
	return hex.AppendEncode(dst, sum[:])
}

// HA1 returns H(user:realm:password), as bytes.
func HA1(a Algorithm, user, realm, password string) []byte {
	text := []byte(user + ":" + realm + ":" + password)
	if a == SHA256 {
		sum := sha256.Sum256(text)
		return sum[:]
	}
	sum := md5.Sum(text) //nolint:gosec // see the import
	return sum[:]
}

// Errors of credentials.
var (
	ErrScheme = errors.New("not Digest credentials")
	ErrSyntax = errors.New("credentials cannot be read")
	ErrFields = errors.New("credentials lack a field")
	ErrQOP    = errors.New("credentials without qop=auth")
)

// Credentials are what a client sends in Authorization (RFC 7616 §3.4).
type Credentials struct {
	Username, Realm, Nonce, URI, Response, CNonce, NC string

	Algorithm Algorithm
}

// ParseCredentials reads an Authorization or Proxy-Authorization value.
func ParseCredentials(s string) (c Credentials, err error) {
	scheme, rest, _ := strings.Cut(s, " ")
	if !strings.EqualFold(scheme, "Digest") {
		return c, ErrScheme
	}
	qop := ""
	for rest = strings.TrimLeft(rest, " \t"); rest != ""; {
		var name, value string
		var ok bool
		if name, value, rest, ok = nextField(rest); !ok {
			return c, ErrSyntax
		}
		switch {
		case strings.EqualFold(name, "qop"):
			qop = value
		case strings.EqualFold(name, "algorithm"):
			if c.Algorithm, ok = algorithm(value); !ok {
				return c, ErrSyntax
			}
		default:
			c.set(name, value)
		}
	}
	switch {
	case c.Username == "" || c.Realm == "" || c.Nonce == "" || c.URI == "" || c.Response == "":
		return c, ErrFields
	case !strings.EqualFold(qop, "auth"):
		return c, ErrQOP // RFC 8760 §2.6: qop is always sent and so must come back
	case len(c.NC) != 8 || c.CNonce == "":
		return c, ErrFields
	}
	return c, nil
}

func algorithm(name string) (Algorithm, bool) {
	switch {
	case strings.EqualFold(name, "MD5"):
		return MD5, true
	case strings.EqualFold(name, "SHA-256"):
		return SHA256, true
	}
	return 0, false
}

func (c *Credentials) set(name, value string) {
	for _, f := range [...]struct {
		name string
		to   *string
	}{
		{"username", &c.Username},
		{"realm", &c.Realm},
		{"nonce", &c.Nonce},
		{"uri", &c.URI},
		{"response", &c.Response},
		{"cnonce", &c.CNonce},
		{"nc", &c.NC},
	} {
		if strings.EqualFold(name, f.name) {
			*f.to = value
			return
		}
	}
}

// nextField splits the first of ","-separated name=value pairs off.
func nextField(s string) (name, value, rest string, ok bool) {
	eq := strings.IndexByte(s, '=')
	if eq <= 0 {
		return "", "", "", false
	}
	name = strings.Trim(s[:eq], " \t")
	s = strings.TrimLeft(s[eq+1:], " \t")
	end := strings.IndexByte(s, ',')
	if strings.HasPrefix(s, `"`) {
		if end = quotedEnd(s); end < 0 {
			return "", "", "", false
		}
		value = aor.Unquote(s[:end])
		s = strings.TrimLeft(s[end:], " \t")
		if s != "" && s[0] != ',' {
			return "", "", "", false
		}
		return name, value, strings.TrimLeft(strings.TrimPrefix(s, ","), " \t"), true
	}
	if end < 0 {
		return name, strings.Trim(s, " \t"), "", true
	}
	return name, strings.Trim(s[:end], " \t"), strings.TrimLeft(s[end+1:], " \t"), true
}

func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// Count returns nc as a number; false if it is none (RFC 7616 §3.4: eight hex digits).
func (c *Credentials) Count() (n uint32, ok bool) {
	for i := range len(c.NC) {
		d := strings.IndexByte("0123456789abcdef", c.NC[i]|0x20)
		if c.NC[i] < '0' || d < 0 {
			return 0, false
		}
		n = n<<4 | uint32(d)
	}
	return n, len(c.NC) == 8
}

// maxText bounds what a digest is computed of on the stack; longer texts go to the heap.
const maxText = 512

// Verify reports whether the response is right for a user whose HA1, of the algorithm in c, this is.
func (c *Credentials) Verify(ha1 []byte, method string) bool {
	var buf [maxText]byte
	a2 := append(append(append(buf[:0], method...), ':'), c.URI...)
	var ha2buf [2 * sha256.Size]byte
	ha2 := c.Algorithm.appendHash(ha2buf[:0], a2)

	text := hex.AppendEncode(buf[:0], ha1) // RFC 7616 §3.4.1
	for _, part := range [...]string{c.Nonce, c.NC, c.CNonce, "auth"} {
		text = append(append(text, ':'), part...)
	}
	text = append(append(text, ':'), ha2...)
	var want [2 * sha256.Size]byte
	return constantTimeEqual(c.Algorithm.appendHash(want[:0], text), c.Response)
}

func constantTimeEqual(want []byte, got string) bool {
	var buf [2 * sha256.Size]byte
	if len(got) != len(want) {
		return false
	}
	return subtle.ConstantTimeCompare(want, append(buf[:0], got...)) == 1
}

// Answer computes the response of a client, for tests and for our own registrations elsewhere.
func (c *Credentials) Answer(ha1 []byte, method string) string {
	ha2 := c.Algorithm.appendHash(nil, []byte(method+":"+c.URI))
	text := append([]byte(hex.EncodeToString(ha1)+":"+c.Nonce+":"+c.NC+":"+c.CNonce+":auth:"), ha2...)
	return string(c.Algorithm.appendHash(nil, text))
}

// AppendChallenge appends the value of one WWW-Authenticate or Proxy-Authenticate header.
func AppendChallenge(dst []byte, realm string, nonce []byte, a Algorithm, stale bool) []byte {
	dst = append(dst, `Digest realm="`...)
	dst = append(dst, realm...)
	dst = append(dst, `", nonce="`...)
	dst = append(dst, nonce...)
	dst = append(dst, `", algorithm=`...)
	dst = append(dst, a.String()...)
	dst = append(dst, `, qop="auth"`...)
	if stale {
		dst = append(dst, `, stale=true`...)
	}
	return dst
}
