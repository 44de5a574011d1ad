package transcode

import (
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestWhatIsTranscoded(t *testing.T) {
	t.Parallel()
	type list = []ctl.MediaFormat
	for name, c := range map[string]struct {
		from, told, to list
		want           string
	}{
		"the same":              {list{pcmu, keys}, nil, list{pcmu, keys}, ""},
		"shares one":            {list{full, pcmu}, nil, list{pcma, pcmu}, ""},
		"another payload type":  {list{{PayloadType: 111, Encoding: "OPUS", ClockRate: 48000, Channels: 2}}, nil, list{full}, ""},
		"nothing":               {list{pcmu}, nil, list{full}, "PCMU>opus"},
		"only keys":             {list{pcmu, keys}, nil, list{wide, keys}, "PCMU>G722"},
		"only noise":            {list{pcma, noise}, nil, list{pcmu, noise}, "PCMA>PCMU"},
		"what it was told":      {list{full, pcmu}, list{full}, list{pcmu}, "opus>PCMU"},
		"what we cannot":        {list{g729}, nil, list{pcmu}, ""},
		"what they cannot":      {list{pcmu}, nil, list{g729}, ""},
		"the first that we can": {list{g729, wide}, nil, list{g729x, pcma}, "G722>PCMA"},
		"nothing was said":      {nil, nil, list{pcmu}, ""},
	} {
		p := PlanOf(&ctl.MediaStream{Formats: c.from, Told: c.told}, &ctl.MediaStream{Formats: c.to})
		got := ""
		if p.Transcode {
			got = p.From + ">" + p.To
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// g729x is a codec that nobody here has.
var g729x = ctl.MediaFormat{PayloadType: 99, Encoding: "G729D", ClockRate: 8000}

func TestSpeech(t *testing.T) {
	t.Parallel()
	out, ok := Speech(&ctl.MediaStream{Formats: []ctl.MediaFormat{g729, full, keys, keys2}, Ptime: 50})
	if !ok || out.Voice != full || out.Ptime != 40*time.Millisecond || out.Keys != int(keys2.PayloadType) || out.Clock != 48000 {
		t.Errorf("%+v, %v", out, ok)
	}
	out, ok = Speech(&ctl.MediaStream{Formats: []ctl.MediaFormat{pcmu, keys2}, Ptime: 200})
	if !ok || out.Ptime != longestPtime || out.Keys != int(keys2.PayloadType) || out.Clock != 48000 {
		t.Errorf("%+v, %v", out, ok)
	}
	if _, ok := Speech(&ctl.MediaStream{Formats: []ctl.MediaFormat{g729, keys}}); ok {
		t.Error("it speaks what it cannot")
	}
}
