package exchange

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/scan"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// scannerOf begins scans that are the verdicts themselves.
type scannerOf struct{ verdicts }

func (s scannerOf) Begin(context.Context, scan.File) (scan.Scan, error) {
	return s.verdicts, s.begin
}

func (v verdicts) Verdict() (scan.Verdict, error) { return v.verdict, v.end }

func (v verdicts) Close() {}

func TestEveryFaultOfAPolicyIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p, rev := s.Policy()
	if faults := validate(p); len(faults) > 0 || rev.Number != 0 || !p.Enabled || p.Programs {
		t.Errorf("the defaults: %+v %+v", p, faults)
	}
	bad := ctl.FilePolicy{
		MaxMB: 0, QuotaMB: 0, Days: 4000, Types: []string{"image/*", "Image/PNG", "text", "*/*", "a/b;c=d", ""}, ScanURL: "http://x/y", Host: "http://x",
	}
	_, err := s.SetPolicy(bad, 0, "test")
	paths := map[string]bool{}
	for _, f := range problem.Of(err).Faults {
		paths[f.Path] = true
		if f.Rule == "" || f.Cure == "" {
			t.Errorf("%+v", f)
		}
	}
	for _, want := range []string{"max_mb", "quota_mb", "days", "types[1]", "types[2]", "types[4]", "types[5]", "scan_url", "host"} {
		if !paths[want] {
			t.Errorf("%s is not named in %v", want, paths)
		}
	}
	if paths["types[0]"] {
		t.Error("image/* is a fault")
	}
	s.set(func(p *ctl.FilePolicy) {
		p.Days, p.Types, p.Host = 7, []string{"image/*", "audio/wav"}, "files.example:8443"
	})
	if _, err := s.SetPolicy(p, 0, "another"); !problem.Is(err, problem.Conflict) {
		t.Errorf("a change of an old revision: %v", err)
	}
	resp, body := s.send(form("voice.wav", "audio/wav;voice-recording=yes", []byte("RIFF")))
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `url="https://files.example:8443/files/`) ||
		!strings.Contains(string(body), "<content-type>audio/wav;voice-recording=yes<") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if until := time.Now().AddDate(0, 0, 7).UTC().Format("2006-01-02"); !strings.Contains(string(body), `until="`+until) {
		t.Errorf("not until %s: %s", until, body)
	}
}

func TestHostsAndTypes(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"pbx.example": true, "pbx.example:8443": true, "192.0.2.1": true, "192.0.2.1:1": true, "[2001:db8::1]": true, "[2001:db8::1]:8443": true,
		"": false, ":80": false, "a b": false, "a/b": false, "a:b": false, "a:0": false, "a:70000": false, "2001:db8::1": false, "[fe80::1%eth0]": false, "x\r\ny": false,
		`a"b`: false, "a@b": false,
	} {
		if validHost(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
	for _, c := range []struct {
		patterns, kind string
		want           bool
	}{
		{"", "anything/else", true},
		{"", "rubbish", true},
		{"image/*", "image/png", true},
		{"image/*", "IMAGE/PNG; x=y", true},
		{"image/*", "imagery/png", false},
		{"image/*", "rubbish", false},
		{"text/plain application/pdf", "application/pdf", true},
		{"text/plain application/pdf", "text/html", false},
	} {
		if typeAllowed(strings.Fields(c.patterns), c.kind) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestBusySourcesWait(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(), time.Now()
	addr := netip.MustParseAddr
	count := func(from func(i int) netip.Addr, n int) (allowed int) {
		for i := range n {
			if l.allow(from(i), now) {
				allowed++
			}
		}
		return allowed
	}
	one := func(int) netip.Addr { return addr("192.0.2.1") }
	if n := count(one, 200); n != strangerBurst {
		t.Errorf("a stranger asks %d times", n)
	}
	network := func(i int) netip.Addr { return addr(fmt.Sprintf("2001:db8::%x", i+1)) }
	if n := count(network, 200); n != strangerBurst {
		t.Errorf("a network of IPv6 asks %d times", n)
	}
	now = now.Add(time.Second)
	if n := count(one, 200); n != strangerRate {
		t.Errorf("a second later %d times", n)
	}
	l.know(one(0), now)
	if n := count(one, 2000); n != knownBurst {
		t.Errorf("an office asks %d times", n)
	}
	now = now.Add(knownFor + time.Second)
	if n := count(one, 2000); n != strangerBurst {
		t.Errorf("an hour later %d times", n)
	}
	r := newReaders()
	for i := range maxReadersEach {
		if !r.enter("u1") {
			t.Fatal(i)
		}
	}
	if r.enter("u1") || !r.enter("u2") {
		t.Error("one user's readers are not bounded, or another's are")
	}
	r.leave("u1")
	if !r.enter("u1") {
		t.Error("a place is not given back")
	}
}

func TestARequestTooManyIsTold(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for range strangerBurst {
		s.limit.allow(netip.MustParseAddr("127.0.0.1"), time.Now())
	}
	resp, _ := s.wire("GET /files/x HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Error(resp.Status)
	}
}

func TestWithoutSwitchdFilesWait(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.sw.Leave()
	resp, _ := s.wire("GET /files/x HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Error(resp.Status)
	}
	s.sw.Return()
}

func TestAFullDiskIsAnAlarm(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.free = 1000
	if all := s.Alarms(); len(all) != 1 || all[0].Code != "file.disk" || all[0].Cure == "" {
		t.Errorf("%+v", all)
	}
}
