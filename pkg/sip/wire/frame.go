package wire

import "bytes"

// Framer finds the ends of messages in a stream (RFC 3261 §18.3). One serves one connection.
type Framer struct {
	scanned int // bytes of the buffer in which the end of the header section was looked for
}

// Frame is what Framer found at the start of the buffer.
type Frame struct {
	Size  int  // bytes to take off the buffer; 0 means that more must come
	Ping  bool // a double CRLF, which wants a CRLF back (RFC 5626 §3.5.1)
	Blank bool // line ends between messages (RFC 3261 §7.5)
}

// Next looks at buf, the unread bytes of the stream, for a message of at most limit bytes.
// A message without Content-Length has no body; ErrTooLong means that the stream cannot be read on.
func (f *Framer) Next(buf []byte, limit int) (Frame, error) {
	if len(buf) > 0 && (buf[0] == '\r' || buf[0] == '\n') {
		return f.blank(buf), nil
	}
	from := max(f.scanned-3, 0)
	i := bytes.Index(buf[from:], []byte("\r\n\r\n"))
	if i < 0 {
		f.scanned = len(buf)
		if len(buf) >= limit {
			return Frame{}, ErrTooLong
		}
		return Frame{}, nil
	}
	head := from + i + 4
	size := head + contentLength(buf[:head])
	switch {
	case size > limit || size < head:
		return Frame{}, ErrTooLong
	case size > len(buf):
		f.scanned = from + i
		return Frame{}, nil
	}
	f.scanned = 0
	return Frame{Size: size}, nil
}

// blank takes line ends off. A client's ping may arrive in pieces: half of one is waited for.
func (f *Framer) blank(buf []byte) Frame {
	f.scanned = 0
	switch {
	case bytes.HasPrefix(buf, []byte("\r\n\r\n")):
		return Frame{Size: 4, Ping: true}
	case bytes.HasPrefix([]byte("\r\n\r\n"), buf):
		return Frame{}
	case bytes.HasPrefix(buf, []byte("\r\n")):
		return Frame{Size: 2, Blank: true}
	}
	return Frame{Size: 1, Blank: true}
}

// contentLength returns the first Content-Length of a header section; 0 where there is none or it
// is no number, so that the message is read, judged and answered 400.
func contentLength(head []byte) int {
	for at := 0; ; {
		i := bytes.Index(head[at:], []byte("\r\n"))
		if i < 0 {
			return 0
		}
		at += i + 2
		if n, ok := lengthLine(head[at:]); ok {
			return n
		}
	}
}

func lengthLine(line []byte) (n int, ok bool) {
	colon := bytes.IndexByte(line[:min(len(line), 32)], ':')
	if colon < 1 {
		return 0, false
	}
	name := bytes.TrimRight(line[:colon], " \t")
	if !bytes.EqualFold(name, []byte("content-length")) && !bytes.EqualFold(name, []byte("l")) {
		return 0, false
	}
	digits := bytes.TrimLeft(line[colon+1:], " \t")
	for i, c := range digits {
		if c < '0' || c > '9' {
			break
		}
		if i > 8 {
			return 1 << 30, true
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
