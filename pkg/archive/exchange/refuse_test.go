package exchange

import (
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestNamesAreKeptButNoPathAndNoProgram(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for name, want := range map[string]string{
		"note.txt": "note.txt",
		"वार्षिक रिपोर्ट 😀.pdf": "वार्षिक रिपोर्ट 😀.pdf",
		"a;b\\\"c.txt":                 "a;b\"c.txt",
		".profile":                     ".profile",
		"setup.exe":                    "setup.exe.txt",
		"setup.EXE. ":                  "setup.EXE..txt",
		"page.html":                    "page.html.txt",
		"invoice\u202etxt.exe":         "invoicetxt.exe.txt",
		"a<b>&'c.txt":                  "a<b>&'c.txt",
		strings.Repeat("x", 255):       strings.Repeat("x", 255),
		"..":                           "",
		"../../etc/passwd":             "",
		"..\\..\\boot.ini":             "",
		"/etc/passwd":                  "",
		"C:\\x.txt":                    "",
		"a/b.txt":                      "",
		"":                             "",
		"  ":                           "",
		"a\x00b":                       "",
		"a\x1bb":                       "",
		"\xff\xfe":                     "",
		strings.Repeat("x", 256):       "",
		"x\r\nContent-Type: text/html": "",
	} {
		resp, body := s.send(form(name, "text/plain", []byte("abc")))
		if want == "" {
			if resp.StatusCode != http.StatusBadRequest || len(body) < 10 {
				t.Errorf("%q: %s %s", name, resp.Status, body)
			}
			continue
		}
		var told info
		if err := xml.Unmarshal(body, &told); err != nil || told.File.Name != want {
			t.Errorf("%q: %s %s", name, resp.Status, body)
		}
		_, _, ok := strings.Cut(told.File.Data.URL, s.host())
		if id := told.File.Data.URL[strings.LastIndexByte(told.File.Data.URL, '/')+1:]; !ok || len(id) != 32 {
			t.Errorf("%q: %q", name, told.File.Data.URL)
			continue
		}
		path := told.File.Data.URL[len("https://"+s.host()):]
		resp, _ = s.fetch("HEAD", path)
		if d := resp.Header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; ") || strings.ContainsAny(d, "\r\n") {
			t.Errorf("%q: %q", name, d)
		}
	}
}

func TestWhatIsRefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	file := form("a.txt", "text/plain", noise(3<<20))
	part := "--" + boundary + "\r\nContent-Disposition: form-data;name=\"File\";filename=\"a\"\r\n\r\n"
	exe := append([]byte("MZ"), make([]byte, 1000)...)
	for name, c := range map[string]struct {
		policy func(*ctl.FilePolicy)
		body   string
		header string
		free   uint64
		code   int
		text   string
	}{
		"too large, said before":  {func(p *ctl.FilePolicy) { p.MaxMB = 2 }, file, "", 0, 400, "larger than 2 MB"},
		"too large, in chunks":    {func(p *ctl.FilePolicy) { p.MaxMB = 2 }, chunked(file), "Content-Length: 1\r\nTransfer-Encoding: chunked", 0, 400, "larger than 2 MB"},
		"over quota":              {func(p *ctl.FilePolicy) { p.MaxMB, p.QuotaMB = 2, 2 }, form("a", "a/b", noise(2<<20+100)), "", 0, 400, "larger"},
		"no room":                 {nil, file, "", 1000, 507, "no room"},
		"type":                    {func(p *ctl.FilePolicy) { p.Types = []string{"image/*", "application/pdf"} }, file, "", 0, 400, "this type"},
		"program of windows":      {nil, form("a.txt", "text/plain", exe), "", 0, 400, "programs"},
		"program of linux":        {nil, form("a.jpg", "image/jpeg", []byte("\x7fELF....")), "", 0, 400, "programs"},
		"script":                  {nil, form("a", "text/plain", []byte("#!/bin/sh\n")), "", 0, 400, "programs"},
		"switched off":            {func(p *ctl.FilePolicy) { p.Enabled = false }, file, "", 0, 403, "cannot be sent"},
		"no end":                  {nil, part + "abc\r\n", "", 0, 400, "broken"},
		"no end of the last line": {nil, part + "abc\r\n--" + boundary, "", 0, 400, "broken"},
		"two files":               {nil, part + "abc\r\n" + file, "", 0, 400, "more than one part"},
		"another field":           {nil, strings.Replace(file, `"File"`, `"Thing"`, 1), "", 0, 400, "not the file"},
		"no disposition":          {nil, "--" + boundary + "\r\n\r\nabc\r\n--" + boundary + "--\r\n", "", 0, 400, "not the file"},
		"no form":                 {nil, "hello", "Content-Type: text/plain", 0, 400, "no form"},
		"no boundary":             {nil, file, "Content-Type: multipart/form-data", 0, 400, "no form"},
		"another boundary":        {nil, file, "Content-Type: multipart/form-data;boundary=zzz", 0, 400, "too long"},
		"empty form":              {nil, "--" + boundary + "--\r\n", "", 0, 400, "broken"},
		"long header":             {nil, "--" + boundary + "\r\nX: " + strings.Repeat("y", 100_000) + "\r\n\r\n" + file, "", 0, 400, "too long"},
		"many headers":            {nil, "--" + boundary + "\r\n" + strings.Repeat("X: y\r\n", 20_000) + "\r\n" + file, "", 0, 400, "too long"},
		"long epilogue header":    {nil, part + "abc\r\n--" + boundary + "\r\nX: " + strings.Repeat("y", 100_000), "", 0, 400, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			if c.policy != nil {
				s.set(c.policy)
			}
			if c.free > 0 {
				s.free = c.free
			}
			var header []string
			if c.header != "" {
				header = []string{c.header}
			}
			resp, body := s.send(c.body, header...)
			if resp.StatusCode != c.code || !strings.Contains(string(body), c.text) {
				t.Errorf("%s %s", resp.Status, body)
			}
			s.nothingLeft()
		})
	}
}

func chunked(body string) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(len(body), 50_000)
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

func TestQuotaIsOfAllFiles(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.set(func(p *ctl.FilePolicy) { p.MaxMB, p.QuotaMB = 2, 3 })
	s.keep("a", "a/b", noise(2<<20))
	if resp, body := s.send(form("b", "a/b", noise(1<<20+1))); resp.StatusCode != http.StatusInsufficientStorage || !strings.Contains(string(body), "your files") {
		t.Errorf("%s %s", resp.Status, body)
	}
	s.keep("c", "a/b", noise(1<<20))
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	body := form("a.bin", "application/octet-stream", noise(2<<20))
	c, err := tls.Dial("tcp", s.host(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(c, "POST /files/ HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data;boundary=%s\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n%s",
		boundary, s.auth("alice", "POST", "/files/"), len(body), body[:len(body)-1000])
	if err != nil {
		t.Fatal(err)
	}
	inNew := func() int {
		entries, err := os.ReadDir(filepath.Join(s.dir, "new"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	await(t, "the file comes", func() bool { return inNew() == 1 })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	await(t, "the file is gone", func() bool { return inNew() == 0 })
	s.nothingLeft()
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal(what + ": it does not happen")
		}
	}
}
