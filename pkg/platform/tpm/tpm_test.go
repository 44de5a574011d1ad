package tpm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/testkit/swtpm"
)

// open returns a chip that is switched on.
func open(t *testing.T, c *swtpm.Chip) Chip {
	t.Helper()
	chip, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chip.Close() }) // a socket that is closed between commands
	return chip
}

func made(t *testing.T, path string, chip Chip) *Root {
	t.Helper()
	r, err := Make(path, chip)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func same(t *testing.T, a, b *Root) {
	t.Helper()
	x, errX := a.Key("switch")
	y, errY := b.Key("switch")
	if errX != nil || errY != nil || !bytes.Equal(x, y) || len(x) != rootBytes {
		t.Errorf("%x, %v is not %x, %v", x, errX, y, errY)
	}
}

func TestARootOutlivesARestart(t *testing.T) {
	t.Parallel()
	box := swtpm.New(t)
	path := filepath.Join(t.TempDir(), "init", "root.sealed")
	if there, err := Sealed(path); there || err != nil {
		t.Fatalf("%v, %v", there, err)
	}
	first := made(t, path, open(t, box))
	box.Off()
	box.On()
	chip := open(t, box)
	for range 5 { // a chip has room for few objects: nothing may stay in it
		again, err := Load(path, chip)
		if err != nil {
			t.Fatal(err)
		}
		same(t, first, again)
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, first.secret) {
		t.Errorf("the file has the root in clear: %v", err)
	}
	mine, err := first.Key("admin")
	other, otherErr := first.Key("switch")
	if err != nil || otherErr != nil || bytes.Equal(mine, other) {
		t.Error("two daemons have one key")
	}
}

func TestAnotherChipDoesNotOpenTheRoot(t *testing.T) {
	t.Parallel()
	box, other := swtpm.New(t), swtpm.New(t)
	path := filepath.Join(t.TempDir(), "root.sealed")
	made(t, path, open(t, box))
	if _, err := Load(path, open(t, other)); !errors.Is(err, ErrOther) {
		t.Errorf("on another box: %v", err)
	}
	if _, err := Load(path, nil); !errors.Is(err, ErrNone) {
		t.Errorf("on a box without a chip: %v", err)
	}
	chip := open(t, box)
	lockout := tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.Clear{AuthHandle: lockout}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, chip); !errors.Is(err, ErrOther) {
		t.Errorf("after the chip was cleared: %v", err)
	}
}

func TestADamagedFileIsNoRoot(t *testing.T) {
	t.Parallel()
	chip := open(t, swtpm.New(t))
	path := filepath.Join(t.TempDir(), "root.sealed")
	made(t, path, chip)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cut": string(whole[:len(whole)/2]), "empty": "", "later": `{"format":2}`, "nothing": `{"format":1}`,
		"another check": strings.Replace(string(whole), `"check":"`, `"check":"AAAA`, 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, chip); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
}

func TestTheCodeBringsTheRootToAnotherBox(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.sealed")
	first := made(t, path, open(t, swtpm.New(t)))
	code := first.Code()
	bad := code[:len(code)-1] + map[bool]string{true: "B", false: "A"}[code[len(code)-1] == 'A']
	stranger := made(t, filepath.Join(t.TempDir(), "root.sealed"), open(t, swtpm.New(t)))
	for text, want := range map[string]string{"": "keys.code", bad: "keys.code", code[2:]: "keys.code", stranger.Code(): "keys.code.other"} {
		if err := Recover(path, text, nil); problem.Of(err).Code != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := Recover(path, strings.ToLower(strings.ReplaceAll(code, "-", " ")), nil); err != nil {
		t.Fatal(err)
	}
	chipless, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, first, chipless)
	next := swtpm.New(t) // the board is replaced, and has a chip
	chip := open(t, next)
	sealed, err := Load(path, chip)
	if err != nil {
		t.Fatal(err)
	}
	same(t, first, sealed)
	if _, err := Load(path, nil); !errors.Is(err, ErrNone) {
		t.Errorf("the root lies in clear still: %v", err)
	}
	if err := Recover(path, code, open(t, swtpm.New(t))); err != nil {
		t.Errorf("from chip to chip: %v", err)
	}
}

func TestAChipThatSomebodyElseOwnsIsNotUsed(t *testing.T) {
	t.Parallel()
	chip := open(t, swtpm.New(t))
	path := filepath.Join(t.TempDir(), "root.sealed")
	owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.HierarchyChangeAuth{AuthHandle: owner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("theirs")}}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(path, chip); err == nil {
		t.Error("it seals")
	}
	if there, err := Sealed(path); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
}

func TestADestroyedRootIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.sealed")
	made(t, path, open(t, swtpm.New(t)))
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	for range 2 {
		if err := Destroy(path); err != nil {
			t.Fatal(err)
		}
	}
	left := make([]byte, 16)
	if _, err := old.ReadAt(left, 0); err != nil || !bytes.Equal(left, make([]byte, 16)) {
		t.Errorf("its blocks say %q, %v", left, err)
	}
	if there, err := Sealed(path); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
}

func TestABoxWithoutAChip(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "tpmrm0")); !errors.Is(err, ErrNone) {
		t.Errorf("%v", err)
	}
}

// FuzzParse reads what may stand on a disk, and what a person may type.
func FuzzParse(f *testing.F) {
	f.Add(`{"format":1,"check":"AAAA","public":"AA==","private":"AA=="}`)
	f.Add((&Root{make([]byte, rootBytes)}).Code())
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := parse([]byte(text)); err == nil && k.Format != format {
			t.Errorf("format %d", k.Format)
		}
		if r, err := parseCode(text); err == nil {
			if again, err := parseCode(r.Code()); err != nil || !bytes.Equal(again.secret, r.secret) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
