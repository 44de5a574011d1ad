package relay

import (
	"slices"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// keyed are a party's own contexts.
type keyed struct {
	rx, tx  secure.Master // as the box sees them
	in, out *srtp.Context
}

func newKeyed(t testing.TB) *keyed {
	t.Helper()
	k := &keyed{rx: secure.NewMaster(secure.GCM128), tx: secure.NewMaster(secure.GCM128)}
	var err error
	if k.out, err = srtp.CreateContext(k.rx.Key[:16], k.rx.Key[16:], srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		t.Fatal(err)
	}
	if k.in, err = srtp.CreateContext(k.tx.Key[:16], k.tx.Key[16:], srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keyed) protect(t testing.TB, p []byte) []byte {
	t.Helper()
	out, err := k.out.EncryptRTP(nil, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (k *keyed) open(t testing.TB, p []byte) []byte {
	t.Helper()
	out, err := k.in.DecryptRTP(nil, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lock protects the phone's leg.
func (p *phone) lock(t testing.TB, l *Loop) *keyed {
	t.Helper()
	k := newKeyed(t)
	do(t, l, func(now int64) {
		p.stream.SetGuard(Guard{Locked: true})
		if err := p.stream.SetKeys(k.rx, k.tx, now); err != nil {
			t.Error(err)
		}
	})
	return k
}

func TestProtectedToPlainAndBack(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.18.1", "127.0.18.3"), newPhone(t, l, "127.0.18.2", "127.0.18.3")
	join(t, l, a, b, a.terms(), b.terms())
	k := a.lock(t, l)
	var sink ledger
	do(t, l, func(int64) { a.stream.SetSinks(&sink) })
	want := a.packet("speech")
	sealed := k.protect(t, want)
	write(t, a.rtp, a.ours[0], slices.Clone(sealed))
	if got, _ := hear(t, b.rtp); string(got) != string(want) {
		t.Errorf("heard % x", got)
	}
	back := b.packet("answer")
	write(t, b.rtp, b.ours[0], back)
	got, _ := hear(t, a.rtp)
	if string(k.open(t, got)) != string(back) {
		t.Errorf("heard % x", got)
	}
	report, _ := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: 9}, &rtcp.PictureLossIndication{SenderSSRC: 9, MediaSSRC: 0xabc}})
	sealedReport, err := k.out.EncryptRTCP(nil, report, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a.rtcp, a.ours[1], sealedReport)
	if got, _ := hear(t, b.rtcp); string(got) != string(report) {
		t.Errorf("RTCP % x", got)
	}
	write(t, b.rtcp, b.ours[1], report)
	got, _ = hear(t, a.rtcp)
	if got, err = k.in.DecryptRTCP(nil, got, nil); err != nil || string(got) != string(report) {
		t.Errorf("RTCP % x, %v", got, err)
	}
	for _, bad := range [][]byte{a.packet("in clear"), sealed, report, func() []byte {
		p := k.protect(t, a.packet("forged"))
		p[len(p)-1] ^= 1
		return p
	}()} {
		write(t, a.rtp, a.ours[0], bad)
		deaf(t, l, b.rtp)
	}
	thief := listen(t, "127.0.18.9")
	write(t, thief, a.ours[0], k.protect(t, a.packet("the right key, from a third address")))
	deaf(t, l, b.rtp)
	do(t, l, func(int64) {
		if len(sink.heard) != 1 || string(sink.heard[0]) != string(want) {
			t.Errorf("a sink heard %q", sink.heard)
		}
	})
	if st := a.state(); st.Refused != 4 || st.Strangers != 1 || !st.Secured || st.In.Packets != 1 || st.Out != 2 {
		t.Errorf("refused %d, strangers %d, packets %d, out %d", st.Refused, st.Strangers, st.In.Packets, st.Out)
	}
}

// Without keys nothing comes or goes, in clear least of all.
func TestLockedWithoutKeys(t *testing.T) {
	t.Parallel()
	l := startLoop(t, false)
	a, b := newPhone(t, l, "127.0.19.1", "127.0.19.3"), newPhone(t, l, "127.0.19.2", "127.0.19.3")
	join(t, l, a, b, a.terms(), b.terms())
	do(t, l, func(int64) { a.stream.SetGuard(Guard{Locked: true}) })
	write(t, a.rtp, a.ours[0], a.packet("speech"))
	write(t, a.rtp, a.ours[0], []byte("\x10\x00\x00\x01ZRTP\x00\x00\x00\x01"))
	write(t, a.rtp, a.ours[0], []byte("\x16\xfe\xfd\x00\x00"))
	deaf(t, l, b.rtp)
	write(t, b.rtp, b.ours[0], b.packet("answer"))
	write(t, b.rtcp, b.ours[1], []byte{0x80, 201, 0, 1, 0, 0, 0, 9})
	write(t, b.rtp, b.ours[0], []byte("\x10\x00\x00\x01ZRTP\x00\x00\x00\x01")) // the other side has no ZRTP with us
	deaf(t, l, a.rtp)
	deaf(t, l, a.rtcp)
	do(t, l, func(int64) {
		if a.stream.Send(a.packet("prompt")) {
			t.Error("sent in clear")
		}
	})
	if st := a.state(); st.Unkeyed != 4 || st.In.Packets != 0 || st.Out != 0 {
		t.Errorf("without keys %d, in %d, out %d", st.Unkeyed, st.In.Packets, st.Out)
	}
}

// The keys of a leg and what was counted with them go on after a restart.
func TestKeysOutliveTheStream(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.20.1", "127.0.20.3"), newPhone(t, l, "127.0.20.2", "127.0.20.3")
	join(t, l, a, b, a.terms(), b.terms())
	k := a.lock(t, l)
	first := k.protect(t, a.packet("one"))
	write(t, a.rtp, a.ours[0], first)
	hear(t, b.rtp)
	st := a.state()
	fds := [2]int{a.stream.rtp.fd, a.stream.rtcp.fd}
	do(t, l, func(now int64) {
		a.stream.Detach()
		var err error
		if a.stream, err = l.Attach(fds[0], fds[1], &st); err != nil {
			t.Error(err)
		}
		a.stream.SetGuard(Guard{Locked: true})
		if err := a.stream.SetKeys(k.rx, k.tx, now); err != nil {
			t.Error(err)
		}
	})
	join(t, l, a, b, a.terms(), b.terms())
	write(t, a.rtp, a.ours[0], first)
	deaf(t, l, b.rtp)
	write(t, a.rtp, a.ours[0], k.protect(t, a.packet("two")))
	hear(t, b.rtp)
	if st := a.state(); st.Refused != 1 || st.In.Packets != 2 {
		t.Errorf("refused %d, packets %d", st.Refused, st.In.Packets)
	}
}

// A leg that is protected again, after it was not, counts anew: its party may have begun at any number.
func TestProtectedAgain(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	a, b := newPhone(t, l, "127.0.23.1", "127.0.23.3"), newPhone(t, l, "127.0.23.2", "127.0.23.3")
	join(t, l, a, b, a.terms(), b.terms())
	for _, seq := range []uint16{40000, 30000} {
		k := a.lock(t, l)
		a.seq = seq
		write(t, a.rtp, a.ours[0], k.protect(t, a.packet("protected")))
		hear(t, b.rtp)
		do(t, l, func(int64) { a.stream.SetGuard(Guard{}) })
		write(t, a.rtp, a.ours[0], a.packet("in clear"))
		hear(t, b.rtp)
	}
}

func TestBundleIsTakenApart(t *testing.T) {
	t.Parallel()
	l := startLoop(t, true)
	browser := newPhone(t, l, "127.0.21.1", "127.0.21.3")
	sound, picture := newPhone(t, l, "127.0.21.2", "127.0.21.3"), newPhone(t, l, "127.0.21.2", "127.0.21.3")
	var second *Stream
	terms := browser.terms()
	terms.Mux, terms.MID, terms.MIDExt = true, "0", 3
	video := terms
	video.MID, video.Formats = "1", []Format{{PayloadType: 96, ClockRate: 90000}}
	pictureTerms := picture.terms()
	pictureTerms.Formats = video.Formats
	join(t, l, browser, sound, terms, sound.terms())
	do(t, l, func(int64) {
		second = l.Ride(nil)
		browser.stream.SetBundle([]*Stream{browser.stream, second}, [][]uint32{nil, {0xa00 | 77}})
		second.SetTerms(video)
		picture.stream.SetTerms(pictureTerms)
		second.SetRoute(Route{To: picture.stream, Media: true})
		picture.stream.SetRoute(Route{To: second, Media: true})
	})
	t.Cleanup(func() { _ = l.Do(func(int64) { second.Detach() }) })
	k := browser.lock(t, l)
	send := func(pt byte, ssrc byte, ext string) []byte {
		p := browser.packet("x")
		p[1], p[11] = pt, ssrc
		if ext != "" {
			p[0] |= 0x10
			p = slices.Insert(p, 12, []byte(ext)...)
		}
		write(t, browser.rtp, browser.ours[0], k.protect(t, p))
		return p
	}
	for _, c := range []struct {
		name string
		to   *phone
		p    []byte
	}{
		{"by payload type", sound, send(0, 1, "")},
		{"by payload type", picture, send(96, 2, "")},
		{"by the SSRC that was said", picture, send(0x7f, 77, "")},
		{"by its name", picture, send(0x60, 5, "\xbe\xde\x00\x01\x30\x31\x00\x00")},
		{"by the SSRC that was learnt", picture, send(0x60, 5, "")},
	} {
		if got, _ := hear(t, c.to.rtp); string(got) != string(c.p) {
			t.Errorf("%s: % x", c.name, got)
		}
	}
	for i, p := range []*phone{sound, picture} {
		q := p.packet("back")
		q[1], q[11] = []byte{0, 96}[i], byte(0x51+i)
		write(t, p.rtp, p.ours[0], q)
		if got, _ := hear(t, browser.rtp); string(k.open(t, got)) != string(q) {
			t.Errorf("back: % x", got)
		}
	}
	ssrc := uint32(0xa00)
	report := func(packets ...rtcp.Packet) []byte {
		b, err := rtcp.Marshal(packets)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := k.out.EncryptRTCP(nil, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		write(t, browser.rtp, browser.ours[0], sealed)
		return b
	}
	// Reports of what the browser hears: each goes to who sends it.
	both := report(&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: ssrc | 0x51}, {SSRC: ssrc | 0x52}}})
	for _, p := range []*phone{sound, picture} {
		if got, _ := hear(t, p.rtcp); string(got) != string(both) {
			t.Errorf("report % x", got)
		}
	}
	for _, fb := range []rtcp.Packet{
		&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: ssrc | 0x52},
		&rtcp.FullIntraRequest{SenderSSRC: 1, FIR: []rtcp.FIREntry{{SSRC: ssrc | 0x52}}},
		&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: ssrc | 0x52, Nacks: []rtcp.NackPair{{PacketID: 5}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: 1e6, SSRCs: []uint32{ssrc | 0x52}},
	} {
		want := report(fb)
		if got, _ := hear(t, picture.rtcp); string(got) != string(want) {
			t.Errorf("%T: % x", fb, got)
		}
		deaf(t, l, sound.rtcp)
	}
	if st := browser.state(); st.In.Packets != 1 || st.Out != 1 {
		t.Errorf("sound: %d in, %d out", st.In.Packets, st.Out)
	}
	do(t, l, func(int64) {
		if st := second.State(); st.In.Packets != 4 || st.RTP.Remote() != local(browser.rtp) {
			t.Errorf("picture: %d in from %s", st.In.Packets, st.RTP.Remote())
		}
		browser.stream.SetBundle([]*Stream{browser.stream}, [][]uint32{nil})
	})
}

