package journal

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func openStates(t *testing.T, path string) *States {
	t.Helper()
	s, err := OpenStates(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(s *States) map[string]string {
	got := map[string]string{}
	s.Read(func(key string, state []byte) { got[key] = string(state) })
	return got
}

func (s *States) mustPut(t *testing.T, key, state string) {
	t.Helper()
	if err := s.Put(key, []byte(state)); err != nil {
		t.Fatal(err)
	}
}

func TestTheLatestStatesComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "s")
	s := openStates(t, path)
	s.mustPut(t, "a", "1")
	s.mustPut(t, "b", "1")
	s.mustPut(t, "a", "22")
	s.mustPut(t, "c", strings.Repeat("x", growBytes+1))
	s.mustPut(t, "empty", "")
	s.Drop("b")
	s.Drop("never there")
	want := map[string]string{"a": "22", "c": strings.Repeat("x", growBytes+1), "empty": ""}
	if got := read(s); !maps.Equal(got, want) {
		t.Fatalf("before: %d states", len(got))
	}
	if err := s.Put("", []byte("x")); err == nil {
		t.Error("a state without a key was taken")
	}
	if err := s.Put("huge", make([]byte, MaxFrame)); err == nil {
		t.Error("a state over the limit was taken")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Drop("a")
	if err := s.Put("d", []byte("x")); !errors.Is(err, ErrClosed) {
		t.Fatalf("put after close: %v", err)
	}
	s = openStates(t, path)
	defer s.Close()
	if got := read(s); !maps.Equal(got, want) {
		t.Fatalf("after: %d states", len(got))
	}
}

// Whatever byte of the file is damaged: no state changes by it, at most those from there on are
// lost, and one that is put then stays.
func TestADamagedFileIsRead(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	s := openStates(t, whole)
	for i := range 4 {
		s.mustPut(t, "k"+strconv.Itoa(i), "state")
	}
	end := s.end
	s.Close()
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for at := range end {
		if at%slotUnit > slotHead+8 {
			continue // behind the payload
		}
		damaged := append([]byte(nil), data...)
		damaged[at] ^= 0x40
		path := filepath.Join(dir, "damaged")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStates(t, path)
		before := read(s)
		for i := range at / slotUnit {
			if before["k"+strconv.Itoa(int(i))] != "state" {
				t.Fatalf("damaged at %d: state %d is lost", at, i)
			}
		}
		s.mustPut(t, "after", "x")
		s.Close()
		before["after"] = "x"
		s = openStates(t, path)
		if got := read(s); !maps.Equal(got, before) {
			t.Fatalf("damaged at %d: %v, then %v", at, before, got)
		}
		s.Close()
	}
}

// A run of what calls do, on a file that is opened again now and then.
func TestStatesAgainstAMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := openStates(t, path)
	want := map[string]string{}
	largest := int64(0)
	for i := range 20_000 {
		key := strconv.Itoa(rand.IntN(100))
		if rand.IntN(4) > 0 {
			want[key] = fmt.Sprint(i, strings.Repeat("y", rand.IntN(4000)))
			s.mustPut(t, key, want[key])
		} else {
			delete(want, key)
			s.Drop(key)
		}
		largest = max(largest, s.end)
		if rand.IntN(1000) == 0 {
			s.Close()
			s = openStates(t, path)
			if got := read(s); !maps.Equal(got, want) {
				t.Fatalf("step %d: %d states, want %d", i, len(got), len(want))
			}
		}
	}
	if most := int64(100 * 4100 * 3); largest > most {
		t.Errorf("the file grew to %d bytes for at most %d of states", largest, 100*4100)
	}
	s.Close()
}

func TestAnEmptyFileIsSmallAgain(t *testing.T) {
	s := openStates(t, filepath.Join(t.TempDir(), "s"))
	defer s.Close()
	for i := range 1000 {
		s.mustPut(t, strconv.Itoa(i), strings.Repeat("z", 3000))
	}
	for i := range 1000 {
		s.Drop(strconv.Itoa(i))
	}
	if st, err := s.file.Stat(); err != nil || st.Size() > growBytes || len(s.data) != growBytes {
		t.Errorf("%d bytes are left, %v", st.Size(), err)
	}
	s.mustPut(t, "again", "x")
	if got := read(s); len(got) != 1 || got["again"] != "x" {
		t.Errorf("then %v", got)
	}
}

