package aor

import (
	"errors"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// Errors of an address.
var (
	ErrQuote  = errors.New("quoted text has no end")
	ErrName   = errors.New("not a display name")
	ErrParams = errors.New("not parameters")
)

// Address is what From, To, Contact, Route and their like carry: a name-addr or an addr-spec with
// parameters of the header (RFC 3261 §20.10).
type Address struct {
	Display string // as written, with its quotes
	Spec    string // the URI as written
	URI     URI
	Params  string // of the header, after the first ';', without it
}

// ParseAddress reads one address that fills s.
func ParseAddress(s string) (a Address, err error) {
	rest := ""
	switch angle := angleAt(s); {
	case angle == noEnd:
		return a, ErrQuote
	case angle >= 0:
		if a.Display, err = displayName(s[:angle]); err != nil {
			return a, err
		}
		end := strings.IndexByte(s[angle:], '>')
		if end < 0 {
			return a, ErrSyntax
		}
		a.Spec, rest = s[angle+1:angle+end], trim(s[angle+end+1:])
	default:
		// Without brackets, what follows ';' belongs to the header, and ',' and '?' cannot stand
		// in the URI (RFC 3261 §20).
		end := strings.IndexAny(s, "; \t")
		if end < 0 {
			end = len(s)
		}
		a.Spec, rest = s[:end], trim(s[end:])
		if strings.ContainsAny(a.Spec, ",?") {
			return a, ErrSyntax
		}
	}
	if a.URI, err = Parse(a.Spec); err != nil {
		return a, err
	}
	if rest == "" {
		return a, nil
	}
	if rest[0] != ';' || !validParams(rest[1:]) {
		return a, ErrParams
	}
	a.Params = trim(rest[1:])
	return a, nil
}

const noEnd = -2

// angleAt finds the '<' that is outside quotes; -1 if there is none, noEnd if a quote does not end.
func angleAt(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			n := quotedEnd(s[i:])
			if n < 0 {
				return noEnd
			}
			i += n - 1
		case '<':
			return i
		}
	}
	return -1
}

// quotedEnd returns the length of the quoted-string at the start of s, -1 if it has no end.
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

// displayName allows a quoted-string or tokens (RFC 3261 §25.1), and bytes of UTF-8 unquoted, as
// phones send them.
func displayName(s string) (string, error) {
	s = trim(s)
	if s == "" {
		return s, nil
	}
	if s[0] == '"' {
		if quotedEnd(s) != len(s) {
			return "", ErrName
		}
		return s, nil
	}
	for i := range len(s) {
		if c := s[i]; c != ' ' && c != '\t' && c < 0x80 && !wire.IsTokenByte(c) {
			return "", ErrName
		}
	}
	return s, nil
}

func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// DisplayText returns the display name without quotes and escapes.
func (a *Address) DisplayText() string { return Unquote(a.Display) }

// Unquote undoes a quoted-string; other texts stay as they are.
func Unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Quote writes s as a quoted-string. Control characters, which none may hold, become spaces.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			b.WriteByte(' ')
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Param returns a parameter of the header.
func (a *Address) Param(name string) (value string, ok bool) { return Param(a.Params, name) }

// Q returns the q parameter in thousandths; 1000 if there is none (RFC 3261 §20.10).
func (a *Address) Q() (q int, ok bool) {
	v, given := a.Param("q")
	if !given {
		return 1000, true
	}
	whole, frac, _ := strings.Cut(v, ".")
	if (whole != "0" && whole != "1" && whole != "") || len(frac) > 3 {
		return 0, false
	}
	n, err := strconv.ParseUint((frac + "000")[:3], 10, 16)
	if whole == "1" {
		n += 1000
	}
	return int(n), err == nil && n <= 1000
}

// NextParam splits the first of ";"-separated parameters off. A value in quotes keeps them.
func NextParam(params string) (name, value, rest string) {
	end := paramEnd(params)
	one := params[:end]
	if end < len(params) {
		rest = params[end+1:]
	}
	name, value, _ = strings.Cut(one, "=")
	return trim(name), trim(value), rest
}

func paramEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			n := quotedEnd(s[i:])
			if n < 0 {
				return len(s)
			}
			i += n - 1
		case ';':
			return i
		}
	}
	return len(s)
}

// Param finds a parameter by name, in any case. A quoted value comes without its quotes.
func Param(params, name string) (value string, ok bool) {
	for params != "" {
		var n, v string
		n, v, params = NextParam(params)
		if strings.EqualFold(n, name) {
			return Unquote(v), true
		}
	}
	return "", false
}

// validParams wants each parameter to be a token, with or without a value (RFC 3261 §25.1
// generic-param).
func validParams(s string) bool {
	for {
		end := paramEnd(s)
		name, value, has := strings.Cut(s[:end], "=")
		if !wire.IsToken(trim(name)) || (has && !validParamValue(trim(value))) {
			return false
		}
		if end == len(s) {
			return true
		}
		s = s[end+1:]
	}
}

func validParamValue(v string) bool {
	if v == "" {
		return false
	}
	if v[0] == '"' {
		return quotedEnd(v) == len(v)
	}
	for i := range len(v) {
		if c := v[i]; !wire.IsTokenByte(c) && strings.IndexByte("[]:/=@<>?&$#", c) < 0 { // token, host, or what URIs in parameters hold
			return false
		}
	}
	return true
}

// NextAddress splits the first of ","-separated addresses off. Commas in quotes and in brackets
// belong to an address.
func NextAddress(list string) (one, rest string) {
	inAngle := false
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '"':
			n := quotedEnd(list[i:])
			if n < 0 {
				return trim(list), ""
			}
			i += n - 1
		case '<':
			inAngle = true
		case '>':
			inAngle = false
		case ',':
			if !inAngle {
				return trim(list[:i]), trim(list[i+1:])
			}
		}
	}
	return trim(list), ""
}
