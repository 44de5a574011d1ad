package secure

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// pair is both ends of one direction.
type pair struct {
	t   testing.TB
	out *Out
	in  *In
	st  *State
}

func newPair(t testing.TB, m Master) *pair {
	t.Helper()
	p := &pair{t: t, st: &State{}}
	var err error
	if p.out, err = NewOut(m, &p.st.Out); err != nil {
		t.Fatal(err)
	}
	if p.in, err = NewIn(m, &p.st.In); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) protect(ssrc uint32, seq uint16) []byte {
	p.t.Helper()
	b, ok := p.out.RTP(roomy(packet(p.t, ssrc, seq, 20)))
	if !ok {
		p.t.Fatalf("packet %d of %d was not protected", seq, ssrc)
	}
	return b
}

func TestWhatComesAgainIsRefused(t *testing.T) {
	t.Parallel()
	for _, suite := range Suites() {
		p := newPair(t, NewMaster(suite))
		var sent [][]byte
		for i := range 300 {
			sent = append(sent, p.protect(1, uint16(65400+i)))
		}
		order := []int{0, 5, 3, 4, 1, 2, 200, 90, 299, 250} // 90 is 110 behind
		for _, i := range order {
			if _, v := p.in.RTP(slices.Clone(sent[i])); v != Authentic {
				t.Errorf("%s: packet %d is %v", suite, i, v)
			}
		}
		for _, i := range append(order, 100) { // 100 is too old by now
			if _, v := p.in.RTP(slices.Clone(sent[i])); v != Replayed {
				t.Errorf("%s: packet %d again is %v", suite, i, v)
			}
		}
		r, _ := p.out.RTCP(roomy(compound(t, 1)))
		later := slices.Clone(r)
		for range 70 {
			later, _ = p.out.RTCP(roomy(compound(t, 1)))
		}
		for i, want := range []Verdict{Authentic, Replayed} {
			if _, v := p.in.RTCP(slices.Clone(later)); v != want {
				t.Errorf("%s: report %d is %v", suite, i, v)
			}
		}
		if _, v := p.in.RTCP(r); v != Replayed {
			t.Errorf("%s: a report 70 behind is %v", suite, v)
		}
	}
}

func TestForgedPacketsChangeNothing(t *testing.T) {
	t.Parallel()
	for _, suite := range Suites() {
		p := newPair(t, NewMaster(suite))
		good, report := p.protect(1, 1), []byte(nil)
		report, _ = p.out.RTCP(roomy(compound(t, 1)))
		before := *p.st
		for i := range good {
			b := slices.Clone(good)
			b[i] ^= 0x10
			if _, v := p.in.RTP(b); v == Authentic {
				t.Errorf("%s: byte %d was changed", suite, i)
			}
		}
		for i := range report {
			b := slices.Clone(report)
			b[i] ^= 0x10
			if _, v := p.in.RTCP(b); v == Authentic {
				t.Errorf("%s: byte %d of the report was changed", suite, i)
			}
		}
		other := newPair(t, NewMaster(suite))
		if _, v := p.in.RTP(other.protect(1, 1)); v != Forged {
			t.Errorf("%s: by another key it is %v", suite, v)
		}
		for n := range len(good) {
			if _, v := p.in.RTP(slices.Clone(good[:n])); v == Authentic {
				t.Errorf("%s: %d bytes were enough", suite, n)
			}
		}
		if *p.st != before {
			t.Errorf("%s: forged packets changed the state", suite)
		}
	}
}

// A restart goes on with the state of a moment ago, also far behind the first packets.
func TestStateOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	m := NewMaster(GCM128)
	p := newPair(t, m)
	for i := range 1000 {
		if _, v := p.in.RTP(p.protect(1, uint16(i*200))); v != Authentic {
			t.Fatalf("packet %d is %v", i, v)
		}
	}
	if roc := p.st.In.Sources[0].ROC; roc != 3 {
		t.Fatalf("rollover counter %d", roc)
	}
	kept := *p.st
	for i := range 50 { // that the kept state does not know of
		p.protect(1, at(1000*200+i))
		p.out.RTCP(roomy(compound(t, 1)))
	}
	last := p.st.Out.Report
	kept.Restart()
	if kept.Out.Report < last {
		t.Errorf("SRTCP goes on with index %d after %d", kept.Out.Report, last)
	}
	again := &pair{t: t, st: &kept}
	again.in, _ = NewIn(m, &kept.In)
	again.out, _ = NewOut(m, &kept.Out)
	if _, v := again.in.RTP(p.protect(1, at(1000*200+60))); v != Authentic {
		t.Errorf("after the restart it is %v", v)
	}
	if _, v := p.in.RTP(again.protect(1, at(1000*200+70))); v != Authentic {
		t.Errorf("what the restarted one sends is %v", v)
	}
}

