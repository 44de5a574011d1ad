package records

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

// childDir makes the test binary the process that is killed.
const childDir = "RECORDS_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		storeForEver(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// storeForEver stores registrations that grow, and says so after each answer.
func storeForEver(dir string) {
	a, err := New(Config{Dir: dir, Log: quiet()})
	if err != nil {
		panic(err)
	}
	go func() { _ = a.Run(context.Background()) }()
	var known []string
	for n := uint64(1); ; n++ {
		id := ids.Record(time.Now())
		if len(known) > 20 && n%2 == 0 {
			id = known[rand.IntN(len(known))]
		}
		known = append(known, id)
		e := envelope(record.KindRegistration, id, record.Registration{ID: id, User: fmt.Sprint("u", n), Refreshes: n, Result: record.RegActive})
		m := messageAt(time.Now(), "asha", "vikram", fmt.Sprint("text ", n))
		m.ID, m.MessageID = id, "mid-"+id
		if _, err := a.Store(context.Background(), []record.Envelope{e, envelope(record.KindMessage, id, m)}); err != nil {
			panic(err)
		}
		fmt.Println(id, n)
	}
}

func TestKilledAtAnyMomentRecordsAndIndexAgree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := map[string]uint64{}
	for range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		life := 5 + rand.IntN(80) // answers, then the blow falls at any moment
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var id string
			var n uint64
			if k, err := fmt.Sscan(lines.Text(), &id, &n); k == 2 && err == nil && len(id) == 26 {
				acked[id] = n
			}
			if life--; life == 0 {
				time.AfterFunc(rand.N(5*time.Millisecond), func() { _ = cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait() // killed, as planned
	}
	if len(acked) < 20 {
		t.Fatalf("only %d records were acknowledged: nothing was tested", len(acked))
	}
	a := start(t, Config{Dir: dir})
	for id, n := range acked {
		e, err := a.Get(t.Context(), record.KindRegistration, id)
		if err != nil {
			t.Fatalf("acknowledged record is lost: %v", err)
		}
		_ = read(e.Data, func(r *record.Registration) {
			if r.Refreshes < n {
				t.Errorf("record %s: version %d stayed, %d was acknowledged", id, r.Refreshes, n)
			}
		})
		if _, err := a.Get(t.Context(), record.KindMessage, id); err != nil {
			t.Fatalf("acknowledged message is lost: %v", err)
		}
	}
	for _, p := range a.list("") {
		if p.kind == record.KindMessage {
			checkMessageIndex(t, p)
		} else {
			checkIndex(t, p)
		}
	}
}

// checkIndex compares the index with what the records say.
func checkIndex(t *testing.T, p *partition) {
	t.Helper()
	db, err := p.acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	err = db.View(func(tx *bbolt.Tx) error {
		var have, want []string
		err := tx.Bucket(recordsBucket).ForEach(func(id, value []byte) error {
			terms, err := oldTerms(record.Envelope{ID: string(id), Kind: p.kind}, value)
			for _, t := range terms {
				want = append(want, string(posting(t, string(id))))
			}
			return err
		})
		if err != nil {
			return err
		}
		slices.Sort(want)
		err = tx.Bucket(indexBucket).ForEach(func(k, _ []byte) error { have = append(have, string(k)); return nil })
		if !slices.Equal(have, want) {
			t.Errorf("index: %d keys, want %d: %s", len(have), len(want), strings.Join(append(missing(have, want), missing(want, have)...), " "))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
