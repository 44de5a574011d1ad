package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/board"
)

const restartKey = 408 // KEY_RESTART

// sends writes events as the kernel does.
func sends(t *testing.T, w io.Writer, events ...inputEvent) {
	t.Helper()
	for _, ev := range events {
		if err := binary.Write(w, binary.NativeEndian, ev); err != nil {
			t.Fatal(err)
		}
	}
}

func key(code uint16, value int32) inputEvent {
	return inputEvent{Type: evKey, Code: code, Value: value}
}

func TestTheButtonIsHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(t *testing.T, w io.Writer)
		want int
	}{
		"long enough": {func(t *testing.T, w io.Writer) {
			sends(t, w, key(restartKey, 1), inputEvent{})
			for range 12 {
				time.Sleep(time.Second)
				sends(t, w, key(restartKey, 2), inputEvent{}) // it repeats by itself
			}
			sends(t, w, key(restartKey, 0))
		}, 1},
		"for a moment": {func(t *testing.T, w io.Writer) {
			for range 5 {
				sends(t, w, key(restartKey, 1))
				time.Sleep(9 * time.Second)
				sends(t, w, key(restartKey, 0))
				time.Sleep(9 * time.Second)
			}
		}, 0},
		"another key": {func(t *testing.T, w io.Writer) {
			sends(t, w, key(restartKey+1, 1))
			time.Sleep(time.Minute)
		}, 0},
		"stuck before we looked": {func(t *testing.T, w io.Writer) {
			for range 60 {
				sends(t, w, key(restartKey, 2))
				time.Sleep(time.Second)
			}
		}, 0},
		"events were lost": {func(t *testing.T, w io.Writer) {
			sends(t, w, key(restartKey, 1), inputEvent{Type: evSyn, Code: synDropped})
			time.Sleep(time.Minute)
		}, 0},
		"it is unplugged": {func(t *testing.T, w io.Writer) { sends(t, w, key(restartKey, 1)) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				resets := 0
				b := &button{
					Button: board.Button{Input: "gpio-keys", Key: restartKey, Hold: 10}, log: slog.New(slog.DiscardHandler),
					reset: func() error { resets++; return errors.New("there is no boot partition") },
				}
				r, w := io.Pipe()
				ended := make(chan error)
				go func() { ended <- b.hold(r) }()
				c.do(t, w)
				_ = w.Close()
				if err := <-ended; err != io.EOF || resets != c.want {
					t.Errorf("%d resets, %v", resets, err)
				}
			})
		})
	}
}

func TestEventsAreReadAsTheKernelWritesThem(t *testing.T) {
	t.Parallel()
	// As recorded on amd64: seconds, microseconds, EV_KEY, KEY_F12, pressed.
	recorded := []byte{
		0x5f, 0x1b, 0x2c, 0x69, 0, 0, 0, 0, 0x29, 0xa1, 0x0b, 0, 0, 0, 0, 0, 1, 0, 88, 0, 1, 0, 0, 0,
	}
	if len(recorded) != binary.Size(inputEvent{}) {
		t.Skip("events have another size here")
	}
	b := &button{Button: board.Button{Key: 88}}
	keys := make(chan int32, 1)
	if err := b.read(bytes.NewReader(recorded), keys); err != io.EOF || len(keys) != 1 || <-keys != pressed {
		t.Errorf("%v, %d events", err, len(keys))
	}
}

func TestTheButtonIsFoundByItsName(t *testing.T) {
	t.Parallel()
	class := t.TempDir()
	for event, name := range map[string]string{"event0": "Power Button", "event1": "gpio-keys-polled", "event2": "gpio-keys"} {
		dir := filepath.Join(class, event, "device")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "name"), []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{"gpio-keys*": "/dev/input/event1", "gpio-keys": "/dev/input/event2", "keyboard": ""} {
		if got, err := findInput(class, pattern); got != want || (want == "") != (err != nil) {
			t.Errorf("%s: %s, %v", pattern, got, err)
		}
	}
}

func TestTheLightTellsThatTheButtonIsHeld(t *testing.T) {
	t.Parallel()
	class := t.TempDir()
	dir := filepath.Join(class, "box:green:status")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	trigger := filepath.Join(dir, "trigger")
	if err := os.WriteFile(trigger, []byte("none timer [heartbeat] panic"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(trigger); err != nil || string(got) != want {
			t.Errorf("%q, want %q, %v", got, want, err)
		}
	}
	l := findLED(class, "*:status")
	l.blink()
	shows("timer")
	l.blink() // again: it does not forget what it showed
	l.rest()
	shows("heartbeat")
	l.rest()
	for _, none := range []*led{findLED(class, "*:power"), findLED(class, "")} {
		none.blink()
		none.rest()
	}
}
