package vault

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

// childDir makes the test binary the process that is killed.
const childDir = "VAULT_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		keepForEver(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// keepForEver keeps files, breaks some off, erases some, and says so after each promise.
func keepForEver(dir string) {
	v, err := Open(config(dir))
	if err != nil {
		panic(err)
	}
	for {
		seed, size := rand.Uint64()&0xffffffff, rand.IntN(4*segmentBytes)
		u, err := v.Begin(claim("u1"))
		if err != nil {
			panic(err)
		}
		if _, err := u.Write(noise(seed, size)); err != nil {
			panic(err)
		}
		if seed%5 == 0 {
			u.Discard()
			continue
		}
		f, err := u.Finish("f", "a/b")
		if err != nil {
			panic(err)
		}
		fmt.Println("kept", f.ID, seed, size)
		if seed%7 == 0 {
			fmt.Println("erasing", f.ID, 0, 0)
			if _, err := v.Remove(f.ID); err != nil {
				panic(err)
			}
			fmt.Println("erased", f.ID, 0, 0)
		}
	}
}

type promise struct {
	seed uint64
	size int
	word string
}

func TestKilledAtAnyMomentPromisedFilesAreWholeAndNothingElseIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	promised := map[string]promise{}
	for range 12 {
		runAndKill(t, dir, promised)
		v, err := Open(config(dir))
		if err != nil {
			t.Fatal(err)
		}
		var bytesKept int64
		for id, p := range promised {
			f, err := v.Stat(id)
			switch {
			case p.word == "erased" && err == nil:
				t.Errorf("%s is there again", id)
			case p.word == "kept" && err != nil:
				t.Errorf("%s: %v", id, err)
			}
			if err == nil {
				bytesKept += f.Size
				if !bytes.Equal(readAll(t, v, id), noise(p.seed, p.size)) {
					t.Errorf("%s came back changed", id)
				}
			}
		}
		checkWhole(t, v, promised, bytesKept)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(promised) < 50 {
		t.Errorf("only %d files were kept", len(promised))
	}
}

// runAndKill runs a process that keeps files and kills it at some moment.
func runAndKill(t *testing.T, dir string, promised map[string]promise) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	life := 5 + rand.IntN(30) // promises, then the blow falls at any moment
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var id string
		var p promise
		if n, err := fmt.Sscan(lines.Text(), &p.word, &id, &p.seed, &p.size); n == 4 && err == nil && strings.HasSuffix(lines.Text(), fmt.Sprint(p.size)) {
			if was, ok := promised[id]; ok {
				p.seed, p.size = was.seed, was.size
			}
			promised[id] = p
		}
		if life--; life == 0 {
			time.AfterFunc(rand.N(20*time.Millisecond), func() { _ = cmd.Process.Kill() }) // it may be gone
		}
	}
	_ = cmd.Wait() // killed, as planned
}

// checkWhole compares descriptions, blobs and sums: a file that was kept but whose promise was not
// heard any more may be there, and then it is whole.
func checkWhole(t *testing.T, v *Vault, promised map[string]promise, bytesKept int64) {
	t.Helper()
	described := 0
	err := v.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(filesBucket)).ForEach(func(id, _ []byte) error {
			described++
			if _, ok := promised[string(id)]; !ok {
				f, err := v.describedIn(tx, string(id))
				bytesKept += f.Size
				return err
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	if left := leavings(t, v); len(left) != described {
		t.Errorf("%d descriptions, %d blobs", described, len(left))
	}
	if u, err := v.Usage(); err != nil || u.Files != described || u.Bytes != bytesKept || v.usedBy("u1") != bytesKept {
		t.Errorf("%+v %v, want %d files of %d bytes", u, err, described, bytesKept)
	}
}

func BenchmarkKeepAndRead(b *testing.B) {
	v := open(b, config(b.TempDir()))
	data := noise(1, 8<<20)
	b.Run("keep", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			c := claim("u1")
			c.Quota = 1 << 50
			f := put(b, v, c, data)
			if _, err := v.Remove(f.ID); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		f := put(b, v, claim("u1"), data)
		buf := make([]byte, 32<<10)
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			r, err := v.Open(f.ID)
			if err != nil {
				b.Fatal(err)
			}
			for err == nil {
				_, err = r.Read(buf)
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
