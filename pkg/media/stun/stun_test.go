package stun

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func vector(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	// RFC 5769 §2.1
	sampleRequest = `00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74
		00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020
		00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf`
	// RFC 5769 §2.2
	sampleResponse = `0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 00200008 0001a147
		e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 80280004 c07d4c96`
	// RFC 5769 §2.3
	sampleResponse6 = `01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220
		00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c`
	samplePassword = "VOkJxbRl1RmTxUk/WvJxBt"
)

func TestSampleRequest(t *testing.T) {
	t.Parallel()
	p := vector(t, sampleRequest)
	m, ok := Parse(p)
	if !ok || m.Type() != Binding|Request || m.Type().Class() != Request || m.Type().Method() != Binding {
		t.Fatalf("type %x, %v", m.Type(), ok)
	}
	user, _ := m.Attr(AttrUsername)
	priority, _ := m.Attr(AttrPriority)
	if string(user) != "evtj:h6vY" || !bytes.Equal(priority, []byte{0x6e, 0, 1, 0xff}) || !m.Marked() {
		t.Errorf("user %q, priority % x", user, priority)
	}
	if !m.Authentic(hmac.New(sha1.New, []byte(samplePassword))) || m.Authentic(hmac.New(sha1.New, []byte("another"))) {
		t.Error("integrity")
	}
	if !bytes.Equal(p, vector(t, sampleRequest)) {
		t.Error("the message was changed")
	}
	for i := range p {
		if i == 100 || i == 101 { // the type of FINGERPRINT: without one the message is authentic all the same
			continue
		}
		b := slices.Clone(p)
		b[i] ^= 1
		if m, ok := Parse(b); ok && m.Marked() && m.Authentic(hmac.New(sha1.New, []byte(samplePassword))) {
			t.Errorf("byte %d was changed", i)
		}
	}
}

func TestSampleResponses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{sampleResponse: "192.0.2.1:32853", sampleResponse6: "[2001:db8:1234:5678:11:2233:4455:6677]:32853"} {
		p := vector(t, text)
		m, ok := Parse(p)
		if !ok || !m.Marked() || !m.Authentic(hmac.New(sha1.New, []byte(samplePassword))) {
			t.Fatalf("not taken: %v", ok)
		}
		if a, ok := m.XORAddress(AttrXORMappedAddress); !ok || a != netip.MustParseAddrPort(want) {
			t.Errorf("address %s, want %s", a, want)
		}
		// Written again by us it is the same, but for the padding, which the RFC made of spaces.
		w := New(nil, Binding|Success, m.ID())
		w.AddString(AttrSoftware, "test vector")
		w.AddXORAddress(AttrXORMappedAddress, netip.MustParseAddrPort(want))
		w.Sign(hmac.New(sha1.New, []byte(samplePassword)))
		again := w.Mark()
		if len(again) != len(p) || !bytes.Equal(again[:35], p[:35]) || !bytes.Equal(again[36:len(p)-32], p[36:len(p)-32]) {
			t.Errorf("written % x", []byte(again))
		}
		if m, ok := Parse(again); !ok || !m.Marked() || !m.Authentic(hmac.New(sha1.New, []byte(samplePassword))) {
			t.Error("what we write is not authentic")
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	w := New(nil, Binding|Error, TransactionID{1})
	w.AddError(420, "Unknown Attribute")
	w.AddUnknown([]uint16{0x7001, 0x7002, 0x7003})
	w.AddUint64(AttrControlled, 5)
	m, ok := Parse(w.Mark())
	if !ok || m.ErrorCode() != 420 || m.Type().Class() != Error {
		t.Fatalf("% x", []byte(m))
	}
	if v, ok := m.Attr(AttrUnknown); !ok || !bytes.Equal(v, []byte{0x70, 1, 0x70, 2, 0x70, 3}) {
		t.Errorf("unknown % x", v)
	}
	if got := m.Unknown(func(typ uint16) bool { return typ == AttrErrorCode }); !slices.Equal(got, []uint16{AttrUnknown}) {
		t.Errorf("not known: %x", got)
	}
}

// What stands behind MESSAGE-INTEGRITY is nobody's word.
func TestAttributesBehindIntegrityDoNotCount(t *testing.T) {
	t.Parallel()
	w := New(nil, Binding|Request, TransactionID{})
	w.Sign(hmac.New(sha1.New, nil))
	w.Add(AttrUseCandidate, nil)
	m, ok := Parse(w.Mark())
	if _, there := m.Attr(AttrUseCandidate); !ok || there {
		t.Error("believed")
	}
	if !m.Authentic(hmac.New(sha1.New, nil)) || !m.Marked() {
		t.Error("not authentic")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(vector(f, sampleRequest))
	f.Add(vector(f, sampleResponse))
	f.Add(vector(f, sampleResponse6))
	f.Add(make([]byte, headSize))
	f.Fuzz(func(t *testing.T, p []byte) {
		before := slices.Clone(p)
		m, ok := Parse(p)
		if !ok {
			return
		}
		m.Authentic(hmac.New(sha1.New, nil))
		m.Marked()
		m.XORAddress(AttrXORMappedAddress)
		m.XORAddress(AttrUsername)
		m.ErrorCode()
		m.Unknown(func(uint16) bool { return false })
		if !bytes.Equal(p, before) {
			t.Error("the message was changed")
		}
	})
}
