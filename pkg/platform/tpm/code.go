package tpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io/fs"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

const (
	codeGroup = 5 // letters between two dashes
	sumBytes  = 3 // so that a slip of the pen is told from another box's code
)

func codeText() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// Code is the root for a person to keep: with it the keys are opened when the chip is lost. Who has it and
// the disk has all that the box keeps.
func (r *Root) Code() string {
	sum := sha256.Sum256(r.secret)
	letters := codeText().EncodeToString(append(bytes.Clone(r.secret), sum[:sumBytes]...))
	var b strings.Builder
	for i, l := range letters {
		if i > 0 && i%codeGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(l)
	}
	return b.String()
}

// parseCode reads a code as a person writes it: small letters, with or without dashes and spaces.
func parseCode(text string) (*Root, error) {
	letters := strings.Map(func(c rune) rune {
		switch c {
		case '-', ' ', '\t', '\n', '\r':
			return -1
		}
		return c
	}, strings.ToUpper(text))
	raw, err := codeText().DecodeString(letters)
	if err == nil && len(raw) == rootBytes+sumBytes {
		if sum := sha256.Sum256(raw[:rootBytes]); bytes.Equal(sum[:sumBytes], raw[rootBytes:]) {
			return &Root{raw[:rootBytes]}, nil
		}
	}
	return nil, problem.New(problem.Invalid, "keys.code", "this is not a recovery code: a letter is wrong or missing", "compare it letter by letter; it has 56 letters and digits, no 0, 1, 8 or 9")
}

// Recover seals the root that a code says for the chip of this box, or keeps it in clear where chip is
// nil. A code of another box is refused.
func Recover(path, code string, chip Chip) error {
	r, err := parseCode(code)
	if err != nil {
		return err
	}
	k, err := read(path)
	if errors.Is(err, fs.ErrNotExist) { // then nothing can tell whose it is but the keys themselves
		_, err = r.keep(path, chip)
		return err
	}
	if err == nil {
		err = k.isOf(r)
	}
	if errors.Is(err, errOtherRoot) {
		return problem.Wrap(err, problem.Denied, "keys.code.other", "this is the recovery code of another box, or of this one before it was reset", "look for the code of this box")
	}
	if err != nil {
		return err
	}
	_, err = r.keep(path, chip)
	return err
}
