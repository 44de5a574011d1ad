package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"20000-29999": true, "1024-1025": true, "20000": false, "20000-": false, "-1": false, "2-1": false, "1000-2000": false,
		"20000-70000": false, "20000-20000": false, "a-b": false, "20000-29999-3": false,
	} {
		if validRange(text) != ok {
			t.Errorf("%q: %v, want %v", text, !ok, ok)
		}
	}
}

// taken returns a port that is in use over TCP.
func taken(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().(*net.TCPAddr).Port
}

func TestAStandardPortThatIsTakenIsReplaced(t *testing.T) {
	t.Parallel()
	busy := taken(t)
	opt := &devOptions{bind: "127.0.0.1", sip: busy, sips: busy + 1, https: busy + 2, given: map[string]bool{}}
	var said []string
	if err := opt.choosePorts(func(text string) { said = append(said, text) }); err != nil {
		t.Fatal(err)
	}
	if opt.sip <= busy+2 || opt.sip == opt.sips || opt.sip == opt.https {
		t.Errorf("ports %d, %d, %d", opt.sip, opt.sips, opt.https)
	}
	if line := fmt.Sprintf("port %d is taken: --sip is %d this time", busy, opt.sip); !slices.Contains(said, line) {
		t.Errorf("said %q, not %q", said, line)
	}
}

func TestAPortThatWasAskedForIsNotReplaced(t *testing.T) {
	t.Parallel()
	busy := taken(t)
	opt := &devOptions{bind: "127.0.0.1", sip: busy, sips: 5061, https: 5061, given: map[string]bool{"sip": true, "sips": true, "https": true}}
	err := opt.choosePorts(func(text string) { t.Errorf("said %q", text) })
	p := problem.Of(err)
	if len(p.Faults) != 3 || p.Faults[0].Path != "--sip" || p.Faults[0].Rule != "a free port: another program has it" || p.Faults[1].Rule != "a free port: another flag has it" {
		t.Errorf("got %+v", p)
	}
	opt = &devOptions{bind: "203.0.113.1", sip: 5060, sips: 5061, https: 5062, given: map[string]bool{"sip": true, "sips": true, "https": true}}
	if p := problem.Of(opt.choosePorts(nil)); len(p.Faults) != 3 || !strings.Contains(p.Faults[0].Rule, "--bind") {
		t.Errorf("an address of nobody: %+v", p)
	}
}
