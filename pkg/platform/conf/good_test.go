package conf

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A program that crashes again and again with new settings gets those back that it ran well with, once, as
// a revision that tells who did it.
func TestSettingsThatWereGoodComeBackAfterCrashes(t *testing.T) {
	dir := t.TempDir()
	path, flag := filepath.Join(dir, "settings.json"), filepath.Join(dir, "retreat")
	t.Setenv(RetreatEnv, flag)
	log := quiet
	open := func() *File[settings] {
		t.Helper()
		f, err := Open(path, schema(), log)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	save := func(f *File[settings], name string) {
		t.Helper()
		value, rev := f.Load()
		value.Name = name
		if _, err := f.Save(value, rev.Number, "admin"); err != nil {
			t.Fatal(err)
		}
	}
	run := func(f *File[settings], d time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			Watch(ctx, log, f)
		})
	}
	is := func(name, who string) {
		t.Helper()
		if value, rev := open().Load(); value.Name != name || rev.Who != who {
			t.Errorf("%q by %q, want %q by %q", value.Name, rev.Who, name, who)
		}
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := open()
	save(f, "first")
	is("first", "admin") // nothing is known to be good
	run(f, 2*goodAfter+time.Second)
	is("first", "admin") // it is good itself
	save(f, "second")
	run(f, goodAfter+time.Second) // not long enough
	is("first", whoRetreats)
	is("first", whoRetreats) // and not again
	if err := os.Remove(flag); err != nil {
		t.Fatal(err)
	}
	f = open()
	save(f, "third")
	is("third", "admin") // it did not crash
	revs, err := f.History()
	if err != nil || len(revs) != 4 {
		t.Errorf("history %+v, %v", revs, err)
	}
}
