package rtcp

import (
	"testing"

	pion "github.com/pion/rtcp"
)

// Another implementation reads what we write.
func TestFeedbackIsRead(t *testing.T) {
	t.Parallel()
	const sender, media, rate = 0x01020304, 0x0a0b0c0d, 1_500_000
	b := AppendEmptyReport(nil, sender)
	b = AppendPLI(b, sender, media)
	b = AppendFIR(b, sender, media, 7)
	b = AppendTMMBR(b, sender, media, rate, 40)
	b = AppendEstimate(b, sender, media, rate)
	all, err := pion.Unmarshal(b)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d packets, %v", len(all), err)
	}
	if p, ok := all[0].(*pion.ReceiverReport); !ok || p.SSRC != sender || len(p.Reports) != 0 {
		t.Errorf("report %+v", all[0])
	}
	if p, ok := all[1].(*pion.PictureLossIndication); !ok || p.SenderSSRC != sender || p.MediaSSRC != media {
		t.Errorf("PLI %+v", all[1])
	}
	if p, ok := all[2].(*pion.FullIntraRequest); !ok || len(p.FIR) != 1 || p.FIR[0].SSRC != media || p.FIR[0].SequenceNumber != 7 {
		t.Errorf("FIR %+v", all[2])
	}
	if p, ok := all[4].(*pion.ReceiverEstimatedMaximumBitrate); !ok || p.Bitrate < rate-16 || p.Bitrate > rate || len(p.SSRCs) != 1 || p.SSRCs[0] != media {
		t.Errorf("REMB %+v", all[4])
	}
	rest, packets := b, 0
	for p, more := Split(rest); p != nil; p, more = Split(more) {
		packets++
		if ssrc, ok := p.About(); packets > 1 && (!ok || ssrc != media) {
			t.Errorf("packet %d is about %x, %v", packets, ssrc, ok)
		}
	}
	if packets != 5 {
		t.Errorf("%d packets by our own reader", packets)
	}
}

// RFC 5104 §4.2.1.1: exponent (6 bits), mantissa (17), overhead (9).
func TestTMMBRBits(t *testing.T) {
	t.Parallel()
	b := AppendTMMBR(nil, 1, 2, 1_500_000, 40)
	word := uint32(b[16])<<24 | uint32(b[17])<<16 | uint32(b[18])<<8 | uint32(b[19])
	if rate := uint64(word>>9&0x1ffff) << (word >> 26); len(b) != 20 || rate < 1_500_000-16 || rate > 1_500_000 || word&0x1ff != 40 || b[0] != 0x83 || b[1] != 205 || b[3] != 4 {
		t.Errorf("% x", b)
	}
}
