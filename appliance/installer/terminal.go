package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is all consoles of the box at once: screen and keyboard, and serial ports. What one types, all show.
type terminal struct {
	active, dev string // where the kernel lists the consoles, and where they are
	out         []*os.File
	keys        chan byte
}

func openTerminal(active, dev string) *terminal {
	t := &terminal{active: active, dev: dev, keys: make(chan byte, 64)}
	t.out = []*os.File{os.Stderr}
	return t
}

// reopen finds the consoles, when the kernel shows them. Until then there is the one that it has given us.
func (t *terminal) reopen() {
	names, err := os.ReadFile(t.active)
	if err != nil {
		return
	}
	var found []*os.File
	for name := range strings.FieldsSeq(string(names)) {
		f, err := os.OpenFile(filepath.Join(t.dev, name), os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			continue // one that has no device cannot be typed at
		}
		byKey(f)
		found = append(found, f)
		go t.read(f)
	}
	if len(found) > 0 {
		t.out = found
	}
}

// byKey makes a console tell of each key as it is pressed; what has no such setting is left as it is.
func byKey(f *os.File) {
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return
	}
	s.Lflag &^= unix.ICANON | unix.ECHO
	s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, s) // then it needs Enter
}

// read passes on what is typed, for as long as the box runs.
func (t *terminal) read(f *os.File) {
	b := make([]byte, 1)
	for {
		n, err := f.Read(b)
		if err != nil {
			return
		}
		if n == 1 {
			t.keys <- b[0]
		}
	}
}

func (t *terminal) write(text string) {
	for _, f := range t.out {
		_, _ = f.WriteString(strings.ReplaceAll(text, "\n", "\r\n")) // the others may show it
	}
}

func (t *terminal) say(format string, args ...any) { t.write(fmt.Sprintf(format, args...) + "\n") }

var errLate = errors.New("nobody has typed anything")

// key waits for one key.
func (t *terminal) key(within time.Duration) bool {
	select {
	case <-t.keys:
		return true
	case <-time.After(within):
		return false
	}
}

// forever is for questions that wait for an answer.
const forever = 365 * 24 * time.Hour

// line reads a line.
func (t *terminal) line(within time.Duration) (string, error) {
	late := time.After(within)
	var text []byte
	for {
		select {
		case <-late:
			return "", errLate
		case b := <-t.keys:
			switch {
			case b == '\r' || b == '\n':
				t.write("\n")
				return strings.TrimSpace(string(text)), nil
			case b == 0x7f || b == '\b':
				if len(text) > 0 {
					text = text[:len(text)-1]
					t.write("\b \b")
				}
			case b >= ' ' && b < 0x7f:
				text = append(text, b)
				t.write(string(b))
			}
		}
	}
}