// An SSRC too many makes room of the one heard of least recently; a stranger's makes none.
func TestSourcesAreBounded(t *testing.T) {
	t.Parallel()
	p := newPair(t, NewMaster(AES128SHA80))
	for ssrc := range uint32(4 * MaxSources) {
		p.in.RTP(p.protect(1000, uint16(ssrc)))
		if _, v := p.in.RTP(p.protect(ssrc, 1)); v != Authentic {
			t.Errorf("SSRC %d is %v", ssrc, v)
		}
	}
	if p.st.In.find(1000) == nil || p.st.In.find(0) != nil {
		t.Error("the wrong one made room")
	}
}

// A phone that starts again with its old SSRC, or one whose SSRC is always the same, is sent on with
// numbers that go on: the old ones would be refused by the other side, and are not safe.
func TestSenderThatStartsAgainIsContinued(t *testing.T) {
	t.Parallel()
	p := newPair(t, NewMaster(GCM128))
	seqOf := func(b []byte) uint16 { return uint16(b[2])<<8 | uint16(b[3]) }
	for i := range 1000 {
		p.in.RTP(p.protect(1, uint16(30000+i)))
	}
	if _, ok := p.out.RTP(roomy(packet(t, 1, 5, 9))); ok {
		t.Error("one stray packet began a new run")
	}
	for i := range uint16(200) {
		b := p.protect(1, 6+i)
		if want := 31000 + i; seqOf(b) != want {
			t.Fatalf("packet %d was sent as %d, want %d", 6+i, seqOf(b), want)
		}
		if _, v := p.in.RTP(b); v != Authentic {
			t.Fatalf("packet %d is %v", 6+i, v)
		}
	}
}

func TestSentTwiceIsNotProtectedTwice(t *testing.T) {
	t.Parallel()
	p := newPair(t, NewMaster(GCM256))
	for _, seq := range []uint16{40000, 40002, 40001, 7000, 6999} { // and over the edge
		p.protect(1, seq)
	}
	for _, seq := range []uint16{40001, 7000, 6800} {
		if _, ok := p.out.RTP(roomy(packet(t, 1, seq, 9))); ok {
			t.Errorf("packet %d was protected again", seq)
		}
	}
	if _, ok := p.out.RTP(packet(t, 1, 7001, 9)[:20:20]); ok {
		t.Error("protected without room")
	}
	if _, ok := p.out.RTP([]byte("no packet")); ok {
		t.Error("protected what is no packet")
	}
	if _, ok := p.out.RTCP(compound(t, 1)[:8:8]); ok {
		t.Error("a report was protected without room")
	}
	p.st.Out.Report = encrypted
	if _, ok := p.out.RTCP(roomy(compound(t, 1))); ok {
		t.Error("protected after the key's life")
	}
}

