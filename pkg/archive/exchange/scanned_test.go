package exchange

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/archive/scan"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// verdicts is a scanner that says what it is told to.
type verdicts struct {
	begin, end error
	verdict    scan.Verdict
	seen       *bytes.Buffer
}

func (v verdicts) Write(p []byte) (int, error) { return v.seen.Write(p) }

func TestWhatTheScannerSaysHolds(t *testing.T) {
	t.Parallel()
	data := noise(100_000)
	for name, c := range map[string]struct {
		scanner verdicts
		code    int
		text    string
		alarm   bool
	}{
		"clean":    {verdicts{verdict: scan.Verdict{Clean: true}}, 200, "", false},
		"infected": {verdicts{verdict: scan.Verdict{Found: "EICAR"}}, 403, "virus", false},
		"away":     {verdicts{begin: errors.New("refused")}, 503, "could not be looked at", true},
		"broken":   {verdicts{end: errors.New("no database")}, 503, "could not be looked at", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.scanner.seen = &bytes.Buffer{}
			s := start(t, scannerOf{c.scanner})
			resp, body := s.send(form("a", "a/b", data))
			if resp.StatusCode != c.code || !strings.Contains(string(body), c.text) || strings.Contains(string(body), "EICAR") {
				t.Errorf("%s %s", resp.Status, body)
			}
			if alarms := s.Alarms(); (len(alarms) == 1) != c.alarm {
				t.Errorf("%+v", alarms)
			}
			if c.code != 200 {
				s.nothingLeft()
			}
			if c.scanner.begin == nil && !bytes.Equal(c.scanner.seen.Bytes(), data) {
				t.Errorf("it saw %d bytes", c.scanner.seen.Len())
			}
		})
	}
}

func TestAServiceOfThePolicyLooksToo(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.set(func(p *ctl.FilePolicy) { p.ScanURL = "icap://" + ln.Addr().String() + "/avscan" })
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for line := ""; err == nil && line != "0\r\n"; {
			line, err = in.ReadString('\n')
		}
		_, _ = io.WriteString(c, "ICAP/1.0 200 OK\r\nX-Infection-Found: EICAR\r\n\r\n") // the test sees what comes of it
	}()
	if resp, body := s.send(form("a", "a/b", []byte("abc"))); resp.StatusCode != http.StatusForbidden {
		t.Errorf("%s %s", resp.Status, body)
	}
	<-done
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if resp, body := s.send(form("a", "a/b", []byte("abc"))); resp.StatusCode != http.StatusServiceUnavailable || len(s.Alarms()) != 1 {
		t.Errorf("%s %s", resp.Status, body)
	}
	s.nothingLeft()
}
