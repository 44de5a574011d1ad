package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// script is a supervisor whose programs are played by the test, in virtual time.
type script struct {
	*Supervisor
	t      *testing.T
	began  time.Time
	pids   int
	log    []string // what happened, with the time since the start
	onTERM map[string]func(p *played)
	deaf   bool // programs answer no signal but SIGKILL
}

// played is a program without a process.
type played struct {
	s    *script
	name string
	id   int
	end  chan struct{} // closed when it has exited
}

func (p *played) pid() int { return p.id }

func (p *played) signal(sig syscall.Signal) error {
	p.s.note("%s gets %v", p.name, sig)
	switch {
	case sig == syscall.SIGKILL, sig == syscall.SIGABRT && !p.s.deaf:
		p.exit(fmt.Sprintf("ended by signal %d (%v)", sig, sig))
	case sig == syscall.SIGTERM && p.s.onTERM[p.name] != nil:
		p.s.onTERM[p.name](p)
	case sig == syscall.SIGTERM && !p.s.deaf:
		p.exit("")
	}
	return nil
}

func (p *played) exit(reason string) {
	close(p.end)
	p.s.box.Put(happening{exit: &exit{pid: p.id, reason: reason}})
}

func (p *played) say(text string) {
	m := parseMessage(text)
	m.pid = p.id
	p.s.box.Put(happening{message: &m})
}

// feed feeds the watchdog some times, or until p exits.
func (p *played) feed(every time.Duration, times int) {
	for range times {
		select {
		case <-p.end:
			return
		case <-time.After(every):
			p.say("WATCHDOG=1")
		}
	}
}

func (s *script) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%v ", time.Since(s.began))+fmt.Sprintf(format, args...))
}

// play runs programs, each start of which calls act, until end; it returns what Run returned.
func play(t *testing.T, programs []Spec, end time.Duration, prepare func(*script), act func(*played, int)) (*script, error) {
	t.Helper()
	s := &script{t: t, began: time.Now(), onTERM: map[string]func(*played){}}
	sup, err := New(Config{Programs: programs, Log: slog.New(slog.DiscardHandler), OnEvent: func(ev Event) {
		if ev.Kind != Started {
			s.note("%s %s %s", ev.Name, ev.Kind, ev.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Supervisor = sup
	starts := map[string]int{}
	sup.start = func(c *child) (process, error) {
		s.pids++
		p := &played{s: s, name: c.spec.Name, id: s.pids, end: make(chan struct{})}
		starts[p.name]++
		s.note("%s start", p.name)
		if c.spec.Path == "absent" {
			return nil, errors.New("absent: no such file or directory")
		}
		go act(p, starts[p.name])
		return p, nil
	}
	if prepare != nil {
		prepare(s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), end)
	defer cancel()
	err = sup.loop(ctx)
	synctest.Wait()
	return s, err
}

// want compares what happened. That programs got ready is left out where there are several: they
// do at one time, in any order.
func (s *script) want(lines ...string) {
	s.t.Helper()
	if len(s.children) > 1 {
		s.log = slices.DeleteFunc(s.log, func(l string) bool { return strings.Contains(l, " ready") })
	}
	for i := range s.log {
		s.log[i] = strings.TrimSpace(s.log[i])
	}
	if !slices.Equal(s.log, lines) {
		s.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(s.log, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

func TestMain(m *testing.M) {
	if mode := childMode(); mode != "" {
		runChild(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestRestartsBackOffAndALoopIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, []Spec{{Name: "a"}}, 5*time.Second, nil, func(p *played, _ int) { p.exit("exit status 1") })
		if err != nil {
			t.Error(err)
		}
		s.want(
			"0s a start", "0s a exited exit status 1",
			"0s a start", "0s a exited exit status 1",
			"100ms a start", "100ms a exited exit status 1", "100ms a looping exit status 1",
			"300ms a start", "300ms a exited exit status 1",
			"700ms a start", "700ms a exited exit status 1",
			"1.5s a start", "1.5s a exited exit status 1",
			"3.1s a start", "3.1s a exited exit status 1",
		)
	})
}

func TestBackOffEndsAtItsLimitAndAfterAQuietWhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := &child{fds: newFDStore()}
	var delays []time.Duration
	for range 12 {
		c.crashed(now)
		delays = append(delays, c.due.Sub(now))
		now = c.due
	}
	if delays[8] != 10*time.Second || delays[11] != longestDelay || delays[7] != 6400*time.Millisecond {
		t.Errorf("delays %v", delays)
	}
	c.started(&played{}, now)
	c.ready(now)
	now = now.Add(settled)
	if c.crashed(now); c.due != now {
		t.Errorf("after %v of service the restart waits %v", settled, c.due.Sub(now))
	}
	if !c.looping {
		t.Error("the loop is over before its window is")
	}
	now = now.Add(loopWindow + time.Second)
	if c.crashed(now) || c.looping {
		t.Error("a single exit after a quiet window is a loop")
	}
	c.crashed(now)
	if !c.crashed(now) {
		t.Error("a second loop is not reported")
	}
}

func TestAnExitThatNobodyOrderedIsAFaultWhateverItsStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, []Spec{{Name: "a"}}, time.Minute, nil, func(p *played, n int) {
			p.say("READY=1")
			if n == 1 {
				time.Sleep(time.Second)
				p.exit("")
			}
		})
		if err != nil {
			t.Error(err)
		}
		s.want("0s a start", "0s a ready", "1s a exited exit status 0, though nobody asked it to stop",
			"1s a start", "1s a ready", "1m0s a gets terminated", "1m0s a stopped")
	})
}

func TestAProgramThatIsAbsentIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, []Spec{{Name: "a", Path: "absent"}}, 200*time.Millisecond, nil, nil)
		if err != nil {
			t.Error(err)
		}
		why := "start: absent: no such file or directory"
		s.want("0s a start", "0s a exited "+why, "0s a start", "0s a exited "+why, "100ms a start", "100ms a exited "+why, "100ms a looping "+why)
	})
}

