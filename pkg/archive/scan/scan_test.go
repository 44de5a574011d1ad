package scan

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is an ICAP service that answers what it is told to, and keeps what it was shown.
type service struct {
	t      *testing.T
	ln     net.Listener
	wait   sync.WaitGroup
	answer string
	after  int // bytes of the body after which it answers; 0 reads all

	mu   sync.Mutex // guards body
	head string
	body []byte
}

func serve(t *testing.T, answer string, after int) *service {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, ln: ln, answer: answer, after: after}
	s.wait.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wait.Go(func() { s.one(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); s.wait.Wait() })
	return s
}

func (s *service) one(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	head, body, err := readRespmod(in, s.after)
	s.mu.Lock()
	s.head, s.body = head, body
	s.mu.Unlock()
	if err != nil {
		s.t.Error(err)
	}
	_, _ = io.WriteString(c, s.answer) // the client may be gone
	if s.after > 0 {
		_, _ = io.Copy(io.Discard, in)
	}
}

// readRespmod reads a RESPMOD as RFC 3507 §4.9.2 has it.
func readRespmod(in *bufio.Reader, after int) (head string, body []byte, err error) {
	tp := textproto.NewReader(in)
	line, err := tp.ReadLine()
	if err != nil {
		return "", nil, err
	}
	h, err := tp.ReadMIMEHeader()
	if err != nil {
		return "", nil, err
	}
	var request, answer, end int
	if _, err := fmt.Sscanf(h.Get("Encapsulated"), "req-hdr=%d, res-hdr=%d, res-body=%d", &request, &answer, &end); err != nil {
		return "", nil, fmt.Errorf("%q: %w", h.Get("Encapsulated"), err)
	}
	heads := make([]byte, end)
	if _, err := io.ReadFull(in, heads); err != nil {
		return "", nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(heads[answer:]), in)), nil)
	if err != nil {
		return "", nil, err
	}
	head = line + "\n" + string(heads[:answer]) + resp.Header.Get("Content-Type")
	if after > 0 {
		body = make([]byte, after)
		_, err = io.ReadFull(resp.Body, body)
		return head, body, err
	}
	body, err = io.ReadAll(resp.Body)
	return head, body, err
}

func (s *service) scanner() ICAP {
	s.t.Helper()
	c, err := ParseICAP("icap://" + s.ln.Addr().String() + "/avscan")
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func look(t *testing.T, sc Scanner, data []byte) (Verdict, error) {
	t.Helper()
	s, err := sc.Begin(t.Context(), File{Name: "a report?.pdf", ContentType: "application/pdf"})
	if err != nil {
		return Verdict{}, err
	}
	defer s.Close()
	for part := range chunks(data) {
		if n, err := s.Write(part); n != len(part) || err != nil {
			t.Fatalf("%d %v", n, err)
		}
	}
	return s.Verdict()
}

func chunks(data []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			n := min(len(data), 10_000)
			if !yield(data[:n]) {
				return
			}
			data = data[n:]
		}
	}
}

