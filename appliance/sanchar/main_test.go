package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also plays the programs that "sanchar dev" runs, and itself: they are this binary under
// other names.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); name {
	case "sanchar":
		main()
	case "switchd", "mediad", "admind", "netd":
		os.Exit(playDaemon(name, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// result is what a command did.
type result struct {
	status   int
	out, err string
}

func sanchar(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	status := run(context.WithoutCancel(t.Context()), &terminal{in: strings.NewReader(stdin), out: &out, err: &errs}, args)
	return result{status, out.String(), errs.String()}
}

func TestWhatCannotBeUnderstoodSaysWhy(t *testing.T) {
	t.Parallel()
	for line, c := range map[string]struct {
		status int
		says   string
	}{
		"":                          {2, "users reset-secret NAME"},
		"help":                      {0, "sanchar dev [flags]"},
		"--help":                    {0, "hangup ID"},
		"frobnicate":                {2, `there is no command "frobnicate"`},
		"users":                     {2, "users needs one of: list, add, import, reset-secret, disable, enable, remove"},
		"users lst":                 {2, "users needs one of: list"},
		"users add":                 {2, "users add needs NAME"},
		"users add --colour red al": {2, "users add: flag provided but not defined: -colour"},
		"users disable a b":         {2, "users disable does not take b"},
		"users add --help":          {0, "-display-name"},
		"hangup":                    {2, "hangup needs ID"},
		"version":                   {0, "dev\n"},
		"version 2":                 {2, "version takes no argument"},
		"dev now":                   {2, "dev does not take now"},
		"dev --help":                {0, "-admin-token-file"},
		"dev --sip many":            {2, "dev: invalid value"},
	} {
		got := sanchar(t, "", strings.Fields(line)...)
		if got.status != c.status || !strings.Contains(got.out+got.err, c.says) {
			t.Errorf("%q: status %d, want %d; says %q, want %q in it", line, got.status, c.status, got.out+got.err, c.says)
		}
		if right := c.status == 0; right != (got.err == "") && line != "" {
			t.Errorf("%q: status %d and on the error output %q", line, got.status, got.err)
		}
	}
}

func TestTextOfStrangersCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	printTable(&out, []string{"DEVICE"}, [][]string{{"Phone\x1b[2J\r\nroot\tx\u202e"}, {"téléphone 電話"}})
	if got := out.String(); got != "DEVICE\nPhone?[2J??root?x?\ntéléphone 電話\n" {
		t.Errorf("got %q", got)
	}
}