func TestAHangIsAbortedThenKilled(t *testing.T) {
	t.Parallel()
	fed := func(p *played, n int) {
		p.say("READY=1")
		p.feed(4*time.Second, map[bool]int{true: 3, false: 1 << 30}[n == 1]) // the first one hangs after three
	}
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, err := play(t, []Spec{{Name: "a", Watchdog: 10 * time.Second}}, 60*time.Second, func(s *script) {
				s.deaf = deaf
				s.onTERM["a"] = func(p *played) { p.exit("") }
			}, fed)
			if err != nil {
				t.Error(err)
			}
			if deaf {
				s.want("0s a start", "0s a ready", "22s a gets aborted", "24s a gets killed", "24s a exited silent for 10s",
					"24s a start", "24s a ready", "1m0s a gets terminated", "1m0s a stopped")
				return
			}
			s.want("0s a start", "0s a ready", "22s a gets aborted", "22s a exited silent for 10s",
				"22s a start", "22s a ready", "1m0s a gets terminated", "1m0s a stopped")
		})
	}
}

func TestAProgramThatNeverGetsReadyIsAborted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, []Spec{{Name: "a", Watchdog: time.Second}}, 70*time.Second, nil, func(p *played, n int) {
			p.say("STATUS=migrating\nWATCHDOG=1")
			if n > 1 {
				p.say("READY=1")
			}
			p.feed(time.Second/2, 1<<30)
		})
		if err != nil {
			t.Error(err)
		}
		s.want("0s a start", "0s a status migrating", "1m0s a gets aborted", "1m0s a exited not ready within 1m0s",
			"1m0s a start", "1m0s a status migrating", "1m0s a ready", "1m10s a gets terminated", "1m10s a stopped")
	})
}

// A program that was told to stop by someone else need not feed its watchdog, but must come to an end.
func TestAProgramThatStopsByItselfIsStartedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, []Spec{{Name: "a", Watchdog: time.Second}}, 30*time.Second, nil, func(p *played, n int) {
			p.say("READY=1")
			if n == 1 {
				p.say("STOPPING=1")
				return
			}
			p.feed(time.Second/2, 1<<30)
		})
		if err != nil {
			t.Error(err)
		}
		s.want("0s a start", "0s a ready", "20s a gets killed", "20s a exited did not stop within 20s and was killed",
			"20s a start", "20s a ready", "30s a gets terminated", "30s a stopped")
	})
}

func after(d time.Duration) func(*played) {
	return func(p *played) {
		go func() {
			time.Sleep(d)
			p.exit("")
		}()
	}
}

func TestAStopGoesInReverseOrderAndNobodyHoldsItUp(t *testing.T) {
	t.Parallel()
	programs := []Spec{{Name: "net"}, {Name: "admin"}, {Name: "media"}, {Name: "switch"}}
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, programs, time.Second, func(s *script) {
			s.onTERM["switch"] = after(time.Second)
			s.onTERM["media"] = after(8 * time.Second)
		}, func(p *played, _ int) { p.say("READY=1") })
		if err != nil {
			t.Error(err)
		}
		s.want("0s net start", "0s admin start", "0s media start", "0s switch start",
			"1s switch gets terminated", "2s switch stopped",
			"2s media gets terminated", "7s admin gets terminated", "7s admin stopped", "7s net gets terminated", "7s net stopped", "10s media stopped")
	})
}

func TestWhatDoesNotStopIsKilledAfterTwentySeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, []Spec{{Name: "a"}, {Name: "b"}}, time.Second, func(s *script) { s.deaf = true }, func(p *played, _ int) { p.say("READY=1") })
		if err == nil || !strings.Contains(err.Error(), "a: did not stop within 20s and was killed") || !strings.Contains(err.Error(), "b: ") {
			t.Errorf("got %v", err)
		}
		why := "did not stop within 20s and was killed"
		s.want("0s a start", "0s b start", "1s b gets terminated", "6s a gets terminated",
			"21s a gets killed", "21s b gets killed", "21s a stopped "+why, "21s b stopped "+why)
	})
}

func TestAStopWhileOneHangsAndOneWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := play(t, []Spec{{Name: "up"}, {Name: "absent", Path: "absent"}, {Name: "hung", Watchdog: 900 * time.Millisecond}}, time.Second,
			func(s *script) {
				s.deaf = true
				s.onTERM["up"] = func(p *played) { p.exit("exit status 3") }
			},
			func(p *played, _ int) { p.say("READY=1") })
		if err == nil || err.Error() != "hung: silent for 900ms\nup: exit status 3" {
			t.Errorf("got %v", err)
		}
		s.log = slices.DeleteFunc(s.log, func(l string) bool { return strings.Contains(l, "absent") })
		s.want("0s up start", "0s hung start", "900ms hung gets aborted",
			"2.9s hung gets killed", "2.9s hung stopped silent for 900ms", "2.9s up gets terminated", "2.9s up stopped exit status 3")
	})
}

func TestAStopBeforeAProgramWasReadyIsClean(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, err := play(t, []Spec{{Name: "a"}}, time.Second, func(s *script) {
			s.onTERM["a"] = func(p *played) {
				p.s.box.Put(happening{exit: &exit{pid: p.id, reason: "ended by signal 15 (terminated)", terminated: true}})
			}
		}, func(*played, int) {})
		if err != nil {
			t.Error(err)
		}
	})
}
