package auth

import (
	"crypto/subtle"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

// SetupCodeFile is the name of the file in the data folder that holds the set-up code while there
// is no owner. Who can read it stands before the box.
const SetupCodeFile = "setup-code"

// maxCodeTries is how many wrong codes make a new one.
const maxCodeTries = 20

// setupCode is the code as typed: 60 bits.
type setupCode struct {
	text  string // without hyphens
	wrong int
}

// newCode makes a set-up code. One from an earlier start, which somebody may have read already,
// stays.
func (a *Auth) newCode() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, err := os.ReadFile(a.path(SetupCodeFile))
	if err == nil && len(plainCode(string(old))) == 12 {
		a.code = setupCode{text: plainCode(string(old))}
		return nil
	}
	return a.freshCodeLocked()
}

func (a *Auth) freshCodeLocked() error {
	c := setupCode{text: ids.Random(8)[:12]}
	if err := fsx.WriteFile(a.path(SetupCodeFile), []byte(c.shown()+"\n"), 0o600); err != nil {
		return err
	}
	a.code = c
	return nil
}

// shown is the code as people read it, "" for none.
func (c setupCode) shown() string {
	if c.text == "" {
		return ""
	}
	return c.text[:4] + "-" + c.text[4:8] + "-" + c.text[8:]
}

// SetupCode returns the code that the first person needs, for the box's own screen; "" when there is an owner.
func (a *Auth) SetupCode() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.code.shown()
}

// plainCode undoes what people do to a code when they read and type it.
func plainCode(typed string) string {
	return strings.NewReplacer("-", "", " ", "", "\n", "", "o", "0", "i", "1", "l", "1").Replace(strings.ToLower(typed))
}

// CheckCode reports whether code is the set-up code. It is throttled as passwords are.
func (a *Auth) CheckCode(source netip.Addr, code string) error {
	if a.SetUp() {
		return errSetUp()
	}
	giveBack, err := a.guesses.take(source, false)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if subtle.ConstantTimeCompare([]byte(plainCode(code)), []byte(a.code.text)) == 1 && a.code.text != "" {
		giveBack()
		return nil
	}
	if a.code.wrong++; a.code.wrong >= maxCodeTries {
		if err := a.freshCodeLocked(); err != nil {
			return err
		}
		a.cfg.Log.Warn("too many wrong set-up codes: a new code was made", "file", a.path(SetupCodeFile))
	}
	return &problem.Error{
		Kind: problem.Denied, Code: "setup.code", Text: "the set-up code is wrong", Cure: "type the code that the box shows",
		Faults: []problem.Fault{{Path: "code", Value: hidden, Rule: "the code that the box shows", Cure: "read it again from the box"}},
	}
}

func (a *Auth) removeCode() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.removeCodeLocked()
}

func (a *Auth) removeCodeLocked() error {
	a.code = setupCode{}
	if err := os.Remove(a.path(SetupCodeFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
