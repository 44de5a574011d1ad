package records

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

func TestAFullDiskRefusesRecordsAndLeavesRoomForAudit(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	free := uint64(alarmFree)
	setFree := func(a *Archive, n uint64) {
		mu.Lock()
		free = n
		mu.Unlock()
		a.mu.Lock()
		a.space.asked = time.Time{} // the second is over
		a.mu.Unlock()
	}
	a := start(t, Config{Dir: t.TempDir(), Free: func() (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, nil
	}})
	call := func() error {
		_, err := a.Store(t.Context(), []record.Envelope{callAt(base(), "1", "2", record.CallAnswered)})
		return err
	}
	audit := func() error {
		_, err := a.Store(t.Context(), []record.Envelope{envelope(record.KindAudit, ids.Record(base()), record.Audit{Who: "o"})})
		return err
	}
	for _, c := range []struct {
		free        uint64
		call, audit bool
		alarm       string
	}{
		{alarmFree, true, true, ""},
		{alarmFree - 1, true, true, alarmLow},
		{refuseFree - 1, false, true, alarmFull},
		{auditFree - 1, false, false, alarmFull},
		{alarmFree, true, true, ""},
	} {
		setFree(a, c.free)
		if err := call(); (err == nil) != c.call || (err != nil && !problem.Is(err, problem.Full)) {
			t.Errorf("%d free: call: %v", c.free, err)
		}
		if err := audit(); (err == nil) != c.audit || (err != nil && !problem.Is(err, problem.Full)) {
			t.Errorf("%d free: audit: %v", c.free, err)
		}
		code := ""
		for _, al := range a.Alarms() {
			code = al.Code
			if al.Cure == "" || al.Since.IsZero() {
				t.Errorf("alarm %+v", al)
			}
		}
		if code != c.alarm {
			t.Errorf("%d free: alarm %q, want %q", c.free, code, c.alarm)
		}
	}
}

func TestOldFilesGoOneAtATimeAndNotBelowTheFloor(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Dir: t.TempDir(), Policy: keepDays(record.MinKeepDays - 1), Log: quiet()}); !problem.Is(err, problem.Invalid) {
		t.Fatalf("a policy below the floor: %v", err)
	}
	dir := t.TempDir()
	now := time.Now()
	a, stop := startStop(t, Config{Dir: dir, Policy: keepDays(record.MinKeepDays)})
	for _, months := range []int{-30, -20, -3, 0} {
		keep(t, a, callAt(now.AddDate(0, months, 0), "1", "2", record.CallAnswered))
	}
	left := func() int { return len(find(t, a, record.Query{Kind: record.KindCall})) }
	for i, want := range []int{3, 2, 2} {
		a.retain(now)
		if n := left(); n != want {
			t.Errorf("after pass %d: %d records, want %d", i+1, n, want)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 2 {
		t.Errorf("files: %v", files)
	}
	stop()
}

func TestAReaderOutlivesRemovalAndIdleFilesClose(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Dir: t.TempDir()})
	keep(t, a, callAt(base().AddDate(-2, 0, 0), "1", "2", record.CallAnswered))
	p := a.list(record.KindCall)[0]
	if err := a.closeFiles(time.Hour); err != nil || p.db == nil {
		t.Fatalf("a file in use was closed: %v", err)
	}
	if err := p.closeIdle(0); err != nil || p.db != nil {
		t.Fatalf("an idle file stays open: %v", err)
	}
	if _, err := p.acquire(); err != nil {
		t.Fatal(err)
	}
	a.retain(time.Now())
	if p.db == nil {
		t.Fatal("closed under a reader")
	}
	p.release()
	if p.db != nil {
		t.Fatal("a removed file stays open")
	}
	if _, err := p.acquire(); !errors.Is(err, errGone) {
		t.Fatalf("acquire after removal: %v", err)
	}
}

func TestADamagedFileIsSetAside(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"header": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("nonsense", 8192)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"pages": func(t *testing.T, path string) { // the header stays, all else is noise
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 2 * os.Getpagesize(); i < len(data); i++ {
				data[i] ^= 0xa5
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			a, stop := startStop(t, Config{Dir: dir})
			keep(t, a, callAt(base(), "1", "2", record.CallAnswered))
			stop()
			damage(t, filepath.Join(dir, partitionName(record.KindCall, monthOf(base()))))
			a = start(t, Config{Dir: dir})
			e := callAt(base(), "3", "4", record.CallAnswered)
			for range 2 { // the first may only find the damage: the outbox comes again
				if _, err := a.Store(t.Context(), []record.Envelope{e}); err == nil {
					break
				}
			}
			if got := find(t, a, record.Query{Kind: record.KindCall}); !slices.Equal(got, []string{e.ID}) {
				t.Fatalf("found %v", got)
			}
			if aside, _ := filepath.Glob(filepath.Join(dir, "*.damaged-*")); len(aside) != 1 {
				t.Fatalf("set aside: %v", aside)
			}
		})
	}
}

func keepDays(n int) func() record.Policy {
	return func() record.Policy {
		return record.Policy{KeepDays: n, RecordingDays: 1, MessageContent: record.ContentKeep}
	}
}
