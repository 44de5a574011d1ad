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

// Of the tests that kill a daemon in the middle of calls. A kill is judged by the least disturbed
// of some: a machine that is busy with other things makes pauses too, but not each time, while a
// pause of the box's own making is there each time. A packet that is lost is lost by the box.
const (
	crashCalls = 30
	kills      = 3
	killEvery  = 3 * time.Second        // longer than what the supervisor takes for a loop of crashes
	settleTime = 200 * time.Millisecond // what came later than this may still have to leave
	switchGap  = 2 * phone.PTime        // longest pause of media that the death of switchd may make
	mediaGap   = 300 * time.Millisecond // and that of mediad
)

// crowd is many calls with media, all seen on the box's wires.
type crowd struct {
	t       *testing.T
	box     *boxtest.Box
	near    *netlab.Host
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
	c.box = boxtest.Start(t, lab, boxtest.Config{Count: 2 * n})
	for i := range n {
		from, to := line(t, near, 2*i), line(t, far, 2*i+1)
		answered := make(chan *phone.Call, 1)
		go func() {
			in, err := to.Answer()
			if err != nil {
				t.Error(err)
			}
			answered <- in
		}()
		out, err := from.Invite(to.User)
		if err != nil {
			t.Fatal(err)
		}
		c.callers, c.callees = append(c.callers, out), append(c.callees, <-answered)
	}
	t.Cleanup(phone.Talk(append(append([]*phone.Call(nil), c.callers...), c.callees...)))
	return c
}

// line registers the n-th user of boxtest.Config.Count.
func line(t *testing.T, h *netlab.Host, n int) *phone.Line {
	t.Helper()
	u := boxtest.User(n)
	return phone.Register(t, h, u, boxtest.Password(u), boxtest.Server(h, "udp"))
}

// survive kills a daemon again and again in the middle of the calls and looks at their media.
func (c *crowd) survive(daemon string, longest time.Duration) {
	c.t.Helper()
	time.Sleep(killEvery)
	least := time.Hour
	for range kills {
		began := time.Now()
		c.box.Kill(daemon)
		again := time.Since(began)
		time.Sleep(killEvery - again)
		gap, calm := c.gap(began, began.Add(killEvery-settleTime)), c.gap(began.Add(-killEvery/2), began)
		c.t.Logf("%s was seen again after %s; the longest pause of media was %s, and %s just before", daemon, again, gap, calm)
		least = min(least, gap)
	}
	if least > longest {
		c.t.Errorf("media paused for %s, longer than %s", least, longest)
	}
	for i := range c.callers {
		if !c.callers[i].Up() || !c.callees[i].Up() {
			c.t.Errorf("call %d was hung up", i)
		}
	}
}

// gap returns the longest pause that the box made in any stream within a time, and wants every
// packet to have gone through.
func (c *crowd) gap(from, to time.Time) (longest time.Duration) {
	c.t.Helper()
	all := c.tap.Transits(phone.PTime, from, to)
	if len(all) != 2*crashCalls {
		c.t.Errorf("%d streams of %d came", len(all), 2*crashCalls)
	}
	for _, s := range all {
		if s.Lost > 0 || s.Packets == 0 {
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
	all := c.box.API(c.near).Calls(crashCalls)
	if len(all) != crashCalls {
		c.t.Errorf("%d records of %d calls", len(all), crashCalls)
	}
	byCaller := 0
	for _, r := range all {
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
	return len(l.Streams) == 1 && l.Streams[0].PacketsIn > all*9/10 && l.Streams[0].LostIn == 0
}

func TestSwitchdIsKilledInThirtyCalls(t *testing.T) {
	c := newCrowd(t, crashCalls)
	c.survive("switchd", switchGap)
	c.hangUp()
}

func TestMediadIsKilledInThirtyCalls(t *testing.T) {
	c := newCrowd(t, crashCalls)
	c.survive("mediad", mediaGap)
	c.hangUp()
}
