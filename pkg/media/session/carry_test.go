package session

import (
	"net/netip"
	"testing"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// A party that is transferred goes on with the keys of its handshake at another port, or makes a new one.
func TestALegThatGoesToAnotherSessionKeepsItsKeys(t *testing.T) {
	t.Parallel()
	const local = "127.0.48.4"
	for _, anew := range []bool{false, true} {
		r := newRig(t, newKeeper(t), nil)
		first, moved, last := newParty(t, "127.0.48.1", ctl.Plain, secure.None), newParty(t, "127.0.48.2", ctl.DTLS, secure.GCM128), newParty(t, "127.0.48.3", ctl.Plain, secure.None)
		pa, pb := connect(t, r, "old", first, moved, local)
		first.send(t, pa, "before")
		moved.hears(t, "before")
		moved.send(t, pb, "before")
		first.hears(t, "before")
		if _, err := r.CloseSession(ctl.MediaClose{Session: "old"}); err != nil {
			t.Fatal(err)
		}

		ours := ctl.MediaTerms{Protection: ctl.DTLS, Setup: "actpass"}
		offered, err := r.Offer(ctl.MediaOffer{
			Session: "new", Leg: last.leg("c", local, "", last.stream(1, "")),
			Peer: ctl.MediaLeg{ID: "d", Local: netip.MustParseAddr(local), Ours: ours, Continues: "old/b"},
		})
		if err != nil {
			t.Fatal(err)
		}
		pc, pd := offered.Leg[0], offered.Peer[0]
		if pd.RTP == pb.RTP {
			t.Fatal("the port is the one before: nothing is shown")
		}
		if err := r.Answer(ctl.MediaAnswer{Session: "new", Leg: moved.leg("d", local, "actpass", moved.stream(0, "active")), Peer: "c"}); err != nil {
			t.Fatal(err)
		}
		if anew {
			moved.begin(t, pd, true)
			moved.shaken(t)
		}
		moved.send(t, pd, "after")
		last.hears(t, "after")
		last.seq = first.seq // both have the same SSRC: a number that comes again under the same key would not be sent
		last.send(t, pc, "after")
		moved.hears(t, "after")

		if _, err := r.Offer(ctl.MediaOffer{ // a name that nobody has had
			Session: "other", Leg: last.leg("c", local, "", last.stream(1, "")),
			Peer: ctl.MediaLeg{ID: "d", Local: netip.MustParseAddr(local), Ours: ours, Continues: "old/x"},
		}); err != nil {
			t.Error(err)
		}
	}
}
