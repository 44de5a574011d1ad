// Package aor reads SIP, SIPS and tel URIs and the addresses that headers carry, and makes the
// address of record of them. It allocates only where an escape must be undone.
package aor

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Scheme of a URI.
type Scheme uint8

// The schemes. Unknown is a well-formed URI of a scheme that the box does not serve.
const (
	Unknown Scheme = iota
	SIP
	SIPS
	Tel
)

// Errors of a URI.
var (
	ErrSyntax = errors.New("not a URI")
	ErrHost   = errors.New("not a host")
	ErrPort   = errors.New("not a port")
	ErrUser   = errors.New("not a user part")
)

// URI is a parsed URI, its parts as they were written.
type URI struct {
	Scheme  Scheme
	User    string // for tel, the number
	Host    string // with the brackets of an IPv6 address
	Port    uint16 // 0: none given
	Params  string // after the first ';', without it
	Headers string // after '?', without it
}

// Parse reads a URI (RFC 3261 §25.1, RFC 3966 §3).
func Parse(s string) (u URI, err error) {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 || !isScheme(s[:colon]) {
		return u, ErrSyntax
	}
	rest := s[colon+1:]
	if rest == "" || strings.ContainsAny(rest, " \t<>\"") {
		return u, ErrSyntax
	}
	switch {
	case strings.EqualFold(s[:colon], "sip"):
		u.Scheme = SIP
	case strings.EqualFold(s[:colon], "sips"):
		u.Scheme = SIPS
	case strings.EqualFold(s[:colon], "tel"):
		u.Scheme = Tel
		u.User, u.Params, _ = strings.Cut(rest, ";")
		return u, checkNumber(u.User)
	default:
		return u, nil
	}
	return u, u.parseSIP(rest)
}

// isScheme follows RFC 3986 §3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !('0' <= s[i] && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.')) {
			return false
		}
	}
	return true
}

func checkNumber(s string) error {
	s = strings.TrimPrefix(s, "+")
	for i := range len(s) {
		if !strings.ContainsRune("0123456789-.()*#abcdefABCDEF", rune(s[i])) {
			return ErrUser
		}
	}
	if s == "" {
		return ErrUser
	}
	return nil
}

func (u *URI) parseSIP(rest string) error {
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		if at == 0 || !validUser(rest[:at]) {
			return ErrUser
		}
		u.User, _, _ = strings.Cut(rest[:at], ":") // RFC 3261 §19.1.1: a password there is not to be used
		rest = rest[at+1:]
	}
	if q := strings.IndexByte(rest, '?'); q >= 0 {
		rest, u.Headers = rest[:q], rest[q+1:]
	}
	if semi := strings.IndexByte(rest, ';'); semi >= 0 {
		rest, u.Params = rest[:semi], rest[semi+1:]
	}
	var err error
	u.Host, u.Port, err = splitHostPort(rest)
	return err
}

// validUser allows the characters of user and password in RFC 3261 §25.1, and whole escapes only.
func validUser(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '%':
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return false
			}
			i += 2
		case strings.IndexByte("-_.!~*'()&=+$,;?/:#", c) >= 0: // '#' is not in the grammar, but phones dial it unescaped
		default:
			return false
		}
	}
	return true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// splitHostPort reads host [":" port]. An IPv6 address stands in brackets (RFC 5118 §4.2).
func splitHostPort(s string) (host string, port uint16, err error) {
	end := strings.IndexByte(s, ':')
	if strings.HasPrefix(s, "[") {
		if end = strings.IndexByte(s, ']'); end < 0 || !validIPv6(s[1:end]) {
			return "", 0, ErrHost
		}
		end++
	} else if end < 0 {
		end = len(s)
	}
	host = s[:end]
	if host == "" || (host[0] != '[' && !validHost(host)) {
		return "", 0, ErrHost
	}
	if end == len(s) {
		return host, 0, nil
	}
	if s[end] != ':' {
		return "", 0, ErrHost
	}
	n, err := strconv.ParseUint(s[end+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, ErrPort
	}
	return host, uint16(n), nil
}

// ValidHost reports whether s is a host name, an IPv4 address or an IPv6 address in brackets.
func ValidHost(s string) bool {
	host, port, err := splitHostPort(s)
	return err == nil && port == 0 && host == s
}

// validIPv6 takes the three colons before an embedded IPv4 address that the grammar of
// RFC 3261 §25.1 lets through by mistake (RFC 5118 §4.10).
func validIPv6(s string) bool {
	a, err := netip.ParseAddr(strings.Replace(s, ":::", "::", 1))
	return err == nil && a.Is6() && a.Zone() == ""
}

func validHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		ok := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
		if !ok {
			return false
		}
	}
	return true
}

// Addr returns the host as an address, if it is one.
func (u *URI) Addr() (netip.Addr, bool) {
	h := u.Host
	if strings.HasPrefix(h, "[") {
		h = strings.Replace(h[1:len(h)-1], ":::", "::", 1)
	} else if h == "" || h[len(h)-1] < '0' || h[len(h)-1] > '9' {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(h)
	return a, err == nil
}

// UserText returns the user part with its escapes undone.
func (u *URI) UserText() string { return Unescape(u.User) }

// Unescape undoes %HH. A broken escape stays as it is.
func Unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0 {
			b.WriteByte(byte(unhex(s[i+1])<<4 | unhex(s[i+2])))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Escape writes a user part so that validUser takes it.
func Escape(s string) string {
	if validUser(s) && strings.IndexByte(s, ':') < 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c != ':' && c != '%' && validUser(s[i:i+1]) {
			b.WriteByte(c)
		} else {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		}
	}
	return b.String()
}

// Param returns a parameter of the URI.
func (u *URI) Param(name string) (value string, ok bool) { return Param(u.Params, name) }

// Transport returns the transport parameter in lower case, "" if there is none that is known.
func (u *URI) Transport() string {
	v, _ := u.Param("transport")
	for _, known := range []string{"udp", "tcp", "tls", "ws", "wss"} {
		if strings.EqualFold(v, known) {
			return known
		}
	}
	return ""
}

// HostPort returns host and port as they stand in the URI.
func (u *URI) HostPort() string {
	if u.Port == 0 {
		return u.Host
	}
	return u.Host + ":" + strconv.Itoa(int(u.Port))
}

// String writes the URI without its headers.
func (u URI) String() string {
	var b strings.Builder
	switch u.Scheme {
	case Tel:
		b.WriteString("tel:" + u.User)
	case SIPS:
		b.WriteString("sips:")
	default:
		b.WriteString("sip:")
	}
	if u.Scheme != Tel {
		if u.User != "" {
			b.WriteString(u.User + "@")
		}
		b.WriteString(u.HostPort())
	}
	if u.Params != "" {
		b.WriteString(";" + u.Params)
	}
	return b.String()
}

// AoR returns the address of record that the URI names: sip:user@host, host in lower case, user
// unescaped. Accounts are told apart without regard to case (RFC 3261 §19.1.4, not followed: the
// user part is case-sensitive there, and a phone's keyboard starts names with a capital).
func (u *URI) AoR() string {
	return "sip:" + strings.ToLower(u.UserText()) + "@" + strings.ToLower(u.Host)
}
