package pack

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func write(w *Writer) {
	w.Uint(1 << 60)
	w.Int(-5)
	w.Bool(true)
	w.String("text")
	w.Strings([]string{"a", "", "c"})
	w.Time(time.Time{})
	w.Time(time.UnixMicro(1_795_000_000_000_001))
	w.Addr(netip.MustParseAddrPort("[2001:db8::1]:5060"))
	w.Addr(netip.AddrPort{})
	w.Addr(netip.AddrPortFrom(netip.MustParseAddr("fe80::1%"+strings.Repeat("z", 200)), 9))
	w.Int64(-1 << 60)
}

func read(r *Reader) []any {
	return []any{r.Uint(), r.Int(), r.Bool(), r.String(), r.Strings(), r.Time(), r.Time(), r.Addr(), r.Addr(), r.Addr(), r.Int64()}
}

func TestWhatIsWrittenComesBack(t *testing.T) {
	var w Writer
	write(&w)
	r := &Reader{B: w.B}
	want := []any{
		uint64(1 << 60), -5, true, "text",
		[]string{"a", "", "c"},
		time.Time{},
		time.UnixMicro(1_795_000_000_000_001).UTC(),
		netip.MustParseAddrPort("[2001:db8::1]:5060"),
		netip.AddrPort{},
		netip.AddrPortFrom(netip.MustParseAddr("fe80::1%"+strings.Repeat("z", 200)), 9),
		int64(-1 << 60),
	}
	if got := read(r); !reflect.DeepEqual(got, want) || r.Err != nil || len(r.B) != 0 {
		t.Errorf("%v %v, want %v", got, r.Err, want)
	}
	for cut := range w.B {
		r := &Reader{B: w.B[:cut]}
		if read(r); r.Err == nil {
			t.Errorf("cut at %d: no error", cut)
		}
	}
}

func FuzzRead(f *testing.F) {
	var w Writer
	write(&w)
	f.Add(w.B)
	f.Fuzz(func(_ *testing.T, data []byte) { read(&Reader{B: data}) })
}
