package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

func load(t testing.TB, path string, dataExists bool) *Key {
	t.Helper()
	k, err := Load(path, dataExists, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAValueOpensOnlyForItsOwnerUnderItsKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "seal.key")
	key, other := load(t, path, false), load(t, filepath.Join(t.TempDir(), "k"), false)
	owner := Owner(nil, "ha1", "alice", "pbx.test", "SHA-256")
	sealed := key.Seal([]byte("kept"), []byte("secret"), owner)
	if !bytes.HasPrefix(sealed, []byte("kept")) || bytes.Contains(sealed, []byte("secret")) || len(sealed) != 4+6+Overhead {
		t.Fatalf("sealed to %q", sealed)
	}
	sealed = sealed[4:]
	if got, err := load(t, path, true).Open([]byte("> "), sealed, owner); err != nil || string(got) != "> secret" {
		t.Fatalf("after loading the key again: %q, %v", got, err)
	}
	for name, c := range map[string]struct {
		key    *Key
		sealed []byte
		owner  []byte
		want   error
	}{
		"another user":      {key, sealed, Owner(nil, "ha1", "bob", "pbx.test", "SHA-256"), ErrDamaged},
		"another algorithm": {key, sealed, Owner(nil, "ha1", "alice", "pbx.test", "MD5"), ErrDamaged},
		"another key":       {other, sealed, owner, ErrOtherKey},
		"later format":      {key, append([]byte{2}, sealed[1:]...), owner, ErrFormat},
		"cut":               {key, sealed[:Overhead-1], owner, ErrFormat},
		"cut by one":        {key, sealed[:len(sealed)-1], owner, ErrDamaged},
		"nothing":           {key, nil, owner, ErrFormat},
	} {
		if got, err := c.key.Open(nil, c.sealed, c.owner); !errors.Is(err, c.want) || len(got) != 0 {
			t.Errorf("%s: got %q, %v; want %v", name, got, err, c.want)
		}
	}
}

func TestOwnersDoNotRunTogether(t *testing.T) {
	t.Parallel()
	if bytes.Equal(Owner(nil, "ab", "c"), Owner(nil, "a", "bc")) || bytes.Equal(Owner(nil, "a", ""), Owner(nil, "a")) {
		t.Fatal("two owners are one")
	}
}

func TestEverySealDiffers(t *testing.T) {
	t.Parallel()
	key := load(t, filepath.Join(t.TempDir(), "k"), false)
	if bytes.Equal(key.Seal(nil, []byte("x"), nil), key.Seal(nil, []byte("x"), nil)) {
		t.Fatal("a nonce was used twice")
	}
}

func TestAKeyFileThatIsNotRightIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for code, path := range map[string]string{
		"seal.key.missing": filepath.Join(dir, "none"),
		"seal.key.mode":    write("open", keyBytes, 0o640),
		"seal.key.size":    write("short", keyBytes-1, 0o600),
	} {
		_, err := Load(path, true, nil)
		if p := problem.Of(err); p.Code != code || p.Cure == "" {
			t.Errorf("%s: got %v", code, err)
		}
	}
	path := filepath.Join(dir, "new")
	load(t, path, false)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 || st.Size() != keyBytes {
		t.Fatalf("a new key file: %v, %v", st, err)
	}
}

func TestOpenAllocatesNothing(t *testing.T) {
	key := load(t, filepath.Join(t.TempDir(), "k"), false)
	sealed := key.Seal(nil, []byte("0123456789abcdef0123456789abcdef"), Owner(nil, "alice", "MD5"))
	buf, own := make([]byte, 0, 64), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := key.Open(buf, sealed, Owner(own, "alice", "MD5")); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// FuzzOpen changes sealed values: none but the right one may open, and nothing may panic.
func FuzzOpen(f *testing.F) {
	key := load(f, filepath.Join(f.TempDir(), "k"), false)
	owner := Owner(nil, "alice")
	whole := key.Seal(nil, []byte("secret"), owner)
	f.Add(0, byte(0), len(whole), []byte{})
	f.Add(0, byte(3), len(whole), []byte{})
	f.Add(7, byte(1), 40, []byte("more"))
	f.Fuzz(func(t *testing.T, at int, flip byte, end int, more []byte) {
		sealed := append(bytes.Clone(whole[:uint(end)%uint(len(whole)+1)]), more...)
		if len(sealed) > 0 {
			sealed[uint(at)%uint(len(sealed))] ^= flip
		}
		got, err := key.Open(nil, sealed, owner)
		if right := bytes.Equal(sealed, whole); right != (err == nil) || right != (string(got) == "secret") {
			t.Fatalf("%x: got %q, %v", sealed, got, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	key := load(b, filepath.Join(b.TempDir(), "k"), false)
	owner := Owner(nil, "ha1", "alice", "pbx.test", "SHA-256")
	sealed := key.Seal(nil, make([]byte, 32), owner)
	buf := make([]byte, 0, 32)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Open(buf, sealed, owner); err != nil {
			b.Fatal(err)
		}
	}
}
