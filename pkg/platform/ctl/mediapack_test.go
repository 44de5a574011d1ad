package ctl

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/pack"
)

// body is a value that goes both ways.
type body interface {
	Packer
	Unpacker
}

// filled are bodies with every field set.
func filled() []body {
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	formats := []MediaFormat{{PayloadType: 8, Encoding: "PCMA", ClockRate: 8000, Channels: 1, Params: "x=1"}, {PayloadType: 111, Encoding: "opus", ClockRate: 48000}}
	crypto := []MediaCrypto{{Tag: 1, Suite: "AEAD_AES_128_GCM", Key: []byte{1, 0, 2}, MKI: []byte{7}}}
	print := MediaFingerprint{Hash: "sha-256", Value: []byte{1, 2}}
	ice := MediaICE{Ufrag: "u", Pwd: "p", Lite: true, Candidates: []MediaCandidate{{
		Foundation: "1", Component: 1, Priority: 7, Addr: at("192.0.2.2:4000"), Type: "srflx", Related: at("192.0.2.3:4000"),
	}}}
	leg := MediaLeg{
		ID: "a", Local: netip.MustParseAddr("192.0.2.1"), Source: netip.MustParseAddr("2001:db8::1"),
		Streams: []MediaStream{{
			Kind: "audio", RTP: at("192.0.2.2:4000"), RTCP: at("192.0.2.2:4001"), Mux: true, Direction: SendOnly, Secure: true,
			Formats: formats, Told: formats, Protection: SDES, Crypto: crypto, Fingerprints: []MediaFingerprint{print}, Setup: "actpass", ICE: ice,
			MID: "0", MIDExt: 3, BundleOn: 1, SSRCs: []uint32{5}, Ptime: 20, Feedback: true, Bandwidth: 512,
		}},
		Ours: MediaTerms{Protection: DTLS, Suites: []string{"AEAD_AES_128_GCM"}, Setup: "passive", ICE: ICELite, Mux: true, Bundle: true, NoZRTP: true}, Continues: "s/x",
	}
	ports := []MediaPorts{{
		RTP: at("[2001:db8::2]:20000"), RTCP: at("[2001:db8::2]:20001"), Crypto: crypto, Fingerprint: print, Setup: "active", ICE: ice, SSRC: 9,
	}}
	second := time.UnixMilli(1_795_000_000_001).UTC()
	return []body{
		&MediaOffer{Session: "s", Leg: leg, Peer: MediaLeg{ID: "b", Local: leg.Local}},
		&MediaOffered{Leg: ports, Peer: ports},
		&MediaAnswer{Session: "s", Leg: leg, Peer: "b"},
		&MediaUpdate{Session: "s", Legs: []MediaLeg{leg}, Pairs: [][2]string{{"a", "b"}}, Drop: []string{"c"}},
		&MediaUpdated{Ports: map[string][]MediaPorts{"a": ports, "b": ports}},
		&MediaClose{Session: "s"},
		&MediaClosed{Streams: []StreamStats{{
			Leg: "a", Index: 1, Kind: "audio", Codec: "PCMA", Remote: at("192.0.2.2:4000"),
			PacketsIn: 1, BytesIn: 1 << 40, PacketsOut: 3, LostIn: 4, LostOut: 5, JitterIn: time.Millisecond, JitterOut: time.Hour,
			RoundTrip: 7, MOS: 4.25, Dropped: 8, Ignored: 9, FirstPacket: second, LastPacket: second,
			Protection: SDES, Suite: "AEAD_AES_128_GCM", ZRTP: true, Direct: true, Refused: 10, Offloaded: 11, Unmeasured: 12, Transcoded: "opus>PCMU", Recorded: true,
			Faults: []MediaFault{{At: second, Cause: MediaOneWay, Text: "t", Cure: "c"}},
		}}},
		&MediaRecord{
			Session: "s", ID: "r", Do: RecordStart, Legs: []MediaRecordLeg{{Leg: "a"}, {Leg: "b", Channel: 1}}, Video: true, Format: "wav",
			Beep: 15, About: map[string]string{"call": "c"},
		},
		&MediaPlay{
			Session: "s", Leg: "a", ID: "p", Language: "hi", Volume: -6,
			Sounds: []MediaSound{{Prompt: "p", Tone: "busy", Music: "m", Silence: 5, Loop: true}},
		},
		&MediaDial{Session: "s", Leg: "a", Digits: "12#", Millis: 100},
	}
}

