package wire

import (
	"errors"
	"strings"
	"testing"
)

const options = "OPTIONS sip:pbx.test SIP/2.0\r\n" +
	"v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n" +
	"FROM : <sip:a@pbx.test>;\r\n\t tag=1\r\n" +
	"to: <sip:pbx.test>\r\n" +
	"X-Odd:\r\n" +
	"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nl: 3\r\n\r\nabcdef"

func TestParse(t *testing.T) {
	var m Message
	if err := m.Parse([]byte("\r\n\r\n" + options)); err != nil {
		t.Fatal(err)
	}
	if m.Start() != "OPTIONS sip:pbx.test SIP/2.0" || m.IsResponse() || m.Malformed() {
		t.Fatalf("start %q malformed %v", m.Start(), m.Malformed())
	}
	for id, want := range map[ID]string{
		Via: "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", From: "<sip:a@pbx.test>;  \t tag=1", To: "<sip:pbx.test>",
		CallID: "1", ContentLength: "3", Other: "",
	} {
		if got, ok := m.Get(id); !ok || got != want {
			t.Errorf("field %d: %q %v, want %q", id, got, ok, want)
		}
	}
	if m.Body() != "abcdef" {
		t.Errorf("body %q", m.Body())
	}
	if _, ok := m.Get(Contact); ok {
		t.Error("found a field that is not there")
	}
	if m.Name(1) != "FROM" || m.Name(3) != "X-Odd" {
		t.Errorf("names %q %q", m.Name(1), m.Name(3))
	}
}

func TestKeepOutlivesTheBuffer(t *testing.T) {
	buf := []byte(options)
	var m Message
	if err := m.Parse(buf); err != nil {
		t.Fatal(err)
	}
	m.Keep()
	for i := range buf {
		buf[i] = '#'
	}
	if v, _ := m.Get(CallID); v != "1" || m.Start()[:7] != "OPTIONS" || m.Body() != "abcdef" {
		t.Fatalf("texts changed with the buffer: %q", m.Text())
	}
}

func TestWhatCannotBeSplit(t *testing.T) {
	for text, want := range map[string]error{
		"":                               ErrEmpty,
		"\r\n\r\n":                       ErrEmpty,
		"OPTIONS sip:x SIP/2.0":          ErrNoEnd,
		"A b c\r\nTo: x":                 ErrNoEnd,
		"A b c\r\nTo: x\r\n folded":      ErrNoEnd,
		"A b c\nTo: x\n\n":               ErrNoEnd,
		"A b c\r\nTo: x\r\n folded\r\nQ": ErrNoEnd,
		"A b c\r\n" + strings.Repeat("X: y\r\n", MaxFields+1) + "\r\n": ErrTooMany,
	} {
		var m Message
		if err := m.Parse([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"A b c\r\nno colon here\r\n\r\n", "A b c\r\n: x\r\n\r\n", "A b c\r\nbad name: x\r\n\r\n", "A b c\r\nTo: x\r\n"} {
		var m Message
		if err := m.Parse([]byte(text)); err != nil || !m.Malformed() {
			t.Errorf("%q: err %v, malformed %v", text, err, m.Malformed())
		}
	}
}

func TestEveryNameIsKnownInAnyCase(t *testing.T) {
	for name, want := range map[string]ID{
		"Via": Via, "VIA": Via, "v": Via, "V": Via, "p-asserted-IDENTITY": PAssertedIdentity, "x": SessionExpires, "R": ReferTo,
		"b": ReferredBy, "o": Event, "u": AllowEvents, "k": Supported, "Foo": Other, "z": Other, "Min-SE": MinSE, "RSeq": RSeq, "Subject": Subject,
		strings.Repeat("a", 100): Other,
	} {
		if got := identify(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

func TestFramerGivesTheSameMessagesHoweverTheStreamIsCut(t *testing.T) {
	one := "A b c\r\nContent-Length: 5\r\n\r\nabcde"
	two := "D e f\r\nl : 0\r\n\r\n"
	three := "G h i\r\nTo: x\r\n\r\n"
	stream := "\r\n\r\n" + one + "\r\n" + two + "\r\n\r\n" + three
	for piece := 1; piece <= len(stream); piece++ {
		var f Framer
		var buf []byte
		var got []string
		pings := 0
		for rest := stream; rest != "" || len(buf) > 0; {
			n := min(piece, len(rest))
			buf = append(buf, rest[:n]...)
			rest = rest[n:]
			for {
				fr, err := f.Next(buf, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if fr.Size == 0 {
					break
				}
				if fr.Ping {
					pings++
				} else if !fr.Blank {
					got = append(got, string(buf[:fr.Size]))
				}
				buf = buf[fr.Size:]
			}
			if rest == "" && len(buf) > 0 {
				t.Fatalf("pieces of %d: %q is left", piece, buf)
			}
		}
		if strings.Join(got, "|") != one+"|"+two+"|"+three || pings < 1 {
			t.Fatalf("pieces of %d: got %q and %d pings", piece, got, pings)
		}
	}
}

func TestFramerRefusesWhatIsTooLong(t *testing.T) {
	for _, text := range []string{
		"A b c\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"A b c\r\nContent-Length: 1000\r\n\r\n",
		"A b c\r\nX: " + strings.Repeat("y", 1000),
	} {
		var f Framer
		if _, err := f.Next([]byte(text), 1000); !errors.Is(err, ErrTooLong) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(options))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia\r\n :x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		size := len(data)
		var m Message
		if err := m.Parse(data); err != nil {
			return
		}
		total := len(m.Start()) + len(m.Body())
		for i := range m.Len() {
			_, v := m.Field(i)
			total += len(v) + len(m.Name(i))
			if strings.Contains(v, "\r\n") {
				t.Fatalf("value %q holds a line end", v)
			}
		}
		if total > size {
			t.Fatalf("parts of %d bytes from a message of %d", total, size)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	buf := []byte(options)
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Parse(buf); err != nil {
			b.Fatal(err)
		}
	}
}
