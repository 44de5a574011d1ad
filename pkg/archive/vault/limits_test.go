package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// leavings lists what is in the vault's folders.
func leavings(t *testing.T, v *Vault) (names []string) {
	t.Helper()
	for _, dir := range []string{v.newDir(), v.blobDir()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestARefusedFileLeavesNothing(t *testing.T) {
	t.Parallel()
	free := uint64(100 << 30)
	for name, c := range map[string]struct {
		code  string
		claim func(*Claim)
		free  uint64
	}{
		"too large":    {CodeTooLarge, func(c *Claim) { c.MaxSize = 300_000 }, free},
		"over quota":   {"file.quota", func(c *Claim) { c.Quota = 300_000 }, free},
		"disk reserve": {CodeDisk, func(*Claim) {}, Reserve + roomEvery + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t.TempDir())
			var mu sync.Mutex
			left := c.free
			cfg.Free = func() (uint64, error) {
				mu.Lock()
				defer mu.Unlock()
				if left < free {
					left -= roomEvery / 2
					return left + roomEvery/2, nil
				}
				return left, nil
			}
			v := open(t, cfg)
			cl := claim("u1")
			c.claim(&cl)
			u, err := v.Begin(cl)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(u, bytes.NewReader(noise(1, 5<<20)))
			if p := problem.Of(err); p.Code != c.code || p.Kind != problem.Full || p.Cure == "" {
				t.Errorf("%v", err)
			}
			if _, again := u.Write([]byte("x")); !errors.Is(again, err) {
				t.Errorf("after that: %v", again)
			}
			if _, err := u.Finish("a", "b"); problem.Of(err).Code != c.code {
				t.Errorf("finish: %v", err)
			}
			if left := leavings(t, v); len(left) > 0 || v.usedBy("u1") != 0 || len(v.coming) > 0 || v.uploads != 0 {
				t.Errorf("left: %q, %d bytes of u1, %v %d", left, v.usedBy("u1"), v.coming, v.uploads)
			}
		})
	}
}

func TestOneUserCannotTakeAllUploads(t *testing.T) {
	t.Parallel()
	v := open(t, config(t.TempDir()))
	begin := func(owner string) (*Upload, error) {
		u, err := v.Begin(claim(owner))
		if err == nil {
			t.Cleanup(u.Discard)
		}
		return u, err
	}
	var first *Upload
	for i := range maxUploadsEach {
		u, err := begin("u1")
		if err != nil {
			t.Fatal(i, err)
		}
		first = u
	}
	if _, err := begin("u1"); problem.Of(err).Code != "file.busy" {
		t.Errorf("one more: %v", err)
	}
	if _, err := begin("u2"); err != nil {
		t.Errorf("another user: %v", err)
	}
	first.Discard()
	if _, err := begin("u1"); err != nil {
		t.Errorf("after one ended: %v", err)
	}
	for i := range maxUploads {
		if _, err := begin(string(rune('A' + i))); i > maxUploads-maxUploadsEach && problem.Of(err).Code != "file.busy" {
			t.Errorf("%d in all: %v", i, err)
		}
	}
}

func TestFilesEndInTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t.TempDir())
		v, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		short, long := claim("u1"), claim("u1")
		long.Valid = 48 * time.Hour
		gone, stays := put(t, v, short, noise(1, 100)), put(t, v, long, noise(2, 200))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.Run(ctx) }()

		time.Sleep(24*time.Hour - time.Second)
		if _, err := v.Stat(gone.ID); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := v.Open(gone.ID); problem.Of(err).Code != "file.missing" { // even before it is erased
			t.Errorf("%v", err)
		}
		time.Sleep(sweepEvery)
		synctest.Wait()
		if left := leavings(t, v); len(left) != 1 || left[0] != stays.ID || v.usedBy("u1") != 200 {
			t.Errorf("left: %q, %d bytes", left, v.usedBy("u1"))
		}
		if got := readAll(t, v, stays.ID); len(got) != 200 {
			t.Errorf("%d bytes", len(got))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAClockSetAheadErasesNothingAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ahead time.Duration
		cfg := config(t.TempDir())
		cfg.Clock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}
		v, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		put(t, v, claim("u1"), noise(1, 100))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.Run(ctx) }()
		synctest.Wait()
		mu.Lock()
		ahead = 10 * 365 * 24 * time.Hour
		mu.Unlock()
		time.Sleep(sweepEvery + time.Second)
		synctest.Wait()
		mu.Lock()
		ahead = 0 // somebody sets it right
		mu.Unlock()
		time.Sleep(sweepEvery)
		synctest.Wait()
		if left := leavings(t, v); len(left) != 1 {
			t.Errorf("left: %q", left)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRemoveErases(t *testing.T) {
	t.Parallel()
	v := open(t, config(t.TempDir()))
	f := put(t, v, claim("u1"), noise(1, 100))
	r, err := v.Open(f.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := v.Remove(f.ID); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(r); err != nil || len(data) != 100 { // who reads it already may end
		t.Errorf("%d bytes, %v", len(data), err)
	}
	for _, id := range []string{f.ID, "../vault.db", "", "no such file"} {
		if _, err := v.Remove(id); problem.Of(err).Code != "file.missing" {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := v.Open(id); problem.Of(err).Code != "file.missing" {
			t.Errorf("%q: %v", id, err)
		}
	}
	if u, err := v.Usage(); err != nil || u.Files != 0 || u.Bytes != 0 || len(leavings(t, v)) > 0 {
		t.Errorf("%+v %v", u, err)
	}
}
