package scan

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ICAP is a scanner that is a service of RFC 3507. A file is shown to it as the answer to a request
// (RESPMOD): that is what every such service looks at.
type ICAP struct {
	URL *url.URL
}

const (
	icapPort   = "1344" // RFC 3507 §4.2
	icapDial   = 5 * time.Second
	icapStall  = 30 * time.Second // without progress
	icapAnswer = 64 << 10         // of an answer's headers
)

// ParseICAP reads the address of a service, for instance icap://192.0.2.9:1344/avscan.
func ParseICAP(text string) (ICAP, error) {
	u, err := url.Parse(text)
	if err != nil {
		return ICAP{}, err
	}
	if u.Scheme != "icap" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return ICAP{}, errors.New("not an address as icap://host:port/service")
	}
	return ICAP{u}, nil
}

func (c ICAP) address() string {
	port := c.URL.Port()
	if port == "" {
		port = icapPort
	}
	return net.JoinHostPort(c.URL.Hostname(), port)
}

type icap struct {
	conn net.Conn
	out  *bufio.Writer
	stop func() bool
	err  error // of a write: the service may have answered already
}

// Begin connects to the service and sends it what goes before the file.
func (c ICAP) Begin(ctx context.Context, f File) (Scan, error) {
	d := net.Dialer{Timeout: icapDial}
	conn, err := d.DialContext(ctx, "tcp", c.address())
	if err != nil {
		return nil, fmt.Errorf("reach the scanner %s: %w", c.address(), err)
	}
	s := &icap{conn: conn, out: bufio.NewWriterSize(conn, 32<<10)}
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	// RFC 3507 §4.9.2: the request, then the answer's head, then its body in chunks.
	request := "GET http://files/" + url.PathEscape(f.Name) + " HTTP/1.1\r\nHost: files\r\n\r\n"
	answer := "HTTP/1.1 200 OK\r\nContent-Type: " + f.ContentType + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	fmt.Fprintf(s.out, "RESPMOD %s ICAP/1.0\r\nHost: %s\r\nAllow: 204\r\nConnection: close\r\nEncapsulated: req-hdr=0, res-hdr=%d, res-body=%d\r\n\r\n%s%s",
		c.URL, c.URL.Host, len(request), len(request)+len(answer), request, answer)
	return s, nil
}

func (s *icap) Write(p []byte) (int, error) {
	if s.err == nil && len(p) > 0 {
		if s.err = s.conn.SetWriteDeadline(time.Now().Add(icapStall)); s.err == nil {
			_, s.err = fmt.Fprintf(s.out, "%x\r\n%s\r\n", len(p), p)
		}
	}
	return len(p), nil
}

func (s *icap) Verdict() (Verdict, error) {
	if s.err == nil {
		if s.err = s.conn.SetWriteDeadline(time.Now().Add(icapStall)); s.err == nil {
			_, s.err = s.out.WriteString("0\r\n\r\n")
		}
		s.err = errors.Join(s.err, s.out.Flush())
	}
	err := s.conn.SetReadDeadline(time.Now().Add(verdictTime))
	var v Verdict
	if err == nil {
		v, err = readVerdict(s.conn)
	}
	if err != nil {
		return v, fmt.Errorf("ask the scanner: %w", errors.Join(err, s.err))
	}
	return v, nil
}

func (s *icap) Close() {
	s.stop()
	_ = s.conn.Close() // it was told all
}

// readVerdict reads an answer: 204 leaves the file as it is (RFC 3507 §4.6); anything that comes
// in its place means that the service did not want it to pass.
func readVerdict(r io.Reader) (Verdict, error) {
	in := textproto.NewReader(bufio.NewReader(io.LimitReader(r, icapAnswer)))
	code, err := statusOf(in, "ICAP/1.0 ")
	if err != nil {
		return Verdict{}, err
	}
	header, err := in.ReadMIMEHeader()
	if err != nil {
		return Verdict{}, fmt.Errorf("headers: %w", err)
	}
	switch code {
	case 204:
		return Verdict{Clean: true}, nil
	case 200, 201:
		return Verdict{Found: foundIn(header)}, nil
	}
	return Verdict{}, fmt.Errorf("it answered %d", code)
}

func statusOf(in *textproto.Reader, version string) (int, error) {
	line, err := in.ReadLine()
	if err != nil {
		return 0, err
	}
	rest, ok := strings.CutPrefix(line, version)
	text, _, _ := strings.Cut(rest, " ")
	code, err := strconv.ParseUint(text, 10, 16)
	if !ok || err != nil || len(text) != 3 {
		return 0, fmt.Errorf("it answered %.80q", line)
	}
	return int(code), nil
}

// foundIn returns what the usual headers say of the find.
func foundIn(h textproto.MIMEHeader) string {
	for _, name := range []string{"X-Infection-Found", "X-Virus-Id", "X-Violations-Found"} {
		if text := strings.TrimSpace(h.Get(name)); text != "" {
			return strings.ToValidUTF8(text[:min(len(text), 200)], "?")
		}
	}
	return "the scanner put something else in its place"
}
