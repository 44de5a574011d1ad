package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Command is a scanner that is a program: it reads the file from its standard input and ends with 0
// when it is clean, with 1 when it is not. clamdscan and clamscan do so, with "-" as argument.
type Command struct {
	Path string
	Args []string
}

// maxOutput is what is kept of a scanner's words.
const maxOutput = 4 << 10

type command struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    words
	cancel context.CancelFunc
	ended  bool
}

// Begin starts the program. Nothing that the sender chose is on its command line.
func (c Command) Begin(ctx context.Context, _ File) (Scan, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &command{cmd: exec.CommandContext(ctx, c.Path, c.Args...), cancel: cancel}
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.WaitDelay = time.Second // a grandchild that keeps the pipe open does not keep us
	var err error
	if s.in, err = s.cmd.StdinPipe(); err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start the scanner %s: %w", c.Path, err)
	}
	return s, nil
}

func (s *command) Write(p []byte) (int, error) {
	_, _ = s.in.Write(p) // it may have seen enough: its exit code tells
	return len(p), nil
}

func (s *command) Verdict() (Verdict, error) {
	timer := time.AfterFunc(verdictTime, s.cancel)
	defer timer.Stop()
	_ = s.in.Close() // it may have ended
	s.ended = true
	err := s.cmd.Wait()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return Verdict{Clean: true}, nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return Verdict{Found: s.out.String()}, nil
	}
	return Verdict{}, fmt.Errorf("the scanner %s: %w: %s", s.cmd.Path, err, s.out.String())
}

func (s *command) Close() {
	s.cancel()
	if !s.ended {
		s.ended = true
		_ = s.in.Close()
		_ = s.cmd.Wait() // it was ended
	}
}

// words keeps the first words of a program.
type words struct{ buf bytes.Buffer }

func (w *words) Write(p []byte) (int, error) {
	w.buf.Write(p[:min(len(p), maxOutput-w.buf.Len())])
	return len(p), nil
}

func (w *words) String() string {
	first, _, _ := strings.Cut(strings.TrimSpace(w.buf.String()), "\n")
	return strings.ToValidUTF8(first, "?")
}
