package mediad

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

// supervised runs this program as a mediad under the real supervisor.
func supervised(t *testing.T) (c ctl.Media, pids <-chan int) {
	t.Helper()
	return supervisedIn(t, t.TempDir())
}

// supervisedIn runs it with its socket and its data in dir.
func supervisedIn(t *testing.T, dir string) (c ctl.Media, pids <-chan int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "media.sock")
	ready := make(chan int, 10)
	s, err := supervise.New(supervise.Config{
		Programs: []supervise.Spec{{Name: "mediad", Path: exe, Env: []string{socketKey + "=" + socket}, Watchdog: 10 * time.Second}},
		Socket:   filepath.Join(dir, "notify.sock"),
		Log:      slog.New(slog.DiscardHandler),
		Output:   func(_, line string) { t.Log(line) },
		OnEvent: func(ev supervise.Event) {
			if ev.Kind == supervise.Ready {
				ready <- ev.PID
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c = ctl.NewMedia(socket)
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
	return c, ready
}

// listener hears one direction of a call.
type listener struct {
	seqs []uint16
	gap  time.Duration // longest between two packets
}

func (l *listener) run(p *phone, last uint16) {
	before := time.Now()
	for {
		seq, err := p.receive(3 * time.Second)
		if err != nil {
			return
		}
		now := time.Now()
		if len(l.seqs) > 0 {
			l.gap = max(l.gap, now.Sub(before))
		}
		before = now
		if l.seqs = append(l.seqs, seq); seq >= last {
			return
		}
	}
}

// Media goes on when mediad is killed, on the same ports and without a word from the switch; what
// comes meanwhile waits in the kernel.
func TestMediaSurvivesKill9(t *testing.T) {
	const (
		calls   = 25
		packets = 350 // of each party, 20 ms apart
		first   = 100 // kill after so many: the kernel's sockets are open to all
		second  = 250 // and again: they are connected to their peers
		kills   = 2
	)
	c, ready := supervised(t)
	pid := <-ready
	var phones []*phone
	for i := range calls {
		a, b := call(t, c, fmt.Sprint("call-", i))
		phones = append(phones, a, b)
	}
	listeners := make([]listener, len(phones))
	var wg sync.WaitGroup
	for i, p := range phones {
		wg.Go(func() { listeners[i].run(p, packets) })
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := range packets {
		<-tick.C
		for _, p := range phones {
			if err := p.send(); err != nil {
				t.Fatal(err)
			}
		}
		switch n {
		case second:
			pid = <-ready
			fallthrough
		case first:
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	var gaps []time.Duration
	for i := range listeners {
		l := &listeners[i]
		// A packet that was received and not yet sent goes with the process: one of a stream at most.
		if len(l.seqs) < packets-kills || !slices.IsSorted(l.seqs) {
			t.Errorf("stream %d: %d of %d packets", i, len(l.seqs), packets)
		}
		gaps = append(gaps, l.gap)
	}
	slices.Sort(gaps)
	t.Logf("longest silence of %d streams: median %v, most %v", len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
	if third := <-ready; third == pid {
		t.Error("it was not killed")
	}
	all, err := c.Sessions(t.Context())
	if err != nil || len(all) != calls {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	for _, s := range all {
		if st := s.Streams[0]; st.LostIn > kills || st.PacketsIn < packets-second || st.Remote.Port() == 0 {
			t.Errorf("session %s: %+v", s.ID, st)
		}
		if _, err := c.CloseSession(t.Context(), ctl.MediaClose{Session: s.ID}); err != nil {
			t.Error(err)
		}
	}
	if st, err := c.Status(t.Context()); err != nil || st.Sessions != 0 || st.Ports.Used != 0 || st.Ports.Open != 4*calls {
		t.Errorf("status %+v, %v", st, err)
	}
}

// An ordered restart keeps the calls too.
func TestMediaSurvivesARestart(t *testing.T) {
	c, ready := supervised(t)
	pid := <-ready
	a, b := call(t, c, "one")
	talk := func() {
		t.Helper()
		if err := a.send(); err != nil {
			t.Fatal(err)
		}
		if seq, err := b.receive(10 * time.Second); err != nil || seq != a.seq {
			t.Fatalf("packet %d came as %d, %v", a.seq, seq, err)
		}
	}
	talk()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	talk() // by either process: the last one of the first may be missing in what it left
	<-ready
	answers(t, c)
	talk()
	all, err := c.Sessions(t.Context())
	if err != nil || len(all) != 1 || all[0].Streams[0].PacketsIn < 2 || all[0].Streams[0].PacketsIn > 3 {
		t.Errorf("sessions %+v, %v", all, err)
	}
}
