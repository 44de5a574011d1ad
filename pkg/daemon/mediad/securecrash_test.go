package mediad

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// srtpPhone is a party that speaks SRTP with keys of SDES.
type srtpPhone struct {
	*phone
	own    secure.Master
	keys   *secure.Keys
	state  secure.State
	number uint32 // of the last packet, which its payload holds
}

// srtpCall makes a session between two such phones.
func srtpCall(t testing.TB, c ctl.Media, id string, suite secure.Suite) (a, b *srtpPhone) {
	t.Helper()
	a = &srtpPhone{phone: newPhone(t, "127.0.50.1"), own: secure.NewMaster(suite)}
	b = &srtpPhone{phone: newPhone(t, "127.0.50.2"), own: secure.NewMaster(suite)}
	leg := func(p *srtpPhone, id, setup string) ctl.MediaLeg {
		l := p.leg(id)
		l.Ours = ctl.MediaTerms{Protection: ctl.SDES, Suites: []string{suite.String()}, Setup: setup}
		l.Streams[0].Protection, l.Streams[0].Crypto = ctl.SDES, []ctl.MediaCrypto{{Tag: 1, Suite: suite.String(), Key: p.own.Key}}
		return l
	}
	offered, err := c.Offer(context.Background(), ctl.MediaOffer{
		Session: id, Leg: leg(a, "a", "passive"),
		Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(ours), Ours: ctl.MediaTerms{Protection: ctl.SDES, Suites: []string{suite.String()}, Setup: "actpass"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Answer(context.Background(), ctl.MediaAnswer{Session: id, Leg: leg(b, "b", "actpass"), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	for p, ports := range map[*srtpPhone]ctl.MediaPorts{a: offered.Leg[0], b: offered.Peer[0]} {
		p.to = ports.RTP
		box := secure.Master{Suite: suite, Key: ports.Crypto[0].Key}
		if p.keys, err = secure.NewKeys(box, p.own, &p.state); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func (p *srtpPhone) speak() error {
	p.number++
	b := make([]byte, 172, 200)
	b[0], b[2], b[3], b[11] = 0x80, byte(p.number>>8), byte(p.number), 1
	b[12], b[13], b[14] = byte(p.number>>16), byte(p.number>>8), byte(p.number)
	sealed, ok := p.keys.RTP(b)
	if !ok {
		return fmt.Errorf("packet %d was not protected", p.number)
	}
	_, err := p.conn.WriteToUDPAddrPort(sealed, p.to)
	return err
}

// hearing is what one party heard.
type hearing struct {
	numbers []uint32
	gap     time.Duration
	forged  int
}

func (h *hearing) run(p *srtpPhone, last uint32) {
	buf := make([]byte, 2048)
	for before := time.Now(); ; {
		if p.conn.SetReadDeadline(time.Now().Add(5*time.Second)) != nil {
			return
		}
		n, _, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		now := time.Now()
		clear, v := p.keys.OpenRTP(buf[:n], now.UnixNano())
		if v != secure.Authentic || len(clear) < 15 {
			h.forged++
			continue
		}
		if len(h.numbers) > 0 {
			h.gap = max(h.gap, now.Sub(before))
		}
		before = now
		number := uint32(clear[12])<<16 | uint32(clear[13])<<8 | uint32(clear[14])
		if h.numbers = append(h.numbers, number); number >= last {
			return
		}
	}
}

// Killed again and again under protected media, mediad goes on with the same keys and counters, and no
// packet that it was given the time to see is lost.
func TestProtectedMediaSurvivesKill9(t *testing.T) {
	const (
		calls = 100
		kills = 20
		// between two kills the supervisor has to see that the program serves, or it waits before it
		// starts it again
		between = 2500 * time.Millisecond
		ptime   = 20 * time.Millisecond
		packets = uint32((kills + 1) * (between / ptime))
	)
	if testing.Short() {
		t.Skip("takes a minute")
	}
	c, ready := supervised(t)
	pid := <-ready
	var phones []*srtpPhone
	for i := range calls {
		a, b := srtpCall(t, c, fmt.Sprint("call-", i), secure.Suites()[i%len(secure.Suites())])
		phones = append(phones, a, b)
	}
	hearings := make([]hearing, len(phones))
	var wg sync.WaitGroup
	for i, p := range phones {
		wg.Go(func() { hearings[i].run(p, packets) })
	}
	tick := time.NewTicker(ptime)
	defer tick.Stop()
	for n := range packets {
		<-tick.C
		for _, p := range phones {
			if err := p.speak(); err != nil {
				t.Fatal(err)
			}
		}
		if every := uint32(between / ptime); n%every == every-1 && n < packets-every {
			if n > every {
				pid = <-ready
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	var gaps []time.Duration
	lost := 0
	for i := range hearings {
		h := &hearings[i]
		missing := int(packets) - len(h.numbers)
		lost += missing
		// A packet that was received and not yet sent goes with the process.
		if missing > kills || !slices.IsSorted(h.numbers) || h.forged != 0 {
			t.Errorf("stream %d: %d of %d packets, %d not authentic", i, len(h.numbers), packets, h.forged)
		}
		gaps = append(gaps, h.gap)
	}
	slices.Sort(gaps)
	t.Logf("longest silence of %d streams over %d kills: median %v, p99 %v, most %v; %d of %d packets lost",
		len(gaps), kills, gaps[len(gaps)/2], gaps[len(gaps)*99/100], gaps[len(gaps)-1], lost, int(packets)*len(phones))
	<-ready
	all, err := c.Sessions(t.Context())
	if err != nil || len(all) != calls {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	for _, s := range all {
		for _, st := range s.Streams {
			if st.Refused != 0 || st.Protection != ctl.SDES || st.Suite == "" {
				t.Errorf("session %s: %+v", s.ID, st)
			}
		}
	}
}
