package call

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// An uplink goes under a call: its party is told of the box's other address, as soon as one leads there.
func TestACallMovesWithTheBoxsAddress(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		r.talk(a, b)
		second := netip.MustParseAddr("198.51.100.7")
		r.eng.Moved(func(at netip.Addr) bool { return at != box.Addr() })
		synctest.Wait()
		a.quiet() // no other address leads there yet
		r.local = second
		time.Sleep(movePause)
		synctest.Wait()
		for _, p := range []*phone{a, b} {
			inv := p.expect("INVITE")
			if !strings.Contains(inv, "c=IN IP4 198.51.100.7") || !strings.Contains(inv, "@198.51.100.7:") || strings.Contains(inv, box.String()) {
				t.Errorf("%s hears\n%s", p.user, inv)
			}
			p.reply(inv, 200, "", next(sdpOf(p, map[*phone]int{a: 4000, b: 5000}[p], ""), ""))
			p.expect("ACK")
		}
		r.hangUp(a, b)
		faults := r.only().Faults
		if len(faults) != 2 || faults[0].Cause != causeMoved || !strings.Contains(faults[0].Cure, second.String()) {
			t.Errorf("%+v", faults)
		}
		r.empty()
	})
}

// The uplink falls silent first: the party is asked for its media again, by the way that has gone. That
// must not hold up the other way.
func TestAnOfferThatNobodyHeardDoesNotHoldUpTheMove(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		a, b := r.phone("alice", 1000, edge.UDP), r.phone("bob", 1000, edge.UDP)
		r.talk(a, b)
		r.media(ctl.MediaEvent{Kind: ctl.MediaOneWay, Leg: "m2", Text: "nothing comes from the phone"})
		time.Sleep(healPause)
		synctest.Wait()
		b.expect("INVITE") // as if it had not come
		r.local = netip.MustParseAddr("198.51.100.7")
		r.eng.Moved(func(at netip.Addr) bool { return at != box.Addr() })
		synctest.Wait()
		for _, p := range []*phone{a, b} {
			inv := p.expect("INVITE")
			if !strings.Contains(inv, "c=IN IP4 198.51.100.7") {
				t.Errorf("%s hears\n%s", p.user, inv)
			}
			p.reply(inv, 200, "", next(sdpOf(p, map[*phone]int{a: 4000, b: 5000}[p], ""), ""))
			p.expect("ACK")
		}
		r.hangUp(a, b)
		r.empty()
	})
}

// Nothing happens to calls that know the box by an address that it still has.
func TestOtherCallsStay(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		a, b := r.pair()
		r.eng.Moved(func(netip.Addr) bool { return true })
		time.Sleep(movePause)
		a.quiet()
		b.quiet()
	})
}
