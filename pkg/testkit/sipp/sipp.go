// Package sipp runs Debian's SIPp for tests: scenarios with a steady rate, and what SIPp itself says
// of each message and of the whole.
package sipp

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// Config is one run of SIPp.
type Config struct {
	Scenario string // file
	Server   netip.AddrPort
	Local    netip.AddrPort // its own address
	Rows     []string       // one row of fields for each user, used in turn
	Calls    int            // after which it ends; 0 goes on until it is stopped
	Rate     int            // calls started in a second
}

// Run is a running SIPp.
type Run struct {
	t    testing.TB
	prog *netlab.Program
	dir  string
}

// never is a time in milliseconds that SIPp's watchdog does not see pass.
const never = "10000000"

// Start runs SIPp on a host. Each of a host's runs has a scenario of another name.
func Start(t testing.TB, h *netlab.Host, cfg Config) *Run {
	t.Helper()
	netlab.Need(t, "sipp", "sip-tester")
	scenario, err := filepath.Abs(cfg.Scenario)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(filepath.Base(scenario), ".xml")
	r := &Run{t: t, dir: filepath.Join(h.Dir, "sipp-"+name)}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{
		cfg.Server.String(), "-sf", scenario, "-i", cfg.Local.Addr().String(), "-p", fmt.Sprint(cfg.Local.Port()), "-nostdin", // a busy machine is no fault of the box:
		"-watchdog_minor_threshold", never, "-watchdog_major_threshold", never, "-rtcheck", "loose",
		"-r", fmt.Sprint(max(cfg.Rate, 1)), "-recv_timeout", fmt.Sprint(netlab.Patience.Milliseconds()),
		"-trace_err", "-error_file", r.file("errors"), "-trace_stat", "-stf", r.file("stat"), "-fd", "1",
		"-trace_shortmsg", "-shortmessage_file", r.file("messages"),
	}
	if len(cfg.Rows) > 0 {
		args = append(args, "-inf", r.file("users"))
		if err := os.WriteFile(r.file("users"), []byte("SEQUENTIAL\n"+strings.Join(cfg.Rows, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.Calls > 0 {
		args = append(args, "-m", fmt.Sprint(cfg.Calls))
	}
	cmd := h.Command("sipp", args...)
	cmd.Env = append(cmd.Env, "TERM=dumb")
	r.prog = h.Run(t, cmd)
	r.prog.Name = h.Name + " sipp " + name
	return r
}

func (r *Run) file(name string) string { return filepath.Join(r.dir, name) }

// lookEvery is how often the errors of a run are looked at while it is waited for.
const lookEvery = 200 * time.Millisecond

// Wait waits until SIPp has made all its calls, and wants each to have gone by its scenario.
func (r *Run) Wait(patience time.Duration) {
	r.t.Helper()
	for until := time.Now().Add(patience); !r.prog.Ended(); time.Sleep(lookEvery) {
		r.Check()
		if time.Now().After(until) {
			r.t.Fatalf("%s did not end within %s", r.prog.Name, patience)
		}
	}
	r.Check()
	if err := r.prog.Wait(0); err != nil {
		r.t.Fatalf("%s: %v", r.prog.Name, err)
	}
}

// Check fails the test if SIPp has seen anything that its scenario does not tell of.
func (r *Run) Check() {
	r.t.Helper()
	text, err := os.ReadFile(r.file("errors"))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	if len(text) > 0 {
		r.t.Fatalf("%s: %s", r.prog.Name, text[:min(len(text), 4000)])
	}
}

// Stop ends a SIPp that waits for calls.
func (r *Run) Stop() { r.prog.Kill() }

// Stats are SIPp's own counts.
type Stats struct {
	Successful, Failed, Retransmitted, Unexpected, OutOfCall int
}

// Stats returns what SIPp counted in the last second that it wrote down.
func (r *Run) Stats() (s Stats) {
	r.t.Helper()
	f, err := os.Open(r.file("stat"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.Comma, in.FieldsPerRecord, in.LazyQuotes = ';', -1, true
	rows, err := in.ReadAll()
	if err != nil || len(rows) < 2 {
		r.t.Fatalf("%s: statistics of %d lines: %v", r.prog.Name, len(rows), err)
	}
	fields := map[string]*int{
		"SuccessfulCall(C)": &s.Successful, "FailedCall(C)": &s.Failed, "Retransmissions(C)": &s.Retransmitted,
		"FailedUnexpectedMessage(C)": &s.Unexpected, "OutOfCallMsgs(C)": &s.OutOfCall,
	}
	last, found := rows[len(rows)-1], 0
	for i, name := range rows[0] {
		if to := fields[name]; to != nil && i < len(last) {
			found++
			if *to, err = strconv.Atoi(last[i]); err != nil {
				r.t.Fatalf("%s: %s is %q", r.prog.Name, name, last[i])
			}
		}
	}
	if found != len(fields) {
		r.t.Fatalf("%s: statistics without some of the counts: %v", r.prog.Name, rows[0])
	}
	return s
}

// Durations returns how long each call was up by SIPp's trace of messages: from the 200 that
// answered it to the BYE, by the call's Call-ID.
func (r *Run) Durations() map[string]time.Duration {
	r.t.Helper()
	text, err := os.ReadFile(r.file("messages"))
	if err != nil {
		r.t.Fatal(err)
	}
	answered, all := map[string]time.Time{}, map[string]time.Duration{}
	for line := range strings.Lines(string(text)) {
		// date time, seconds, S or R, Call-ID, CSeq, first line
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 7 {
			r.t.Fatalf("%s: a line of its trace has %d fields: %q", r.prog.Name, len(f), line)
		}
		at, err := time.Parse("2006-01-02 15:04:05.000000", f[0]+" "+f[1])
		if err != nil {
			r.t.Fatal(err)
		}
		switch id := f[4]; {
		case strings.HasPrefix(f[6], "SIP/2.0 200") && strings.HasSuffix(f[5], "INVITE"):
			answered[id] = at
		case strings.HasPrefix(f[6], "BYE ") && all[id] == 0:
			all[id] = at.Sub(answered[id])
		}
	}
	return all
}
