package linphone

import (
	"regexp"
	"time"
)

// Write sends a message to an address.
func (p *Phone) Write(to, text string) {
	p.t.Helper()
	p.Command("chat " + to + " " + text)
}

// Reads waits until a message is shown, after mark, and returns who it is from.
func (p *Phone) Reads(mark int, text string) (from string) {
	p.t.Helper()
	return p.await(mark, `Message received from (.*): `+regexp.QuoteMeta(text)+`$`)[1]
}

// ReadsWithin is Reads for what must come within a time.
func (p *Phone) ReadsWithin(mark int, text string, d time.Duration) {
	p.t.Helper()
	if _, err := p.prog.Await(mark, regexp.MustCompile(`Message received from .*: `+regexp.QuoteMeta(text)+`$`), d); err != nil {
		p.t.Fatal(err)
	}
}

// Shown returns how often a message was shown after mark.
func (p *Phone) Shown(mark int, text string) (n int) {
	re := regexp.MustCompile(`Message received from .*: ` + regexp.QuoteMeta(text) + `$`)
	for _, line := range p.prog.After(mark) {
		if re.MatchString(line) {
			n++
		}
	}
	return n
}
