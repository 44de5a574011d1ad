package outbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/record"
)

// The test binary, started again with these, is the daemon that owns the queue.
const (
	childDir   = "OUTBOX_TEST_DIR"
	childFirst = "OUTBOX_TEST_FIRST" // number of its first record
	childFull  = "OUTBOX_TEST_FULL"  // it is to fill a small disk instead
)

func child(dir string) {
	if os.Getenv(childFull) != "" {
		fillDisk(dir)
		return
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(dir, "sock"))
	}}}
	o, err := Open(Config{Dir: filepath.Join(dir, "q"), Log: quiet(), SegmentBytes: 4000, Send: func(_ context.Context, batch []record.Envelope) error {
		body, _ := json.Marshal(batch)
		resp, err := client.Post("http://x/", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", resp.Status)
		}
		return nil
	}})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() { _ = o.Run(context.Background()) }()
	first, _ := strconv.Atoi(os.Getenv(childFirst))
	var out sync.Mutex
	for i := first; ; i++ {
		o.Put(rec(fmt.Sprint(i%50), i), journal.WaiterFunc(func(err error) {
			out.Lock()
			defer out.Unlock()
			if err == nil {
				fmt.Println("ok", i)
			}
		}))
		if i%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// consumer stores what a child sends, and says no at random, sometimes after it stored.
type consumer struct {
	mu   sync.Mutex
	seen map[int]bool   // numbers that arrived
	last map[string]int // newest number of each id, as an archive that replaces would have it
}

func (c *consumer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var batch []record.Envelope
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &batch) != nil || rand.IntN(8) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range batch {
		var v struct{ N int }
		if err := json.Unmarshal(e.Data, &v); err != nil {
			panic(err)
		}
		c.seen[v.N] = true
		c.last[e.ID] = v.N
	}
	if rand.IntN(8) == 0 {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// Whatever moment a kill -9 picks: each record that was acknowledged arrives, and the newest
// version of an id is the one that stays.
func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cons := &consumer{seen: map[int]bool{}, last: map[string]int{}}
	ln, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: cons}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()

	acked := map[int]bool{}
	newest := map[string]int{}
	next := 0
	for range 15 {
		next = killedChild(t, dir, next, acked, newest) + 1
	}
	o := open(t, Config{Dir: filepath.Join(dir, "q"), Send: func(_ context.Context, batch []record.Envelope) error {
		cons.mu.Lock()
		defer cons.mu.Unlock()
		for _, e := range batch {
			var v struct{ N int }
			if err := json.Unmarshal(e.Data, &v); err != nil {
				return err
			}
			cons.seen[v.N], cons.last[e.ID] = true, v.N
		}
		return nil
	}})
	run(t, o, func() bool { return o.Waiting() == 0 })
	o.Close()
	if len(acked) < 100 {
		t.Fatalf("only %d records were acknowledged: nothing was tested", len(acked))
	}
	for n := range acked {
		if !cons.seen[n] {
			t.Errorf("acknowledged record %d is lost", n)
		}
	}
	for id, n := range newest {
		if cons.last[id] < n {
			t.Errorf("id %s: version %d stayed, %d was acknowledged", id, cons.last[id], n)
		}
	}
	if st := o.Stats(); st.Lost != 0 {
		t.Errorf("%d counted as lost", st.Lost)
	}
}

// killedChild runs a child for a moment and returns the highest number that it acknowledged.
func killedChild(t *testing.T, dir string, first int, acked map[int]bool, newest map[string]int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childFirst+"="+strconv.Itoa(first))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	life := 20 + rand.IntN(2000) // acknowledgements, then the blow falls at any moment
	highest := first
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, ok := strings.CutPrefix(lines.Text(), "ok ")
		if !ok {
			t.Fatalf("child: %s", lines.Text())
		}
		i, err := strconv.Atoi(n)
		if err != nil {
			continue // the kill cut the line
		}
		acked[i] = true
		newest[fmt.Sprint(i%50)] = max(i, newest[fmt.Sprint(i%50)])
		highest = max(highest, i)
		if life--; life == 0 {
			time.AfterFunc(rand.N(5*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()        // killed, as planned
	return highest + 1000 // those not acknowledged may be on disk too
}

// TestAFullDisk fills a file system of its own: records are refused with a problem, what was
// taken stays, and when there is room records are taken again without a restart.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+t.TempDir(), childFull+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if _, started := err.(*exec.ExitError); err != nil && !started {
		t.Skipf("no namespace for a disk of its own: %v", err)
	}
	if !strings.HasPrefix(string(out), "done") {
		t.Fatalf("%v: %s", err, out)
	}
}

func fillDisk(dir string) {
	fail := func(what string, err error) {
		fmt.Println(what, err)
		os.Exit(1)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		fail("mount", err)
	}
	arch := &archive{}
	o, err := Open(Config{Dir: dir, Log: quiet(), Send: arch.send, SegmentBytes: 64 << 10, Reserve: 1})
	if err != nil {
		fail("open", err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		fail("ballast", err)
	}
	taken := 0
	for ; err == nil; taken++ {
		env := rec(fmt.Sprint(taken), taken)
		env.Data = json.RawMessage(`"` + strings.Repeat("x", 2000) + `"`)
		err = put(o, env)
	}
	taken--
	if !problem.Is(err, problem.Full) || problem.Of(err).Code != "outbox.disk" {
		fail("a full disk answers", err)
	}
	if taken < 100 {
		fail("taken", fmt.Errorf("%d records before the disk was full", taken))
	}
	if err := put(o, rec("refused", 0)); !problem.Is(err, problem.Full) {
		fail("a disk that is still full answers", err)
	}
	if err := os.Remove(ballast); err != nil {
		fail("remove", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = o.Run(ctx) }()
	for o.Stats().Failing != nil && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if err := put(o, rec("again", 0)); err != nil {
		fail("with room again", err)
	}
	for o.Waiting() > 0 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	<-ended
	if got := arch.ids(); len(got) != taken+1 || got[taken] != "again" {
		fail("arrived", fmt.Errorf("%d of %d", len(got), taken+1))
	}
	if err := o.Close(); err != nil {
		fail("close", err)
	}
	fmt.Println("done")
}
