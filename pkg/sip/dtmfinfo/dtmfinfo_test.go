package dtmfinfo

import (
	"strings"
	"testing"
	"time"
)

func TestBodiesThatPhonesSend(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Press{
		"Signal=5\r\nDuration=160\r\n":    {'5', 160 * time.Millisecond},
		"Signal=*\nDuration=100":          {'*', 100 * time.Millisecond},
		"Signal= #\r\nDuration= 250\r\n":  {'#', 250 * time.Millisecond},
		"signal=a\r\n":                    {'A', DefaultDuration},
		"Signal=11\r\nDuration=0\r\n":     {'#', DefaultDuration},
		"Signal=15\r\n":                   {'D', DefaultDuration},
		"7":                               {'7', DefaultDuration},
		"\r\n*\r\n":                       {'*', DefaultDuration},
		"d=3\r\n":                         {'3', DefaultDuration},
		"Duration=99999999\r\nSignal=1":   {'1', MaxDuration},
		"Signal=1\r\nSignalUpdate=junk":   {'1', DefaultDuration},
		"Duration = 80\r\nSignal = 9\r\n": {'9', 80 * time.Millisecond},
	} {
		if got, err := Parse([]byte(body)); got != want || err != nil {
			t.Errorf("%q is %+v, %v", body, got, err)
		}
	}
}

func TestFaultsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for body, say := range map[string]string{
		"":                               "signal",
		"Signal=\r\n":                    "signal",
		"Signal=16\r\n":                  "signal",
		"Signal=x":                       `"x"`,
		"Signal=5\r\nDuration=long":      `"long"`,
		"Signal=5\r\nDuration=-5":        "milliseconds",
		strings.Repeat("Signal=5\n", 99): "512",
	} {
		if p, err := Parse([]byte(body)); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%.40q is %+v, %v", body, p, err)
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for of, want := range map[string]bool{
		"application/dtmf-relay": true, "Application/DTMF; charset=utf-8": true, "application/dtmf": true,
		"application/sdp": false, "": false, "application/dtmf-relay2": false,
	} {
		if Supported(of) != want {
			t.Errorf("%q: %v", of, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"Signal=5\r\nDuration=160\r\n", "5", "d=#", "Signal=10"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := Parse(body)
		if err != nil {
			return
		}
		for _, own := range [][]byte{p.Relay(), p.Plain()} {
			again, err := Parse(own)
			if err != nil || again.Sign != p.Sign {
				t.Errorf("%q is %+v, %v", own, again, err)
			}
		}
		if again, _ := Parse(p.Relay()); again != p {
			t.Errorf("%+v became %+v", p, again)
		}
	})
}
