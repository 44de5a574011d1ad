package aor

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]URI{
		"sip:alice@pbx.test": {Scheme: SIP, User: "alice", Host: "pbx.test"},
		"SIPS:alice:pw@pbx.test:5061;transport=tls?Subject=x": {Scheme: SIPS, User: "alice", Host: "pbx.test", Port: 5061, Params: "transport=tls", Headers: "Subject=x"},
		"sip:[2001:db8::9:1]":                        {Scheme: SIP, Host: "[2001:db8::9:1]"},
		"sip:[2001:db8::10]:5070;lr":                 {Scheme: SIP, Host: "[2001:db8::10]", Port: 5070, Params: "lr"},
		"sip:user@[2001:db8:::192.0.2.1]":            {Scheme: SIP, User: "user", Host: "[2001:db8:::192.0.2.1]"},
		"sip:bob@pbx.test;gr=urn:uuid:1d652bcc-55a7": {Scheme: SIP, User: "bob", Host: "pbx.test", Params: "gr=urn:uuid:1d652bcc-55a7"},
		"sip:user;par=u%40example.net@example.com":   {Scheme: SIP, User: "user;par=u%40example.net", Host: "example.com"},
		"sip:sips%3Auser%40example.com@example.net":  {Scheme: SIP, User: "sips%3Auser%40example.com", Host: "example.net"},
		"sip:*97#@pbx.test":                          {Scheme: SIP, User: "*97#", Host: "pbx.test"},
		"tel:+91-22-2345;phone-context=x":            {Scheme: Tel, User: "+91-22-2345", Params: "phone-context=x"},
		"isbn:2983792873":                            {Scheme: Unknown},
		"soap.beep://192.0.2.103:3002":               {Scheme: Unknown},
		"sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com": {
			Scheme: SIP, User: "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", Host: "example.com",
		},
	} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]error{
		"": ErrSyntax, "sip:": ErrSyntax, "alice@pbx.test": ErrSyntax, ":x": ErrSyntax, "1sip:x": ErrSyntax,
		"<sip:a@b>": ErrSyntax, "sip:a b@c": ErrSyntax, "sip:a@": ErrHost, "sip:@b": ErrUser, "sip:a%4@b": ErrUser, "sip:a%zz@b": ErrUser,
		"sip:2001:db8::10": ErrPort, "sip:a@b:99999": ErrPort, "sip:a@b:0": ErrPort, "sip:a@b:": ErrPort, "sip:a@[1.2.3.4]": ErrHost, "sip:a@[::1": ErrHost,
		"sip:a@[::1]x": ErrHost, "sip:a@b_c/d": ErrHost, "tel:": ErrSyntax, "tel:+": ErrUser, "tel:12x4": ErrUser, "sip:a@[fe80::1%eth0]": ErrHost,
	} {
		if _, err := Parse(in); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}

