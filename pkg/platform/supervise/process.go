package supervise

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outputLinger is how long what a program wrote is still read after its end, should one of its own
// children keep the pipe open.
const outputLinger = time.Second

// osProcess is a program that the kernel runs.
type osProcess struct{ *os.Process }

func (p osProcess) pid() int                        { return p.Pid }
func (p osProcess) signal(sig syscall.Signal) error { return p.Signal(sig) }

// startProcess starts a child with the descriptors held for it. It runs on the loop's thread.
func (s *Supervisor) startProcess(c *child, in *inbox) (process, error) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, errors.Join(err, unix.Close(null))
	}
	fds, env := c.fds.handOver()
	pid, err := syscall.ForkExec(c.spec.Path, append([]string{c.spec.Path}, c.spec.Args...), &syscall.ProcAttr{
		Env:   append(childEnv(c.spec, in.path), env...),
		Files: append([]uintptr{uintptr(null), uintptr(pipe[1]), uintptr(pipe[1])}, fds...),
		Sys: &syscall.SysProcAttr{
			Setpgid:   true,            // Ctrl-C at the terminal is for us: we stop them in order
			Pdeathsig: syscall.SIGKILL, // nobody would restart them or hold their sockets
		},
	})
	closeAll([]int{null, pipe[1]})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.spec.Path, err), unix.Close(pipe[0]))
	}
	if c.spec.Nice != 0 {
		if err := unix.Setpriority(unix.PRIO_PROCESS, pid, c.spec.Nice); err != nil {
			s.cfg.Log.Warn("a program has not the priority that it should", "name", c.spec.Name, "err", err)
		}
	}
	proc, err := os.FindProcess(pid)
	if err != nil { // cannot be: it is our child and nobody has waited for it
		return nil, errors.Join(err, unix.Close(pipe[0]))
	}
	s.watch(c.spec.Name, proc, pipe[0], in)
	return osProcess{proc}, nil
}

// watch passes on what a program writes, and its end.
func (s *Supervisor) watch(name string, proc *os.Process, stdout int, in *inbox) {
	_ = unix.SetNonblock(stdout, true) // so that reads have a deadline; fails for no pipe
	r := os.NewFile(uintptr(stdout), name)
	s.out.follow(name, r)
	s.out.wg.Go(func() {
		state, err := proc.Wait()
		in.sync()
		s.box.Put(happening{exit: newExit(proc.Pid, state, err)})
		_ = r.SetReadDeadline(time.Now().Add(outputLinger)) // fails when all is read and closed
	})
}

func newExit(pid int, state *os.ProcessState, err error) *exit {
	if err != nil {
		return &exit{pid: pid, reason: "wait: " + err.Error()}
	}
	ws := state.Sys().(syscall.WaitStatus)
	switch {
	case ws.Signaled():
		return &exit{pid: pid, reason: fmt.Sprintf("ended by signal %d (%v)", ws.Signal(), ws.Signal()), terminated: ws.Signal() == syscall.SIGTERM}
	case ws.ExitStatus() != 0:
		return &exit{pid: pid, reason: "exit status " + strconv.Itoa(ws.ExitStatus())}
	}
	return &exit{pid: pid}
}

// childEnv is our own environment without what was meant for us, and what the child needs. A
// variable stands once: programs differ in whether the first or the last counts.
func childEnv(spec Spec, notifySocket string) []string {
	own := append([]string{"NOTIFY_SOCKET=" + notifySocket}, spec.Env...)
	if spec.Watchdog > 0 {
		own = append(own, "WATCHDOG_USEC="+strconv.FormatInt(spec.Watchdog.Microseconds(), 10))
	}
	drop := map[string]bool{"LISTEN_FDS": true, "LISTEN_PID": true, "LISTEN_FDNAMES": true, "WATCHDOG_USEC": true, "WATCHDOG_PID": true}
	for _, kv := range own {
		key, _, _ := strings.Cut(kv, "=")
		drop[key] = true
	}
	inherited := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return drop[key]
	})
	return append(inherited, own...)
}