func TestICAPServiceSeesTheFileAndDecides(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef\r\n"), 20_000)
	for name, c := range map[string]struct {
		answer string
		after  int
		clean  bool
		found  string
		err    string
	}{
		"clean":          {"ICAP/1.0 204 No Content\r\nISTag: \"x\"\r\n\r\n", 0, true, "", ""},
		"infected":       {"ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Threat=EICAR;\r\nEncapsulated: res-hdr=0\r\n\r\nHTTP/1.1 403 no\r\n\r\n", 0, false, "Type=0; Threat=EICAR;", ""},
		"virus id":       {"ICAP/1.0 200 OK\r\nX-Virus-ID: EICAR\r\n\r\n", 0, false, "EICAR", ""},
		"early":          {"ICAP/1.0 200 OK\r\nX-Infection-Found: early\r\n\r\n", 5000, false, "early", ""},
		"replaced":       {"ICAP/1.0 200 OK\r\n\r\n", 0, false, "the scanner put something else in its place", ""},
		"no such thing":  {"ICAP/1.0 404 Not Found\r\n\r\n", 0, false, "", "404"},
		"not ICAP":       {"SSH-2.0-x\r\n\r\n", 0, false, "", "SSH"},
		"nothing":        {"", 0, false, "", "EOF"},
		"endless header": {"ICAP/1.0 204 x\r\n" + strings.Repeat("A: "+strings.Repeat("a", 1000)+"\r\n", 100), 0, false, "", "headers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer, c.after)
			v, err := look(t, s.scanner(), data)
			if v.Clean != c.clean || v.Found != c.found || (err != nil) != (c.err != "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%+v, %v", v, err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if want := data[:max(c.after, len(s.body))]; !bytes.Equal(s.body, want) || (c.after == 0 && len(s.body) != len(data)) {
				t.Errorf("it saw %d of %d bytes", len(s.body), len(data))
			}
			if !strings.Contains(s.head, "RESPMOD icap://") || !strings.Contains(s.head, "/a%20report%3F.pdf ") || !strings.HasSuffix(s.head, "application/pdf") {
				t.Errorf("head %q", s.head)
			}
		})
	}
}

func TestICAPServiceThatIsAway(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	c := s.scanner()
	if err := s.ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := look(t, c, []byte("x")); err == nil {
		t.Error("no error")
	}
	for _, text := range []string{"", "http://a/b", "icap://", "icap:///x", "icap://u:p@h/x", "icap://h/\x00", "icap://h/x#y"} {
		if _, err := ParseICAP(text); err == nil {
			t.Errorf("%q is an address", text)
		}
	}
	if c, err := ParseICAP("icap://av.example/scan"); err != nil || c.address() != "av.example:1344" {
		t.Errorf("%v %v", c, err)
	}
}

// program writes a scanner that is a shell script.
func program(t *testing.T, script string) Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scanner")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return Command{Path: "/bin/sh", Args: []string{path}}
}

func TestAProgramSeesTheFileAndDecides(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef\r\n"), 20_000)
	sum := sha256.Sum256(data)
	for name, c := range map[string]struct {
		script string
		clean  bool
		found  string
		failed bool
	}{
		"clean":      {"test $(sha256sum | cut -c1-64) = " + hex.EncodeToString(sum[:]) + " || exit 2", true, "", false},
		"infected":   {"cat >/dev/null; echo stream: EICAR FOUND; exit 1", false, "stream: EICAR FOUND", false},
		"early":      {"echo soon; exit 1", false, "soon", false},
		"broken":     {"cat >/dev/null; echo no database; exit 2", false, "", true},
		"talkative":  {"cat >/dev/null; head -c 100000 /dev/zero; exit 1", false, strings.Repeat("\x00", maxOutput), false},
		"not a word": {"cat >/dev/null; exit 1", false, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := look(t, program(t, c.script), data)
			if v.Clean != c.clean || v.Found != c.found || (err != nil) != c.failed {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
	if _, err := look(t, Command{Path: "/no/such/program"}, nil); err == nil {
		t.Error("no such program, and no error")
	}
}

func TestAScanThatIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, sc := range []Scanner{program(t, "sleep 1000"), serve(t, "", 1).scanner()} {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := sc.Begin(ctx, File{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(make([]byte, 50_000)); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		cancel()
		s.Close()
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("it took %v to end", d)
		}
	}
}

func FuzzReadVerdict(f *testing.F) {
	f.Add("ICAP/1.0 204 No Content\r\nISTag: \"x\"\r\n\r\n")
	f.Add("ICAP/1.0 200 OK\r\nX-Infection-Found: x\r\n\r\n")
	f.Add("ICAP/1.0 \r\n")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := readVerdict(strings.NewReader(text))
		if v.Clean && (err != nil || !strings.HasPrefix(text, "ICAP/1.0 204")) {
			t.Errorf("%q is clean: %v", text, err)
		}
	})
}