func TestAoRIgnoresCaseAndEscapes(t *testing.T) {
	for _, in := range []string{"sip:Alice@PBX.test", "sips:%61lice:pw@pbx.test:5061;x=y", "sip:alice@pbx.test"} {
		u, err := Parse(in)
		if err != nil || u.AoR() != "sip:alice@pbx.test" {
			t.Errorf("%s: %s %v", in, u.AoR(), err)
		}
	}
	for _, user := range []string{"alice", "a b", "100%", "x@y", "a:b", "ü", "*97#"} {
		u, err := Parse("sip:" + Escape(user) + "@h")
		if err != nil || u.UserText() != user {
			t.Errorf("%q comes back as %q, %v", user, u.UserText(), err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string][4]string{ // display, spec, params, tag
		`"Alice \"A\" <x>" <sip:a@b;lr>;tag=1;x`: {`Alice "A" <x>`, "sip:a@b;lr", "tag=1;x", "1"},
		`sip:a@b;tag=1`:                          {"", "sip:a@b", "tag=1", "1"},
		`sip:a@b`:                                {"", "sip:a@b", "", ""},
		`caller<sip:a@b> ; TAG = 7`:              {"caller", "sip:a@b", "TAG = 7", "7"},
		`<sip:a@b>;+sip.instance="<urn:uuid:1>"`: {"", "sip:a@b", `+sip.instance="<urn:uuid:1>"`, ""},
		`token1~` + "`" + ` token2'+_ <sip:a@b>`: {"token1~` token2'+_", "sip:a@b", "", ""},
		`अनु <sip:a@b>`:                          {"अनु", "sip:a@b", "", ""},
		`"" <tel:+123>`:                          {"", "tel:+123", "", ""},
	} {
		a, err := ParseAddress(in)
		tag, _ := a.Param("tag")
		if got := [4]string{a.DisplayText(), a.Spec, a.Params, tag}; err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]error{
		`"Mr. J. User <sip:j.user@example.com>`: ErrQuote, `Bell, Alexander <sip:a@b>`: ErrName, `"a" b <sip:a@b>`: ErrName,
		`"Joe" <sip:joe@example.org>;;;;`: ErrParams, `<sip:a@b>;tag=`: ErrParams, `<sip:a@b> x`: ErrParams, `<sip:a@b`: ErrSyntax, `< sip:a@b >`: ErrSyntax,
		`sip:user@example.com?Route=%3Csip:x%3E`: ErrSyntax, `sip:a@b,sip:c@d`: ErrSyntax, ``: ErrSyntax,
	} {
		if _, err := ParseAddress(in); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}

func TestListsAndParams(t *testing.T) {
	list := `"a, b" <sip:x,y@b;p=1,2>;q=0.5 , sip:c@d, <sip:e@f>`
	var got []string
	for one := ""; list != ""; {
		one, list = NextAddress(list)
		got = append(got, one)
	}
	if len(got) != 3 || got[0] != `"a, b" <sip:x,y@b;p=1,2>;q=0.5` || got[2] != "<sip:e@f>" {
		t.Errorf("addresses: %q", got)
	}
	if v, ok := Param(`a;b="x;y";C=2`, "b"); !ok || v != "x;y" {
		t.Errorf("quoted value: %q %v", v, ok)
	}
	if v, ok := Param(`a;b="x;y";C=2`, "c"); !ok || v != "2" {
		t.Errorf("value: %q %v", v, ok)
	}
	for params, want := range map[string]int{"": 1000, "q=1": 1000, "q=0.5": 500, "q=0.05": 50, "q=.7": 700, "q=1.001": -1, "q=2": -1, "q=x": -1, "q=0.1234": -1} {
		a := Address{Params: params}
		if q, ok := a.Q(); (ok && q != want) || ok != (want >= 0) {
			t.Errorf("%q: q %d %v, want %d", params, q, ok, want)
		}
	}
	if Quote("a\"\\\r\nb") != `"a\"\\  b"` {
		t.Errorf("quote: %s", Quote("a\"\\\r\nb"))
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{`"A" <sip:a@b:1;c=d?e=f>;tag=x`, "sip:a@[::1]:5060;q=0.1", "tel:+12;x=y", `"\`, "<>", "sip:%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for list := s; list != ""; {
			one, rest := NextAddress(list)
			if len(rest) >= len(list) {
				t.Fatalf("%q: the rest does not shrink", list)
			}
			list = rest
			a, err := ParseAddress(one)
			if err != nil {
				continue
			}
			for p := a.Params; p != ""; {
				_, _, next := NextParam(p)
				if len(next) >= len(p) {
					t.Fatalf("%q: parameters do not shrink", p)
				}
				p = next
			}
			if a.URI.Scheme != Unknown {
				if again, err := Parse(a.URI.String()); err != nil || again.AoR() != a.URI.AoR() {
					t.Fatalf("%q is written as %q, which reads as %+v, %v", one, a.URI.String(), again, err)
				}
			}
		}
	})
}

func BenchmarkParseAddress(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a, err := ParseAddress(`"Alice" <sip:alice@127.0.77.2:25070;transport=tcp>;+sip.instance="<urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2>"`)
		if err != nil || a.URI.Port != 25070 {
			b.Fatal(err)
		}
	}
}