func TestProtectedRelayAllocatesNothing(t *testing.T) {
	tr := newTraffic(t, 1, true)
	a, b := tr.phones[0], tr.phones[1]
	ka, kb := a.lock(t, tr.loop), b.lock(t, tr.loop)
	heard, seq := 0, uint16(0)
	const turns = 101
	var sealed [turns][2][]byte
	for i := range sealed {
		for j, k := range []*keyed{ka, kb} {
			seq++
			p := tr.phones[j].packet("speech")
			sealed[i][j] = k.protect(t, p)
		}
	}
	i := 0
	var allocs float64
	do(t, tr.loop, func(int64) {
		allocs = testing.AllocsPerRun(turns-1, func() {
			tr.packets[0], tr.packets[1] = sealed[i][0], sealed[i][1]
			i++
			tr.send()
			heard += tr.turn()
		})
	})
	if allocs != 0 || heard != 2*turns {
		t.Errorf("%v allocations, %d packets heard", allocs, heard)
	}
}

// BenchmarkJudgeProtected is our own part of a packet that is opened, judged and protected again.
func BenchmarkJudgeProtected(b *testing.B) {
	for _, suite := range []secure.Suite{secure.GCM128, secure.AES128SHA80} {
		b.Run(suite.String(), func(b *testing.B) {
			tr := newTraffic(b, 1, false)
			rx, tx := secure.NewMaster(suite), secure.NewMaster(suite)
			var st secure.State
			party, err := secure.NewOut(rx, &st.Out)
			if err != nil {
				b.Fatal(err)
			}
			const packets = 1 << 12
			sent := make([][]byte, packets)
			for i := range sent {
				p := slices.Grow(tr.phones[0].packet(string(make([]byte, 160))), 64)
				sent[i], _ = party.RTP(p)
			}
			from := udpio.SockaddrOf(local(tr.phones[0].rtp))
			e := &tr.phones[0].stream.rtp
			buf := make([]byte, packetSize)
			do(b, tr.loop, func(now int64) {
				l := tr.loop
				for _, p := range tr.phones {
					p.stream.SetGuard(Guard{Locked: true})
					p.stream.SetRoute(Route{}) // no system call
					if err := p.stream.SetKeys(rx, tx, now); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i = (i + 1) % packets {
					if i == 0 {
						for _, p := range tr.phones {
							p.stream.state.Secure = [2]secure.State{}
						}
					}
					now += 20 * ms
					n := copy(buf, sent[i])
					l.packet(e, buf[:n], &from, now)
					if tr.phones[1].stream.protect(buf[:n-16]) == nil {
						b.Fatal("not protected")
					}
				}
			})
		})
	}
}
