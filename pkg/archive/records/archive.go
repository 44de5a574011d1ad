// Package records is the archive of records: a file for each kind and month, found by time, person,
// number and the like, idempotent by record id.
package records

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

// Limits.
const (
	// alarmFree warns an admin while there is still time to act.
	alarmFree = 512 << 20
	// refuseFree stops records, which wait in the outbox, before the disk is full for all.
	refuseFree = 128 << 20
	// auditFree stops audit records too, and with them every act of an admin. They may use what
	// other records may not: the admin who makes room must be able to sign in.
	auditFree = 16 << 20

	// groupRecords bounds one transaction, so that a commit stays short.
	groupRecords = 2000
	// idleClose is when a file that nobody reads is closed.
	idleClose = time.Minute
	// freePause is how long an answer about free space is believed.
	freePause = time.Second
	// retainEvery is when old files are looked for.
	retainEvery = 24 * time.Hour
)

// Config says where the archive is.
type Config struct {
	Dir string
	Log *slog.Logger
	// Policy, if not nil, tells what is kept; the default is the record package's.
	Policy func() record.Policy
	// Stored, if not nil, is told of records that are new or changed, after their commit. It must
	// not block.
	Stored func([]record.Envelope)
	// Free tells the bytes that are free for the archive; nil asks the disk.
	Free func() (uint64, error)
}

// Archive is an open archive. Store waits for Run.
type Archive struct {
	cfg      Config
	requests chan *request
	done     chan struct{} // closed when Run has ended

	mu         sync.Mutex            // guards what follows
	partitions map[string]*partition // by file name
	space      space
}

// request is a batch on its way to the committer.
type request struct {
	entries []entry
	changed int
	answer  chan error
}

// New returns the archive in cfg.Dir. It opens files when they are used.
func New(cfg Config) (*Archive, error) {
	if cfg.Policy == nil {
		cfg.Policy = record.DefaultPolicy
	}
	if err := problem.Fields("archive.policy", cfg.Policy().Faults()); err != nil {
		return nil, err
	}
	if cfg.Free == nil {
		cfg.Free = func() (uint64, error) { return fsx.Free(cfg.Dir) }
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	a := &Archive{cfg: cfg, requests: make(chan *request), done: make(chan struct{}), partitions: map[string]*partition{}}
	for _, e := range entries {
		if kind, month, ok := parsePartition(e.Name()); ok {
			a.partitions[e.Name()] = newPartition(cfg.Dir, kind, month, cfg.Log)
		}
	}
	return a, nil
}

// Run commits what is stored and removes what is old, until ctx ends.
func (a *Archive) Run(ctx context.Context) error {
	defer close(a.done)
	tidy := time.NewTicker(idleClose)
	defer tidy.Stop()
	retain := time.NewTicker(retainEvery)
	defer retain.Stop()
	a.retain(time.Now())
	for {
		select {
		case <-ctx.Done():
			return a.closeFiles(0)
		case r := <-a.requests:
			a.commit(a.gather(r))
		case <-tidy.C:
			if err := a.closeFiles(idleClose); err != nil {
				a.cfg.Log.Error("a file of records did not close", "err", err)
			}
		case now := <-retain.C:
			a.retain(now)
		}
	}
}

// gather takes the requests that wait already: they share commits.
func (a *Archive) gather(first *request) []*request {
	all, n := []*request{first}, len(first.entries)
	for n < groupRecords {
		select {
		case r := <-a.requests:
			all, n = append(all, r), n+len(r.entries)
		default:
			return all
		}
	}
	return all
}

// Store keeps a batch; when it returns without error the records are on disk. It returns how many
// were new or changed. A batch with a record that can never be stored is refused whole.
func (a *Archive) Store(ctx context.Context, batch []record.Envelope) (changed int, err error) {
	all, err := check(batch)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	r := &request{answer: make(chan error, 1)}
	for i, e := range batch {
		r.entries = append(r.entries, entry{e, all[i]})
	}
	select {
	case a.requests <- r:
	case <-a.done:
		return 0, errStopped()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select { // once taken it is answered, and the caller must know how it went
	case err = <-r.answer:
		return r.changed, err
	case <-a.done:
		return 0, errStopped()
	}
}

func errStopped() error {
	return problem.New(problem.Unavailable, "archive.stopped", "the archive stops", "try again in a moment")
}

// commit stores what requests hold, one transaction for each partition, and answers them.
func (a *Archive) commit(requests []*request) {
	groups := map[string][]entry{}
	for _, r := range requests {
		for _, e := range r.entries {
			name := a.nameOf(e.Envelope)
			groups[name] = append(groups[name], e)
		}
	}
	failed := map[string]error{}
	news := map[string]bool{}
	for name, entries := range groups {
		changed, err := a.commitGroup(entries)
		if err != nil {
			failed[name] = err
			continue
		}
		for _, e := range changed {
			news[e.ID] = true
		}
		a.tell(changed)
	}
	for _, r := range requests {
		var err error
		for _, e := range r.entries {
			err = errors.Join(err, failed[a.nameOf(e.Envelope)])
			if news[e.ID] {
				r.changed++
			}
			if err != nil {
				break
			}
		}
		r.answer <- err
	}
}

func (a *Archive) nameOf(e record.Envelope) string {
	at, _ := ids.RecordTime(e.ID) // checked before
	return partitionName(e.Kind, monthOf(at))
}

func (a *Archive) commitGroup(entries []entry) ([]entry, error) {
	e := entries[0]
	if err := a.room(e.Kind); err != nil {
		return nil, err
	}
	at, _ := ids.RecordTime(e.ID) // checked before
	p := a.partition(e.Kind, monthOf(at))
	changed, err := p.put(entries, a.cfg.Policy().MessageContent == record.ContentDrop)
	if fsx.IsFull(err) {
		return nil, errDiskFull(err)
	}
	return changed, err
}

// partition returns the one for a month, which is made with its first record.
func (a *Archive) partition(kind record.Kind, month time.Time) *partition {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := partitionName(kind, month)
	p := a.partitions[name]
	if p == nil {
		p = newPartition(a.cfg.Dir, kind, month, a.cfg.Log)
		a.partitions[name] = p
	}
	return p
}

func (a *Archive) tell(changed []entry) {
	if a.cfg.Stored == nil || len(changed) == 0 {
		return
	}
	batch := make([]record.Envelope, len(changed))
	for i, e := range changed {
		batch[i] = e.Envelope
	}
	a.cfg.Stored(batch)
}

// list returns the partitions of a kind, or of all kinds when it is "", newest first.
func (a *Archive) list(kind record.Kind) []*partition {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []*partition
	for _, p := range a.partitions {
		if kind == "" || p.kind == kind {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(x, y *partition) int {
		return cmp.Or(y.month.Compare(x.month), cmp.Compare(x.kind, y.kind))
	})
	return found
}

// closeFiles closes the files that nobody used for that long, except those that take today's
// records: to open a long file is to read it.
func (a *Archive) closeFiles(idle time.Duration) (err error) {
	this := monthOf(time.Now())
	for _, p := range a.list("") {
		if idle == 0 || !p.month.Equal(this) {
			err = errors.Join(err, p.closeIdle(idle))
		}
	}
	return err
}
