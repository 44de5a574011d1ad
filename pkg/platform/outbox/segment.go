package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/journal"
)

// segment is one file of the queue. Its name is its place in the order; when it takes no more
// records its name also tells how many it holds, so that a start after a long outage of the
// archive need not read them all.
type segment struct {
	seq uint64
	log *journal.Log // of one that was made by this run

	// The outbox's mutex guards what follows.
	path      string
	sealed    bool  // it takes no more records
	size      int64 // of the whole frames, known when sealed
	reserved  int64 // bytes of frames in the file and on the way to it
	records   int   // committed
	delivered int   // of those: taken by the archive, or lost
}

const segmentSuffix = ".seg"

func segmentPath(dir string, seq uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016d%s", seq, segmentSuffix))
}

func sealedPath(dir string, seq uint64, records int) string {
	return filepath.Join(dir, fmt.Sprintf("%016d-%d%s", seq, records, segmentSuffix))
}

// newSegment makes a file for records and opens it.
func newSegment(cfg *Config, seq uint64) (*segment, error) {
	path := segmentPath(cfg.Dir, seq)
	log, err := journal.Open(path, journal.Options{Linger: cfg.Linger}, func([]byte) error { return nil })
	if err != nil {
		return nil, err
	}
	return &segment{seq: seq, log: log, path: path}, nil
}

// findSegments returns the files that an earlier run left, oldest first. Those that hold nothing
// are removed.
func findSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []*segment
	for _, e := range entries {
		seq, records, ok := parseName(e.Name())
		if !ok {
			continue
		}
		s := &segment{seq: seq, path: filepath.Join(dir, e.Name()), sealed: true, records: records}
		if records < 0 {
			err = s.recount(dir)
		} else {
			err = s.measure()
		}
		if err != nil {
			return nil, err
		}
		if s.records > 0 {
			found = append(found, s)
		} else if err := os.Remove(s.path); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b *segment) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return found, nil
}

// parseName returns records < 0 for a segment that was not sealed.
func parseName(name string) (seq uint64, records int, ok bool) {
	stem, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, 0, false
	}
	first, count, sealed := strings.Cut(stem, "-")
	seq, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	if !sealed {
		return seq, -1, true
	}
	n, err := strconv.ParseUint(count, 10, 31)
	return seq, int(n), err == nil
}

// recount seals a segment that a crash left open: what follows its whole frames was never
// acknowledged.
func (s *segment) recount(dir string) error {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	s.records = 0
	s.size, _ = journal.Scan(data, func([]byte) error { s.records++; return nil })
	s.reserved = s.size
	old := s.path
	s.path = sealedPath(dir, s.seq, s.records)
	return os.Rename(old, s.path)
}

func (s *segment) measure() error {
	st, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	s.size, s.reserved = st.Size(), st.Size()
	return nil
}

// seal closes the file, which tells all that wait on it, and names it by what it holds. The file
// is closed, and what is returned holds, with an error too.
func (s *segment) seal(dir string) (path string, size int64, records int, err error) {
	err = s.log.Close()
	size, records = s.log.Size()
	path = sealedPath(dir, s.seq, records)
	if rename := os.Rename(s.path, path); rename != nil {
		return s.path, size, records, errors.Join(err, rename)
	}
	return path, size, records, err
}
