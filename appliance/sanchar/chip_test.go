package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestTheStateTellsOfKeysAndOfWhatIsSetAside(t *testing.T) {
	t.Parallel()
	for want, k := range map[string]ctl.BootKeys{
		"":                                {},
		"held by this box's security":     {Held: ctl.KeysChip},
		"no hardware protection: the key": {Held: ctl.KeysClear},
		"chip: it is locked":              {Held: ctl.KeysClear, Fault: "it is locked"},
	} {
		var out bytes.Buffer
		printUpdate(&out, ctl.UpdateState{Version: "1.0.0", Keys: k, Aside: []ctl.BootAside{{File: "net/network.json", At: time.Now()}}})
		if text := out.String(); !strings.Contains(text, want) || !strings.Contains(text, "set aside: net/network.json") {
			t.Errorf("%+v: %q", k, text)
		}
	}
}
