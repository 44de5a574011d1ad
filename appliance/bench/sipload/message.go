package sipload

import (
	"bytes"
	"strconv"
)

// Room in a message; more than any server here needs.
const (
	maxMirrored = 16
	maxRecorded = 8
)

// message is what was found in one message. All but numbers points into its text.
type message struct {
	text     []byte
	status   int    // of a response
	method   string // of a request, or that of the response's CSeq
	uri      []byte // of a request
	seq      uint32
	branch   []byte // of the topmost Via
	to       []byte // value
	contact  []byte // URI of the first
	contacts int
	nonce    []byte
	body     []byte

	mirrored [maxMirrored][]byte // lines that a response repeats: Via, From, To, Call-ID, CSeq
	mirrors  int
	record   [maxRecorded][]byte // values of Record-Route
	recorded int
}

// read finds what matters in the message at the start of b. It returns the message's length: 0 when
// b holds no whole message, -1 when it is none.
func (m *message) read(b []byte) (size int) {
	*m = message{}
	line, rest := cutLine(b)
	if line == nil {
		return 0
	}
	if !m.start(line) {
		return -1
	}
	length := 0
	for {
		if line, rest = cutLine(rest); line == nil {
			return 0
		}
		if len(line) == 2 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			return -1
		}
		value := bytes.TrimSpace(line[colon+1:])
		if equalFold(line[:colon], "content-length") {
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 0 {
				return -1
			}
			length = n
		} else {
			m.header(line[:colon], value, line)
		}
	}
	if len(rest) < length {
		return 0
	}
	m.body = rest[:length]
	size = len(b) - len(rest) + length
	m.text = b[:size]
	return size
}

// cutLine splits a line off, with its end; nil if there is no end.
func cutLine(b []byte) (line, rest []byte) {
	end := bytes.IndexByte(b, '\n')
	if end < 1 || b[end-1] != '\r' {
		return nil, b
	}
	return b[:end+1], b[end+1:]
}

// start reads a request line or a status line.
func (m *message) start(line []byte) bool {
	first, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return false
	}
	second, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return false
	}
	if string(first) == "SIP/2.0" {
		status, err := strconv.Atoi(string(second))
		m.status = status
		return err == nil && 100 <= status && status <= 699
	}
	m.method, m.uri = methodName(first), second
	return m.method != ""
}

// methodName returns a constant, so that reading allocates nothing.
func methodName(b []byte) string {
	for _, name := range [...]string{"REGISTER", "INVITE", "ACK", "BYE", "OPTIONS", "CANCEL", "NOTIFY"} {
		if string(b) == name {
			return name
		}
	}
	return ""
}

func (m *message) header(name, value, line []byte) {
	switch name[0] | 0x20 {
	case 'v':
		if equalFold(name, "via") {
			if m.branch == nil {
				m.branch = param(value, "branch=")
			}
			m.mirror(line)
		}
	case 'f':
		if equalFold(name, "from") {
			m.mirror(line)
		}
	case 't':
		if equalFold(name, "to") {
			m.to = value
			m.mirror(line)
		}
	case 'r':
		if equalFold(name, "record-route") && m.recorded < maxRecorded {
			m.record[m.recorded] = value
			m.recorded++
		}
	case 'w', 'p':
		if equalFold(name, "www-authenticate") || equalFold(name, "proxy-authenticate") {
			m.challenged(value)
		}
	case 'c':
		m.headerC(name, value, line)
	}
}

func (m *message) headerC(name, value, line []byte) {
	switch {
	case equalFold(name, "call-id"):
		m.mirror(line)
	case equalFold(name, "cseq"):
		digits, method, _ := bytes.Cut(value, []byte(" "))
		n, err := strconv.ParseUint(string(digits), 10, 32)
		if err == nil {
			m.seq = uint32(n)
		}
		if m.status != 0 {
			m.method = methodName(method)
		}
		m.mirror(line)
	case equalFold(name, "contact"):
		if m.contact == nil {
			m.contact = between(value, '<', '>')
		}
		m.contacts += bytes.Count(value, []byte("<"))
	}
}

func (m *message) mirror(line []byte) {
	if m.mirrors < maxMirrored {
		m.mirrored[m.mirrors] = line
		m.mirrors++
	}
}

// challenged reads the first challenge: MD5, which both servers offer to all.
func (m *message) challenged(value []byte) {
	if m.nonce == nil {
		m.nonce = param(value, `nonce="`)
	}
}

// param returns what follows name, up to what ends a parameter.
func param(value []byte, name string) []byte {
	_, after, ok := bytes.Cut(value, []byte(name))
	if !ok {
		return nil
	}
	if end := bytes.IndexAny(after, "\";, \r"); end >= 0 {
		after = after[:end]
	}
	return after
}

func between(b []byte, open, end byte) []byte {
	i := bytes.IndexByte(b, open)
	j := bytes.IndexByte(b, end)
	if i < 0 || j < i {
		return nil
	}
	return b[i+1 : j]
}

// equalFold compares with a name in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// take handles one message that came.
func (l *Load) take(b []byte) (size int) {
	m := &l.m
	if size = m.read(b); size <= 0 {
		if size < 0 {
			l.fail("not a message: %q", b)
		}
		return size
	}
	if m.status == 0 {
		l.calleeRequest()
		return size
	}
	s := l.slotOf(m.branch)
	switch {
	case s == nil:
		l.repeated.Add(1) // of an operation that is over
	case m.method == "REGISTER":
		l.registered(s)
	default:
		l.callResponse(s)
	}
	return size
}
