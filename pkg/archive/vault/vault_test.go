package vault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func config(dir string) Config {
	return Config{Dir: filepath.Join(dir, "vault"), KeyFile: filepath.Join(dir, "seal.key"), Log: quiet()}
}

func open(t testing.TB, cfg Config) *Vault {
	t.Helper()
	v, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() }) // some tests close it earlier
	return v
}

func claim(owner string) Claim {
	return Claim{OwnerID: owner, Owner: "name of " + owner, MaxSize: 64 << 20, Quota: 256 << 20, Valid: 24 * time.Hour}
}

// noise returns n bytes that each seed makes anew.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	_, _ = r.Read(b) // never fails
	return b
}

func put(t testing.TB, v *Vault, c Claim, data []byte) ctl.StoredFile {
	t.Helper()
	u, err := v.Begin(c)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Discard()
	if _, err := io.Copy(u, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	f, err := u.Finish("report.bin", "application/octet-stream")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readAll(t testing.TB, v *Vault, id string) []byte {
	t.Helper()
	r, err := v.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sizes() []int {
	return []int{0, 1, segmentBytes - 1, segmentBytes, segmentBytes + 1, 2 * segmentBytes, 5*segmentBytes + 17}
}

func TestWhatWasKeptIsReadAfterARestart(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	v := open(t, cfg)
	kept := map[string][]byte{}
	for i, n := range sizes() {
		data := noise(uint64(i), n)
		f := put(t, v, claim("u1"), data)
		if sum := sha256.Sum256(data); f.Size != int64(n) || !bytes.Equal(f.SHA256, sum[:]) || len(f.ID) != 32 {
			t.Errorf("%d bytes: %+v", n, f)
		}
		kept[f.ID] = data
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = open(t, cfg)
	for id, want := range kept {
		f, err := v.Stat(id)
		if err != nil || f.Name != "report.bin" || f.Owner != "name of u1" || !f.Until.Equal(f.Created.Add(24*time.Hour)) {
			t.Errorf("%+v, %v", f, err)
		}
		if got := readAll(t, v, id); !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %d other ones", len(want), len(got))
		}
	}
	if u, err := v.Usage(); err != nil || u.Files != len(kept) || u.Bytes != v.usedBy("u1") || u.Bytes != total(kept) {
		t.Errorf("%+v, %v", u, err)
	}
}

// usedBy is what a user's files take.
func (v *Vault) usedBy(owner string) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.used[owner]
}

func total(files map[string][]byte) (n int64) {
	for _, f := range files {
		n += int64(len(f))
	}
	return n
}

func TestAnyPartIsReadAsOfTheWhole(t *testing.T) {
	t.Parallel()
	v := open(t, config(t.TempDir()))
	for i, n := range sizes() {
		data := noise(uint64(i), n)
		r, err := v.Open(put(t, v, claim("u1"), data).ID)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.NewReader(data)
		for range 50 {
			offset, length := rand.Int64N(int64(n)+2), rand.IntN(2*segmentBytes)
			whence := rand.IntN(2) * io.SeekEnd
			if whence == io.SeekEnd {
				offset = -min(offset, int64(n))
			}
			at1, err1 := r.Seek(offset, whence)
			at2, err2 := want.Seek(offset, whence)
			if at1 != at2 || err1 != nil || err2 != nil {
				t.Fatalf("seek %d %d: %d %v, want %d %v", offset, whence, at1, err1, at2, err2)
			}
			got, err1 := io.ReadAll(io.LimitReader(r, int64(length)))
			exp, err2 := io.ReadAll(io.LimitReader(want, int64(length)))
			if !bytes.Equal(got, exp) || err1 != nil || err2 != nil {
				t.Fatalf("%d bytes from %d of %d: %v %v", length, at1, n, err1, err2)
			}
		}
		if _, err := r.Seek(-1, io.SeekStart); err == nil {
			t.Error("a place before the beginning")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingReadableIsOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := open(t, config(dir))
	secret := []byte(strings.Repeat("the plan of the merger ", 5000))
	u, err := v.Begin(claim("u1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(secret); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Finish("merger-plan.docx", "text/x-very-telling"); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, part := range []string{"merger", "very-telling", "name of u1"} {
			if bytes.Contains(data, []byte(part)) {
				t.Errorf("%s shows %q", path, part)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAChangedFileIsNotRead(t *testing.T) {
	t.Parallel()
	whole := 3*(segmentBytes+tagBytes) + headBytes
	changes := map[string]func(a, b []byte) []byte{
		"a bit of the last byte":   func(a, _ []byte) []byte { a[len(a)-1] ^= 1; return a },
		"a bit of the head":        func(a, _ []byte) []byte { a[0] ^= 1; return a },
		"a bit of the key":         func(a, _ []byte) []byte { a[headBytes-1] ^= 1; return a },
		"the first segments swap":  func(a, _ []byte) []byte { return swapSegments(a) },
		"the last segment is gone": func(a, _ []byte) []byte { return a[:whole] },
		"another file's bytes":     func(_, b []byte) []byte { return b },
		"another file's segments":  func(a, b []byte) []byte { return append(a[:headBytes], b[headBytes:]...) },
		"nothing":                  func(a, _ []byte) []byte { return a[:0] },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := open(t, config(t.TempDir()))
			a := put(t, v, claim("u1"), noise(1, 3*segmentBytes+9))
			b := put(t, v, claim("u1"), noise(2, 3*segmentBytes+9))
			rawA, errA := os.ReadFile(v.blobPath(a.ID))
			rawB, errB := os.ReadFile(v.blobPath(b.ID))
			if err := errors.Join(errA, errB, os.WriteFile(v.blobPath(a.ID), change(rawA, rawB), 0o600)); err != nil {
				t.Fatal(err)
			}
			r, err := v.Open(a.ID)
			if err == nil {
				defer r.Close()
				_, err = io.ReadAll(r)
			}
			if err == nil || problem.Of(err).Kind != problem.Internal {
				t.Errorf("read: %v", err)
			}
		})
	}
}

func swapSegments(a []byte) []byte {
	n := segmentBytes + tagBytes
	first := bytes.Clone(a[headBytes : headBytes+n])
	copy(a[headBytes:], a[headBytes+n:headBytes+2*n])
	copy(a[headBytes+n:], first)
	return a
}

func TestWithoutItsKeyAVaultDoesNotOpen(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	v := open(t, cfg)
	f := put(t, v, claim("u1"), noise(1, 10))
	if err := errors.Join(v.Close(), os.Remove(cfg.KeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); problem.Of(err).Code != "seal.key.missing" {
		t.Errorf("%v", err)
	}
	if _, err := seal.Load(cfg.KeyFile, false, nil); err != nil { // another box's key
		t.Fatal(err)
	}
	v = open(t, cfg)
	if _, err := v.Stat(f.ID); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("%v", err)
	}
}
