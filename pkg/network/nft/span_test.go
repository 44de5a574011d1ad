package nft

import (
	"bytes"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestPrefixesAreComparedByTheirBits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.0/8": "255.0.0.0", "192.0.2.128/25": "255.255.255.128", "0.0.0.0/0": "0.0.0.0", "192.0.2.1/32": "255.255.255.255",
		"2001:db8::/33": "ffff:ffff:8000::",
	} {
		mask, ok := prefixMask(spanOf(netip.MustParsePrefix(text)))
		if got, _ := netip.AddrFromSlice(mask); !ok || got.String() != want {
			t.Errorf("mask of %s is %s (%v), want %s", text, got, ok, want)
		}
	}
	for _, ends := range [][2]string{{"10.0.0.1", "10.0.0.2"}, {"10.0.0.0", "10.0.0.2"}, {"10.0.0.1", "10.0.0.3"}} {
		first, last := netip.MustParseAddr(ends[0]), netip.MustParseAddr(ends[1])
		if _, ok := prefixMask(span{first.AsSlice(), last.AsSlice()}); ok {
			t.Errorf("%v is taken for a prefix", ends)
		}
	}
}

// TestMergedSpansHoldTheSameKeys also wants them apart, as the kernel does.
func TestMergedSpansHoldTheSameKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		spans := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) span {
			first := rapid.Byte().Draw(rt, "first")
			return span{[]byte{first}, []byte{rapid.ByteRange(first, 255).Draw(rt, "last")}}
		}), 1, 6).Draw(rt, "spans")
		holds := func(list []span, key byte) bool {
			for _, s := range list {
				if s.first[0] <= key && key <= s.last[0] {
					return true
				}
			}
			return false
		}
		out := merged(spans)
		for key := range 256 {
			if holds(spans, byte(key)) != holds(out, byte(key)) {
				rt.Fatalf("%v became %v: %d differs", spans, out, key)
			}
		}
		for i, s := range out[1:] {
			if end, more := next(out[i].last); !more || bytes.Compare(end, s.first) >= 0 {
				rt.Fatalf("%v touch or overlap", out)
			}
		}
	})
}