func TestManyWriters(t *testing.T) {
	s := openStates(t, filepath.Join(t.TempDir(), "s"))
	defer s.Close()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 1000 {
				key := fmt.Sprint(w, "-", i%20)
				if err := s.Put(key, []byte(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
				if i%20 == 19 {
					s.Drop(key)
				}
			}
		})
	}
	writers.Wait()
	if got := read(s); len(got) != 4*19 || got["0-18"] != "998" {
		t.Errorf("%d states, %q", len(got), got["0-18"])
	}
}

// The test binary, started again with this, is the process that is killed.
const (
	statesChild     = "STATES_TEST_PATH"
	statesChildDisk = "STATES_TEST_DISK"
)

func child() bool {
	if path := os.Getenv(statesChild); path != "" {
		s, err := OpenStates(path)
		for i := 0; err == nil; i++ {
			err = s.Put(strconv.Itoa(i%7), []byte(strconv.Itoa(i)))
			fmt.Println(i)
		}
		panic(err)
	}
	if dir := os.Getenv(statesChildDisk); dir != "" {
		fmt.Print(fillDisk(dir))
		return true
	}
	return false
}

// What was put is there after a kill, without any sync.
func TestStatesOutliveAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), statesChild+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			last = n
		}
		if last == 5000 {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // killed, as planned
	s := openStates(t, path)
	defer s.Close()
	got := read(s)
	for i := last - 6; i <= last; i++ {
		if n, err := strconv.Atoi(got[strconv.Itoa(i%7)]); err != nil || n < i {
			t.Errorf("state %d of key %d: found %q", i, i%7, got[strconv.Itoa(i%7)])
		}
	}
}

// A full disk is an error of Put, not the end of the process, and what was kept stays.
func TestStatesOnAFullDisk(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), statesChildDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if _, started := errors.AsType[*exec.ExitError](err); err != nil && !started {
		t.Skipf("no namespace for a disk of its own: %v", err)
	}
	if string(out) != "done" {
		t.Fatalf("%v: %s", err, out)
	}
}

func fillDisk(dir string) string {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		return "mount: " + err.Error()
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		return "ballast: " + err.Error()
	}
	s, err := OpenStates(filepath.Join(dir, "s"))
	if err != nil {
		return "open: " + err.Error()
	}
	kept := 0
	for ; err == nil; kept++ {
		err = s.Put(strconv.Itoa(kept), make([]byte, 10_000))
	}
	kept--
	if !errors.Is(err, syscall.ENOSPC) || kept < 100 {
		return fmt.Sprintf("%d states, then %v", kept, err)
	}
	s.Drop("0")
	if err := s.Put("instead", make([]byte, 10_000)); err != nil {
		return "in the place of another: " + err.Error()
	}
	if err := os.Remove(ballast); err != nil {
		return "remove: " + err.Error()
	}
	if err := s.Put("again", []byte("x")); err != nil {
		return "with room again: " + err.Error()
	}
	if err := s.Close(); err != nil {
		return "close: " + err.Error()
	}
	if s, err = OpenStates(filepath.Join(dir, "s")); err != nil {
		return "open again: " + err.Error()
	}
	if got := read(s); got["again"] != "x" || len(got[strconv.Itoa(kept-1)]) != 10_000 {
		return fmt.Sprintf("%d states are there again", len(got))
	}
	return "done"
}

func FuzzStates(f *testing.F) {
	f.Add(make([]byte, 2*slotUnit))
	f.Add(append([]byte{1, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4, 2, 0, 0, 0, 1}, make([]byte, slotUnit)...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenStates(path)
		if err != nil {
			t.Fatal(err)
		}
		before := read(s)
		s.mustPut(t, "new", "x")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		before["new"] = "x"
		s = openStates(t, path)
		defer s.Close()
		if got := read(s); !maps.Equal(got, before) {
			t.Fatalf("%v, then %v", before, got)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	s, err := OpenStates(filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	state := make([]byte, 2000)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Put("key", state); err != nil {
			b.Fatal(err)
		}
	}
}
