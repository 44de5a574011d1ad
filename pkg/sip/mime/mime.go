// Package mime reads the bodies of SIP messages, within bounds: entities with header lines,
// multiparts in one another, and the zlib streams that Linphone calls deflate.
package mime

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a body.
const (
	MaxBytes    = 256 << 10 // of a body that was inflated; one that came as it is has less
	maxParts    = 64        // of a body, all levels together; Linphone sends three, or a receipt for each message read
	maxDepth    = 4
	maxHeaders  = 32
	maxBoundary = 200 // RFC 2046 §5.1.1 has 70; Linphone writes 71
)

// Errors of a body that is not read.
var (
	ErrTooLong  = errors.New("body is longer than we read")
	ErrTooMany  = errors.New("body has more parts than we read")
	ErrHeader   = errors.New("part has a header line without a name, or too many")
	ErrBoundary = errors.New("multipart body without a boundary, or without parts")
)

// Header is one header line.
type Header struct{ Name, Value string }

// Entity is a body and what describes it. Its texts are parts of what was read.
type Entity struct {
	Headers []Header
	Body    string
}

// Header returns the first header of a name, "" if there is none.
func (e *Entity) Header(name string) string {
	for _, h := range e.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// Type returns the media type in lower case, without parameters. RFC 2045 §5.2: a body that names
// none is plain text.
func (e *Entity) Type() string {
	kind, _, _ := strings.Cut(e.Header("Content-Type"), ";")
	if kind = strings.ToLower(strings.TrimSpace(kind)); kind == "" {
		return "text/plain"
	}
	return kind
}

// Param returns a parameter of a header value such as Content-Type's, without quotes.
func Param(value, name string) string {
	_, rest, _ := strings.Cut(value, ";")
	for rest != "" {
		var one string
		one, rest = nextParam(rest)
		n, v, _ := strings.Cut(one, "=")
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return unquote(strings.TrimSpace(v))
		}
	}
	return ""
}

// nextParam cuts at the first semicolon outside of quotes.
func nextParam(s string) (one, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
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

// ParseEntity reads header lines, an empty line and a body. Lines may end without a carriage return.
func ParseEntity(text string) (e Entity, err error) {
	for {
		line, rest, more := cutLine(text)
		if line == "" {
			e.Body = rest
			return e, nil
		}
		if !more {
			return e, ErrHeader
		}
		text = rest
		if line[0] == ' ' || line[0] == '\t' { // RFC 5322 §2.2.3: it goes on
			if len(e.Headers) == 0 {
				return e, ErrHeader
			}
			last := &e.Headers[len(e.Headers)-1]
			last.Value = strings.TrimSpace(last.Value + " " + strings.TrimSpace(line))
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || len(e.Headers) == maxHeaders {
			return e, ErrHeader
		}
		e.Headers = append(e.Headers, Header{name, strings.TrimSpace(value)})
	}
}

// cutLine returns the first line without its end, and what follows it.
func cutLine(s string) (line, rest string, more bool) {
	line, rest, more = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest, more
}

// Leaves calls visit for the entity, or for each part of it that is no multipart itself, in order.
// What is nested too deep or in too many parts is an error, before memory is spent on it.
func Leaves(e *Entity, visit func(part *Entity) error) error {
	if len(e.Body) > MaxBytes {
		return ErrTooLong
	}
	parts := 0
	return leaves(e, 0, &parts, visit)
}

func leaves(e *Entity, depth int, parts *int, visit func(*Entity) error) error {
	if !strings.HasPrefix(e.Type(), "multipart/") {
		return visit(e)
	}
	if depth == maxDepth {
		return ErrTooMany
	}
	boundary := Param(e.Header("Content-Type"), "boundary")
	if boundary == "" || len(boundary) > maxBoundary {
		return ErrBoundary
	}
	return split(e.Body, boundary, func(text string) error {
		if *parts++; *parts > maxParts {
			return ErrTooMany
		}
		part, err := ParseEntity(text)
		if err != nil {
			return err
		}
		return leaves(&part, depth+1, parts, visit)
	})
}

// split calls each for what stands between the delimiter lines (RFC 2046 §5.1.1). The end of the
// line before a delimiter belongs to the delimiter. A body that was cut off has no last delimiter.
func split(body, boundary string, each func(text string) error) error {
	from, found := -1, false
	for at := 0; at < len(body); {
		end := strings.IndexByte(body[at:], '\n')
		next := at + end + 1
		if end < 0 {
			next = len(body)
		}
		if is, last := delimiter(body[at:next], boundary); is {
			if from >= 0 {
				if err := each(body[from:max(from, beforeLine(body, at))]); err != nil {
					return err
				}
			}
			if found, from = true, next; last {
				return nil
			}
		}
		at = next
	}
	if !found {
		return ErrBoundary
	}
	return each(body[from:])
}

// beforeLine returns where the line before the one at this place ends, without its line end.
func beforeLine(body string, at int) int {
	return len(strings.TrimSuffix(strings.TrimSuffix(body[:at], "\n"), "\r"))
}

// delimiter reports whether a line is a delimiter, and whether it is the last one.
func delimiter(line, boundary string) (is, last bool) {
	rest, ok := strings.CutPrefix(line, "--")
	if rest, ok = cutPrefix(ok, rest, boundary); !ok {
		return false, false
	}
	rest, last = strings.CutPrefix(rest, "--")
	return strings.Trim(rest, " \t\r\n") == "", last
}

func cutPrefix(ok bool, s, prefix string) (string, bool) {
	if !ok {
		return s, false
	}
	return strings.CutPrefix(s, prefix)
}

// Inflate undoes a Content-Encoding of "deflate", which is a zlib stream (RFC 1950 §2.2; RFC 9110
// §8.4.1.2 says so too), as far as MaxBytes: a bomb costs no more than that. An empty body stays
// empty: Linphone names the encoding there, too.
func Inflate(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("inflate: %w", err)
	case len(out) > MaxBytes:
		return nil, fmt.Errorf("inflate: %w", ErrTooLong)
	}
	return out, nil
}
