// Package cpim reads and writes the message format of RFC 3862, in which Linphone wraps what it
// sends. What was read is written again byte for byte.
package cpim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/sip/mime"
)

// MediaType is the type of such a body (RFC 3862 §3).
const MediaType = "message/cpim"

// Namespaces of headers.
const (
	Core     = "urn:ietf:params:cpim-headers:" // RFC 3862 §3.4: of names without a prefix
	IMDN     = "urn:ietf:params:imdn"          // RFC 5438 §6.1
	Linphone = "tag:linphone.org,2020:params:groupchat"
)

// Limits of a message. Linphone writes eight headers.
const (
	maxHeaders = 64
	maxSpaces  = 16
)

// Errors of a message that is not read.
var (
	ErrHeader  = errors.New("CPIM header line that is none")
	ErrTooMany = errors.New("CPIM message with more headers than we read")
	ErrSpace   = errors.New("CPIM header of a namespace that was not named")
)

// Header is one message header.
type Header struct {
	Space, Name string // namespace URI and local name
	Value       string // with escapes undone
	Lang        string // of Subject, "" if it names none
	line        string // as it was written, with its end
}

// Message is one message.
type Message struct {
	Headers []Header
	Content mime.Entity // encapsulated MIME object
	rest    string      // as it was written: the empty line, and all behind
}

// Parse reads a message. Lines may end without a carriage return.
func Parse(text string) (*Message, error) {
	m, spaces := new(Message), map[string]string{"": Core}
	for {
		line, after, ok := strings.Cut(text, "\n")
		if !ok {
			return nil, ErrHeader // RFC 3862 §2.1: an empty line ends the headers
		}
		if line == "" || line == "\r" {
			m.rest = text
			content, err := mime.ParseEntity(after)
			if err != nil {
				return nil, fmt.Errorf("read content of a CPIM message: %w", err)
			}
			m.Content = content
			return m, nil
		}
		if len(m.Headers) == maxHeaders {
			return nil, ErrTooMany
		}
		h, err := parseHeader(text[:len(line)+1], spaces)
		if err != nil {
			return nil, err
		}
		m.Headers = append(m.Headers, h)
		text = after
	}
}

// parseHeader reads "Name: SP value" (RFC 3862 §3.4). spaces are the namespaces named so far.
func parseHeader(line string, spaces map[string]string) (h Header, err error) {
	h.line = line
	name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
	if !ok {
		return h, ErrHeader
	}
	prefix, local, has := strings.Cut(name, ".")
	if !has {
		prefix, local = "", name
	}
	if !validName(local) || (has && !validName(prefix)) {
		return h, ErrHeader
	}
	if h.Space, ok = spaces[prefix]; !ok {
		return h, ErrSpace
	}
	value = strings.TrimPrefix(value, " ") // RFC 3862 §3.4: one space, which some leave out
	value, h.Lang = cutLang(value)
	if h.Value, ok = unescape(value); !ok {
		return h, ErrHeader
	}
	h.Name = local
	if h.Is(Core, "NS") {
		return h, addSpace(h.Value, spaces)
	}
	return h, nil
}

// cutLang takes ";lang=tag" off the front of a value, where RFC 3862 §4.6 writes it.
func cutLang(value string) (rest, lang string) {
	after, ok := strings.CutPrefix(value, ";lang=")
	if !ok {
		return value, ""
	}
	lang, rest, _ = strings.Cut(after, " ")
	return rest, lang
}

// addSpace takes "prefix <uri>", or "<uri>" for names without a prefix (RFC 3862 §4.7).
func addSpace(value string, spaces map[string]string) error {
	prefix, uri, ok := strings.Cut(value, "<")
	prefix = strings.TrimSpace(prefix)
	uri, rest, ok2 := strings.Cut(uri, ">")
	if !ok || !ok2 || strings.TrimSpace(rest) != "" || (prefix != "" && !validName(prefix)) {
		return ErrHeader
	}
	if len(spaces) > maxSpaces {
		return ErrTooMany
	}
	spaces[prefix] = uri
	return nil
}