func TestRekeying(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	for name, goesOn := range map[string]bool{"the party counts on": true, "the party begins anew": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, suite := range []Suite{GCM128, AES128SHA80} {
				theirs, ours := NewMaster(suite), NewMaster(suite)
				party := newPair(t, theirs)
				var st State
				old, err := NewKeys(theirs, ours, &st)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 500 {
					if _, v := old.OpenRTP(party.protect(1, uint16(i*200)), now); v != Authentic {
						t.Fatalf("packet %d is %v", i, v)
					}
				}
				old.OpenRTCP(must(party.out.RTCP(roomy(compound(t, 1)))), now)
				if _, ok := old.RTP(roomy(packet(t, 3, 9, 9))); !ok {
					t.Error("not protected")
				}
				late, lateReport := party.protect(1, at(500*200)), must(party.out.RTCP(roomy(compound(t, 1))))
				muchLater := party.protect(1, at(500*200+1))
				theirs = NewMaster(suite)
				k, err := NewKeys(theirs, NewMaster(suite), &st)
				if err != nil {
					t.Fatal(err)
				}
				k.Follow(old, &st, now)
				if st.Out != (OutState{}) {
					t.Errorf("%s: our new key counts on", suite)
				}
				next := newPair(t, theirs)
				if goesOn {
					next.st.Out.Sources = party.st.Out.Sources
				}
				for i := range 3 {
					if _, v := k.OpenRTP(next.protect(1, at(500*200+10+i)), now); v != Authentic {
						t.Errorf("%s: packet %d of the new key is %v", suite, i, v)
					}
				}
				if _, v := k.OpenRTCP(must(next.out.RTCP(roomy(compound(t, 1)))), now); v != Authentic {
					t.Errorf("%s: the first report is %v", suite, v)
				}
				if got, v := k.OpenRTP(late, now); v != Authentic || !bytes.Equal(got, packet(t, 1, at(500*200), 20)) {
					t.Errorf("%s: a late packet is %v", suite, v)
				}
				if _, v := k.OpenRTCP(lateReport, now); v != Authentic {
					t.Errorf("%s: a late report is %v", suite, v)
				}
				if _, v := k.OpenRTP(muchLater, now+int64(graceTime)); v != Forged {
					t.Errorf("%s: the old key is understood for ever: %v", suite, v)
				}
			}
		})
	}
}

func must(p []byte, ok bool) []byte {
	if !ok {
		panic("not protected")
	}
	return p
}

// at is the sequence number of the n-th packet.
func at(n int) uint16 { return uint16(n) }

func TestMastersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, m := range []Master{{}, {Suite: 99}, {Suite: GCM128, Key: make([]byte, 27)}, {Suite: GCM128, Key: make([]byte, 28), MKI: make([]byte, MaxMKI+1)}} {
		if _, err := NewKeys(m, NewMaster(GCM128), &State{}); err == nil {
			t.Errorf("%+v was taken", m)
		}
		if _, err := NewKeys(NewMaster(GCM128), m, &State{}); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
	if SuiteOf("AES_CM_256_HMAC_SHA1_80") != AES256SHA80 || SuiteOf("F8_128_HMAC_SHA1_80") != None || SuiteOfProfile(8) != GCM256 || SuiteOfProfile(0) != None {
		t.Error("names")
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for s, want := range map[Suite][2]int{AES128SHA80: {16, 14}, AES256SHA32: {32, 14}, GCM128: {16, 12}, GCM256: {32, 12}} {
		if got := [2]int{s.KeySize(), s.SaltSize()}; got != want || s.MasterSize() != want[0]+want[1] {
			t.Errorf("%s: %v", s, got)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, suite := range Suites() {
		p := newPair(t, NewMaster(suite))
		b, r := roomy(packet(t, 1, 1, 160)), roomy(compound(t, 1))
		size, rsize := len(b), len(r)
		seq := uint16(0)
		allocs := testing.AllocsPerRun(100, func() {
			seq++
			b[2], b[3] = byte(seq>>8), byte(seq)
			sealed, ok := p.out.RTP(b[:size])
			if _, v := p.in.RTP(sealed); !ok || v != Authentic {
				t.Errorf("%s: packet is %v", suite, v)
			}
			sealed, ok = p.out.RTCP(r[:rsize])
			if _, v := p.in.RTCP(sealed); !ok || v != Authentic {
				t.Errorf("%s: report is %v", suite, v)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", suite, allocs)
		}
	}
}

// Whatever a party sends, it is judged; what is judged authentic was made by the key.
func FuzzOpen(f *testing.F) {
	m := Master{Suite: AES128SHA80, Key: make([]byte, 30)}
	g := Master{Suite: GCM128, Key: make([]byte, 28), MKI: []byte{1}}
	for _, m := range []Master{m, g} {
		p := newPair(f, m)
		f.Add(p.protect(1, 1))
		f.Add(must(p.out.RTCP(roomy(compound(f, 1)))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range []Master{m, g} {
			p := newPair(t, m)
			if clear, v := p.in.RTP(slices.Clone(b)); v == Authentic {
				if again, ok := p.out.RTP(roomy(clear)); !ok || !bytes.Equal(again, b) {
					t.Errorf("%x was opened, and protected is %x", b, again)
				}
			}
			p.in.RTCP(slices.Clone(b))
		}
	})
}
