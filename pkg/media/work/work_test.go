package work

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loop is a media loop without packets.
type loop struct {
	start time.Time
	ended bool
}

func (l *loop) Now() int64 { return int64(time.Since(l.start)) }

func (l *loop) Do(f func(int64)) error {
	if l.ended {
		return errors.New("ended")
	}
	f(l.Now())
	return nil
}

// job counts its calls, and is over after so many.
type job struct {
	worked, sent, turns int
	last                int64
	fail                bool
}

func (j *job) Work(now int64) {
	j.worked++
	j.last = now
	if j.fail && j.worked == 3 {
		panic("a packet that we do not understand")
	}
}

func (j *job) Send(int64) bool {
	j.sent++
	return j.sent < j.turns
}

// rig runs a pool in virtual time for as long as do takes.
func rig(t *testing.T, workers int, do func(p *Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := New(workers, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		do(p)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestJobsTurnEvery20ms(t *testing.T) {
	t.Parallel()
	rig(t, 2, func(p *Pool) {
		l, other := &loop{start: time.Now()}, &loop{start: time.Now()}
		long, short := &job{turns: 1000}, &job{turns: 5}
		p.Add(l, long)
		p.Add(other, short)
		time.Sleep(time.Second + Turn/2)
		synctest.Wait()
		if long.worked != 51 || long.sent != 51 || long.last != int64(time.Second) {
			t.Errorf("after a second it worked %d and sent %d times, last at %v", long.worked, long.sent, time.Duration(long.last))
		}
		if short.worked != 5 || short.sent != 5 {
			t.Errorf("worked %d and sent %d times after it was over", short.worked, short.sent)
		}
		if st := p.Stats(); st != (Stats{Jobs: 1}) {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestAJobThatFailsEndsAlone(t *testing.T) {
	t.Parallel()
	rig(t, 1, func(p *Pool) {
		l := &loop{start: time.Now()}
		before, bad, after := &job{turns: 100}, &job{turns: 100, fail: true}, &job{turns: 100}
		for _, j := range []*job{before, bad, after} {
			p.Add(l, j)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if bad.worked != 3 || bad.sent != 2 || before.worked != after.worked || after.worked < 10 {
			t.Errorf("worked %d, %d, %d times", before.worked, bad.worked, after.worked)
		}
		if st := p.Stats(); st.Jobs != 2 || st.Faults != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestJobsOfALoopThatHasEndedAreOver(t *testing.T) {
	t.Parallel()
	rig(t, 1, func(p *Pool) {
		p.Add(&loop{start: time.Now(), ended: true}, &job{turns: 100})
		time.Sleep(2 * Turn)
		synctest.Wait()
		if st := p.Stats(); st.Jobs != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// A pool without jobs sleeps; a job that comes later is not late.
func TestPoolSleepsWithoutJobs(t *testing.T) {
	t.Parallel()
	rig(t, 1, func(p *Pool) {
		l := &loop{start: time.Now()}
		p.Add(l, &job{turns: 1})
		time.Sleep(time.Hour)
		j := &job{turns: 1000}
		p.Add(l, j)
		time.Sleep(10*Turn + Turn/2)
		synctest.Wait()
		if j.worked != 11 {
			t.Errorf("worked %d times", j.worked)
		}
		if st := p.Stats(); st.Late != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func BenchmarkTurn(b *testing.B) {
	p := New(1, slog.New(slog.DiscardHandler))
	l := &loop{start: time.Now()}
	for range 100 {
		p.Add(l, &job{turns: 1 << 30})
	}
	w := p.workers[0]
	w.take()
	b.ReportAllocs()
	for b.Loop() {
		w.turn()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/job")
}
