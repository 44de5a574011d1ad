package media

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

// leastSNR is what is left of a tone in dB against all that two codecs and the way add to it.
const leastSNR = 24

// A phone that has nothing but PCMU and one that has nothing but Opus hear each other, and each other's keys.
func TestPCMUOnlyAndOpusOnly(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.line(s.lab.Host(t, "alice"), "alice"), s.line(s.lab.Host(t, "bob"), "bob")
	narrow, wide := pcmu(), opusOnly(t)
	alice.Say, bob.Say = narrow.say, wide.say
	out, in := connect(t, alice, bob)
	a, b := speak(t, out, narrow, 440), speak(t, in, wide, 880)
	a.hears(880)
	b.hears(440)
	for _, c := range []struct {
		who  string
		v    *voice
		tone float64
	}{{"the PCMU phone", a, 880}, {"the Opus phone", b, 440}} {
		snr := c.v.clarity(c.tone)
		t.Logf("%s hears %.0f Hz with %.1f dB", c.who, c.tone, snr)
		if snr < leastSNR {
			t.Errorf("%s hears %.0f Hz with %.1f dB, not %d", c.who, c.tone, snr, leastSNR)
		}
	}
	const keys = "159#"
	a.dial(keys)
	b.await("the keys "+keys, netlab.Patience, func() bool { return b.typed == keys })
	b.dial(keys)
	a.await("the keys "+keys, netlab.Patience, func() bool { return a.typed == keys })
	if code := out.HangUp(); code != 200 {
		t.Errorf("BYE was answered %d", code)
	}
	if r := s.record("alice", "bob"); !r.Transcoded {
		t.Errorf("the record says nothing of transcoding: %+v", r)
	}
}

// listenings is how often a tone is listened to: a machine that is busy with other things breaks off the sender.
const listenings = 5

// clarity is the signal-to-noise ratio of a tone in what comes from now on, of the best of some seconds.
func (v *voice) clarity(hz float64) (best float64) {
	v.t.Helper()
	for n := 0; n < listenings && best < leastSNR; n++ {
		var from int
		v.do(func() { from = len(v.sound.Samples) })
		more := func() tone.Sound { return tone.Sound{Rate: rate, Samples: v.sound.Samples[from:]} }
		v.await("some seconds of tone", netlab.Patience, func() bool { return more().Length() > 2*tone.Enough })
		v.do(func() { best = max(best, more().SNR(hz)) })
	}
	return best
}
