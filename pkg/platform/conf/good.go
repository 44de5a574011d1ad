package conf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
)

// RetreatEnv names the variable by which the init tells a daemon of a file that is there when the daemon
// has crashed again and again: it then starts with the settings that it last ran well with.
const RetreatEnv = "SANCHAR_RETREAT"

const (
	// goodAfter is how long a program runs with settings until they count as good. What makes it crash in a
	// loop makes it crash sooner.
	goodAfter = 2 * time.Minute
	goodFile  = "good" // in the history: the number of the revision that was good last
	// whoRetreats is the author of settings that were brought back after crashes.
	whoRetreats = "the box, after crashes"
)

// Watched is a document whose settings are noted as good in time.
type Watched interface{ look() error }

// Watch notes the settings that the program has run with for a while as good, until ctx ends.
func Watch(ctx context.Context, log *slog.Logger, files ...Watched) {
	tick := time.NewTicker(goodAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, f := range files {
			if err := f.look(); err != nil {
				log.Warn("settings that are good are not noted as such", "err", err)
			}
		}
	}
}

// look notes the settings as good if they are those of the last look.
func (f *File[T]) look() error {
	number := f.now.Load().rev.Number
	seen := f.seen
	f.seen = &number
	if seen == nil || *seen != number {
		return nil
	}
	good, known, err := f.good()
	if err != nil || (known && good == number) {
		return err
	}
	return fsx.WriteFile(filepath.Join(f.history, goodFile), strconv.AppendUint(nil, number, 10), 0o600)
}

// good returns the revision that was good last, if any is known to be.
func (f *File[T]) good() (number uint64, known bool, err error) {
	text, err := os.ReadFile(filepath.Join(f.history, goodFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err == nil {
		number, err = strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	}
	return number, err == nil, err
}

// retreat brings the settings back that were good last, as a new revision, if the program has crashed again
// and again and those of now never were good. What cannot be brought back stays as it is: the program
// may run yet.
func (f *File[T]) retreat() {
	if path := os.Getenv(RetreatEnv); path == "" || !there(path) {
		return
	}
	good, known, err := f.good()
	_, now := f.Load()
	if err == nil && (!known || good == now.Number || now.Who == whoRetreats) {
		return
	}
	value := f.schema.Default()
	if err == nil && good > 0 {
		value, _, err = f.At(good)
	}
	if err == nil {
		_, err = f.Save(value, now.Number, whoRetreats)
	}
	if err != nil {
		f.log.Error("settings that were good are not brought back", "path", f.path, "revision", good, "err", err)
		return
	}
	f.log.Error("settings are brought back after crashes", "path", f.path, "revision", good, "left", fmt.Sprintf("%d by %s", now.Number, author(now)))
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
