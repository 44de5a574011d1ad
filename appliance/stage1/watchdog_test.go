package main

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheWatchdogIsFedWhileADiskIsChecked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "watchdog0")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	eaten := func() int64 {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	synctest.Test(t, func(t *testing.T) {
		w := &watchdog{f}
		stop := w.feed(time.Minute)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := eaten(); n != 6 {
			t.Errorf("fed %d times in half a minute", n)
		}
		time.Sleep(time.Hour) // it hangs
		if n := eaten(); n > 12 {
			t.Errorf("fed %d times: what hangs is not found", n)
		}
		stop()
	})
	w := &watchdog{f}
	w.leave()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range data {
		if b == 'V' {
			t.Error("it was disarmed")
		}
	}
	var none *watchdog
	none.feed(time.Minute)()
	none.leave()
}
