package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/sipp"
)

// Users and calls of the load.
const (
	loadUsers = 2000
	loadCalls = 1000
	regRate   = 200 // devices that sign in within a second, each with four requests
	callRate  = 40  // calls a second: with 2.2 s each some 90 are up at a time
	loadTime  = 3 * time.Minute
)

// By how much a record and SIPp may differ. SIPp writes microseconds, of when its one loop came to a
// message; the box writes when a packet came. Both wait for a processor, and a busy machine lets a few
// calls in a row wait for long.
const (
	usualSlack    = 10 * time.Millisecond  // of most calls
	durationSlack = 100 * time.Millisecond // of all but one in a hundred
	rareSlack     = time.Second
)

// account returns SIPp's fields of the n-th user of boxtest.Config.Count, and more.
func account(n int, more string) string {
	u := boxtest.User(n)
	return fmt.Sprintf("%s;[authentication username=%s password=%s]%s", u, u, boxtest.Password(u), more)
}

// load runs SIPp on a host, at port 5070.
func load(t *testing.T, h *netlab.Host, scenario string, cfg sipp.Config) *sipp.Run {
	t.Helper()
	cfg.Scenario, cfg.Server, cfg.Local = "testdata/sipp/"+scenario+".xml", boxtest.Server(h, "udp"), netip.AddrPortFrom(h.V4, 5070)
	return sipp.Start(t, h, cfg)
}

// clean checks what SIPp says of a run as a whole.
func clean(t *testing.T, r *sipp.Run, calls int) {
	t.Helper()
	r.Wait(loadTime)
	if s := r.Stats(); s.Successful != calls || s.Failed+s.Unexpected+s.OutOfCall != 0 {
		t.Errorf("SIPp counts %+v in %d calls", s, calls)
	}
}

func TestUsersRegisterAndCallAtASteadyRate(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	callers, callees := lab.Host(t, "callers"), lab.Host(t, "callees")
	b := boxtest.Start(t, lab, boxtest.Config{Count: loadUsers})
	var users, calls []string
	for i := range loadUsers {
		users = append(users, account(i, ""))
	}
	clean(t, load(t, callees, "register", sipp.Config{Rows: users, Calls: loadUsers, Rate: regRate}), loadUsers)
	registered(t, b, loadUsers)

	for i := range loadCalls {
		calls = append(calls, account(i, ";"+boxtest.User(loadCalls+i)))
	}
	callee := load(t, callees, "callee", sipp.Config{Calls: loadCalls})
	caller := load(t, callers, "caller", sipp.Config{Rows: calls, Calls: loadCalls, Rate: callRate})
	clean(t, caller, loadCalls)
	clean(t, callee, loadCalls)
	sameAsSIPp(t, b.API(callers).Calls(loadCalls), caller.Durations())
}

// registered checks the bindings and the records of devices that signed in and refreshed once.
func registered(t *testing.T, b *boxtest.Box, n int) {
	t.Helper()
	regs, err := b.Switch().Registrations(t.Context())
	if err != nil || len(regs) != n {
		t.Errorf("%d bindings of %d: %v", len(regs), n, err)
	}
	for _, r := range regs {
		if !r.Refreshed.After(r.Registered) || time.Until(r.Expires) < 500*time.Second {
			t.Fatalf("a binding that was not refreshed: %+v", r)
		}
	}
}

// sameAsSIPp checks that each call of SIPp has one record, with the duration that SIPp saw.
func sameAsSIPp(t *testing.T, all []record.Call, durations map[string]time.Duration) {
	t.Helper()
	if len(all) != len(durations) {
		t.Errorf("%d records of %d calls", len(all), len(durations))
	}
	var apart []time.Duration
	for _, r := range all {
		seen, ok := durations[r.CallID]
		delete(durations, r.CallID) // a second record has none
		if !ok || r.Status != record.CallAnswered || r.Code != 200 || r.EndedBy != record.ByCaller {
			t.Errorf("a record of no call, or a wrong one: %+v", r)
			continue
		}
		apart = append(apart, (r.Duration - seen).Abs())
		if apart[len(apart)-1] > rareSlack {
			t.Errorf("call %s took %s by its record, %s by SIPp", r.CallID, r.Duration, seen)
		}
	}
	if len(apart) == 0 {
		return
	}
	slices.Sort(apart)
	median, most, top := apart[len(apart)/2], apart[len(apart)*99/100], apart[len(apart)-1]
	t.Logf("records and SIPp differ by %s in the median, %s in 99 of 100, %s at most", median, most, top)
	if median > usualSlack || most > durationSlack {
		t.Error("calls took another time by their records than by SIPp")
	}
}

// A phone that must not be disturbed answers 600 (RFC 3261 §21.6.1), which ends the search.
func TestDoNotDisturb(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	s := &scene{t: t, hosts: map[string]*netlab.Host{"alice": lab.Host(t, "alice")}}
	callees := lab.Host(t, "callees")
	s.box = boxtest.Start(t, lab, boxtest.Config{Users: []string{"alice"}, Count: 1})
	clean(t, load(t, callees, "register", sipp.Config{Rows: []string{account(0, "")}, Calls: 1}), 1)
	disturbed := load(t, callees, "disturbed", sipp.Config{Calls: 1})
	alice := s.phone("alice", "tcp")
	alice.Over(alice.Call("sip:" + boxtest.User(0) + "@" + boxtest.Domain))
	clean(t, disturbed, 1)
	s.verdict(1, record.CallBusy, 600)
}
