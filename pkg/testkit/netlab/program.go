package netlab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come.
const Patience = 30 * time.Second

// tail is how many of a program's last lines are shown when its test fails.
const tail = 40

// Program is a program that runs on a host, and whose lines are waited for.
type Program struct {
	Name string
	cmd  *exec.Cmd
	in   io.WriteCloser

	mu    sync.Mutex // guards lines and more
	lines []string
	more  chan struct{} // closed and replaced with each line, and at the end

	ended chan struct{}
	err   error // of the program; read after ended
}

// Run starts a command on the host. The program is killed when the test ends, if it still runs.
func (h *Host) Run(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	p := &Program{Name: h.Name + " " + cmd.Args[0], cmd: cmd, more: make(chan struct{}), ended: make(chan struct{})}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = errors.Join(h.Do(cmd.Start), w.Close())
	if err != nil {
		t.Fatalf("start %s on %s: %v", cmd.Args[0], h.Name, err)
	}
	go p.read(r)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("last lines of %s:\n%s", p.Name, strings.Join(p.lastLines(), "\n"))
		}
	})
	return p
}

// read collects the program's lines until it has ended.
func (p *Program) read(r io.ReadCloser) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, strings.TrimRight(lines.Text(), "\r"))
		p.wakeLocked()
		p.mu.Unlock()
	}
	p.err = errors.Join(lines.Err(), r.Close(), p.cmd.Wait())
	close(p.ended)
	p.mu.Lock()
	p.wakeLocked()
	p.mu.Unlock()
}

func (p *Program) wakeLocked() {
	close(p.more)
	p.more = make(chan struct{})
}

// PID returns the program's process id.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Send writes a line to the program's standard input.
func (p *Program) Send(line string) error {
	_, err := io.WriteString(p.in, line+"\n")
	return err
}

// Mark returns a point in the program's output: lines from now on come after it.
func (p *Program) Mark() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

// After returns the lines that came after a mark.
func (p *Program) After(mark int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines[min(mark, len(p.lines)):]...)
}

// Await waits for a line after mark that matches and returns what its groups matched.
func (p *Program) Await(mark int, pattern *regexp.Regexp, patience time.Duration) ([]string, error) {
	late := time.After(patience)
	for over := false; ; {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for ; mark < len(lines); mark++ {
			if m := pattern.FindStringSubmatch(lines[mark]); m != nil {
				return m, nil
			}
		}
		if over {
			return nil, fmt.Errorf("%s ended (%w) without a line that matches %q", p.Name, p.err, pattern)
		}
		select {
		case <-more:
		case <-p.ended:
			over = true // and look once more at what came last
		case <-late:
			return nil, fmt.Errorf("%s wrote no line that matches %q within %s", p.Name, pattern, patience)
		}
	}
}

// Signal sends the program a signal.
func (p *Program) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits for the program to end by itself and returns how it did.
func (p *Program) Wait(patience time.Duration) error {
	select {
	case <-p.ended:
	case <-time.After(patience):
	}
	if !p.Ended() {
		return fmt.Errorf("%s did not end within %s", p.Name, patience)
	}
	return p.err
}

// Ended reports whether the program has ended.
func (p *Program) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Kill ends the program at once and waits for its end.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.in.Close()
	<-p.ended
}

func (p *Program) lastLines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[max(0, len(p.lines)-tail):]
}
