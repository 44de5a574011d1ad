package conf

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/copies"
)

// settings is of version 3: version 1 had "port", version 2 had "ports".
type settings struct {
	Listen []int  `json:"listen"`
	Name   string `json:"name"`
	Limit  int    `json:"limit"`
}

func schema() Schema[settings] {
	return Schema[settings]{
		Default: func() settings { return settings{Listen: []int{5060}, Limit: 7} },
		Validate: func(s settings) (faults []problem.Fault) {
			if len(s.Listen) == 0 {
				faults = append(faults, problem.Fault{Path: "listen", Rule: "one port at least", Cure: "name a port"})
			}
			if s.Limit < 0 {
				faults = append(faults, problem.Fault{Path: "limit", Value: fmt.Sprint(s.Limit), Rule: "not negative", Cure: "0 or more"})
			}
			return faults
		},
		Migrate: []func(map[string]any) error{
			func(doc map[string]any) error {
				doc["ports"] = []any{doc["port"]}
				delete(doc, "port")
				return nil
			},
			func(doc map[string]any) error {
				ports, ok := doc["ports"].([]any)
				if !ok {
					return errors.New("ports is no list")
				}
				doc["listen"] = ports
				delete(doc, "ports")
				return nil
			},
		},
	}
}

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, path string) *File[settings] {
	t.Helper()
	f, err := Open(path, schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func save(t testing.TB, f *File[settings], name string) {
	t.Helper()
	value, rev := f.Load()
	value.Name = name
	if _, err := f.Save(value, rev.Number, "admin "+name); err != nil {
		t.Fatal(err)
	}
}

func wantName(t testing.TB, f *File[settings], name string, number uint64) {
	t.Helper()
	if value, rev := f.Load(); value.Name != name || rev.Number != number {
		t.Errorf("got %q of revision %d, want %q of %d", value.Name, rev.Number, name, number)
	}
}

func TestABoxWithoutTheFileWorks(t *testing.T) {
	t.Parallel()
	f := open(t, filepath.Join(t.TempDir(), "deep", "switch.json"))
	if value, rev := f.Load(); value.Limit != 7 || rev.Number != 0 {
		t.Errorf("got %+v, %+v", value, rev)
	}
}

func TestWhatIsSavedComesBackWithItsAuthor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "switch.json")
	f := open(t, path)
	for i := range keptRevisions + 5 {
		save(t, f, fmt.Sprint(i))
	}
	f = open(t, path)
	wantName(t, f, "24", 25)
	revs, err := f.History()
	if err != nil || len(revs) != keptRevisions || revs[0].Number != 25 || revs[0].Who != "admin 24" || revs[0].At.IsZero() {
		t.Fatalf("history %+v, %v", revs, err)
	}
	if value, rev, err := f.At(10); err != nil || value.Name != "9" || rev.Who != "admin 9" {
		t.Errorf("revision 10: %+v, %+v, %v", value, rev, err)
	}
	for _, number := range []uint64{5, 26, 0} {
		if _, _, err := f.At(number); !problem.Is(err, problem.Missing) {
			t.Errorf("revision %d: %v", number, err)
		}
	}
	for _, name := range []string{path, filepath.Join(filepath.Dir(path), "switch.history", "00000025.json")} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

func TestNobodyOverwritesAnothersChange(t *testing.T) {
	t.Parallel()
	f := open(t, filepath.Join(t.TempDir(), "x.json"))
	var wg sync.WaitGroup
	won := make(chan string, 8)
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint(i)
			if _, err := f.Save(settings{Listen: []int{1}, Name: name}, 0, name); err == nil {
				won <- name
			} else if !problem.Is(err, problem.Conflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d of 8 were saved", len(won))
	}
	wantName(t, f, <-won, 1)
}

func TestWrongSettingsAreRefusedWithAllFaults(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.json")
	f := open(t, path)
	_, err := f.Save(settings{Limit: -1}, 0, "admin")
	if p := problem.Of(err); p.Code != "conf.invalid" || len(p.Faults) != 2 {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
	wantName(t, f, "", 0)
}

func TestASaveThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.json")
	f := open(t, path)
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Save(settings{Listen: []int{1}, Name: "new"}, 0, "admin"); err == nil {
		t.Fatal("saved")
	}
	wantName(t, f, "", 0)
	if revs, err := f.History(); err != nil || len(revs) != 0 {
		t.Errorf("history %+v, %v", revs, err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	save(t, f, "later")
	wantName(t, open(t, path), "later", 1)
}

func TestDamageIsRepairedFromTheNewestCopy(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"torn":  func(path string) error { return os.Truncate(path, 30) },
		"empty": func(path string) error { return os.Truncate(path, 0) },
		"gone":  os.Remove,
	} {
		path := filepath.Join(t.TempDir(), "x.json")
		f := open(t, path)
		save(t, f, "one")
		save(t, f, "two")
		if err := damage(path); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			f := open(t, path)
			wantName(t, f, "two", 2)
			save(t, f, "three")
			wantName(t, open(t, path), "three", 3)
		})
	}
	path := filepath.Join(t.TempDir(), "x.json")
	save(t, open(t, path), "one")
	for _, file := range []string{path, filepath.Join(filepath.Dir(path), "x.history", "00000001.json")} {
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(path, schema(), quiet); problem.Of(err).Code != "conf.damaged" {
		t.Errorf("all copies damaged: %v", err)
	}
}

// A crash between the copy and the document itself leaves a copy that nobody was told of.
func TestACopyThatWasNotAcknowledgedDoesNotCount(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.json")
	f := open(t, path)
	save(t, f, "one")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	save(t, f, "two")
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	f = open(t, path)
	wantName(t, f, "one", 1)
	if revs, err := f.History(); err != nil || len(revs) != 1 {
		t.Errorf("history %+v, %v", revs, err)
	}
	save(t, f, "another two")
	if value, _, err := f.At(2); err != nil || value.Name != "another two" {
		t.Errorf("got %+v, %v", value, err)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		want  string // of the settings, or
		fault string // path of the first fault
		value string
	}{
		"today's":             {`{"version":3,"revision":4,"settings":{"listen":[1],"name":"n","limit":2}}`, "{[1] n 2}", "", ""},
		"a field left out":    {`{"version":3,"settings":{"listen":[1]}}`, "{[1]  7}", "", ""},
		"nothing but version": {`{"version":3}`, "{[5060]  7}", "", ""},
		"first release's":     {`{"version":1,"settings":{"port":9,"name":"n"}}`, "{[9] n 7}", "", ""},
		"second release's":    {`{"version":2,"settings":{"ports":[8,9]}}`, "{[8 9]  7}", "", ""},
		"later":               {`{"version":4,"settings":{}}`, "", "version", "4"},
		"of no version":       {`{"settings":{}}`, "", "version", "0"},
		"unknown setting":     {`{"version":3,"settings":{"lissen":[1]}}`, "", "lissen", ""},
		"unknown around":      {`{"version":3,"settings":{},"x":1}`, "", "x", ""},
		"wrong type":          {`{"version":3,"settings":{"limit":"many"}}`, "", "limit", "string"},
		"wrong type inside":   {`{"version":3,"settings":{"listen":[true]}}`, "", "listen", "bool"},
		"a list":              {`{"version":1,"settings":[]}`, "", "settings", "[]"},
		"breaks a rule":       {`{"version":3,"settings":{"limit":-4}}`, "", "limit", "-4"},
	} {
		value, _, err := decode([]byte(c.text), schema())
		switch p := problem.Of(err); {
		case c.fault == "" && (err != nil || fmt.Sprint(value) != c.want):
			t.Errorf("%s: got %v, %v; want %s", name, value, err, c.want)
		case c.fault != "" && (err == nil || len(p.Faults) == 0 || p.Faults[0].Path != c.fault || p.Faults[0].Value != c.value || p.Faults[0].Cure == ""):
			t.Errorf("%s: got %v, %+v", name, err, p)
		}
	}
	if _, _, err := decode([]byte(`{"version":2,"settings":{}}`), schema()); err == nil || !strings.Contains(err.Error(), "version 2: ports is no list") {
		t.Errorf("a migration that fails: %v", err)
	}
	if _, _, err := decode([]byte(`{"version":3} {}`), schema()); !errors.Is(err, errDamaged) {
		t.Errorf("two documents: %v", err)
	}
}

// FuzzDecode: what is accepted is valid, and comes back the same when it is written.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":3,"revision":4,"at":"2026-11-23T00:00:00Z","who":"a","settings":{"listen":[1],"name":"n","limit":2}}`))
	f.Add([]byte(`{"version":1,"settings":{"port":9}}`))
	f.Add([]byte(`{"version":2,"settings":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, rev, err := decode(data, schema())
		if err != nil {
			return
		}
		if faults := schema().Validate(value); len(faults) > 0 {
			t.Fatalf("accepted with faults %v", faults)
		}
		written, err := encode(value, rev, schema().Version())
		if err != nil {
			t.Fatal(err)
		}
		again, rev2, err := decode(written, schema())
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, written)
		}
		twice, err := encode(again, rev2, schema().Version())
		if err != nil || !bytes.Equal(written, twice) {
			t.Fatalf("changed by writing: %v\n%s\n%s", err, written, twice)
		}
	})
}

// olderSchema is that of the version before: it knows version 2 of the document.
func olderSchema() Schema[earlier] {
	return Schema[earlier]{
		Default: func() earlier { return earlier{} }, Validate: func(earlier) []problem.Fault { return nil },
		Migrate: []func(map[string]any) error{schema().Migrate[0]},
	}
}

type earlier struct {
	Ports []int  `json:"ports"`
	Name  string `json:"name"`
	Limit int    `json:"limit"`
}

// onTrial makes the version that a test runs as one on trial.
func onTrial(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trial")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(copies.Env, path)
}

func TestTheVersionBeforeWithoutSettingsHasDefaultsAgain(t *testing.T) {
	onTrial(t)
	root := t.TempDir()
	path := filepath.Join(root, "net", "network.json")
	newer := open(t, path)
	value, _ := newer.Load()
	if _, err := newer.Save(value, 0, "Owner"); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, olderSchema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if got, rev := f.Load(); rev.Number != 0 || got.Name != "" {
		t.Errorf("%+v, %+v", got, rev)
	}
	if aside, err := copies.Find(root); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %+v, %v", aside, err)
	}
}

func TestTheVersionBeforeFindsItsOwnSettings(t *testing.T) {
	onTrial(t)
	root := t.TempDir()
	path := filepath.Join(root, "net", "network.json")
	older := func() *File[earlier] {
		f, err := Open(path, olderSchema(), quiet)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if _, err := older().Save(earlier{Ports: []int{5070}, Name: "old"}, 0, "Owner"); err != nil {
		t.Fatal(err)
	}
	newer := open(t, path) // on trial
	value, rev := newer.Load()
	if value.Listen[0] != 5070 {
		t.Fatalf("%+v", value)
	}
	if got, _ := older().Load(); got.Name != "old" {
		t.Fatalf("who only reads changes the file: %+v", got)
	}
	for i, name := range []string{"new", "newer"} {
		value.Name = name
		if _, err := newer.Save(value, rev.Number+uint64(i), "Owner"); err != nil {
			t.Fatal(err)
		}
	}
	back := older()
	got, was := back.Load()
	if got.Name != "old" || was.Number != 1 {
		t.Fatalf("the version before finds %+v, %+v", got, was)
	}
	aside, err := copies.Find(root)
	if err != nil || len(aside) != 1 || aside[0].Path != "net/network.json" {
		t.Errorf("set aside: %+v, %v", aside, err)
	}
	got.Name = "later"
	if _, err := back.Save(got, was.Number, "Owner"); err != nil { // over a revision of the newer version
		t.Fatal(err)
	}
	if got, was := older().Load(); got.Name != "later" || was.Number != 2 {
		t.Errorf("%+v, %+v", got, was)
	}
}

func TestSettingsOfAVersionThatStayedAreRefused(t *testing.T) {
	onTrial(t)
	root := t.TempDir()
	path := filepath.Join(root, "net", "network.json")
	f, err := Open(path, olderSchema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Save(earlier{Ports: []int{5070}}, 0, "Owner"); err != nil {
		t.Fatal(err)
	}
	newer := open(t, path)
	value, rev := newer.Load()
	if _, err := newer.Save(value, rev.Number, "Owner"); err != nil {
		t.Fatal(err)
	}
	if err := copies.Drop(root, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, olderSchema(), quiet); problem.Of(err).Code != "conf.version" {
		t.Errorf("%v", err)
	}
}
