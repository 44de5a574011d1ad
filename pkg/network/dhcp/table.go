package dhcp

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/journal"
)

// Bounds of the table.
const (
	maxLeases    = 1 << 16 // of all subnets; each takes some 300 bytes
	keepExpired  = 30 * 24 * time.Hour
	rewriteAfter = 1000 // frames beyond twice those that are needed
)

// errFull refuses a lease when the table holds as many as it may.
var errFull = errors.New("the table of leases is full")

// Lease is an address that a host has, or had: it gets the same again while nobody needs it.
type Lease struct {
	Zone    string     `json:"zone"`
	Addr    netip.Addr `json:"addr"`
	Client  string     `json:"client"` // identifier that the host gave, or its hardware address
	MAC     string     `json:"mac"`
	Name    string     `json:"name,omitempty"`   // as the host calls itself
	Class   string     `json:"class,omitempty"`  // vendor class identifier
	Vendor  string     `json:"vendor,omitempty"` // as we read class and MAC
	Begun   time.Time  `json:"begun"`
	Expires time.Time  `json:"expires"`
}

// Table holds all leases and keeps them on disk. Its methods may be called from any goroutine.
type Table struct {
	log *journal.Log

	mu       sync.Mutex // guards what follows; held for microseconds, never over I/O
	byAddr   map[netip.Addr]Lease
	byClient map[clientKey]netip.Addr
	byName   map[string]netip.Addr
	taken    map[netip.Addr]time.Time // found in use by somebody unknown, until then
	full     map[string]time.Time     // zones whose ranges are, until then
}

type clientKey struct{ zone, client string }

// OpenTable reads the leases in the file at path, which is made if it is not there.
func OpenTable(path string) (*Table, error) {
	t := &Table{
		byAddr: map[netip.Addr]Lease{}, byClient: map[clientKey]netip.Addr{},
		byName: map[string]netip.Addr{}, taken: map[netip.Addr]time.Time{}, full: map[string]time.Time{},
	}
	log, err := journal.Open(path, journal.Options{}, func(frame []byte) error {
		var l Lease
		if err := json.Unmarshal(frame, &l); err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		t.setLocked(l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.log = log
	return t, nil
}

// Close writes what waits and closes the file.
func (t *Table) Close() error { return t.log.Close() }

// setLocked also forgets what the host had before and who had the address before.
func (t *Table) setLocked(l Lease) {
	if old, ok := t.byAddr[l.Addr]; ok {
		delete(t.byClient, clientKey{old.Zone, old.Client})
	}
	key := clientKey{l.Zone, l.Client}
	if had, ok := t.byClient[key]; ok && had != l.Addr {
		delete(t.byAddr, had)
	}
	t.byAddr[l.Addr], t.byClient[key] = l, l.Addr
	t.nameLocked(l)
}

// nameLocked lets a host have its name unless another one has it that began before.
func (t *Table) nameLocked(l Lease) {
	if l.Name == "" {
		return
	}
	if holder, ok := t.byAddr[t.byName[l.Name]]; ok && holder.Addr != l.Addr && holder.Name == l.Name && l.Begun.Before(holder.Expires) {
		return
	}
	t.byName[l.Name] = l.Addr
}

// Named returns the address of the host of a name, in lower case, while its lease holds.
func (t *Table) Named(name string) (netip.Addr, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.byAddr[t.byName[name]]
	return l.Addr, ok && l.Name == name && time.Now().Before(l.Expires)
}

// NameOf returns the name of the host that has an address now.
func (t *Table) NameOf(a netip.Addr) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.byAddr[a]
	return l.Name, ok && l.Name != "" && t.byName[l.Name] == a && time.Now().Before(l.Expires)
}

// put takes a lease into the table and calls done when it is on disk: what was answered survives
// the power (RFC 2131 §2.1: a binding is kept in permanent storage).
func (t *Table) put(l Lease, done func(err error)) {
	frame, err := json.Marshal(l)
	if err != nil {
		done(fmt.Errorf("lease of %s: %w", l.Addr, err))
		return
	}
	t.mu.Lock()
	_, known := t.byAddr[l.Addr]
	if !known && len(t.byAddr) >= maxLeases {
		t.mu.Unlock()
		done(errFull)
		return
	}
	t.setLocked(l)
	t.mu.Unlock()
	t.log.Commit(frame, journal.WaiterFunc(done))
}

// compact rewrites the file when most of it is history, and drops what expired long ago.
func (t *Table) compact(now time.Time) error {
	_, frames := t.log.Size() // it waits for the disk, so not under the lock
	t.mu.Lock()
	for a, l := range t.byAddr {
		if now.Sub(l.Expires) > keepExpired {
			delete(t.byAddr, a)
			delete(t.byClient, clientKey{l.Zone, l.Client})
			if t.byName[l.Name] == a {
				delete(t.byName, l.Name)
			}
		}
	}
	for a, until := range t.taken {
		if now.After(until) {
			delete(t.taken, a)
		}
	}
	due := frames > 2*len(t.byAddr)+rewriteAfter
	t.mu.Unlock()
	if !due {
		return nil
	}
	return t.log.Rewrite(func(emit func([]byte)) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, l := range t.byAddr {
			if frame, err := json.Marshal(l); err == nil { // it was marshalled before
				emit(frame)
			}
		}
	})
}

// of returns what a host has or had.
func (t *Table) of(zone, client string) (Lease, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, ok := t.byClient[clientKey{zone, client}]
	return t.byAddr[a], ok
}

// free reports whether client may have the address: nobody else has it and nobody was found using it.
func (t *Table) free(a netip.Addr, client string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.freeLocked(a, client, now)
}

func (t *Table) freeLocked(a netip.Addr, client string, now time.Time) bool {
	if until, found := t.taken[a]; found && now.Before(until) {
		return false
	}
	l, held := t.byAddr[a]
	return !held || l.Client == client || !now.Before(l.Expires)
}

// freshLocked reports whether nobody ever had the address, as far as we remember.
func (t *Table) freshLocked(a netip.Addr, now time.Time) bool {
	_, had := t.byAddr[a]
	return !had && t.freeLocked(a, "", now)
}

// markTaken remembers that an address answers though nobody has a lease of it.
func (t *Table) markTaken(a netip.Addr, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.taken) < maxLeases {
		t.taken[a] = until
	}
}

// Leases returns those that have not expired, in the order of their addresses.
func (t *Table) Leases(now time.Time) (all []Lease) {
	t.mu.Lock()
	for _, l := range t.byAddr {
		if now.Before(l.Expires) {
			all = append(all, l)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b Lease) int { return cmp.Or(strings.Compare(a.Zone, b.Zone), a.Addr.Compare(b.Addr)) })
	return all
}

// Conflicts returns the addresses that somebody uses without a lease, in order.
func (t *Table) Conflicts(now time.Time) (all []netip.Addr) {
	t.mu.Lock()
	for a, until := range t.taken {
		if now.Before(until) {
			all = append(all, a)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}
