package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

func TestCrashesBringGoodSettingsBack(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	c := newCrashes(run, slog.New(slog.DiscardHandler))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	crash := func(name string, after time.Duration) {
		now = now.Add(after)
		c.take(supervise.Event{Name: name, Kind: supervise.Exited, Text: "exit status 2"}, now)
	}
	is := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	for range 3 { // too seldom
		crash("switchd", 31*time.Second)
	}
	crash("netd", time.Second)
	crash("mediad", time.Second) // each for itself
	if is(retreatFile(run, "switchd")) || is(retreatFile(run, "netd")) || is(filepath.Join(run, ctl.CrashFile)) {
		t.Error("crashes that may happen are taken for the settings' fault")
	}
	crash("switchd", time.Second)
	if !is(retreatFile(run, "switchd")) || is(retreatFile(run, "netd")) {
		t.Error("three crashes within a minute are not taken for the settings' fault")
	}
	c.take(supervise.Event{Name: "switchd", Kind: supervise.Ready}, now)
	if is(retreatFile(run, "switchd")) {
		t.Error("a daemon that has read its settings would go back once more")
	}
	for range 3 {
		crash(pageDaemon, time.Second)
	}
	if !is(retreatFile(run, pageDaemon)) || is(aloneFile(run)) {
		t.Error("the page runs alone before it was tried with settings that were good")
	}
	for range 3 {
		crash(pageDaemon, time.Second)
	}
	if why, err := os.ReadFile(aloneFile(run)); err != nil || string(why) != "the page's own data makes it crash (exit status 2)" {
		t.Errorf("the page does not run alone: %q, %v", why, err)
	}
	var known []ctl.BootCrash
	text, err := os.ReadFile(filepath.Join(run, ctl.CrashFile))
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	if err != nil || len(known) != 2 || known[0].Name != "switchd" || known[1].Name != pageDaemon || !known[1].At.Equal(now) {
		t.Errorf("known: %+v, %v", known, err)
	}
}
