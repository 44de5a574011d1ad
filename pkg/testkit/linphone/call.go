package linphone

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

// Call calls an address and returns the call's number in the phone.
func (p *Phone) Call(to string) (id int) {
	p.t.Helper()
	mark := p.Mark()
	p.Command("call " + to)
	return p.number(p.await(mark, `Establishing call id to .*, assigned id (\d+)`)[1])
}

// Incoming waits for the next call that comes in and returns its number.
func (p *Phone) Incoming() (id int) {
	p.t.Helper()
	_, id = p.IncomingFrom()
	return id
}

// IncomingFrom waits for the next call that comes in and returns who calls, too.
func (p *Phone) IncomingFrom() (from string, id int) {
	p.t.Helper()
	m := p.await(p.incoming, `Receiving new incoming call from (.*), assigned id (\d+)`)
	for i, line := range p.prog.After(p.incoming) {
		if line == m[0] || len(line) > len(m[0]) && line[len(line)-len(m[0]):] == m[0] {
			p.incoming += i + 1
			break
		}
	}
	return m[1], p.number(m[2])
}

func (p *Phone) number(text string) int {
	p.t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// Answer takes an incoming call.
func (p *Phone) Answer(id int) {
	p.t.Helper()
	p.Command(fmt.Sprint("answer ", id))
	p.Up(id)
}

// Ringing waits until the far end rings.
func (p *Phone) Ringing(id int) {
	p.t.Helper()
	p.await(0, fmt.Sprintf(`Call %d to .* ringing`, id))
}

// Up waits until a call has media.
func (p *Phone) Up(id int) {
	p.t.Helper()
	p.UpAgain(0, id)
}

// UpAgain waits until a call has media again, after mark.
func (p *Phone) UpAgain(mark, id int) {
	p.t.Helper()
	p.await(mark, fmt.Sprintf(`Media streams established with .* for call %d `, id))
}

// HangUp ends a call, or declines it.
func (p *Phone) HangUp(id int) {
	p.t.Helper()
	p.Command(fmt.Sprint("terminate ", id))
}

// Over waits until a call is over and returns why, in linphonec's words: "error" is all that it
// says of most refusals.
func (p *Phone) Over(id int) (why string) {
	p.t.Helper()
	m := p.await(0, fmt.Sprintf(`Call %d with .* (?:ended \((.*)\)|(error)\.)`, id))
	return m[1] + m[2]
}

// Hold puts the current call on hold.
func (p *Phone) Hold(id int) {
	p.t.Helper()
	mark := p.Mark()
	p.Command("pause")
	p.await(mark, fmt.Sprintf(`Call %d with .* is now paused`, id))
}

// HeldBy waits until the far end holds a call.
func (p *Phone) HeldBy(mark, id int) {
	p.t.Helper()
	p.await(mark, fmt.Sprintf(`Call %d has been paused by`, id))
}

// Resume goes on with a call on hold.
func (p *Phone) Resume(id int) {
	p.t.Helper()
	mark := p.Mark()
	p.Command(fmt.Sprint("resume ", id))
	p.UpAgain(mark, id)
}

// Transfer sends the far end of a call to another address.
func (p *Phone) Transfer(id int, to string) {
	p.t.Helper()
	p.Command(fmt.Sprintf("transfer %d %s", id, to))
}

// TransferTo connects the far ends of two calls.
func (p *Phone) TransferTo(id, with int) {
	p.t.Helper()
	p.Command(fmt.Sprintf("transfer %d --to-call %d", id, with))
}

// Redirect sends an incoming call to another address (302).
func (p *Phone) Redirect(id int, to string) {
	p.t.Helper()
	p.Command(fmt.Sprintf("redirect %d %s", id, to))
}

// Record writes what is heard from now on to a new file.
func (p *Phone) Record() *Recording {
	p.t.Helper()
	p.recorded++
	r := &Recording{phone: p, path: filepath.Join(p.dir, fmt.Sprintf("heard%d.wav", p.recorded))}
	p.Command("record " + r.path)
	return r
}

// Recording is what a phone hears.
type Recording struct {
	phone *Phone
	path  string
}

// listenEvery is how often a recording is looked at while it is waited for.
const listenEvery = 100 * time.Millisecond

// recordRate is the rate of what linphonec records from opus, which all phones here prefer. It
// writes the header of the file last.
const recordRate = 48000

// Sound returns what was heard until now.
func (r *Recording) Sound() tone.Sound {
	r.phone.t.Helper()
	s, err := tone.Read(r.path, recordRate)
	if err != nil {
		r.phone.t.Fatal(err)
	}
	return s
}

// Hears waits until one tone is heard clean, without the others, in what comes from now on.
func (r *Recording) Hears(want float64, others ...float64) {
	r.phone.t.Helper()
	begin := r.Sound().Length()
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(listenEvery) {
		s := r.Sound().From(begin)
		if s.Clean(want, others...) {
			return
		}
		if time.Now().After(until) {
			r.phone.t.Fatalf("%s does not hear %.0f Hz clean: %s", r.phone.User, want, s.Describe(append([]float64{want}, others...)...))
		}
	}
}

// Digit waits until a digit that the far end dialled in a call is heard.
func (p *Phone) Digit(mark int, digit string) {
	p.t.Helper()
	p.await(mark, "Receiving tone "+regexp.QuoteMeta(digit)+" from")
}
