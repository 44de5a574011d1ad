package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// What a terminal shows is the code, module by module, within its margin.
func TestAPeersSettingsAreShownAsACode(t *testing.T) {
	t.Parallel()
	made := newPeer{Settings: "[Interface]\nPrivateKey = x\n", Candidate: ctl.NetCandidate{}}
	var out bytes.Buffer
	if err := showPeer(&out, made); err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(made.Settings, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), made.Settings) || !strings.Contains(out.String(), "sanchar net confirm") {
		t.Errorf("settings are not shown:\n%s", out.String())
	}
	var rows []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "█") {
			rows = append(rows, strings.TrimSuffix(line, "\n"))
		}
	}
	for i, row := range rows {
		if utf8.RuneCountInString(row) != code.Size+8 {
			t.Fatalf("row %d has %d modules", i, utf8.RuneCountInString(row))
		}
		for x, r := range []rune(row) {
			upper, lower := r == ' ' || r == '▄', r == ' ' || r == '▀'
			if upper != code.Black(x-4, 2*i-4) || lower != code.Black(x-4, 2*i-3) {
				t.Fatalf("row %d, module %d is %q", i, x, r)
			}
		}
	}
	if len(rows) != (code.Size+8+1)/2 {
		t.Errorf("%d rows for %d modules", len(rows), code.Size)
	}
}
