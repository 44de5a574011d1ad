package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestTheScreenShowsWhatNobodyFollows(t *testing.T) {
	t.Parallel()
	var screen strings.Builder
	c := newConsole(&screen, time.Now)
	fmt.Fprintln(c, "level=INFO msg=one")
	_, f := c.follow(0)
	c.say("switchd", "two")
	c.leave(f)
	c.say("netd", "three\n")
	if got := screen.String(); got != "init: level=INFO msg=one\r\nnetd: three\r\n" {
		t.Errorf("%q", got)
	}
	if line := <-f.lines; line.From != "switchd" || line.Text != "two" {
		t.Errorf("%+v", line)
	}
}

func TestWhatABoxSaysLastIsOnItsScreen(t *testing.T) {
	t.Parallel()
	var screen strings.Builder
	c := newConsole(&screen, time.Now)
	_, f := c.follow(0)
	c.follow(0)
	c.say("init", "a version was given up")
	c.alone()
	c.say("init", "the box stops")
	c.leave(f)
	if got := screen.String(); got != "init: a version was given up\r\ninit: the box stops\r\n" {
		t.Errorf("%q", got)
	}
	if _, f := c.follow(0); f != nil {
		t.Error("somebody may still follow")
	}
}

func TestTheLastLinesAreKept(t *testing.T) {
	t.Parallel()
	c := newConsole(&strings.Builder{}, time.Now)
	for i := range keptLines + 5 {
		c.say("switchd", fmt.Sprint(i))
	}
	c.say("switchd", strings.Repeat("é", keptText))
	all := c.last(2 * keptLines)
	if len(all) != keptLines || all[0].Text != "6" || len(all[keptLines-1].Text) > keptText+3 {
		t.Errorf("%d lines, the first %q, the last of %d bytes", len(all), all[0].Text, len(all[keptLines-1].Text))
	}
	if c.last(-1) == nil && len(c.last(1)) != 1 {
		t.Error("the last line is not there")
	}
}

func TestWhoDoesNotKeepUpIsToldSo(t *testing.T) {
	t.Parallel()
	c := newConsole(&strings.Builder{}, time.Now)
	_, f := c.follow(0)
	for i := range maxUnheard + 7 {
		c.say("switchd", fmt.Sprint(i))
	}
	<-f.lines
	<-f.lines
	c.say("switchd", "after")
	var texts []string
	for len(f.lines) > 0 {
		texts = append(texts, (<-f.lines).Text)
	}
	if !slices.Contains(texts, "7 lines are not shown: they came too fast") || texts[len(texts)-1] != "after" {
		t.Errorf("%q", texts[len(texts)-3:])
	}
	for range maxFollower - 1 {
		if _, f := c.follow(0); f == nil {
			t.Fatal("a console may not follow")
		}
	}
	if _, f := c.follow(0); f != nil {
		t.Error("there may be any number of followers")
	}
}

func TestLinesAreServed(t *testing.T) {
	t.Parallel()
	c := newConsole(&strings.Builder{}, time.Now)
	c.say("switchd", "old")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 10)
	emit := func(v any) error {
		if lines, several := v.(ctl.Lines); several {
			for _, l := range lines {
				got <- l.(ctl.LogLine).Text
			}
			return nil
		}
		got <- v.(ctl.LogLine).Text
		return nil
	}
	if err := c.serve(httptest.NewRequest("GET", "/v1/log?last=5", nil), emit); err != nil || <-got != "old" {
		t.Errorf("%v", err)
	}
	ended := make(chan error)
	go func() {
		ended <- c.serve(httptest.NewRequestWithContext(ctx, "GET", "/v1/log?last=1&follow=true", nil), emit)
	}()
	if text := <-got; text != "old" {
		t.Errorf("%q", text)
	}
	c.say("switchd", "new")
	if text := <-got; text != "new" {
		t.Errorf("%q", text)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatIsWrongIsHeardOfTheKernel(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		"3,1234,5678,-;usb 1-1: device not accepting address\n SUBSYSTEM=usb\n": "usb 1-1: device not accepting address",
		"0,1,1,-;panic":                     "panic",
		"4,1234,5678,-;a warning":           "",
		"6,1234,5678,-;usb 1-1: new device": "",
		"11,1,1,-;a program's error":        "",
		"-1,1,1,-;x":                        "", "": "", "3": "", "x,1;y": "",
	} {
		if got, ok := wrong(record); got != want && ok || ok != (want != "") {
			t.Errorf("%q: %q %v", record, got, ok)
		}
	}
}

func TestTerminalsOfTheKernelsConsoles(t *testing.T) {
	t.Parallel()
	if got := terminals("tty0 ttyS0\n"); !slices.Equal(got, []string{"/dev/tty1", "/dev/ttyS0"}) {
		t.Errorf("%v", got)
	}
}

func TestAConsoleIsStartedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var starts []time.Duration
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		sit := func(ctx context.Context, tty string) error {
			starts = append(starts, time.Since(began))
			if len(starts) == 4 {
				time.Sleep(time.Hour)
			}
			if len(starts) == 5 {
				cancel()
			}
			return errors.New(tty + " is not there")
		}
		keepSeat(ctx, "/dev/ttyS9", slog.New(slog.NewTextHandler(&log, nil)), sit)
		want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, time.Hour + 8*time.Second}
		if !slices.Equal(starts, want) {
			t.Errorf("%v, want %v", starts, want)
		}
		if n := strings.Count(log.String(), "is not there"); n != 1 {
			t.Errorf("a fault was told %d times:\n%s", n, &log)
		}
	})
}

func FuzzRecordsOfTheKernel(f *testing.F) {
	for _, record := range []string{"3,1234,5678,-;usb 1-1: device\n SUBSYSTEM=usb\n", "11,1,1,-;x", ";", "3;"} {
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record string) {
		if text, ok := wrong(record); ok && (strings.Contains(text, "\n") || !strings.Contains(record, text)) {
			t.Errorf("%q of %q", text, record)
		}
	})
}