// validName checks a header name (RFC 3862 §3.6): a letter or more, digits and some marks, no blank.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`.:;<>()[]{}"\@/=,`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// unescape undoes RFC 3862 §2.3.1's escapes. A value holds no control character as it stands.
func unescape(s string) (string, bool) {
	for i := range len(s) {
		if (s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f {
			return "", false
		}
	}
	if !strings.Contains(s, `\`) {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		n, ok := escaped(&b, s[i+1:])
		if !ok {
			return "", false
		}
		i += n
	}
	return b.String(), true
}

// escaped writes what the characters behind a backslash mean, and returns how many they are.
func escaped(b *strings.Builder, s string) (n int, ok bool) {
	switch s[0] {
	case 'u':
		var r rune
		if len(s) < 5 {
			return 0, false
		}
		if _, err := fmt.Sscanf(s[1:5], "%04x", &r); err != nil {
			return 0, false
		}
		b.WriteRune(r)
		return 5, true
	case 'b':
		b.WriteByte('\b')
	case 't':
		b.WriteByte('\t')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	default: // the character itself: a quote, an apostrophe, a backslash
		b.WriteByte(s[0])
	}
	return 1, true
}

// Is reports whether this is the header of a name. Names are case-sensitive (RFC 3862 §3.4).
func (h *Header) Is(space, name string) bool { return h.Space == space && h.Name == name }

// Get returns the first header of a name, "" if there is none.
func (m *Message) Get(space, name string) string {
	for i := range m.Headers {
		if m.Headers[i].Is(space, name) {
			return m.Headers[i].Value
		}
	}
	return ""
}

// From returns the URI of the sender. It is "" where there is not exactly one, also to a reader who
// is careless with case and namespaces (RFC 3862 §4.1): he might believe another.
func (m *Message) From() (uri string) {
	for i := range m.Headers {
		h := &m.Headers[i]
		switch {
		case !strings.EqualFold(h.Name, "From"):
		case uri != "" || !h.Is(Core, "From"):
			return ""
		default:
			uri = uriOf(h.Value)
		}
	}
	return uri
}

// uriOf returns what stands in angle brackets.
func uriOf(value string) string {
	_, rest, _ := strings.Cut(value, "<")
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

// DateTime returns when the sender wrote it, the zero time if he does not say (RFC 3862 §4.4).
func (m *Message) DateTime() time.Time {
	t, err := time.Parse(time.RFC3339, m.Get(Core, "DateTime"))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// Append appends the message as it was read, or as it was made.
func (m *Message) Append(dst []byte) []byte {
	for i := range m.Headers {
		dst = append(dst, m.Headers[i].line...)
	}
	if m.rest != "" {
		return append(dst, m.rest...)
	}
	dst = append(dst, "\r\n"...)
	for _, h := range m.Content.Headers {
		dst = append(append(append(append(dst, h.Name...), ": "...), h.Value...), "\r\n"...)
	}
	return append(append(dst, "\r\n"...), m.Content.Body...)
}

// Add adds a header to a message that is made here; prefix names a namespace that was added before,
// "" the core's.
func (m *Message) Add(prefix, space, name, value string) {
	full := name
	if prefix != "" {
		full = prefix + "." + name
	}
	m.Headers = append(m.Headers, Header{Space: space, Name: name, Value: value, line: full + ": " + escape(value) + "\r\n"})
}

// escape keeps a value on its line.
func escape(s string) string {
	if !strings.ContainsAny(s, "\\\r\n\b\x00\x7f") {
		return s
	}
	return strings.NewReplacer(`\`, `\\`, "\r", `\r`, "\n", `\n`, "\b", `\b`, "\x00", `\u0000`, "\x7f", `\u007f`).Replace(s)
}
