package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Limits of what is kept of what programs say: a megabyte at the most.
const (
	keptLines   = 1000
	keptText    = 1000 // bytes of a line
	maxUnheard  = 256  // lines that a follower has not taken yet
	maxFollower = 8    // more would be a fault of ours: there are as many as consoles
)

// console keeps what the programs of the box say, and tells those who follow. While nobody follows, the
// box's own screen shows it: the start, and a box whose consoles do not run.
type console struct {
	now func() time.Time

	mu        sync.Mutex // guards what follows
	out       io.Writer
	lines     []ctl.LogLine // the last keptLines
	followers map[*follower]struct{}
	stopping  bool
}

// follower is somebody who wants to hear of lines as they come. Who does not keep up misses some.
type follower struct {
	lines chan ctl.LogLine
	lost  int // guarded by console.mu
}

func openConsole() *console {
	var out io.Writer = os.Stderr
	if f, err := os.OpenFile("/dev/console", os.O_WRONLY, 0); err == nil {
		out = f
	}
	return newConsole(out, time.Now)
}

func newConsole(out io.Writer, now func() time.Time) *console {
	return &console{now: now, out: out, followers: map[*follower]struct{}{}}
}

// Write takes a line of our own log.
func (c *console) Write(p []byte) (int, error) {
	c.say(ctl.LogInit, string(p))
	return len(p), nil
}

// say takes a line of a program.
func (c *console) say(name, text string) {
	text = strings.TrimRight(text, "\n")
	if len(text) > keptText {
		text = strings.ToValidUTF8(text[:keptText], "") + "..."
	}
	line := ctl.LogLine{At: c.now().UTC(), From: name, Text: text}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) == keptLines {
		c.lines = slices.Delete(c.lines, 0, 1)
	}
	c.lines = append(c.lines, line)
	if len(c.followers) == 0 {
		c.showLocked(line)
	}
	for f := range c.followers {
		f.putLocked(line)
	}
}

// showLocked shows a line on the box's screen. A console may have made the terminal raw.
func (c *console) showLocked(l ctl.LogLine) { fmt.Fprintf(c.out, "%s: %s\r\n", l.From, l.Text) }

// alone shows what is said from now on, and what followers have not taken yet, on the box's screen: the box stops,
// and why is what matters then.
func (c *console) alone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	for f := range c.followers {
		for l, ok := f.next(); ok; l, ok = f.next() {
			c.showLocked(l)
		}
		break // the others have the same lines
	}
	clear(c.followers)
}

// next returns a line that waits to be taken, if there is one.
func (f *follower) next() (l ctl.LogLine, ok bool) {
	select {
	case l = <-f.lines:
		return l, true
	default:
		return l, false
	}
}

func (f *follower) putLocked(line ctl.LogLine) {
	if f.lost > 0 && len(f.lines) < cap(f.lines)-1 {
		f.lines <- ctl.LogLine{At: line.At, From: ctl.LogInit, Text: strconv.Itoa(f.lost) + " lines are not shown: they came too fast"}
		f.lost = 0
	}
	select {
	case f.lines <- line:
	default:
		f.lost++
	}
}

// last returns the last n lines.
func (c *console) last(n int) []ctl.LogLine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastLocked(n)
}

func (c *console) lastLocked(n int) []ctl.LogLine {
	return slices.Clone(c.lines[max(0, len(c.lines)-max(n, 0)):])
}

// follow returns the last n lines and a follower of those that come after them; nil when there are too many, or the box stops.
func (c *console) follow(n int) ([]ctl.LogLine, *follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.lastLocked(n)
	if len(c.followers) == maxFollower || c.stopping {
		return lines, nil
	}
	f := &follower{lines: make(chan ctl.LogLine, maxUnheard)}
	c.followers[f] = struct{}{}
	return lines, f
}

func (c *console) leave(f *follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.followers, f)
}

// serve sends what was said, and what is being said if that is asked for.
func (c *console) serve(r *http.Request, emit func(any) error) error {
	n, _ := strconv.Atoi(r.URL.Query().Get("last")) // no number is none
	if r.URL.Query().Get("follow") != "true" {
		return emitAll(emit, c.last(n))
	}
	lines, f := c.follow(n)
	if f == nil {
		return emitAll(emit, lines)
	}
	defer c.leave(f)
	if err := emitAll(emit, lines); err != nil {
		return err
	}
	for {
		select {
		case <-r.Context().Done():
			return nil
		case line := <-f.lines:
			if err := emit(line); err != nil {
				return err
			}
		}
	}
}

func emitAll(emit func(any) error, lines []ctl.LogLine) error {
	all := make(ctl.Lines, 0, len(lines))
	for _, l := range lines {
		all = append(all, l)
	}
	return emit(all)
}
