package linphone

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// logEvery is how often the phone's log is looked at while it is waited for.
const logEvery = 50 * time.Millisecond

// Log returns what the phone has logged until now: its decisions and every SIP message.
func (p *Phone) Log() string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	return string(text)
}

// AwaitLog waits until what is logged after the first from bytes matches, and returns the groups.
func (p *Phone) AwaitLog(from int, pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(logEvery) {
		text := p.Log()
		if m := re.FindStringSubmatch(text[min(from, len(text)):]); m != nil {
			return m
		}
		if time.Now().After(until) || p.prog.Ended() {
			p.t.Fatalf("%s logged nothing that matches %q; its last lines:\n%s", p.prog.Name, pattern, lastLines(text, 60))
		}
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
