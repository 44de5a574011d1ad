package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/board"
)

// Parts of the kernel's input events (linux/input-event-codes.h).
const (
	evSyn      = 0
	evKey      = 1
	synDropped = 3
	released   = 0
	pressed    = 1
)

// inputEvent is struct input_event of linux/input.h.
type inputEvent struct {
	Time  unix.Timeval
	Type  uint16
	Code  uint16
	Value int32
}

// lookForButton is how often is looked for an input device that is not there, or went.
const lookForButton = 5 * time.Second

// button is what erases the box when it is held: who can do that stands before it.
type button struct {
	board.Button
	led   *led
	reset func() error
	log   *slog.Logger
}

// watch follows the button until ctx ends. A board that has none needs no watching.
func (b *button) watch(ctx context.Context) {
	if b.Input == "" {
		return
	}
	for ctx.Err() == nil {
		if path, err := findInput("/sys/class/input", b.Input); err == nil {
			if err := b.follow(ctx, path); err != nil && ctx.Err() == nil {
				b.log.Warn("the reset button went", "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookForButton):
		}
	}
}

// findInput finds the device of an input by its name, which is a pattern of path.Match.
func findInput(class, pattern string) (string, error) {
	names, err := filepath.Glob(filepath.Join(class, "event*", "device", "name"))
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	for _, file := range names {
		text, err := os.ReadFile(file)
		if ok, matchErr := path.Match(pattern, strings.TrimSpace(string(text))); err == nil && matchErr == nil && ok {
			return filepath.Join("/dev/input", filepath.Base(filepath.Dir(filepath.Dir(file)))), nil
		}
	}
	return "", os.ErrNotExist
}

func (b *button) follow(ctx context.Context, device string) error {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })() // it ends the reader
	defer func() { _ = f.Close() }()                                             // only read
	b.log.Info("the reset button is there", "device", device, "seconds", b.Hold)
	return b.hold(f)
}

// hold acts when the key is held long enough in a stream of input events. It returns with the stream. A key
// that is down already when it begins does nothing: it may be stuck.
func (b *button) hold(events io.Reader) error {
	keys := make(chan int32)
	ended := make(chan error, 1)
	go func() { ended <- b.read(events, keys) }()
	due := time.NewTimer(time.Hour)
	due.Stop()
	defer due.Stop()
	defer b.led.rest()
	for {
		select {
		case err := <-ended:
			return err
		case value := <-keys:
			switch value {
			case pressed:
				due.Reset(time.Duration(b.Hold) * time.Second)
				b.led.blink()
			case released:
				due.Stop()
				b.led.rest()
			}
		case <-due.C:
			b.log.Warn("the reset button was held: all data will be erased")
			if err := b.reset(); err != nil {
				b.log.Error("the box is not reset", "err", err)
			}
		}
	}
}

// read passes on what the key does. When events were lost the key counts as released.
func (b *button) read(events io.Reader, keys chan<- int32) error {
	buf := make([]byte, unsafe.Sizeof(inputEvent{}))
	for {
		if _, err := io.ReadFull(events, buf); err != nil {
			return err
		}
		var ev inputEvent
		if _, err := binary.Decode(buf, binary.NativeEndian, &ev); err != nil {
			return err
		}
		switch {
		case ev.Type == evKey && ev.Code == b.Key:
			keys <- ev.Value
		case ev.Type == evSyn && ev.Code == synDropped:
			keys <- released
		}
	}
}

// led is a light of the box. nil has none.
type led struct {
	dir string
	was string // what it showed before
}

// findLED finds a light by its name, which is a pattern of path.Match (linux Documentation/leds/leds-class.rst:
// device:colour:function).
func findLED(class, pattern string) *led {
	found, err := filepath.Glob(filepath.Join(class, pattern))
	if pattern == "" || err != nil || len(found) == 0 {
		return nil
	}
	return &led{dir: found[0]}
}

// blink blinks, or lights up where it cannot.
func (l *led) blink() {
	if l == nil || l.was != "" {
		return
	}
	l.was = "none"
	if text, err := os.ReadFile(filepath.Join(l.dir, "trigger")); err == nil {
		if _, rest, ok := strings.Cut(string(text), "["); ok {
			l.was, _, _ = strings.Cut(rest, "]")
		}
	}
	if l.set("trigger", "timer") != nil {
		_ = errors.Join(l.set("trigger", "none"), l.set("brightness", "1")) // it is a light only
	}
}

// rest shows again what it did.
func (l *led) rest() {
	if l != nil && l.was != "" {
		_ = l.set("trigger", l.was) // it is a light only
		l.was = ""
	}
}

func (l *led) set(file, value string) error {
	return os.WriteFile(filepath.Join(l.dir, file), []byte(value), 0)
}
