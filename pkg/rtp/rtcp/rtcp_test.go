package rtcp

import (
	"slices"
	"testing"

	pion "github.com/pion/rtcp"
)

func compound(t testing.TB, packets ...pion.Packet) []byte {
	t.Helper()
	b, err := pion.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	blocks = []pion.ReceptionReport{
		{SSRC: 7, FractionLost: 12, TotalLost: 345, LastSequenceNumber: 1<<16 | 9, Jitter: 80, LastSenderReport: 0xaabbccdd, Delay: 65536},
		{SSRC: 8, TotalLost: 0xffffff},
	}
	sender   = &pion.SenderReport{SSRC: 1, NTPTime: 0x1122334455667788, RTPTime: 5, PacketCount: 6, OctetCount: 7, Reports: blocks}
	receiver = &pion.ReceiverReport{SSRC: 2, Reports: blocks[:1]}
	names    = &pion.SourceDescription{Chunks: []pion.SourceDescriptionChunk{{
		Source: 1, Items: []pion.SourceDescriptionItem{{Type: pion.SDESCNAME, Text: "me"}},
	}}}
)

func TestCompoundIsReadAsPionWroteIt(t *testing.T) {
	t.Parallel()
	b := compound(t, sender, names, receiver, &pion.Goodbye{Sources: []uint32{1}})
	if !Valid(b, false) || !Valid(b, true) || SSRC(b) != 1 {
		t.Fatal("not valid")
	}
	var types []int
	for p, rest := Split(b); p != nil; p, rest = Split(rest) {
		types = append(types, int(p.Type()))
		mid, ok := p.SenderTime()
		if ok != (p.Type() == TypeSenderReport) || (ok && mid != 0x33445566) {
			t.Errorf("type %d: sender time %x, %v", p.Type(), mid, ok)
		}
		switch p.Type() {
		case TypeSenderReport:
			checkReports(t, p, 1, blocks)
		case TypeReceiverReport:
			checkReports(t, p, 2, blocks[:1])
		default:
			checkReports(t, p, 1, nil)
		}
	}
	if !slices.Equal(types, []int{200, 202, 201, 203}) {
		t.Errorf("packets %v", types)
	}
}

func checkReports(t *testing.T, p Packet, ssrc uint32, want []pion.ReceptionReport) {
	t.Helper()
	if p.Reports() != len(want) || (p.Type() < 202 && p.SSRC() != ssrc) {
		t.Fatalf("type %d: %d reports by %d", p.Type(), p.Reports(), p.SSRC())
	}
	for i, w := range want {
		got := p.Report(i)
		if got.SSRC != w.SSRC || got.Fraction != w.FractionLost || uint32(got.Lost)&0xffffff != w.TotalLost ||
			got.Highest != w.LastSequenceNumber || got.Jitter != w.Jitter || got.LastSR != w.LastSenderReport || got.Delay != w.Delay {
			t.Errorf("report %d: %+v, want %+v", i, got, w)
		}
	}
}

func TestLossIsSigned(t *testing.T) {
	t.Parallel()
	p, _ := Split(compound(t, sender))
	if got := p.Report(1).Lost; got != -1 {
		t.Errorf("0xffffff read as %d, want -1", got)
	}
}

func TestBrokenCompounds(t *testing.T) {
	t.Parallel()
	whole := compound(t, sender)
	for name, b := range map[string][]byte{
		"empty":       nil,
		"head only":   {0x80, 200, 0, 0},
		"cut":         whole[:len(whole)-1],
		"version 1":   append([]byte{whole[0]&0x3f | 0x40}, whole[1:]...),
		"length of 0": {0x80, 200, 0, 0, 0, 0, 0, 1},
		"too long":    {0x80, 200, 0xff, 0xff, 0, 0, 0, 1},
		"type 100":    {0x80, 100, 0, 1, 0, 0, 0, 1},
	} {
		if Valid(b, false) {
			t.Errorf("%s: valid", name)
		}
	}
	// A report that announces more blocks than it has room for gives those that are there.
	few := slices.Clone(whole)
	few[0] |= 0x1f
	if p, _ := Split(few); p.Reports() != 2 {
		t.Errorf("%d reports", p.Reports())
	}
	if !Valid([]byte{0x80, 200, 0xff, 0xff, 0, 0, 0, 1, 9, 9}, true) {
		t.Error("SRTCP is judged by what is encrypted")
	}
}

// Whatever comes is read without a fault, and what pion can read is read alike.
func FuzzCompound(f *testing.F) {
	for _, packets := range [][]pion.Packet{{sender, names}, {receiver}, {names}, {&pion.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2}}} {
		f.Add(compound(f, packets...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = Valid(b, true)
		var ours []Packet
		for p, rest := Split(b); p != nil; p, rest = Split(rest) {
			ours = append(ours, p)
			_, _ = p.SenderTime()
			_ = p.SSRC()
			_, _ = p.About()
			for i := range p.Reports() {
				_ = p.Report(i)
			}
		}
		theirs, err := pion.Unmarshal(b)
		if err != nil || len(ours) != len(theirs) {
			return
		}
		for i, p := range theirs {
			switch p := p.(type) {
			case *pion.SenderReport:
				checkReports(t, ours[i], p.SSRC, p.Reports)
			case *pion.ReceiverReport:
				checkReports(t, ours[i], p.SSRC, p.Reports)
			}
		}
	})
}

func TestFeedbackIsAboutASource(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		packet pion.Packet
		want   uint32
	}{
		"NACK": {&pion.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 2, Nacks: []pion.NackPair{{PacketID: 3}}}, 2},
		"PLI":  {&pion.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2}, 2},
		"FIR":  {&pion.FullIntraRequest{SenderSSRC: 1, FIR: []pion.FIREntry{{SSRC: 2}}}, 2},
		"REMB": {&pion.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: 1e6, SSRCs: []uint32{2}}, 2},
		"none": {receiver, 0},
	} {
		p, _ := Split(compound(t, c.packet))
		if got, ok := p.About(); got != c.want || ok != (c.want != 0) {
			t.Errorf("%s: about %d, %v", name, got, ok)
		}
	}
	for _, short := range []Packet{{0x81, 206, 0, 1, 0, 0, 0, 1}, {0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}, {0x8f, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}} {
		if _, ok := short.About(); ok {
			t.Errorf("% x is about something", []byte(short))
		}
	}
}
