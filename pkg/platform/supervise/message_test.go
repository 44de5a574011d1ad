package supervise

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseMessage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]message{
		"READY=1":                            {ready: true, name: noName},
		"READY=1\nSTATUS=2 calls\n":          {ready: true, status: "2 calls", name: noName},
		"WATCHDOG=1":                         {watchdog: true, name: noName},
		"STOPPING=1":                         {stopping: true, name: noName},
		"FDSTORE=1\nFDPOLL=0\nFDNAME=rtp":    {store: true, name: "rtp"},
		"FDSTOREREMOVE=1\nFDNAME=rtp":        {remove: true, name: "rtp"},
		"FDSTORE=1":                          {store: true, name: noName},
		"FDSTORE=1\nFDNAME=a:b":              {store: true, name: noName},
		"FDSTORE=1\nFDNAME=a b":              {store: true, name: noName},
		"FDSTORE=1\nFDSTOREREMOVE=1":         {store: true, name: noName},
		"READY=0\nWATCHDOG=trigger\nX\n=\nY": {name: noName},
		"":                                   {name: noName},
	} {
		if got := parseMessage(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("READY=1\nFDSTORE=1\nFDNAME=x")
	f.Add("FDSTOREREMOVE=1\nFDNAME=" + strings.Repeat("n", 300))
	f.Fuzz(func(t *testing.T, text string) {
		m := parseMessage(text)
		if !validName(m.name) || m.store && m.remove || strings.ContainsAny(m.status, "\n") {
			t.Fatalf("%q gives %+v", text, m)
		}
	})
}