func packed(v Packer) []byte {
	var w pack.Writer
	v.Pack(&w)
	return w.B
}

func fresh(v body) body { return reflect.New(reflect.TypeOf(v).Elem()).Interface().(body) }

func TestBodiesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, v := range filled() {
		allSet(t, reflect.TypeOf(v).Elem().Name(), reflect.ValueOf(v).Elem())
		got, b := fresh(v), packed(v)
		if err := Unpack(b, got); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("got %+v, %v, want %+v", got, err, v)
		}
		for cut := range b {
			if err := Unpack(b[:cut], fresh(v)); err == nil {
				t.Errorf("%T cut at %d was read", v, cut)
			}
		}
		if err := Unpack(append(b, 0), fresh(v)); err == nil {
			t.Errorf("%T and a byte more was read", v)
		}
		if empty := fresh(v); Unpack(packed(fresh(v)), empty) != nil {
			t.Errorf("an empty %T was not read", v)
		}
	}
}

// allSet fails for a field that is forgotten in filled: it may be forgotten in its packing too.
func allSet(t *testing.T, path string, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Type() == reflect.TypeFor[netip.Addr](), v.Type() == reflect.TypeFor[netip.AddrPort]():
	case path == "MediaOffer.Peer", strings.HasSuffix(path, ".Legs[0].Channel"): // only named; left is 0
		return
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			allSet(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
		return
	case v.Kind() == reflect.Slice && v.Len() > 0:
		allSet(t, path+"[0]", v.Index(0))
		return
	}
	if v.IsZero() {
		t.Errorf("%s is not set", path)
	}
}

// Pairs that are named but none part all legs; no pairs leave them.
func TestNoPairsAreNotEmptyPairs(t *testing.T) {
	t.Parallel()
	for _, pairs := range [][][2]string{nil, {}} {
		var got MediaUpdate
		if err := Unpack(packed(&MediaUpdate{Pairs: pairs}), &got); err != nil || (got.Pairs == nil) != (pairs == nil) {
			t.Errorf("%#v came as %#v, %v", pairs, got.Pairs, err)
		}
	}
}

// FuzzUnpack: what can be read is the same after it was written again.
func FuzzUnpack(f *testing.F) {
	for i, v := range filled() {
		f.Add(uint8(i), packed(v))
	}
	f.Add(uint8(1), binary.AppendUvarint(nil, 1<<40))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		all := filled()
		v := fresh(all[int(kind)%len(all)])
		if Unpack(data, v) != nil {
			return
		}
		again := fresh(v)
		if err := Unpack(packed(v), again); err != nil {
			t.Fatalf("%+v: %v", v, err)
		}
		if c, ok := v.(*MediaClosed); ok { // a MOS that is not a number equals none
			if d := again.(*MediaClosed); len(c.Streams) != len(d.Streams) {
				t.Fatalf("%+v, want %+v", d, c)
			}
			return
		}
		if !reflect.DeepEqual(again, v) {
			t.Fatalf("%+v, want %+v", again, v)
		}
	})
}

func BenchmarkBodies(b *testing.B) {
	for _, v := range filled() {
		b.Run(reflect.TypeOf(v).Elem().Name(), func(b *testing.B) {
			w, into := pack.Writer{}, fresh(v)
			b.ReportAllocs()
			for b.Loop() {
				w.B = w.B[:0]
				v.Pack(&w)
				if err := Unpack(w.B, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
