// Package wire splits a SIP message into its lines, in place and without allocation. It judges
// nothing but where a line and the message end: what the lines mean is for package checked.
package wire

import (
	"bytes"
	"errors"
	"strings"
	"unsafe"
)

// MaxFields is the most header lines of a message that we read: the longest torture message has 44.
const MaxFields = 128

// Errors that leave nothing to answer.
var (
	ErrEmpty   = errors.New("empty message")
	ErrNoEnd   = errors.New("header section has no end")
	ErrTooMany = errors.New("more header lines than we read")
	ErrTooLong = errors.New("message is longer than we read")
)

// field is one header line, as offsets into the text.
type field struct {
	name, nameEnd, value, end int32
	id                        ID
}

// Message is a message split into lines. It is reused: Parse forgets what was there. Texts that
// its methods return are parts of the buffer that was parsed, unless Keep was called before.
type Message struct {
	text   string
	start  string
	fields []field
	body   int // offset
	count  [ids]uint8
	bad    bool
}

// Parse splits the message in buf, which it may change: it unfolds header lines (RFC 3261 §7.3.1)
// by writing spaces over the line ends. The body is all that follows the empty line.
func (m *Message) Parse(buf []byte) error {
	m.fields, m.count, m.bad = m.fields[:0], [ids]uint8{}, false
	for len(buf) >= 2 && buf[0] == '\r' && buf[1] == '\n' { // RFC 3261 §7.5
		buf = buf[2:]
	}
	if len(buf) == 0 {
		return ErrEmpty
	}
	m.text = unsafe.String(unsafe.SliceData(buf), len(buf))
	at := lineEnd(buf, 0)
	if at < 0 {
		return ErrNoEnd
	}
	m.start = m.text[:at]
	return m.splitFields(buf, at+2)
}

func lineEnd(buf []byte, from int) int {
	for {
		i := bytes.IndexByte(buf[from:], '\r')
		if i < 0 || from+i+1 >= len(buf) {
			return -1
		}
		if buf[from+i+1] == '\n' {
			return from + i
		}
		from += i + 1
	}
}

func (m *Message) splitFields(buf []byte, at int) error {
	for {
		if at == len(buf) { // cut off between two lines: enough is there to answer
			m.body, m.bad = at, true
			return nil
		}
		end := lineEnd(buf, at)
		if end < 0 {
			return ErrNoEnd
		}
		if end == at {
			m.body = end + 2
			return nil
		}
		for end+2 < len(buf) && (buf[end+2] == ' ' || buf[end+2] == '\t') {
			buf[end], buf[end+1] = ' ', ' '
			if end = lineEnd(buf, end+2); end < 0 {
				return ErrNoEnd
			}
		}
		if len(m.fields) == MaxFields {
			return ErrTooMany
		}
		m.addField(buf, at, end)
		at = end + 2
	}
}

func (m *Message) addField(buf []byte, at, end int) {
	colon := bytes.IndexByte(buf[at:end], ':')
	if colon <= 0 {
		m.bad = true
		return
	}
	nameEnd := at + colon
	for nameEnd > at && isSpace(buf[nameEnd-1]) { // RFC 3261 §25.1 HCOLON
		nameEnd--
	}
	value := at + colon + 1
	for value < end && isSpace(buf[value]) {
		value++
	}
	for end > value && isSpace(buf[end-1]) {
		end--
	}
	id := identify(m.text[at:nameEnd])
	if id == Other && !IsToken(m.text[at:nameEnd]) {
		m.bad = true
		return
	}
	if m.count[id] < 255 {
		m.count[id]++
	}
	m.fields = append(m.fields, field{int32(at), int32(nameEnd), int32(value), int32(end), id})
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// Keep makes the message's texts independent of the buffer that was parsed.
func (m *Message) Keep() {
	text := strings.Clone(m.text)
	m.start = text[:len(m.start)]
	m.text = text
}

// Start returns the start line.
func (m *Message) Start() string { return m.start }

// IsResponse reports whether the start line is a status line.
func (m *Message) IsResponse() bool {
	return len(m.start) > 4 && strings.EqualFold(m.start[:4], "SIP/")
}

// Malformed reports whether a line of the header section is no header field.
func (m *Message) Malformed() bool { return m.bad }

// Count returns how many lines of a field there are, at most 255.
func (m *Message) Count(id ID) int { return int(m.count[id]) }

// Len returns how many header lines there are.
func (m *Message) Len() int { return len(m.fields) }

// Field returns line i.
func (m *Message) Field(i int) (id ID, value string) {
	f := &m.fields[i]
	return f.id, m.text[f.value:f.end]
}

// Name returns the field name of line i as it was written.
func (m *Message) Name(i int) string {
	f := &m.fields[i]
	return m.text[f.name:f.nameEnd]
}

// Get returns the first line of a field.
func (m *Message) Get(id ID) (value string, ok bool) {
	if m.count[id] == 0 {
		return "", false
	}
	for i := range m.fields {
		if f := &m.fields[i]; f.id == id {
			return m.text[f.value:f.end], true
		}
	}
	return "", false
}

// Body returns all that follows the header section.
func (m *Message) Body() string { return m.text[m.body:] }

// Text returns the whole message.
func (m *Message) Text() string { return m.text }

// IsToken reports whether s is a token (RFC 3261 §25.1).
func IsToken(s string) bool {
	for i := range len(s) {
		if !IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// IsTokenByte reports whether c may stand in a token.
func IsTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '!', '%', '*', '_', '+', '`', '\'', '~':
		return true
	}
	return false
}
