package e2e

import (
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/capture"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
)

// Of the tests that kill a daemon in the middle of calls. A machine that is busy with other things
// makes pauses of its own, now and then; a pause of the box's making is there after each kill. So
// some kills are looked at, and it is enough that after one of them no pause was longer than what
// is promised or than what the machine made just before. A packet that is lost is lost by the box:
// none when switchd dies, and with mediad no more than it had just read and not yet sent on.
const (
	crashCalls = 30
	kills      = 3
	mostKills  = 6                      // on a machine that does not get calm
	killEvery  = 3 * time.Second        // longer than what the supervisor takes for a loop of crashes
	switchGap  = 2 * phone.PTime        // longest pause of media that the death of switchd may make
	mediaGap   = 300 * time.Millisecond // and that of mediad
	inHand     = 1                      // packets of a stream that may die with mediad
	newCall    = time.Second            // until a call that is made right after a kill is answered
)

// crowd is many calls with media, all seen on the box's wires.
type crowd struct {
	t       *testing.T
	box     *boxtest.Box
	near    *netlab.Host
	from    *phone.Line // a pair that is in no call yet
	to      *phone.Line
	kills   int // that it went through
	callers []*phone.Call
	callees []*phone.Call
	tap     *capture.Capture
}

// newCrowd connects the lines of two hosts.
func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	lab := netlab.New(t)
	near, far := lab.Host(t, "callers"), lab.Host(t, "callees")
	c := &crowd{t: t, near: near, tap: capture.Start(t, lab.Box)}
	c.box = boxtest.Start(t, lab, boxtest.Config{Count: 2*n + 2})
	c.from, c.to = line(t, near, 2*n), line(t, far, 2*n+1)
	for i := range n {
		out, in := connect(t, line(t, near, 2*i), line(t, far, 2*i+1))
		c.callers, c.callees = append(c.callers, out), append(c.callees, in)
	}
	t.Cleanup(phone.Talk(append(append([]*phone.Call(nil), c.callers...), c.callees...)))
	return c
}

// connect makes a call between two lines.
func connect(t *testing.T, from, to *phone.Line) (out, in *phone.Call) {
	t.Helper()
	answered := make(chan error, 1)
	go func() {
		var err error
		in, err = to.Answer()
		answered <- err
	}()
	out, err := from.Invite(to.User)
	if err == nil {
		err = <-answered
	}
	if err != nil {
		t.Fatal(err)
	}
	return out, in
}

// line registers the n-th user of boxtest.Config.Count.
func line(t *testing.T, h *netlab.Host, n int) *phone.Line {
	t.Helper()
	u := boxtest.User(n)
	return phone.Register(t, h, u, boxtest.Password(u), boxtest.Server(h, "udp"))
}

// survive kills a daemon again and again in the middle of the calls, and looks at their media and
// at how soon a new call gets through.
func (c *crowd) survive(daemon string, longest time.Duration, lost int) {
	c.t.Helper()
	time.Sleep(killEvery)
	calm := false
	for ; c.kills < kills || (!calm && c.kills < mostKills); c.kills++ {
		began := time.Now()
		c.box.Kill(daemon)
		again := time.Since(began)
		out, _ := connect(c.t, c.from, c.to)
		up := time.Since(began)
		if code := out.HangUp(); code != 200 {
			c.t.Errorf("BYE of a new call was answered %d", code)
		}
		time.Sleep(time.Until(began.Add(killEvery)))
		after := c.gap(began, began.Add(killEvery/2), lost)
		before := c.gap(began.Add(-killEvery/2), began, lost) // what came last may still have died with the daemon
		calm = calm || (after <= max(longest, before) && up <= newCall)
		c.t.Logf("%s was seen again after %s, a new call answered after %s; the longest pause of media was %s, and %s just before", daemon, again, up, after, before)
	}
	if !calm {
		c.t.Errorf("after each of %d kills media paused for longer than %s, or a new call took longer than %s", c.kills, longest, newCall)
	}
	for i := range c.callers {
		if !c.callers[i].Up() || !c.callees[i].Up() {
			c.t.Errorf("call %d was hung up", i)
		}
	}
}

// gap returns the longest pause that the box made in any stream within a time, and wants all but so
// many packets of each to have gone through.
func (c *crowd) gap(from, to time.Time, lost int) (longest time.Duration) {
	c.t.Helper()
	all := c.tap.Transits(phone.PTime, from, to)
	if len(all) != 2*crashCalls {
		c.t.Errorf("%d streams of %d came", len(all), 2*crashCalls)
	}
	for _, s := range all {
		if s.Lost > lost || s.Packets == 0 {
			c.t.Errorf("%d of %d packets of %s were lost", s.Lost, s.Packets, s.In)
		}
		longest = max(longest, s.Gap)
	}
	return longest
}

// hangUp ends all calls, one half by the caller, the other by the callee, and checks the records.
func (c *crowd) hangUp() {
	c.t.Helper()
	for i := range c.callers {
		by, far := c.callers[i], c.callees[i]
		if i%2 == 1 {
			by, far = far, by
		}
		if code := by.HangUp(); code != 200 {
			c.t.Errorf("BYE of call %d was answered %d", i, code)
		}
		if !far.Ended(netlab.Patience) {
			c.t.Errorf("BYE of call %d did not reach the other side", i)
		}
	}
	made := crashCalls + c.kills // a new one after each kill
	all := c.box.API(c.near).Calls(made)
	if len(all) != made {
		c.t.Errorf("%d records of %d calls", len(all), made)
	}
	byCaller := 0
	for _, r := range all {
		if r.Caller.User == c.from.User { // a new call, which had no media
			continue
		}
		if r.EndedBy == record.ByCaller {
			byCaller++
		}
		if r.Status != record.CallAnswered || r.Duration < kills*killEvery || len(r.Legs) != 2 || !heard(r.Legs[0]) || !heard(r.Legs[1]) {
			c.t.Errorf("an incomplete record: %+v", r)
		}
	}
	if byCaller != crashCalls/2 {
		c.t.Errorf("%d calls were ended by their callers, not %d", byCaller, crashCalls/2)
	}
	if left := mediaSessions(c.t, c.box); left != 0 {
		c.t.Errorf("%d sessions are left in the relay", left)
	}
}

// heard reports whether a leg's record tells of all the packets that it sent, but for the last.
func heard(l record.Leg) bool {
	const all = uint64(kills * killEvery / phone.PTime)
	return len(l.Streams) == 1 && l.Streams[0].PacketsIn > all*9/10 && l.Streams[0].LostIn <= mostKills*inHand
}

func TestSwitchdIsKilledInThirtyCalls(t *testing.T) {
	c := newCrowd(t, crashCalls)
	c.survive("switchd", switchGap, 0)
	c.hangUp()
}

func TestMediadIsKilledInThirtyCalls(t *testing.T) {
	c := newCrowd(t, crashCalls)
	c.survive("mediad", mediaGap, inHand)
	c.hangUp()
}
